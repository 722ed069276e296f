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
from contextlib import closing
from typing import Any, NamedTuple

from .. import agent, progress, tree
from ..plan.current import CHANNEL
from ..plan.plan import AWAITED, BY_AGENT, Awaited
from .agent import GuestAgent, halted_by, has_channel, is_connected
from .connection import Connection, libvirt
from .lines import Lines
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
# Of a console's file: how much of its end is read, and how much of a line is told; and what terminals draw with.
_TAIL = 4096
_LONGEST = 200
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x09\x0b-\x1f]")
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


class _Look(NamedTuple):
    """What a look at a guest found. lacks: what is waited for and not there, as in AWAITED; why: what is known of that, in sentences;
    hopeless: why it is of no use to wait for it, None while it is.
    """

    lacks: list[str]
    why: list[str]
    hopeless: str | None


def until_ready(connection: Connection, guests: list[Awaited], stale: frozenset[Lease]) -> Ready:
    """Wait for all guests together. stale: leases from before a guest was started, which say nothing of it now."""
    if not guests:
        return Ready({}, {})
    kinds = (libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, libvirt.VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE)
    most = min(AT_ONCE, len(guests))
    with (
        event(connection, None, *kinds) as happened,
        closing(Lines(connection)) as lines,
        ThreadPoolExecutor(most) as pool,
    ):
        vigil = _Vigil(lines, guests)
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

    def __init__(self, lines: Lines, guests: list[Awaited]) -> None:
        self.waiting = {guest.name: guest for guest in guests}
        self.ready = Ready({}, {guest.name: {} for guest in guests})
        self._lines = lines
        self._began = time.monotonic()
        nothing = ["libvirt has not told anything of it yet, or its agent"]
        self._last = {
            guest.name: _Look([word for word in AWAITED if word in guest.what], nothing, None) for guest in guests
        }
        self._looks: dict[Future[_Look], str] = {}

    def look(self, pool: ThreadPoolExecutor, leases: list[Lease]) -> None:
        """Begin to look at each guest that is not being looked at."""
        busy = set(self._looks.values())
        for name, guest in self.waiting.items():
            if name not in busy:
                look = pool.submit(_look, self._lines, leases, self.ready.told[name], guest)
                self._looks[look] = name

    def hear(self) -> None:
        """Take in what the looks that ended have found."""
        for look in wait(self._looks, LOOK_AGAIN, FIRST_COMPLETED).done:
            name = self._looks.pop(look)
            last = self._last[name] = look.result()
            if name in self.waiting and (last.hopeless or not last.lacks):
                del self.waiting[name]
                if last.hopeless:
                    self.ready.late[name] = f"guest {name}: {last.hopeless}"

    def give_up(self) -> None:
        """Wait no longer for guests whose deadline is over."""
        for name, guest in list(self.waiting.items()):
            if time.monotonic() - self._began > guest.timeout:
                last = self._last[name]
                lacks = " and no ".join(AWAITED[word].format(port=guest.ssh_port) for word in last.lacks)
                sentence = f"guest {name} has no {lacks} after {guest.timeout} s"
                self.ready.late[name] = ": ".join([sentence, *(["; ".join(last.why)] if last.why else [])])
                del self.waiting[name]


def _tell(waiting: dict[str, Awaited], many: int) -> None:
    names = ", ".join(list(waiting)[:3]) + (", ..." if len(waiting) > 3 else "")
    progress.tell(f"{many - len(waiting)} of {many} guests ready; waiting for {names}")


def _look(lines: Lines, leases: list[Lease], told: dict[str, list[str]], guest: Awaited) -> _Look:
    """What a guest lacks. What is found goes into told."""
    with lines.taken() as connection:
        return _looked(connection, leases, told, guest)


def _looked(connection: Connection, leases: list[Lease], told: dict[str, list[str]], guest: Awaited) -> _Look:
    try:
        domain = connection.open.lookupByName(guest.name)
        if not domain.isActive():
            return _Look([], [], "it stopped while it was waited for")
        lacks, why = _lacking(domain, guest, leases, told)
        if lacks:
            why += _circumstances(domain, connection.is_local)
        return _Look(lacks, list(dict.fromkeys(why)), None)
    except (Hopeless, libvirt.libvirtError) as error:
        return _Look([], [], str(error))


def _lacking(
    domain: Any, guest: Awaited, leases: list[Lease], told: dict[str, list[str]]
) -> tuple[list[str], list[str]]:
    """What a guest lacks, and what is known of the reasons."""
    asked = GuestAgent(domain, ANSWER)
    if guest.what & BY_AGENT and not has_channel(domain):
        raise Hopeless(f"it has no channel {CHANNEL} for its agent")
    lacks: list[str] = []
    why: list[str] = []
    told["addresses"], mute = _addresses(asked, domain, guest.macs, leases)
    if "address" in guest.what and not told["addresses"]:
        lacks.append("address")
        why.append(f"none of this host's networks gave one to {', '.join(guest.macs) or 'it, as it has no interface'}")
    if "agent" in guest.what:
        mute = mute or _mute(asked, domain)
        lacks += ["agent"] if mute else []
    if "cloud_init" in guest.what and not _cloud_init_ended(asked, domain):
        lacks.append("cloud_init")
    silent = _silent(told["addresses"], guest.ssh_port) if "ssh" in guest.what else []
    lacks += ["ssh"] if silent else []
    # cloud-init makes new keys at the first boot: those of before would be somebody else's.
    if "host_keys" in guest.what and not lacks:
        told["host_keys"] = _host_keys(asked, domain)
        lacks += [] if told["host_keys"] else ["host_keys"]
    if lacks and guest.what != {"ssh"}:
        mute = mute or _mute(asked, domain)
    return lacks, [*why, *([mute] if mute else []), *silent]


def _addresses(
    asked: GuestAgent, domain: Any, macs: tuple[str, ...], leases: list[Lease]
) -> tuple[list[str], str | None]:
    """A guest's addresses, from DHCP leases, else from its agent, and why the agent did not tell them, if it did not.

    A guest without interfaces may have a card of the host, whose MAC address nobody knows.
    """
    leased = [lease.address for lease in leases if lease.mac in macs]
    if leased or not is_connected(domain):
        return leased, None
    try:
        told = asked.addresses()
    except (agent.Refused, agent.Unreachable) as error:
        return [], str(error)
    return [address for _mac, address in agent.own_addresses(told, macs or None)], None


def _mute(asked: GuestAgent, domain: Any) -> str | None:
    """Why the agent does not answer, None when it does."""
    if not is_connected(domain):
        return asked.reason("")
    try:
        asked.ask("guest-ping", {})
    except (agent.Refused, agent.Unreachable) as error:
        return str(error)
    return None


def _circumstances(domain: Any, is_local: bool) -> list[str]:
    """What else is known of a guest that is not ready: that it does not run, and the last line that its console wrote to a file."""
    halted = halted_by(domain)
    line = _last_line(domain.XMLDesc(0)) if is_local else ""
    return [*([halted] if halted else []), *([f"the last line of its console is {line!r}"] if line else [])]


def _last_line(text: str) -> str:
    """The last line of a guest's serial console, where libvirt or QEMU writes that to a file; empty where there is none."""
    root = tree.parse(text)
    for path in ("serial/log/@file", "serial[@type='file']/source/@path"):
        try:
            with open(tree.get(root, "devices/" + path) or "", "rb") as file:
                file.seek(max(0, file.seek(0, 2) - _TAIL))
                lines = _CONTROL.sub("", file.read().decode("utf-8", "replace")).split("\n")
        except OSError:
            continue
        return next((line.strip()[:_LONGEST] for line in reversed(lines) if line.strip()), "")
    return ""


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


def _silent(addresses: list[str], port: int) -> list[str]:
    """What is wrong with ssh at each address; nothing when it answers at one of them."""
    if not addresses:
        return ["there is no address at which ssh could answer"]
    found = []
    for address in addresses:
        try:
            with socket.create_connection((address, port), timeout=2) as connection:
                if connection.recv(4) == b"SSH-":
                    return []
            found.append(f"what listens at {address} is no ssh")
        except OSError as error:
            found.append(f"{address}: {error.strerror or error}")
    return found
