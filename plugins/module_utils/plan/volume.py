# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes: from a declaration and the host as it is to steps. Data is never overwritten, and cut only when told."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from .. import tree
from ..spec.kinds import KIND
from . import values
from .content import SEED, check_source, content_change, format_of, promised
from .current import Volume
from .document import declared_document
from .image import QCOW2, check_growth, check_making, check_values, has_size, made_otherwise, permission_edits
from .iso import check_iso, content_of_iso
from .objects import changes_of
from .plan import Change, Id, ObjectPlan, Premise, Step
from .problem import Problems
from .raw_volume import with_raw
from .rules import for_kind
from .seed import content_told, seed_args
from .site import Declared, Site
from .users import holding, running_on, users_of, writing
from .words import shown_url

# What is told of a new volume.
TOLD = ("format", "size", "source", "clone", "backing", "preallocation", *QCOW2, "encryption", "permissions")


def volume_id(pool: str, name: str) -> Id:
    """The id of a volume in a plan: its name is "pool/volume"."""
    return ("volume", f"{pool}/{name}")


def plan_volume(declared: Declared, site: Site) -> ObjectPlan:
    """The plan for one volume."""
    where = "volume {}/{}".format(declared["pool"], declared["name"])
    current = site.volume(declared["pool"], declared["name"])
    known = site.knows("pool", declared["pool"])
    if known and not site.is_active_pool(declared["pool"]):
        message = "pool {} is not active; declare it with state: active".format(declared["pool"])
        site.problems.add(where + ": pool", message)
    if declared["state"] != "present" and declared.get("content") is not None:
        site.problems.add(where + ": state", f"{declared['state']} does not go with {SEED} that is declared here")
    if declared["state"] == "absent":
        return _absent(declared, current, where, site)
    if not known:
        site.problems.add(where + ": pool", "pool {} is neither there nor declared".format(declared["pool"]))
    if declared["state"] == "wiped":
        return _wiped(declared, current, where, site)
    declared = with_raw(declared, where, site.problems)
    check_source(declared, where, site.problems)
    if declared.get("iso") is not None:
        check_iso(declared, where, site.problems)
        declared = content_of_iso(declared)
    check_values(declared, where, site.problems)
    if current is None:
        return _create(declared, where, site)
    return _update(declared, current, where, site)


def _plan(
    declared: Declared,
    changes: list[Change],
    steps: list[Step],
    needs: set[Id],
    state: str = "present",
    pending: tuple[Change, ...] = (),
) -> ObjectPlan:
    kind, name = volume_id(declared["pool"], declared["name"])
    needs = needs | {("pool", declared["pool"])}
    return ObjectPlan(kind, name, state, tuple(changes), tuple(steps), pending, frozenset(needs))


def declared_size(declared: Mapping[str, Any], where: str, problems: Problems) -> int | None:
    """The declared size in bytes, None when there is none or it is wrong, which is noted."""
    if declared.get("size") is None:
        return None
    try:
        # Images are made of sectors: QEMU rounds up, and a size that it rounded is not to be taken for a larger one.
        size = values.whole(values.size_bytes(str(declared["size"])))
    except ValueError as error:
        problems.add(where + ": size", str(error))
        return None
    if not size:
        problems.add(where + ": size", "is nothing")
    return size


def _create(declared: Declared, where: str, site: Site) -> ObjectPlan:
    size = declared_size(declared, where, site.problems)
    needs: set[Id] = set()
    args: dict[str, Any] = {"pool": declared["pool"], "name": declared["name"]}
    form = format_of(declared, site.pool_directory(declared["pool"]) is not None)
    check_making(declared, form, where, site)
    if declared.get("content") is not None:
        verb = "seed"
        args.update(seed_args(declared), permissions=_permissions(declared, where, site))
    elif declared.get("source"):
        verb = "fetch"
        args.update(_fetched(declared, size, where, site))
    else:
        verb = "clone" if declared.get("clone") else "create"
        args.update(_from_volume(declared, size, where, site, needs))
        args["xml"] = _made_of(declared, form, verb, where, site)
        args["preallocation"] = declared.get("preallocation")
        if declared.get("size") is None and not (
            declared.get("backing") or declared.get("clone") or declared.get("xml")
        ):
            site.problems.add(where, "a new volume needs a size, or source, clone, backing or xml")
    before = "unknown" if site.is_asleep(declared["pool"]) else "absent"
    changes = [Change("state", before, "present", "create")]
    told = [name for name in TOLD if declared.get(name) is not None]
    changes.extend(Change(name, None, _shown(_told(declared[name])), "create") for name in told)
    if declared.get("iso") is not None:
        changes.append(Change("iso.files", None, sorted(declared["content"]), "create"))
    plan = _plan(declared, changes, [Step(verb, args, f"make {where}")], needs)
    source = declared.get("source") or {}
    if source.get("file") and not source.get("local"):
        plan = plan._replace(premises=(Premise(f"{where}: source.file", "file", source["file"]),))
    if declared.get("preallocation") in ("falloc", "full") and size:
        plan = plan._replace(premises=(Premise(f"{where}: size", "room", f"{declared['pool']} {size}"),))
    return plan


def _fetched(declared: Declared, size: int | None, where: str, site: Site) -> dict[str, Any]:
    """The arguments that say what content is to be had, and what it is to be made."""
    args: dict[str, Any] = {"source": declared["source"], "size": size, "expected": promised(declared) or None}
    args.update((name, declared.get(name)) for name in ("format", *QCOW2))
    if args["cluster_size"] is not None:
        with contextlib.suppress(ValueError):
            args["cluster_size"] = values.size_bytes(str(args["cluster_size"]))
    args["permissions"] = _permissions(declared, where, site)
    return args


def _permissions(declared: Declared, where: str, site: Site) -> dict[str, Any] | None:
    """The permissions of a new volume's file, None when nothing is declared of them."""
    permissions = tree.parse(_document(declared, "", where, site)).find("target/permissions")
    if permissions is None:
        return None
    told = {node.tag: node.text for node in permissions}
    return {**told, **{name: int(told[name]) for name in ("owner", "group") if name in told}}


def _told(value: Any) -> Any:
    """A source as the user wrote it: where a local file was brought to is nobody's business."""
    return dict(value, file=None) if isinstance(value, dict) and value.get("local") else value


def _shown(value: Any) -> Any:
    """A value of a declaration as it is told: a URL without its login, a source without what was left out."""
    if isinstance(value, dict):
        return {
            name: shown_url(part) if isinstance(part, str) else _shown(part)
            for name, part in value.items()
            if part is not None
        }
    return value


def _from_volume(declared: Declared, size: int | None, where: str, site: Site, needs: set[Id]) -> dict[str, Any]:
    """The arguments that name the volume this one is made from, checked as far as it is known."""
    option = "clone" if declared.get("clone") else "backing" if declared.get("backing") else None
    if option is None:
        return {}
    pool = declared.get(option + "_pool") or declared["pool"]
    name = declared[option]
    planned = site.volumes.get((pool, name))
    known = site.volume(pool, name)
    if planned is not None and planned["state"] != "absent":
        needs.add(volume_id(pool, name))
    elif known is None or planned is not None:
        site.problems.add(f"{where}: {option}", site.lacks_volume(pool, name))
    for guest in writing(known.path, site) if known is not None and option == "clone" else ():
        if site.domains.get(guest, {}).get("state") not in ("absent", "stopped", "saved"):
            words = f"volume {pool}/{name} is a disk of guest {guest}, which runs and keeps it locked; stop it, or clone a snapshot"
            site.problems.add(f"{where}: {option}", words)
    if known is not None and size is not None and size < known.capacity:
        message = "{} is smaller than volume {}, which has {}".format(
            declared["size"], name, values.size_text(known.capacity)
        )
        site.problems.add(where + ": size", message)
    return {
        "from_pool": pool,
        "from_name": name,
        "size": size,
        "from_format": known.format if known else None,
    }


def _made_of(declared: Declared, form: str, verb: str, where: str, site: Site) -> str:
    """The document that a volume is made of. libvirt gives a raw file all of its space where nothing is said of it, which who
    writes XML for libvirt may mean; where volumes are no files, less space than the size is a volume of another kind.
    """
    text = _document(declared, form, where, site)
    sparse = declared.get("preallocation") == "off" or not (declared.get("xml") or declared.get("preallocation"))
    if verb != "create" or not sparse or site.pool_directory(declared["pool"]) is None:
        return text
    root = tree.parse(text)
    if tree.get(root, "target/format/@type") == "raw" and root.find("allocation") is None:
        root.append(tree.element("allocation", "0", unit="bytes"))
    return tree.text_of(root)


def _document(declared: Declared, form: str, where: str, site: Site) -> str:
    size = declared_size(declared, where, site.problems)
    volume = dict(declared, format=form or None, size=None if size is None else f"{size} bytes")
    root = declared_document(KIND["volume"], volume, where, site.problems)
    return tree.text_of(root)


def _update(declared: Declared, current: Volume, where: str, site: Site) -> ObjectPlan:
    changes: list[Change] = []
    steps: list[Step] = []
    args: dict[str, Any] = {"pool": declared["pool"], "name": declared["name"]}
    size = declared_size(declared, where, site.problems)
    _document(
        declared, declared.get("format") or "", where, site
    )  # Its values are no less wrong for one that is there.
    if size is not None and not has_size(current, size):
        _resize(declared, current, size, where, site, changes, steps)
    if declared.get("format") and current.format and not _is_format(declared["format"], current.format):
        site.problems.add(
            where + ": format",
            "is {}; a volume is not converted to {}".format(current.format, declared["format"]),
        )
    _check_backing(declared, current, where, site)
    if declared.get("content") is not None and declared["digest"] != current.digest:
        changes.append(content_told(declared, current))
        permissions = _permissions(declared, where, site)
        steps.append(Step("seed", dict(args, **seed_args(declared), permissions=permissions), f"make {where} anew"))
    pending = made_otherwise(declared, current.xml)
    change, waits = content_change(declared, current, site)
    pending += (waits,) if waits else ()
    if change:
        changes.append(change)
        fetched = dict(args, **_fetched(declared, size, where, site), replace=True)
        # New content gets the declared size as it is made ready.
        steps = [step for step in steps if step.verb != "resize"]
        steps.append(Step("fetch", fetched, f"fetch {where} anew"))
    edits = permission_edits(declared, current.xml, bool(running_on(current.path, site)))
    told = changes_of(edits, for_kind(KIND["volume"]))
    if edits and site.pool_directory(declared["pool"]) is not None:
        changes.extend(told)
        given = {edit.path.rpartition("/")[2]: str(edit.after) for edit in edits}
        steps.append(Step("permit", {"path": current.path, **given}, f"set the permissions of {where}", True))
    else:
        pending += told
    return _plan(declared, changes, steps, set(), pending=pending)


def _resize(
    declared: Declared,
    current: Volume,
    size: int,
    where: str,
    site: Site,
    changes: list[Change],
    steps: list[Step],
) -> None:
    """Grow a volume; cut one only with the user's word for it, and when nobody can miss what goes."""
    shrink = size < current.capacity
    if shrink:
        has = values.size_text(current.capacity)
        if not declared.get("allow_shrink"):
            site.problems.add(
                where + ": size",
                f"{declared['size']} is less than the {has} it has; a volume is shrunk only with allow_shrink",
            )
        users = [f"the running guest {name}" for name in running_on(current.path, site)]
        users += [user for user in users_of(current.path, site) if user.startswith("volume")]
        if declared.get("allow_shrink") and users:
            site.problems.add(where + ": size", f"is used by {users[0]} and is not cut")
        _check_room(declared, current, size, where, site.problems)
    else:
        check_growth(current, where, site.problems)
        for guest in holding(current.path, site):
            words = f"is below a disk of guest {guest}, which runs and keeps it locked; stop it, or grow the guest's own disk"
            site.problems.add(where + ": size", words)
    changes.append(Change("size", values.size_text(current.capacity), values.size_text(size), "live"))
    args = {"pool": declared["pool"], "name": declared["name"], "size": size, "path": current.path}
    words = f"{'cut' if shrink else 'grow'} {where} to {values.size_text(size)}"
    steps.append(Step("resize", dict(args, shrink=True) if shrink else args, words))


def _check_room(declared: Declared, current: Volume, size: int, where: str, problems: Problems) -> None:
    """Nothing is cut below what a file takes on the disk: libvirt refuses that (storageVolResize)."""
    node = tree.parse(current.xml).find("allocation") if current.xml else None
    taken = int(node.text or 0) if node is not None else 0
    if declared.get("allow_shrink") and size < taken:
        problems.add(where + ": size", f"its file takes {values.size_text(taken)}; libvirt cuts nothing below that")


def _is_format(declared: str, current: str) -> bool:
    """Whether a format is the declared one. An ISO image is raw, and one without files in it is told as such."""
    return declared == current or (declared, current) == ("iso", "raw")


def _check_backing(declared: Declared, current: Volume, where: str, site: Site) -> None:
    path = declared.get("backing_path")
    if declared.get("backing"):
        path = site.volume_path(declared.get("backing_pool") or declared["pool"], declared["backing"])
    if path is not None and current.backing != path:
        has = f"is an overlay on {current.backing}" if current.backing else "is not an overlay"
        site.problems.add(where + ": backing", f"{has}; it is not made anew on {path}")


def _absent(declared: Declared, current: Volume | None, where: str, site: Site) -> ObjectPlan:
    if current is None and declared["name"] not in getattr(site.host.pools.get(declared["pool"]), "volumes", {}):
        return _plan(declared, [], [], set(), "absent")
    if current is not None:
        _check_unused(current, where, "deleted", site)
    args = {"pool": declared["pool"], "name": declared["name"]}
    wipe = bool(declared.get("wipe"))
    step = Step("delete", dict(args, wipe=True) if wipe else args, f"{'wipe and delete' if wipe else 'delete'} {where}")
    return _plan(declared, [Change("state", "present", "absent", "delete")], [step], set(), "absent")


def _wiped(declared: Declared, current: Volume | None, where: str, site: Site) -> ObjectPlan:
    if current is None:
        site.problems.add(where, "is not there; a volume is wiped only when it is")
        return _plan(declared, [], [], set())
    _check_unused(current, where, "wiped", site)
    if current.xml and tree.parse(current.xml).find("target/encryption") is not None:
        site.problems.add(where, "is encrypted, and could not be made anew; declare it absent with wipe, then present")
    args = {"pool": declared["pool"], "name": declared["name"]}
    return _plan(declared, [Change("state", "present", "wiped", "live")], [Step("wipe", args, f"wipe {where}")], set())


def _check_unused(current: Volume, where: str, act: str, site: Site) -> None:
    for user in users_of(current.path, site):
        site.problems.add(where, f"is used by {user} and is not {act}")


def backing_order(declared: Mapping[tuple[str, str], Declared], problems: Problems) -> list[Declared]:
    """Volumes, each after those it stands on. One that stands on itself is a problem."""
    order: list[Declared] = []
    seen: set[tuple[str, str]] = set()
    above: list[tuple[str, str]] = []

    def visit(key: tuple[str, str]) -> None:
        if key in above:
            chain = ", ".join("/".join(one) for one in [*above[above.index(key) :], key])
            problems.add("volume {}/{}".format(*key), f"stands on itself: {chain}")
        if key in seen or key not in declared:
            return
        seen.add(key)
        above.append(key)
        item = declared[key]
        for option in ("clone", "backing"):
            if item.get(option):
                visit((item.get(option + "_pool") or item["pool"], item[option]))
        above.pop()
        order.append(item)

    for key in declared:
        visit(key)
    return order
