# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be done to pools: one function a verb of a plan's steps."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Callable

from .. import tree
from .connection import Connection, libvirt, with_flag
from .fetch import BadContent

Args = Mapping[str, Any]

# Kinds of pool whose place is a directory: building one without further flags makes that and nothing else, and leaves an
# existing one with what is in it (libvirt src/storage/storage_util.c, virStorageBackendBuildLocal).
IN_A_DIRECTORY = frozenset(("dir", "fs", "netfs"))


def _define(connection: Connection, _pool: Any, args: Args) -> None:
    connection.open.storagePoolDefineXML(args["xml"], 0)


def _start(_connection: Connection, pool: Any, args: Args) -> None:
    kind = tree.parse(pool.XMLDesc(0)).get("type")
    try:
        with_flag(pool.create, libvirt.VIR_STORAGE_POOL_CREATE_WITH_BUILD if kind in IN_A_DIRECTORY else 0)
    except libvirt.libvirtError:
        if not args.get("build"):
            raise
        # With this flag libvirt refuses where it finds anything on the devices.
        pool.create(libvirt.VIR_STORAGE_POOL_CREATE_WITH_BUILD_NO_OVERWRITE)


def _permit(connection: Connection, pool: Any, args: Args) -> str | None:
    """Set the permissions of a pool's directory, or of a volume's file; libvirt has no call for either."""
    if not connection.is_local:
        return f"the permissions of {args['path']} can be set on its own host only, or when it is made"
    try:
        os.chown(args["path"], int(args.get("owner", -1)), int(args.get("group", -1)))
        if "mode" in args:
            os.chmod(args["path"], int(args["mode"], 8))
    except OSError as error:
        return f"the permissions of {args['path']} cannot be set: {error.strerror}"
    pool.refresh(0)
    return None


def strangers(pool: Any, path: str) -> tuple[str, ...]:
    """What a directory holds that is no file known to its pool. Raises OSError."""
    known = {volume.name() for volume in pool.listAllVolumes(0) if volume.info()[0] == libvirt.VIR_STORAGE_VOL_FILE}
    return tuple(sorted(set(os.listdir(path)) - known))


def _erase(_connection: Connection, pool: Any, args: Args) -> None:
    """Delete all volumes of a pool, and its directory. What came into being since the plan was made stops that."""
    try:
        others = strangers(pool, args["path"]) + tuple(
            volume.name() for volume in pool.listAllVolumes(0) if volume.name() not in args["volumes"]
        )
        if others:
            raise BadContent(f"{args['path']} holds {', '.join(others[:3])} since then; nothing was deleted")
        for volume in pool.listAllVolumes(0):
            volume.delete(0)
        os.rmdir(args["path"])
    except OSError as error:
        raise BadContent(f"{args['path']}: {error.strerror or error}") from error


VERBS: dict[tuple[str, str], Callable[[Connection, Any, Args], Any]] = {
    ("pool", "define"): _define,
    ("pool", "start"): _start,
    ("pool", "permit"): _permit,
    ("pool", "erase"): _erase,
    ("volume", "permit"): _permit,
}
