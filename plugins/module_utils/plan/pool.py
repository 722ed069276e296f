# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Storage pools: from a declaration and the host as it is to steps."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any

from .. import tree
from .activity import Activity, settle
from .current import DIRECTORY_POOLS, Pool
from .identity import derived_uuid
from .image import check_owner
from .objects import Wanted, changes_of, check_uuid, overlaid
from .overlay import Edit
from .plan import Change, ObjectPlan, Premise, Step
from .site import Site
from .users import users_of

# Kinds of pool whose definition has a place on the host (storagepool.rng).
NEED_PATH = frozenset(("dir", "fs", "netfs", "disk", "iscsi", "scsi", "mpath", "vstorage"))
# Directories of the system's own: a pool has its permissions set, its files listed as volumes, and file systems mounted on it.
_SYSTEM = frozenset(
    ("/", "/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/proc", "/run", "/sbin", "/sys", "/usr", "/var")
)
# Kinds of pool that are made of devices of the host.
_ON_DEVICES = frozenset(("fs", "disk", "logical"))
PERMISSIONS = frozenset(f"target/permissions/{name}" for name in ("mode", "owner", "group"))


def plan_pool(want: Wanted, declared: Mapping[str, Any], site: Site) -> ObjectPlan:
    """The plan for one pool. Its data is touched only when it is told to go."""
    name = declared["name"]
    current = site.host.pools.get(name)
    activity = Activity(
        current is not None,
        current is not None and current.live is not None,
        bool(current and current.autostart),
        current is None or current.persistent,
    )
    changes: list[Change] = []
    pending: tuple[Change, ...] = ()
    premises: tuple[Premise, ...] = ()
    xml: str | None = None
    live: tuple[Step, ...] = ()
    if declared["state"] != "absent":
        root = tree.parse(current.inactive) if current else _new(name, site)
        before_uuid = tree.get(root, "uuid")
        edits, _settled = overlaid(want, root)
        if root.get("type") == "logical" and tree.find(root, "target") is None:
            # So does libvirt (storage_conf.c), but its schema wants to be told.
            tree.put(root, "target/path", "/dev/" + (tree.get(root, "source/name") or name))
        _check(want, root, before_uuid if current else None, site)
        if any(edit.path == "target/path" for edit in edits) or current is None:
            _check_place(want, root, name, site)
        check_owner(declared.get("permissions") or {}, want.where + ": permissions", site.problems)
        if edits or activity.lacks_definition(declared):
            xml = tree.text_of(root)
            changes.extend(changes_of(edits, want.rules, None if current else "create"))
        if current and current.live and declared["state"] != "inactive":
            found = overlaid(want, tree.parse(current.live))[0]
            waiting = [edit for edit in found if edit.path not in PERMISSIONS or root.get("type") != "dir"]
            live = _permissions([edit for edit in found if edit not in waiting], root)
            pending = changes_of(waiting, want.rules)
            if live and not edits:
                changes.extend(changes_of([edit for edit in found if edit not in waiting], want.rules))
        starts = declared["state"] == "active" and not activity.active
        if starts or any(edit.path in ("target/path", "@type") for edit in edits):
            premises = _premises(want.where, root, starts)
    more, steps = settle("pool", name, declared, activity, xml, live)
    steps = tuple(_started(step, declared) for step in steps)
    if declared["state"] == "absent" and declared.get("remove_storage") and current is not None:
        erase = _erased(want.where, current, site)
        steps = (erase, *steps)
        told = f"{len(current.volumes)} volumes in {erase.args['path']}"
        more += (Change("data", told, None, "delete"),)
    return ObjectPlan(
        "pool",
        name,
        activity.after(declared["state"]),
        tuple(changes) + more,
        steps,
        pending,
        premises=premises,
    )


def _premises(where: str, root: tree.Element, starts: bool) -> tuple[Premise, ...]:
    """What a pool of this definition needs of the host."""
    kind, path = root.get("type") or "", tree.get(root, "target/path")
    found = [Premise(f"{where}: type", "backend", kind)]
    if kind in DIRECTORY_POOLS and path:
        found.append(Premise(f"{where}: path", "folder", path))
    if starts and kind in _ON_DEVICES:
        paths = (node.get("path") or "" for node in tree.find_all(root, "source/device"))
        found += [Premise(f"{where}: source.devices", "file", path) for path in paths]
    return tuple(found)


def _permissions(edits: list[Edit], root: tree.Element) -> tuple[Step, ...]:
    """The step that gives the directory of an active pool these permissions: libvirt gives them when it builds one."""
    if not edits:
        return ()
    told = {edit.path.rpartition("/")[2]: str(edit.after) for edit in edits}
    args = {"path": tree.get(root, "target/path"), **told}
    return (Step("permit", args, "set the permissions of the directory", True),)


def _erased(where: str, current: Pool, site: Site) -> Step:
    """The step that deletes a pool's volumes and directory; whatever speaks against it is a problem."""
    root = tree.parse(current.live or current.inactive)
    path = tree.get(root, "target/path") or ""
    where += ": remove_storage"
    if root.get("type") != "dir":
        site.problems.add(where, f"is for pools of type dir; this is of type {root.get('type')}")
    elif current.live is None:
        site.problems.add(where, "the pool is inactive, so its volumes are not known; start it first")
    elif current.strangers is None:
        site.problems.add(where, f"{path} cannot be looked into from here")
    elif current.strangers:
        names = ", ".join(current.strangers[:3])
        site.problems.add(where, f"{path} holds what is no volume of the pool: {names}; nothing in it is deleted")
    for volume in current.volumes.values():
        for user in users_of(volume.path, site) if volume is not None else []:
            if not user.startswith(f"volume {current.name}/"):
                site.problems.add(where, f"volume {volume.name if volume else ''} is used by {user}")
    return Step("erase", {"path": path, "volumes": sorted(current.volumes)}, f"delete what is in {path}")


def _started(step: Step, declared: Mapping[str, Any]) -> Step:
    return step._replace(args={"build": True}) if step.verb == "start" and declared.get("build") else step


def _new(name: str, site: Site) -> tree.Element:
    root = tree.element("pool", type="dir")
    root.append(tree.element("name", name))
    root.append(tree.element("uuid", derived_uuid(site.host.identity, "pool", name)))
    return root


def _check_place(want: Wanted, root: tree.Element, name: str, site: Site) -> None:
    path = tree.get(root, "target/path")
    if not path or root.get("type") not in DIRECTORY_POOLS:
        return
    place = posixpath.normpath("/" + path.lstrip("/"))
    if place in _SYSTEM:
        site.problems.add(want.where + ": path", f"{place} is a directory of the system; use one below it")
    if root.get("type") != "dir":
        # What is mounted there tells such pools apart; libvirt looks at that as well (virStoragePoolObjSourceFindDuplicate).
        return
    for other in sorted({*site.host.pools, *site.pools} - {name}):
        there = site.knows("pool", other) and _is_directory(other, site) and site.pool_directory(other) == place
        # Of two that are declared together, it is told once.
        if there and not (other in site.pools and name < other):
            site.problems.add(want.where + ": path", f"{place} is that of pool {other} as well")


def _is_directory(name: str, site: Site) -> bool:
    """Whether a pool is a plain directory."""
    declared, current = site.pools.get(name, {}).get("type"), site.host.pools.get(name)
    if declared is None and current is not None:
        return bool(tree.only_read(current.inactive).get("type") == "dir")
    return declared in (None, "dir")


def _check(want: Wanted, root: tree.Element, uuid: str | None, site: Site) -> None:
    if root.get("type") in NEED_PATH and not tree.get(root, "target/path"):
        site.problems.add(want.where, "a new pool needs a path")
    check_uuid(want, root, uuid, site)
