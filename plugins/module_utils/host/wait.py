# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for guests: by libvirt's events where there are any, always with a deadline, saying what was waited for."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .. import tree
from ..plan.plan import Awaited
from ..plan.rules import for_kind, keys_among
from ..spec.kinds import KIND
from .connection import Connection, libvirt
from .read import Lease, read_leases

try:
    import libvirt_qemu
except ImportError:
    libvirt_qemu = None

# How often a guest that does not react is asked again to shut down, and leases are looked at, in seconds.
ASK_AGAIN = 15.0
LOOK_AGAIN = 0.5
DETACH = 20.0
BALLOON = 10.0


class TimedOut(Exception):
    """A deadline passed. The message says what was waited for and how long."""


@contextmanager
def _event(connection: Connection, domain: Any, *kinds: int) -> Iterator[threading.Event]:
    """An event that is set whenever libvirt tells one of these kinds about a guest."""
    happened = threading.Event()
    connection.listen()
    ids = [connection.open.domainEventRegisterAny(domain, kind, lambda *_what: happened.set(), None) for kind in kinds]
    try:
        yield happened
    finally:
        for number in ids:
            connection.open.domainEventDeregisterAny(number)


def until_off(connection: Connection, domain: Any, timeout: int, force: bool) -> None:
    """Ask a guest to shut down (agent, else ACPI) and wait until it is off; asked again, as a booting guest may not listen.

    Raises TimedOut when it still runs, unless it may be switched off then.
    """
    end = time.monotonic() + timeout
    with _event(connection, domain, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE) as happened:
        asked = 0.0
        while domain.isActive():
            now = time.monotonic()
            if now >= end:
                break
            if now - asked > ASK_AGAIN:
                _ask(domain)
                asked = now
            happened.wait(min(end - now, ASK_AGAIN))
            happened.clear()
    if not domain.isActive():
        return
    if not force:
        raise TimedOut(
            f"guest {domain.name()} was asked to shut down and still runs after {timeout} s; force: true switches it off"
        )
    try:
        domain.destroy()
    except libvirt.libvirtError:
        if domain.isActive():
            raise


def _ask(domain: Any) -> None:
    try:
        domain.shutdown()
    except libvirt.libvirtError:
        # It went off by itself, or its agent went away while being asked: ACPI is left.
        if domain.isActive():
            domain.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN)


def until_gone(connection: Connection, domain: Any, xml: str, path: str, key: str | None) -> str | None:
    """Detach a device of a running guest and wait until the guest let go of it; why it has to wait if it did not."""
    kinds = (libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVAL_FAILED)
    end = time.monotonic() + DETACH
    with _event(connection, domain, *kinds) as happened:
        domain.detachDeviceFlags(xml, libvirt.VIR_DOMAIN_AFFECT_LIVE)
        while _has(domain, path, key):
            if time.monotonic() >= end:
                return f"the guest did not let go of it within {DETACH:.0f} s"
            happened.wait(min(1.0, end - time.monotonic()))
            happened.clear()
    return None


def until_balloon(connection: Connection, domain: Any, kib: int) -> str | None:
    """Ask a running guest to make do with this much memory and wait until it does; why it has to wait if it does not."""
    end = time.monotonic() + BALLOON
    with _event(connection, domain, libvirt.VIR_DOMAIN_EVENT_ID_BALLOON_CHANGE) as happened:
        domain.setMemoryFlags(kib, libvirt.VIR_DOMAIN_AFFECT_LIVE)
        while domain.info()[2] != kib:
            if time.monotonic() >= end:
                return f"the guest has {domain.info()[2]} KiB {BALLOON:.0f} s after it was asked to have {kib} KiB"
            happened.wait(0.5)
            happened.clear()
    return None


def _has(domain: Any, path: str, key: str | None) -> bool:
    nodes = tree.parse(domain.XMLDesc(0)).findall(path)
    return bool(nodes) if key is None else key in (keys_among(for_kind(KIND["domain"]), path, nodes) or [])


def until_ready(
    connection: Connection, guests: list[Awaited], stale: frozenset[Lease]
) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Wait for all guests together. stale: leases from before a guest was started, which say nothing of it now.

    Returns a sentence for each guest that was not ready in time, and the addresses that were found.
    """
    started = time.monotonic()
    waiting = {guest.name: guest for guest in guests}
    late: dict[str, str] = {}
    found: dict[str, list[str]] = {}
    while waiting:
        leases = [lease for lease in read_leases(connection) if lease not in stale]
        for guest in list(waiting.values()):
            found[guest.name] = addresses_of(connection, guest, leases)
            lacks = ["address"] if guest.address and not found[guest.name] else []
            if guest.agent and not _agent_answers(connection, guest.name):
                lacks.append("answer of its agent")
            if lacks and time.monotonic() - started > guest.timeout:
                late[guest.name] = f"guest {guest.name} has no {' and no '.join(lacks)} after {guest.timeout} s"
            if not lacks or guest.name in late:
                del waiting[guest.name]
        if waiting:
            time.sleep(LOOK_AGAIN)
    return late, found


def _agent_answers(connection: Connection, name: str) -> bool:
    domain = connection.open.lookupByName(name)
    if not _agent_connected(domain) or libvirt_qemu is None:
        return False
    try:
        libvirt_qemu.qemuAgentCommand(domain, '{"execute": "guest-ping"}', 5, 0)
    except libvirt.libvirtError:
        return False
    return True


def _agent_connected(domain: Any) -> bool:
    """Whether the guest opened its end of the agent's channel: asking one that did not costs a time-out."""
    targets = tree.parse(domain.XMLDesc(0)).findall("devices/channel/target")
    return any(node.get("name") == "org.qemu.guest_agent.0" and node.get("state") == "connected" for node in targets)


def addresses_of(connection: Connection, guest: Awaited, leases: list[Lease]) -> list[str]:
    """A guest's addresses: from DHCP leases, else from its agent."""
    return [lease.address for lease in leases if lease.mac in guest.macs] or _agent_addresses(connection, guest.name)


def _agent_addresses(connection: Connection, name: str) -> list[str]:
    try:
        domain = connection.open.lookupByName(name)
        if not domain.isActive() or not _agent_connected(domain):
            return []
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
