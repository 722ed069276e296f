# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a guest keeps its data in: what of it goes with the guest when it is told to, and what stays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .. import tree
from .current import Snapshot, Volume
from .rename import seed_name
from .seed import ignition_name
from .site import Site
from .users import users_of


def remove_storage(root: tree.Element, name: str, site: Site) -> tuple[str, ...]:
    """Add a guest's own volumes to those that are to be deleted: what it writes to, what its snapshots made and froze, and what
    it configures itself by; as far as that is in a pool, and nobody else uses it.

    root: the guest's definition. Returns what it wrote to or stands on, and stays although nobody else uses it.
    """
    written = list(dict.fromkeys(_written(root, site)))
    ours = [*written, *_of_snapshots(site.host.snapshots.get(name, {}).values()), *_configured(root, name)]
    left = [volume for path in ours if (volume := site.volume_at(path)) is not None]
    while True:
        # What others stand on may be free when they are gone.
        staying = [volume for volume in left if not _removed(volume, name, site)]
        if len(staying) == len(left):
            break
        left = staying
    return tuple(
        path
        for path in dict.fromkeys((*_below(written, site), *ours))
        if not _is_declared(path, site) and not users_of(path, site, name)
    )


def _written(root: tree.Element, site: Site) -> Iterator[str]:
    """The files and devices of a definition's disks that it alone writes to."""
    for node in tree.find_all(root, "devices/disk"):
        if node.get("device", "disk") != "disk" or any(
            tree.find(node, tag) is not None for tag in ("readonly", "shareable")
        ):
            continue
        pool, volume = tree.get(node, "source/@pool"), tree.get(node, "source/@volume")
        path = tree.get(node, "source/@file") or tree.get(node, "source/@dev")
        path = path or (site.volume_path(pool, volume) or f"{pool}/{volume}" if pool and volume else None)
        if path:
            yield path


def _of_snapshots(snapshots: Iterable[Snapshot]) -> Iterator[str]:
    """The files of external snapshots: the overlays and the memory that they made, and the disks that they froze."""
    for snapshot in snapshots:
        root = tree.only_read(snapshot.xml)
        frozen = {
            tree.get(node, "target/@dev"): tree.get(node, "source/@file")
            for node in tree.find_all(root, "domain/devices/disk")
        }
        for node in tree.find_all(root, "disks/disk"):
            if node.get("snapshot") == "external":
                yield from filter(None, (tree.get(node, "source/@file"), frozen.get(node.get("name"))))
        if tree.get(root, "memory/@snapshot") == "external":
            yield from filter(None, (tree.get(root, "memory/@file"),))


def _configured(root: tree.Element, name: str) -> Iterator[str]:
    """The files that a guest configures itself by."""
    for path in (*_texts(root, "devices/disk/source", "file"), *_texts(root, "sysinfo/entry", "file")):
        if path.rpartition("/")[2] in (seed_name(name, root), ignition_name(name, root)):
            yield path


def _texts(root: tree.Element, path: str, attribute: str) -> Iterator[str]:
    return (text for node in tree.find_all(root, path) if (text := node.get(attribute)))


def _below(paths: list[str], site: Site) -> Iterator[str]:
    """These files, and those that they stand on as their backing files."""
    found: set[str] = set()
    for path in paths:
        at: str | None = path
        while at and at not in found:
            found.add(at)
            yield at
            volume = site.volume_at(at)
            at = None if volume is None else volume.backing


def _removed(volume: Volume, name: str, site: Site) -> bool:
    """Whether a guest's volume is deleted now: it is unless it is declared to stay or somebody else uses it."""
    key = (volume.pool, volume.name)
    if site.volumes.get(key, {}).get("state", "absent") == "absent" and not users_of(volume.path, site, name):
        site.volumes[key] = {"name": volume.name, "pool": volume.pool, "state": "absent"}
        return True
    return False


def _is_declared(path: str, site: Site) -> bool:
    """Whether it is declared what becomes of a file."""
    volume = site.volume_at(path)
    return volume is not None and (volume.pool, volume.name) in site.volumes
