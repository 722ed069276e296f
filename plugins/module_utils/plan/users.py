# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who uses a file: guests whose disks stand on it, and volumes that are overlays on it."""

from __future__ import annotations

from .. import tree
from .site import Site


def users_of(path: str, site: Site, apart_from: str = "") -> list[str]:
    """Who uses this file: guests that stay and are not apart_from, and volumes that stay and have it as backing file."""
    users = []
    place = site.host.place
    for domain in site.host.domains.values():
        declared = site.domains.get(domain.name)
        if domain.name == apart_from or (declared is not None and declared["state"] == "absent"):
            continue
        texts = [text for text in (domain.inactive, domain.live) if text]
        if any(place(used) == place(path) for text in texts for used in paths_in(tree.only_read(text))):
            users.append(f"guest {domain.name}")
    return users + [volume for backing, volume in overlays(site) if place(backing) == place(path)]


def overlays(site: Site) -> list[tuple[str, str]]:
    """Backing files, each with the volume that stands on it and stays, in words."""
    return [
        (volume.backing, f"volume {pool.name}/{volume.name}")
        for pool in site.host.pools.values()
        for volume in pool.volumes.values()
        if volume is not None
        and volume.backing
        and site.volumes.get((pool.name, volume.name), {}).get("state") != "absent"
    ]


def paths_in(root: tree.Element) -> set[str]:
    """The files and devices that a guest's disks stand on, backing chains included, and those that it reads by fw_cfg."""
    found = {path for entry in tree.find_all(root, "sysinfo/entry") if (path := entry.get("file"))}
    for source in tree.find_all(root, "devices/disk//source"):
        path = source.get("file") or source.get("dev")
        if path:
            found.add(path)
    return found


def holding(path: str, site: Site) -> list[str]:
    """The guests that run on this file by way of an overlay, as far as guests were read: QEMU locks what is below their disks."""
    place = site.host.place
    return [
        domain.name
        for domain in site.host.domains.values()
        if domain.live
        and any(
            place(source.get("file") or source.get("dev") or "") == place(path)
            for source in tree.find_all(tree.only_read(domain.live), "devices/disk/backingStore//source")
        )
    ]


def writing(path: str, site: Site) -> list[str]:
    """The guests that run and write to this file now, as far as guests were read: QEMU lets nobody else read it."""
    place = site.host.place
    return [
        domain.name
        for domain in site.host.domains.values()
        if domain.live
        for disk in tree.find_all(tree.only_read(domain.live), "devices/disk")
        for source in tree.find_all(disk, "source")
        if place(source.get("file") or source.get("dev") or "") == place(path)
        and tree.find(disk, "readonly") is None
        and tree.find(disk, "shareable") is None
    ]


def running_on(path: str, site: Site) -> list[str]:
    """The guests that run on this file now, as far as guests were read."""
    place = site.host.place
    return [
        domain.name
        for domain in site.host.domains.values()
        if domain.live and any(place(used) == place(path) for used in paths_in(tree.only_read(domain.live)))
    ]
