# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host as it will be: what is there now together with what is declared beside it."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any, NamedTuple

from .. import tree
from ..spec.kinds import KIND
from .current import DIRECTORY_POOLS, Host, Volume
from .document import raw_document
from .problem import Problems

Declared = dict[str, Any]


class Reservation(NamedTuple):
    """An address that a guest's interface gets by DHCP on a network."""

    network: str
    mac: str
    address: str
    guest: str


class Site(NamedTuple):
    """Current host and declarations by name. volumes: by (pool, name), those implied by disks included.

    directories: of pools that were looked at. files: volumes of this run by path, once all guests are concrete.
    """

    host: Host
    pools: Mapping[str, Declared]
    networks: Mapping[str, Declared]
    volumes: dict[tuple[str, str], Declared]
    domains: Mapping[str, Declared]
    reservations: list[Reservation]
    problems: Problems
    directories: dict[str, str | None]
    files: dict[str, tuple[str, str]]
    secrets: list[Declared]

    def knows(self, kind: str, name: str) -> bool:
        """Whether a pool or network is there, or declared and not to be removed."""
        declared = getattr(self, kind + "s").get(name)
        if declared is not None:
            return bool(declared["state"] != "absent")
        return name in getattr(self.host, kind + "s")

    def has_secret(self, uuid: str | None, usage: str | None) -> bool:
        """Whether a secret for a volume is there or declared, known by its UUID or its usage."""
        there = any(
            item.uuid == (uuid or "").lower() or item.name == f"volume/{usage}" for item in self.host.secrets.values()
        )
        return there or any(
            item["state"] != "absent"
            and item["type"] == "volume"
            and (item["name"] == usage or str(item.get("uuid") or "").lower() == (uuid or "").lower() != "")
            for item in self.secrets
        )

    def is_active_pool(self, name: str) -> bool:
        """Whether a pool is or will be active, so that volumes can be made in it."""
        state = self.pools.get(name, {}).get("state", "present")
        current = self.host.pools.get(name)
        return bool(state == "active" or (state != "inactive" and current is not None and current.live is not None))

    def is_asleep(self, pool: str) -> bool:
        """Whether a pool is there and inactive, so that nobody knows what is in it."""
        current = self.host.pools.get(pool)
        return current is not None and current.live is None

    def has_lost(self, pool: str, name: str) -> bool:
        """Whether it is known of a volume that it is not there."""
        current = self.host.pools.get(pool)
        return current is not None and current.live is not None and name not in current.volumes

    def lacks_volume(self, pool: str, name: str) -> str:
        """What to tell of a volume that is needed and not known."""
        if self.is_asleep(pool):
            return f"whether volume {pool}/{name} is there is not known while pool {pool} is inactive; start that first"
        return f"volume {pool}/{name} is neither there nor declared"

    def pool_directory(self, name: str) -> str | None:
        """Directory of a pool whose volumes are files in it; None for other kinds of pool, or when it is not known."""
        if name not in self.directories:
            self.directories[name] = self._directory(name)
        return self.directories[name]

    def _directory(self, name: str) -> str | None:
        declared = self.pools.get(name, {})
        raw = raw_document(KIND["pool"], declared.get("xml"), "", Problems())
        current = tree.parse(self.host.pools[name].inactive) if name in self.host.pools else None
        kind = declared.get("type") or _first("@type", raw, current) or "dir"
        path = declared.get("path") or _first("target/path", raw, current)
        return path.rstrip("/") if path and kind in DIRECTORY_POOLS else None

    def volume_path(self, pool: str, name: str) -> str | None:
        """Where a volume is or will be as a file; None when that cannot be told before it is made."""
        current = self.volume(pool, name)
        if current is not None and current.path:
            return current.path
        directory = self.pool_directory(pool)
        return None if directory is None else f"{directory}/{name}"

    def volume(self, pool: str, name: str) -> Volume | None:
        """The volume as it is now, or None."""
        found = self.host.pools.get(pool)
        return None if found is None else found.volumes.get(name)

    def has_volume(self, pool: str, name: str) -> bool:
        """Whether a volume is there, read in full or not."""
        return pool in self.host.pools and name in self.host.pools[pool].volumes

    def imply(self, volume: Declared) -> Declared:
        """Add a volume that something else implies; one that is declared as well keeps what it says and gains the rest."""
        key = (volume["pool"], volume["name"])
        known = {name: value for name, value in self.volumes.get(key, {}).items() if value is not None}
        self.volumes[key] = dict({"state": "present"}, **dict(volume, **known))
        return self.volumes[key]

    def volume_at(self, path: str) -> Volume | None:
        """The volume that is this file, among those that were read."""
        for pool in self.host.pools.values():
            for volume in pool.volumes.values():
                if volume is not None and volume.path == path:
                    return volume
        return None


def _first(path: str, *roots: tree.Element | None) -> str | None:
    for root in roots:
        value = None if root is None else tree.get(root, path)
        if value:
            return value
    return None


def subnet_of(node: tree.Element) -> Any | None:
    """The IP network of a network document's <ip> element, or None when it has no address."""
    address = node.get("address")
    if not address:
        return None
    mask = node.get("prefix") or node.get("netmask") or ("64" if ":" in address else "24")
    return ipaddress.ip_interface(f"{address}/{mask}").network
