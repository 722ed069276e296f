# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting until guests can be worked with: all of them together, each with its deadline, saying what is lacking."""

from __future__ import annotations

import io
import json
import re
import socket
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, NamedTuple

from .. import agent, progress
from ..plan.plan import Awaited
from .agent import GuestAgent, is_connected
from .connection import Connection, libvirt
from .read import Lease, read_leases
from .wait import event

# How often it is looked again where libvirt has no event, as for leases; seconds that a guest's answer may take; and how
# many guests are asked at once.
LOOK_AGAIN = 0.5
ANSWER = 5
AT_ONCE = 16

# Where cloud-init tells of this boot (its documentation, "Boot stages" and "cloud-init analyze").
RESULT = "/run/cloud-init/result.json"
DISABLED = "/run/cloud-init/disabled"
KEYS = tuple(f"/etc/ssh/ssh_host_{kind}_key.pub" for kind in ("ed25519", "ecdsa", "rsa"))
_KEY = re.compile(r"^(ssh|ecdsa)-[a-z0-9@.-]+ [A-Za-z0-9+/=]+")
# What GLib and Windows say of a file that is not there.
_NOT_THERE = re.compile(r"No such file|cannot find", re.IGNORECASE)


class Ready(NamedTuple):
    """How it ended. late: a sentence for each guest that was not ready. told: of each guest, what was found out:
    addresses, and host_keys as lines of a public key.
    """

    late: dict[str, str]
    told: dict[str, dict[str, list[str]]]


class Hopeless(Exception):
    """Waiting longer would not help. The message says why."""


def until_ready(connection: Connection, guests: list[Awaited], stale: frozenset[Lease]) -> Ready:
    """Wait for all guests together. stale: leases from before a guest was started, which say nothing of it now."""
    if not guests:
        return Ready({}, {})
    vigil = _Vigil(connection, guests)
    kinds = (libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, libvirt.VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE)
    with event(connection, None, *kinds) as happened, ThreadPoolExecutor(min(AT_ONCE, len(guests))) as pool:
        while vigil.waiting:
            happened.clear()
            vigil.look(pool, [lease for lease in read_leases(connection) if lease not in stale])
            vigil.hear()
            vigil.give_up()
            if vigil.waiting:
                _tell(vigil.waiting, len(guests))
                happened.wait(LOOK_AGAIN)
    return vigil.ready


class _Vigil:
    """The guests that are waited for. Each is looked at on its own: an agent that hangs keeps nobody else waiting."""

    def __init__(self, connection: Connection, guests: list[Awaited]) -> None:
        self.waiting = {guest.name: guest for guest in guests}
        self.ready = Ready({}, {guest.name: {} for guest in guests})
        self._connection = connection
        self._began = time.monotonic()
        self._lacking = {guest.name: ["answer"] for guest in guests}
        self._looks: dict[Future[tuple[list[str], str | None]], str] = {}

    def look(self, pool: ThreadPoolExecutor, leases: list[Lease]) -> None:
        """Begin to look at each guest that is not being looked at."""
        busy = set(self._looks.values())
        for name, guest in self.waiting.items():
            if name not in busy:
                look = pool.submit(_look, self._connection, leases, self.ready.told[name], guest)
                self._looks[look] = name

    def hear(self) -> None:
        """Take in what the looks that ended have found."""
        for look in wait(self._looks, LOOK_AGAIN, FIRST_COMPLETED).done:
            name = self._looks.pop(look)
            self._lacking[name], hopeless = look.result()
            if name in self.waiting and (hopeless or not self._lacking[name]):
                del self.waiting[name]
                if hopeless:
                    self.ready.late[name] = f"guest {name}: {hopeless}"

    def give_up(self) -> None:
        """Wait no longer for guests whose deadline is over."""
        for name, guest in list(self.waiting.items()):
            if time.monotonic() - self._began > guest.timeout:
                lacks = " and no ".join(self._lacking[name])
                self.ready.late[name] = f"guest {name} has no {lacks} after {guest.timeout} s"
                del self.waiting[name]


def _tell(waiting: dict[str, Awaited], many: int) -> None:
    names = ", ".join(list(waiting)[:3]) + (", ..." if len(waiting) > 3 else "")
    progress.tell(f"{many - len(waiting)} of {many} guests ready; waiting for {names}")


def _look(
    connection: Connection, leases: list[Lease], told: dict[str, list[str]], guest: Awaited
) -> tuple[list[str], str | None]:
    """What a guest lacks, and why it is of no use to wait for it, None while it is. What is found goes into told."""
    try:
        domain = connection.open.lookupByName(guest.name)
        if not domain.isActive():
            return [], "it stopped while it was waited for"
        return _lacking(domain, guest, leases, told), None
    except (Hopeless, libvirt.libvirtError) as error:
        return [], str(error)


def _lacking(domain: Any, guest: Awaited, leases: list[Lease], told: dict[str, list[str]]) -> list[str]:
    lacks = []
    told["addresses"] = addresses_of(domain, guest, leases)
    if "address" in guest.what and not told["addresses"]:
        lacks.append("address")
    asked = GuestAgent(domain, ANSWER)
    if "agent" in guest.what and not _answers(asked, domain):
        lacks.append("answer of its agent")
    if "cloud_init" in guest.what and not _cloud_init_ended(asked, domain):
        lacks.append("end of cloud-init")
    if "ssh" in guest.what and not any(_speaks_ssh(address, guest.ssh_port) for address in told["addresses"]):
        lacks.append(f"answer of ssh on port {guest.ssh_port}")
    # cloud-init makes new keys at the first boot: those of before would be somebody else's.
    if "host_keys" in guest.what and not lacks:
        told["host_keys"] = _host_keys(asked, domain)
        if not told["host_keys"]:
            lacks.append("host key of ssh")
    return lacks


def _answers(asked: GuestAgent, domain: Any) -> bool:
    if not is_connected(domain):
        return False
    try:
        asked.ask("guest-ping", {})
    except (agent.Refused, agent.Unreachable):
        return False
    return True


def _cloud_init_ended(asked: GuestAgent, domain: Any) -> bool:
    """Whether cloud-init came to its end in this boot. Raises Hopeless when it will not run, or failed, with its own words."""
    text = _file(asked, domain, RESULT)
    if text is None:
        # Its systemd generator decides that before anything else of the guest runs, the agent included.
        if _file(asked, domain, DISABLED) is not None:
            raise Hopeless(
                f"cloud-init does not run in this boot ({DISABLED} is there): it found no seed, or it is disabled by "
                "/etc/cloud/cloud-init.disabled or on the kernel's command line"
            )
        return False
    try:
        result = json.loads(text)["v1"]
    except (ValueError, KeyError, TypeError):
        return False  # It is being written.
    if result.get("errors"):
        raise Hopeless("cloud-init failed: " + "; ".join(str(error) for error in result["errors"]))
    return True


def _host_keys(asked: GuestAgent, domain: Any) -> list[str]:
    found = (_KEY.match(_file(asked, domain, path) or "") for path in KEYS)
    return [match.group() for match in found if match]


def _file(asked: GuestAgent, domain: Any, path: str) -> str | None:
    """A file of the guest, None while it cannot be had. Raises Hopeless when the agent does not give out files."""
    if not is_connected(domain):
        return None
    target = io.BytesIO()
    try:
        agent.read(asked.ask, path, target)
    except agent.Refused as error:
        if _NOT_THERE.search(str(error)):
            return None
        raise Hopeless(f"{path} cannot be read through its agent: {error}") from error
    except agent.Forbidden as error:
        raise Hopeless(str(error)) from error
    except agent.Unreachable:
        return None
    return target.getvalue().decode("utf-8", "replace")


def _speaks_ssh(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=2) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def addresses_of(domain: Any, guest: Awaited, leases: list[Lease]) -> list[str]:
    """A guest's addresses: from DHCP leases, else from its agent."""
    return [lease.address for lease in leases if lease.mac in guest.macs] or _agent_addresses(domain)


def _agent_addresses(domain: Any) -> list[str]:
    if not is_connected(domain):
        return []
    try:
        interfaces: dict[str, Any] = domain.interfaceAddresses(libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT)
    except libvirt.libvirtError:
        return []
    return [
        item["addr"]
        for device, interface in interfaces.items()
        if device != "lo"
        for item in interface.get("addrs") or []
        if not item["addr"].startswith(("127.", "fe80:", "::1"))
    ]
