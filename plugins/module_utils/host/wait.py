# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for guests: by libvirt's events where there are any, always with a deadline, saying what was waited for."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from .. import tree
from ..plan.rules import for_kind, keys_among
from ..spec.kinds import KIND
from .connection import Connection, libvirt
from .read import read_addresses

try:
    import libvirt_qemu
except ImportError:
    libvirt_qemu = None

# How often a guest that does not react is asked again to shut down, and leases are looked at, in seconds.
ASK_AGAIN = 15.0
LOOK_AGAIN = 0.5
DETACH = 20.0


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
            "guest %s was asked to shut down and still runs after %d s; force: true switches it off"
            % (domain.name(), timeout)
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


def until_gone(connection: Connection, domain: Any, xml: str, path: str, key: str) -> str | None:
    """Detach a device of a running guest and wait until the guest let go of it; why it has to wait if it did not."""
    kinds = (libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVAL_FAILED)
    end = time.monotonic() + DETACH
    with _event(connection, domain, *kinds) as happened:
        domain.detachDeviceFlags(xml, libvirt.VIR_DOMAIN_AFFECT_LIVE)
        while _has(domain, path, key):
            if time.monotonic() >= end:
                return "the guest did not let go of it within %d s" % DETACH
            happened.wait(min(1.0, end - time.monotonic()))
            happened.clear()
    return None


def _has(domain: Any, path: str, key: str) -> bool:
    rules = for_kind(KIND["domain"])
    nodes = tree.parse(domain.XMLDesc(0)).findall(path)
    return key in (keys_among(rules, path, nodes) or [])


class Awaited(NamedTuple):
    """A guest that is waited for. macs: its interfaces; address, agent: what for; deadline: of time.monotonic()."""

    name: str
    macs: tuple[str, ...]
    address: bool
    agent: bool
    timeout: int


def until_ready(connection: Connection, guests: list[Awaited]) -> list[tuple[str, str]]:
    """Wait for all guests together. Returns the name of each that was not ready in time, with a sentence about it."""
    started = time.monotonic()
    waiting = {guest.name: guest for guest in guests}
    late: list[tuple[str, str]] = []
    while waiting:
        leases = read_addresses(connection)
        for guest in list(waiting.values()):
            lacks = _lacks(connection, guest, leases)
            if not lacks:
                del waiting[guest.name]
            elif time.monotonic() - started > guest.timeout:
                del waiting[guest.name]
                late.append(
                    (
                        guest.name,
                        "guest %s has no %s after %d s" % (guest.name, " and no ".join(lacks), guest.timeout),
                    )
                )
        if waiting:
            time.sleep(LOOK_AGAIN)
    return late


def _lacks(connection: Connection, guest: Awaited, leases: Mapping[str, list[str]]) -> list[str]:
    lacks = []
    if guest.address and not addresses_of(connection, guest.name, guest.macs, leases):
        lacks.append("address")
    if guest.agent and not _agent_answers(connection, guest.name):
        lacks.append("answer of its agent")
    return lacks


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


def addresses_of(
    connection: Connection, name: str, macs: tuple[str, ...], leases: Mapping[str, list[str]]
) -> list[str]:
    """A guest's addresses: from DHCP leases, else from its agent."""
    found = [address for mac in macs for address in leases.get(mac, [])]
    return found or _agent_addresses(connection, name)


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
