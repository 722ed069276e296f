# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which guest goes to which host. Pure: the same input gives the same answer on every host that asks.

Each guest ranks the hosts by a digest of both names (weighted rendezvous hashing), and takes the first one that has room.
A host that is added draws its share of guests to itself and moves no other one; a host that goes gives up its own.
"""

from __future__ import annotations

import fnmatch
import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Size(NamedTuple):
    """What a guest needs or a host has. memory: in bytes. Infinite where a host has no limit."""

    memory: float
    vcpus: float


UNLIMITED = Size(math.inf, math.inf)


class NoRoom(Exception):
    """A guest fits nowhere. The message names it, and says of each host why."""


def placed(
    guests: Mapping[str, Size],
    hosts: Mapping[str, Size],
    apart: Sequence[Sequence[str]] = (),
    current: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The host of each guest. apart: groups of patterns of names; no two guests of a group share a host.
    current: where guests are now; they stay if they still fit. Raises NoRoom.
    """
    stays = {name: host for name, host in (current or {}).items() if name in guests and host in hosts}
    # Large guests choose first, while there is room. Those that stay come before all.
    order = sorted(guests, key=lambda name: (name not in stays, -guests[name].memory, -guests[name].vcpus, name))
    groups = {
        name: [number for number, group in enumerate(apart) if any(fnmatch.fnmatchcase(name, item) for item in group)]
        for name in guests
    }
    left = dict(hosts)
    taken: dict[str, set[int]] = {host: set() for host in hosts}
    found: dict[str, str] = {}
    for name in order:
        ranking = sorted(hosts, key=lambda host: (host != stays.get(name), -_score(name, host, hosts[host]), host))
        reasons = []
        for host in ranking:
            reason = _obstacle(guests[name], left[host], taken[host].intersection(groups[name]))
            if reason is None:
                found[name] = host
                left[host] = Size(left[host].memory - guests[name].memory, left[host].vcpus - guests[name].vcpus)
                taken[host].update(groups[name])
                break
            reasons.append(f"{host} {reason}")
        else:
            raise NoRoom(f"guest {name} fits on no host: {'; '.join(sorted(reasons)) or 'there is none'}")
    return found


def _obstacle(guest: Size, left: Size, shared: set[int]) -> str | None:
    """Why a guest cannot go to a host with this much left; None if it can."""
    if shared:
        return "has another guest of the same group"
    if guest.memory > left.memory:
        return "has not enough memory left"
    if guest.vcpus > left.vcpus:
        return "has not enough vcpus left"
    return None


def _score(guest: str, host: str, size: Size) -> float:
    """How much a guest likes a host. A host with twice the memory is the favourite of twice as many guests.

    The scores of one guest are independent of each other, so that a host changes nothing between the others.
    """
    digest = hashlib.sha256(f"{guest}\0{host}".encode()).digest()
    chance = (int.from_bytes(digest[:8], "big") + 1) / (2**64 + 2)
    weight = size.memory / 2**30 if math.isfinite(size.memory) and size.memory > 0 else 1.0
    return -weight / math.log(chance)
