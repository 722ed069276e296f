# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots: from a declaration and the guest's snapshots as they are to steps."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any

from .. import tree
from ..spec.kinds import KIND
from .current import Domain, Host, Snapshot
from .document import declared_document
from .live import agent_is_there
from .plan import Change, Id, ObjectPlan, Premise, Step
from .problem import Problems
from .site import Declared, Site

REVERTS_EXTERNAL = 9_009_000
"""The first libvirt that reverts to an external snapshot (its NEWS, 9.9.0)."""
# What QEMU can keep a snapshot in.
_INTERNAL = ("qcow2",)


def snapshot_id(declared: Declared) -> Id:
    """The id of a snapshot in a plan: its name is "guest/snapshot"."""
    return ("snapshot", "{domain}/{name}".format(**declared))


def plan_snapshot(declared: Declared, site: Site) -> ObjectPlan:
    """The plan for one snapshot."""
    kind, name = snapshot_id(declared)
    where = f"snapshot {name}"
    guest = site.host.domains.get(declared["domain"])
    found = site.host.snapshots.get(declared["domain"], {})
    current = found.get(declared["name"])
    state = declared["state"]
    if state == "absent":
        return _absent(declared, current, found)
    if guest is None:
        site.problems.add(where + ": domain", f"guest {declared['domain']} is not there")
        return ObjectPlan(kind, name, state)
    _check(declared, guest, where, site.problems)
    if state == "reverted":
        return _reverted(declared, current, site.host, where, site.problems)
    if current is not None:
        return ObjectPlan(kind, name, state, pending=_otherwise(declared, current))
    return _create(declared, guest, where, site.problems)


def _check(declared: Declared, guest: Domain, where: str, problems: Problems) -> None:
    problem = {
        "discard": declared["state"] != "reverted" and declared.get("discard"),
        "power": declared["state"] != "reverted" and declared.get("power"),
        "children": declared["state"] != "absent" and declared.get("children"),
    }
    for option, wrong in problem.items():
        if wrong:
            needs = "absent" if option == "children" else "reverted"
            problems.add(f"{where}: {option}", f"goes with state {needs}")
    if declared.get("quiesce") and not declared.get("disk_only"):
        problems.add(where + ": quiesce", "needs disk_only: memory is not frozen")
    if declared.get("directory") and not _is_external(declared, guest):
        problems.add(where + ": directory", "is for external snapshots")


def _is_external(declared: Declared, guest: Domain) -> bool:
    if declared.get("type"):
        return bool(declared["type"] == "external")
    return bool(declared.get("disk_only") and guest.live)


def _create(declared: Declared, guest: Domain, where: str, problems: Problems) -> ObjectPlan:
    kind, name = snapshot_id(declared)
    external, runs = _is_external(declared, guest), guest.live is not None
    disks = _disks(declared, guest, where, problems)
    if declared.get("quiesce") and not runs:
        problems.add(where + ": quiesce", f"guest {guest.name} does not run")
    if declared.get("quiesce") and runs and not agent_is_there(tree.only_read(guest.live or "")):
        problems.add(where + ": quiesce", f"the agent of guest {guest.name} is not there to freeze its file systems")
    if not external:
        if runs and declared.get("disk_only"):
            problems.add(
                where + ": disk_only", "an internal snapshot of a running guest has its memory; say type: external"
            )
        raw = [target for target, node in disks.items() if tree.get(node, "driver/@type") not in _INTERNAL]
        if raw:
            problems.add(where + ": type", f"{', '.join(raw)} cannot hold an internal snapshot, as only qcow2 can")
    memory = "no" if not runs or declared.get("disk_only") else "external" if external else "internal"
    root = declared_document(KIND["snapshot"], declared, where, problems)
    _write_memory(root, memory, declared, guest, disks, where, problems)
    for target in _targets(guest):
        node = tree.element("disk", name=target)
        node.set("snapshot", "no" if target not in disks else "external" if external else "internal")
        if target in disks and external and declared.get("directory"):
            file = f"{guest.name}-{target}.{declared['name']}"
            node.append(tree.element("source", file=posixpath.join(declared["directory"], file)))
        tree.make(root, "disks").append(node)
    args = {
        "xml": tree.text_of(root),
        "disk_only": memory == "no" and external,
        "quiesce": bool(declared.get("quiesce")),
    }
    changes = [Change("state", "absent", "present", "create"), Change("type", None, _word(external), "create")]
    changes.append(Change("memory", None, memory, "create"))
    told = [option for option in ("description", "disks", "directory") if declared.get(option) is not None]
    changes += [Change(option, None, declared[option], "create") for option in told]
    plan = ObjectPlan(kind, name, "present", tuple(changes), (Step("create", args, f"make {where}"),))
    if declared.get("directory") and external:
        plan = plan._replace(premises=(Premise(where + ": directory", "file", declared["directory"]),))
    return plan


def _word(external: bool) -> str:
    return "external" if external else "internal"


def _write_memory(
    root: tree.Element,
    memory: str,
    declared: Declared,
    guest: Domain,
    disks: Mapping[str, tree.Element],
    where: str,
    problems: Problems,
) -> None:
    tree.put(root, "memory/@snapshot", memory)
    if memory != "external":
        return
    beside = [tree.get(node, "source/@file") for node in disks.values()]
    folder = declared.get("directory") or next((posixpath.dirname(path) for path in beside if path), None)
    if folder is None:
        problems.add(where + ": directory", "is needed for the guest's memory, as none of its disks is a file")
        return
    tree.put(root, "memory/@file", posixpath.join(folder, f"{guest.name}.{declared['name']}.memory"))


def _writable(guest: Domain) -> dict[str, tree.Element]:
    """The disks that a guest can write to, by target, as they are now."""
    nodes = tree.parse(guest.live or guest.inactive).iterfind("devices/disk")
    return {
        tree.get(node, "target/@dev") or "": node
        for node in nodes
        if node.get("device", "disk") == "disk" and tree.find(node, "readonly") is None
    }


def _targets(guest: Domain) -> list[str]:
    nodes = tree.parse(guest.live or guest.inactive).iterfind("devices/disk")
    return [tree.get(node, "target/@dev") or "" for node in nodes if node.get("device", "disk") in ("disk", "lun")]


def _disks(declared: Declared, guest: Domain, where: str, problems: Problems) -> dict[str, tree.Element]:
    """The disks that a snapshot takes in."""
    found = _writable(guest)
    if declared.get("disks") is None:
        if not found:
            problems.add(where, f"guest {guest.name} has no disk that it can write to")
        return found
    for target in declared["disks"]:
        if target not in found:
            problems.add(where + ": disks", f"guest {guest.name} has no disk {target} that it can write to")
    return {target: node for target, node in found.items() if target in declared["disks"]}


def _otherwise(declared: Declared, current: Snapshot) -> tuple[Change, ...]:
    """What an existing snapshot was made otherwise than declared. It is left as it is: another one needs another name."""
    root = tree.parse(current.xml)
    has: dict[str, Any] = {"description": tree.get(root, "description"), "type": _word(current.external)}
    if tree.find(root, "memory") is not None and tree.get(root, "state") in ("running", "paused", "disk-snapshot"):
        has["disk_only"] = tree.get(root, "memory/@snapshot") == "no"
    return tuple(
        Change(option, has[option], declared[option], "create")
        for option in ("description", "type", "disk_only")
        if declared.get(option) is not None and option in has and declared[option] != has[option]
    )


def _absent(declared: Declared, current: Snapshot | None, found: Mapping[str, Snapshot]) -> ObjectPlan:
    kind, name = snapshot_id(declared)
    if current is None:
        return ObjectPlan(kind, name, "absent")
    going = [current.name, *(_below(current.name, found) if declared.get("children") else [])]
    changes = [Change("state", "present", "absent", "delete")]
    if len(going) > 1:
        changes.append(Change("children", going[1:], None, "delete"))
    args = {"children": bool(declared.get("children"))}
    words = f"delete snapshot {name}" + (" and what was made after it" if len(going) > 1 else "")
    return ObjectPlan(kind, name, "absent", tuple(changes), (Step("delete", args, words),))


def _below(name: str, found: Mapping[str, Snapshot]) -> list[str]:
    """The names of the snapshots that were made after this one on its branch."""
    below: list[str] = []
    for other in found.values():
        if other.parent == name:
            below += [other.name, *_below(other.name, found)]
    return below


def _reverted(declared: Declared, current: Snapshot | None, host: Host, where: str, problems: Problems) -> ObjectPlan:
    kind, name = snapshot_id(declared)
    if current is None:
        known = ", ".join(sorted(host.snapshots.get(declared["domain"], {}))) or "none"
        problems.add(where, f"is not there; guest {declared['domain']} has: {known}")
        return ObjectPlan(kind, name, "reverted")
    if not declared.get("discard"):
        problems.add(where + ": discard", f"what guest {declared['domain']} has done since is lost; say discard: true")
    if current.external and host.version < REVERTS_EXTERNAL:
        problems.add(where, "is external; libvirt can revert to those from 9.9 on")
    power = declared.get("power") or "as_saved"
    change = Change("state", "as the guest is now", f"reverted to {current.name}", "restart")
    step = Step("revert", {"power": power}, f"put guest {declared['domain']} back to {current.name}")
    return ObjectPlan(kind, name, "reverted", (change,), (step,))
