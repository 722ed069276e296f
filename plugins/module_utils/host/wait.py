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
from ..plan.rules import for_kind, keys_among
from ..spec.kinds import KIND
from .connection import Connection, libvirt

# How often a guest that does not react is asked again to shut down, in seconds.
ASK_AGAIN = 15.0
DETACH = 20.0
WAKE = 20.0
BALLOON = 10.0


class TimedOut(Exception):
    """A deadline passed. The message says what was waited for and how long."""


@contextmanager
def event(connection: Connection, domain: Any, *kinds: int) -> Iterator[threading.Event]:
    """An event that is set whenever libvirt tells one of these kinds about a guest, or about any where it is None."""
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
    with event(connection, domain, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE) as happened:
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


def until_awake(connection: Connection, domain: Any) -> None:
    """Wake a guest that sleeps and wait until it does not any more. Raises TimedOut when it sleeps on."""
    end = time.monotonic() + WAKE
    with event(connection, domain, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE) as happened:
        domain.pMWakeup(0)
        while domain.state()[0] == libvirt.VIR_DOMAIN_PMSUSPENDED:
            if time.monotonic() >= end:
                raise TimedOut(f"guest {domain.name()} was woken and still sleeps after {WAKE:.0f} s")
            happened.wait(0.5)
            happened.clear()


def until_gone(connection: Connection, domain: Any, xml: str, path: str, key: str | None) -> str | None:
    """Detach a device of a running guest and wait until the guest let go of it; why it has to wait if it did not."""
    kinds = (libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVAL_FAILED)
    end = time.monotonic() + DETACH
    with event(connection, domain, *kinds) as happened:
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
    with event(connection, domain, libvirt.VIR_DOMAIN_EVENT_ID_BALLOON_CHANGE) as happened:
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
