# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be done to snapshots: one function a verb of a plan's steps."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from typing import Any, Callable

from .. import tree
from ..plan.current import DIRECTORY_POOLS
from .connection import Connection, libvirt

Args = Mapping[str, Any]


class Taken:
    """A guest and the name of one of its snapshots."""

    def __init__(self, domain: Any, name: str) -> None:
        self.domain = domain
        self.name = name

    @property
    def snapshot(self) -> Any:
        """The snapshot itself; libvirt says so if there is none."""
        return self.domain.snapshotLookupByName(self.name, 0)


def _create(connection: Connection, taken: Taken, args: Args) -> None:
    flags = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY if args["disk_only"] else 0
    flags |= libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_QUIESCE if args["quiesce"] else 0
    # All disks or none.
    flags |= libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC
    taken.domain.snapshotCreateXML(args["xml"], flags)
    _look_anew(connection, taken.domain)


def _delete(connection: Connection, taken: Taken, args: Args) -> None:
    taken.snapshot.delete(libvirt.VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN if args["children"] else 0)
    _look_anew(connection, taken.domain)


def _revert(connection: Connection, taken: Taken, args: Args) -> None:
    power = {
        "running": libvirt.VIR_DOMAIN_SNAPSHOT_REVERT_RUNNING,
        "paused": libvirt.VIR_DOMAIN_SNAPSHOT_REVERT_PAUSED,
    }.get(args["power"], 0)
    for last in (False, False, True):
        try:
            taken.domain.revertToSnapshot(taken.snapshot, power)
            break
        except libvirt.libvirtError as error:
            # libvirt names the overlay that the guest goes on with by the second, and looks for that name before all else.
            if last or error.get_error_code() != libvirt.VIR_ERR_CONFIG_UNSUPPORTED:
                raise
            time.sleep(1.1)
    _look_anew(connection, taken.domain)


def _look_anew(connection: Connection, domain: Any) -> None:
    """Let pools see the files that came or went: a volume that an overlay stands on is in use."""
    sources = tree.parse(domain.XMLDesc(0)).iterfind("devices/disk//source")
    folders = {(source.get("file") or "").rpartition("/")[0] for source in sources}
    for pool in connection.open.listAllStoragePools(libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE):
        root = tree.parse(pool.XMLDesc(0))
        if root.get("type") in DIRECTORY_POOLS and (tree.get(root, "target/path") or "").rstrip("/") in folders:
            # A pool at work is read by its own work.
            with contextlib.suppress(libvirt.libvirtError):
                pool.refresh(0)


VERBS: dict[tuple[str, str], Callable[[Connection, Any, Args], Any]] = {
    ("snapshot", "create"): _create,
    ("snapshot", "delete"): _delete,
    ("snapshot", "revert"): _revert,
}
