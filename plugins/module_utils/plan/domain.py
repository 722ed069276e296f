# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Domains: from a declaration and the host as it is to steps, with what has to wait for a restart."""

from __future__ import annotations

from typing import Any, NamedTuple

from .. import tree
from . import ownership
from .current import CHANNEL, Domain
from .fit import check_parts, fill_parts, settle_parts
from .guest import macs
from .live import Asks, live_plan
from .machine import check_machine, without_aliases
from .newborn import complete, new_document
from .objects import (
    Wanted,
    changes_of,
    check_uuid,
    fingerprint_step,
    overlaid,
    owned_after,
    undeclared,
)
from .overlay import Edit
from .own_storage import remove_storage
from .plan import BY_AGENT, LEFT, Change, Id, ObjectPlan, Step
from .power import ENDS, STILL, power_steps
from .premises import of_live, of_start
from .problem import Problems
from .seed import seed_waits
from .site import Declared, Site
from .volume import volume_id


class _Made(NamedTuple):
    """A guest's definition with its declaration made true in it. owned: what the definition said of ownership before.
    settled: whether raw XML was told apart by its fingerprint.
    """

    root: tree.Element
    edits: list[Edit]
    owned: ownership.Owned
    settled: bool


def _made_true(want: Wanted, declared: Declared, current: Domain | None, site: Site) -> _Made:
    root = tree.parse(current.inactive) if current else new_document(want, declared, site)
    uuid = tree.get(root, "uuid") if current else None
    machine = tree.get(root, "os/type/@machine")
    complete(want, root, declared, current is not None)
    fill_parts(want, root)
    owned = ownership.read(root)
    edits, settled = overlaid(want, root)
    edits = without_aliases(edits, site.host)
    _keep_machine(edits, root, machine)
    edits += _one_boot_order(want, root, site.problems)
    edits += settle_parts(want, root, edits)
    if edits:
        known = (current.inactive if current else None, declared.get("xml"))
        check_parts(want, root, [text for text in known if text], site.problems)
    check_uuid(want, root, uuid, site)
    check_machine(want, site, machine if current else None)
    return _Made(root, edits, owned, settled)


def plan_domain(want: Wanted, declared: Declared, site: Site) -> ObjectPlan:
    """The plan for one guest that is to be there. declared: made concrete."""
    name = declared["name"]
    current = site.host.domains.get(name)
    root, edits, owned, settled = _made_true(want, declared, current, site)
    if current is None and want.raw is None and not tree.get(root, "memory"):
        site.problems.add(want.where + ": memory", "is needed for a new guest")
    _check_awaited(want, declared, root, current, site.problems)
    steps: list[Step] = []
    changes = changes_of(edits, want.rules, None if current else "create")
    asks = Asks(anew=bool(edits), hears=_wakes(declared, current) or current is None or current.state not in STILL)
    live = live_plan(want, current, root, owned, settled, site.host, asks)
    pending = changes_of(list(live.waiting), want.rules, "restart")
    begun = current and current.state != "crashed" and (current.live or current.image)
    pending += seed_waits(declared, ownership.read(tree.only_read(begun))) if begun else ()
    power_changes, power, _restarted = power_steps(declared, current, bool(pending), site.problems)
    verbs = {step.verb for step in power}
    noted = _noted(want, declared, owned, current, bool(edits), bool(verbs & ENDS))
    changes += noted
    if edits or noted or current is None:
        ownership.write(root, owned_after(want, owned)._replace(**declared.get("seed", {})))
        steps.append(Step("define", {"xml": tree.text_of(root)}, f"define guest {name}"))
        steps.extend(fingerprint_step(want))
    if live.done and not edits:
        changes += changes_of(list(live.done), want.rules)
    waits = {change.path for change in pending}
    changes = tuple(change._replace(effect="restart") if change.path in waits else change for change in changes)
    changes += power_changes
    # What a guest that is shut down is spared, its next start brings.
    ends = bool(verbs & {"shutdown", "destroy"})
    if not ends:
        power = (*power, *live.steps) if _wakes(declared, current) else (*live.steps, *power)
    autostart = _autostart(declared, current)
    changes += autostart
    steps.extend(Step("autostart", {"on": on.after}, f"set autostart of guest {name}") for on in autostart)
    if current is None:
        changes = (Change("state", "absent", _state_after(declared, current), "create"), *changes)
    premises = () if ends else of_live(want.where, live.steps, site)
    # A guest that was saved goes on with what it had.
    if "start" in verbs and not (current and current.state == "saved"):
        premises += of_start(want.where, root, current.live if current else None, site)
    facts: dict[str, Any] = {"uuid": tree.get(root, "uuid"), "macs": macs(root)}
    if live.declined and not ends:
        facts["declined"] = live.declined
    return ObjectPlan(
        "domain",
        name,
        _state_after(declared, current),
        changes,
        (*steps, *power),
        () if ends else pending,
        _needs(root, site),
        undeclared(want, root),
        facts,
        current.inactive if current and current.persistent else None,
        declared["timeout"],
        premises,
    )


def _check_awaited(
    want: Wanted, declared: Declared, root: tree.Element, current: Domain | None, problems: Problems
) -> None:
    """Note what a guest is waited for and can never tell, for want of a device."""
    wish = declared.get("wait_for") or {}
    if not wish or _state_after(declared, current) != "running":
        return
    for option in sorted(BY_AGENT):
        if wish.get(option) and tree.find(root, f"devices/channel/target[@name='{CHANNEL}']") is None:
            problems.add(f"{want.where}: wait_for.{option}", f"needs a channel {CHANNEL}, which the guest has not")
    # What stands in raw XML beside interfaces, such as arguments for QEMU, may be one.
    lacks_interface = want.raw is None and not macs(root) and tree.find(root, "devices/hostdev") is None
    for option in ("address", "ssh"):
        if wish.get(option) and lacks_interface:
            problems.add(f"{want.where}: wait_for.{option}", "needs a network interface, which the guest has not")


def _noted(
    want: Wanted, declared: Declared, owned: ownership.Owned, current: Domain | None, edited: bool, ends: bool
) -> tuple[Change, ...]:
    """What is to be defined although no option of an existing guest's definition differs. edited: whether some do; ends: whether the
    guest goes off, with which a transient one is gone.
    """
    if current is None:
        return ()
    noted = seed_waits(declared, owned) if current.persistent else ()
    if not current.persistent and (edited or ends or declared.get("autostart")):
        noted += (Change("persistent", False, True, "live"),)
    if declared.get("adopt") and not edited and not want.keys <= owned.keys:
        noted += (Change("adopted", False, True, "live"),)
    return noted


def _keep_machine(edits: list[Edit], root: tree.Element, machine: str | None) -> None:
    """Leave the machine type that an alias stands for as it is: written as the alias, a newer QEMU would make another one of it."""
    if machine is not None and not any(edit.path == "os/type/@machine" for edit in edits):
        tree.put(root, "os/type/@machine", machine)


def _one_boot_order(want: Wanted, root: tree.Element, problems: Problems) -> list[Edit]:
    """A boot order is by kind of device or by device, not both: what is declared takes the place of the other one.

    It puts <boot dev='hd'/> into each definition that has no order by itself.
    """
    kinds = tree.find_all(root, "os/boot")
    devices = tree.find_all(root, "devices/*/boot") if kinds else []
    if not devices:
        return []
    if tree.find(want.document, "os/boot") is None:
        for node in kinds:
            tree.remove(node)
        return [Edit("os/boot", tuple(kinds), None, ())]
    if tree.find(want.document, "devices/*/boot") is not None:
        problems.add(want.where + ": boot", "excludes boot_order of disks and interfaces")
        return []
    edits = []
    for trail in list(ownership.places(root, want.rules)):
        node = tree.find(trail[-1].node, "boot")
        if node is not None and trail[-1].path.startswith("devices/"):
            edits.append(Edit(trail[-1].path + "/boot/@order", node.get("order"), None, trail))
            tree.remove(node)
    return edits


def _autostart(declared: Declared, current: Domain | None) -> tuple[Change, ...]:
    on, before = declared.get("autostart"), bool(current and current.autostart)
    return () if on in (None, before) else (Change("autostart", before, on, "live"),)


def _wakes(declared: Declared, current: Domain | None) -> bool:
    """Whether a guest that stands still is made to run on: it does its part in what is asked of it then, and not before."""
    return current is not None and current.state in STILL and declared["state"] in ("running", "reset")


def _state_after(declared: Declared, current: Domain | None) -> str:
    state = str(declared["state"])
    if state in ("restarted", "reset"):
        return "running"
    if state == "stopped" and current is not None and current.state == "saved":
        return "saved"
    return (current.state if current else "stopped") if state == "present" else state


def _needs(root: tree.Element, site: Site) -> frozenset[Id]:
    """The objects of this run that a guest stands on."""
    needs: set[Id] = set()
    for source in tree.find_all(root, "devices/disk/source"):
        key = site.files.get(source.get("file"), (source.get("pool"), source.get("volume")))
        if key in site.volumes:
            needs.add(volume_id(*key))
    for entry in tree.find_all(root, "sysinfo/entry"):
        if site.files.get(entry.get("file")) in site.volumes:
            needs.add(volume_id(*site.files[entry.get("file")]))
    for source in tree.find_all(root, "devices/interface/source"):
        if source.get("network"):
            needs.add(("network", source.get("network")))
    return frozenset(needs)


def plan_absent(declared: Declared, site: Site) -> ObjectPlan:
    """The plan for a guest that is not to be there. Its volumes stay unless remove_storage says otherwise."""
    name = declared["name"]
    current = site.host.domains.get(name)
    if current is None:
        return ObjectPlan("domain", name, "absent")
    _changes, steps, _restarted = power_steps(dict(declared, state="stopped"), current, False, site.problems)
    if current.persistent:
        steps += (Step("undefine", {}, f"undefine guest {name}"),)
    root = tree.only_read(current.inactive)
    changes = [Change("state", current.state, "absent", "delete")]
    left = remove_storage(root, name, site) if declared.get("remove_storage") else ()
    if left:
        changes.append(Change(LEFT, None, list(left), "delete"))
    return ObjectPlan(
        "domain",
        name,
        "absent",
        tuple(changes),
        steps,
        facts={"uuid": tree.get(root, "uuid")},
        patience=declared["timeout"],
    )
