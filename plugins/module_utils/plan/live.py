# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A running guest: what of a declaration is made true while it runs, and what waits for its next start."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import NamedTuple

from .. import tree
from . import ownership
from .current import CHANNEL, Domain, Host
from .machine import without_aliases
from .objects import Wanted, effect_of, running
from .overlay import Edit, Place
from .plan import Step, digest
from .rules import Rules
from .tune import Call, limits, tune_calls

# virDomainAttachDevice and virDomainDetachDevice (libvirt 11.3 src/qemu/qemu_hotplug.c).
ATTACHABLE = frozenset(
    (
        "disk",
        "controller",
        "lease",
        "interface",
        "hostdev",
        "redirdev",
        "serial",
        "parallel",
        "channel",
        "console",
        "rng",
        "memory",
        "shmem",
        "watchdog",
        "input",
        "vsock",
        "filesystem",
    )
)
# virDomainUpdateDeviceFlags takes these; what of them can change is what has the effect "live" in the table of fields.
UPDATABLE = frozenset(("interface", "graphics", "memory"))
POLICY = "devices/disk/source/@startupPolicy"
MEDIA = frozenset(("devices/disk/source/@file", "devices/disk/source", "devices/disk/@type"))
LIMITS = "devices/disk/iotune"
# Steps in which the guest itself has to do its part.
WITH_THE_GUEST = frozenset(("detach", "balloon"))


class Live(NamedTuple):
    """What makes a running guest true: calls, and the edits that wait for a restart."""

    calls: tuple[Call, ...]
    waiting: tuple[Edit, ...] = ()


class LivePlan(NamedTuple):
    """What becomes of a running guest. done: the edits that the steps make true; declined: why others wait that the guest
    declined before.
    """

    steps: tuple[Step, ...] = ()
    waiting: tuple[Edit, ...] = ()
    done: tuple[Edit, ...] = ()
    declined: tuple[str, ...] = ()


class Asks(NamedTuple):
    """What a running guest may be asked. anew: also for what it declined before, as it is defined anew. hears: whether it does
    its part in what is asked of it; one that is paused or sleeps cannot.
    """

    anew: bool
    hears: bool


def live_plan(
    want: Wanted,
    current: Domain | None,
    root: tree.Element,
    before: ownership.Owned,
    settled: bool,
    host: Host,
    asks: Asks,
) -> LivePlan:
    """Compare the declaration with the running guest. root: the definition made true; before: its ownership until now."""
    running_or_saved = current and (current.live or current.image)
    # One that crashed is started with its definition; nothing of it runs on.
    if not running_or_saved or (current and current.state == "crashed"):
        return LivePlan()
    live = tree.parse(running_or_saved)
    owned = ownership.read(live)
    most = limits(live)
    present = {f"devices/{node.tag}" for node in tree.find_all(live, "devices/*")}
    cpu = tree.get(live, "cpu/@mode") or "custom"
    edits = without_aliases(running(want, live, root, before, settled), host)
    edits = [edit for edit in edits if not _expanded(edit, cpu, tree.get(root, "cpu/@mode"))]
    # A running guest has the port that libvirt chose for it.
    edits = [edit for edit in edits if (edit.path, edit.after) != ("devices/graphics/@port", "-1")]
    if current is None or current.live is None:
        return LivePlan((), tuple(edits))
    devices: dict[object, list[Edit]] = {}
    plain: list[Edit] = []
    for edit in edits:
        if edit.trail and edit.trail[0].path.startswith("devices/"):
            devices.setdefault(id(edit.trail[0].node), []).append(edit)
        elif edit.path.startswith("devices/"):
            devices.setdefault("/".join(edit.path.split("/")[:2]), []).append(edit)
        else:
            plain.append(edit)
    calls, waiting = tune_calls(plain, most, want.rules)
    for key, group in devices.items():
        device = _single(group, key, key in present, live) if isinstance(key, str) else _device(group, want.rules)
        calls += device.calls
        waiting += device.waiting
    declined = {} if asks.anew else _declined(owned, live)
    found = _asked(calls, declined, asks.hears)
    keep = owned._replace(keys=owned.keys | want.keys, declined=declined, early=owned.early & frozenset(declined))
    steps = list(found.steps)
    if found.done and keep != owned:
        steps.append(Step("metadata", {"xml": ownership.as_text(keep)}, "note ownership in the running guest"))
    return found._replace(steps=tuple(steps), waiting=(*waiting, *found.waiting))


def agent_is_there(live: tree.Element) -> bool:
    """Whether the guest agent of a running guest has opened its channel, so that the guest has come up."""
    return tree.find(live, f"devices/channel/target[@name='{CHANNEL}'][@state='connected']") is not None


def _declined(owned: ownership.Owned, live: tree.Element) -> Mapping[str, str]:
    """What a running guest is not asked again for, with the reasons: what it declined, but for what it declined while it was
    not up yet when it is up now.
    """
    again = owned.early if agent_is_there(live) else ()
    return {step: reason for step, reason in owned.declined.items() if step not in again}


def _asked(calls: list[Call], declined: Mapping[str, str], hears: bool) -> LivePlan:
    """The calls as steps, but for those that the guest declined or does not hear: what they would make true waits."""
    why = [_why_not(call.step, declined, hears) for call in calls]
    waiting = {id(edit): edit for call, reason in zip(calls, why) if reason for edit in call.edits}
    done = {id(edit): edit for call in calls for edit in call.edits if id(edit) not in waiting}
    steps = tuple(call.step for call, reason in zip(calls, why) if not reason)
    reasons = tuple(dict.fromkeys(reason for reason in why if reason))
    return LivePlan(steps, tuple(waiting.values()), tuple(done.values()), reasons)


def _why_not(step: Step, declined: Mapping[str, str], hears: bool) -> str | None:
    """Why a running guest is not asked for something; None when it is."""
    if not hears and step.verb in WITH_THE_GUEST:
        return f"{step.words}: the guest does not run"
    return declined.get(digest(step)) if declined and step.may_wait else None


# What libvirt notes in the running definition of how it checked and completed the CPU.
_CHECKED = frozenset(("cpu/@check", "cpu/@match", "cpu/model/@fallback"))


def _expanded(edit: Edit, mode: str, declared: str | None) -> bool:
    """Whether the running definition says the same in other words. When a guest starts, libvirt puts the model and features
    that it found in the place of host-model, and says of an optional feature whether it is there (virCPUUpdate,
    qemuProcessUpdateLiveGuestCPU). mode: that of the running CPU; declared: that of the definition made true.
    """
    if not edit.path.startswith("cpu/"):
        return False
    if edit.path in _CHECKED:
        return True
    if (mode, declared) == ("custom", "host-model"):
        return edit.path.startswith("cpu/feature") or edit.path == "cpu/@mode"
    policy = edit.after if edit.path == "cpu/feature/@policy" else None
    if edit.path == "cpu/feature" and edit.trail:
        policy = edit.trail[-1].node.get("policy")
    return policy == "optional"


def _device(group: list[Edit], rules: Rules) -> Live:
    """What makes one device of a running guest true."""
    place = group[0].trail[0]
    name = f"{place.node.tag} {place.key}"
    whole = next((edit for edit in group if edit.path == place.path), None)
    if whole is not None:
        return _plug("attach" if whole.before is None else "detach", place.node, place.key, group)
    if place.node.tag == "disk":
        return _disk(group, place, name)
    now = [edit for edit in group if place.node.tag in UPDATABLE and _is_live(edit, rules)]
    later = [edit for edit in group if edit not in now]
    node = _without(place, later)
    if not now or node is None:
        return Live((), tuple(group))
    step = Step("update_device", {"xml": _moved(node)}, f"change {name}", True)
    return Live((Call(step, tuple(now)),), tuple(later))


def _plug(verb: str, node: tree.Element, key: str | None, group: list[Edit]) -> Live:
    """A device that comes ("attach") or goes ("detach")."""
    if not can_plug(node, verb == "detach"):
        return Live((), tuple(group))
    name = node.tag if key is None else f"{node.tag} {key}"
    args = {"xml": tree.text_of(node), "path": f"devices/{node.tag}", "key": key}
    return Live((Call(Step(verb, args, f"{verb} {name}", True), tuple(group)),))


def _single(group: list[Edit], path: str, was_there: bool, live: tree.Element) -> Live:
    """A device of which a guest has one at the most, so that it has no key."""
    edit, node = group[0], tree.find(live, path)
    if edit.path == path and edit.after is None and isinstance(edit.before, type(live)):
        return _plug("detach", edit.before, None, group)
    if node is not None and not was_there:
        return _plug("attach", node, None, group)
    if [edit.path for edit in group] == ["devices/memballoon/stats/@period"] and isinstance(edit.after, str):
        args, words = {"period": int(edit.after)}, f"collect statistics of the balloon each {edit.after} s"
        return Live((Call(Step("stats", args, words, True), tuple(group)),))
    return Live((), tuple(group))


def _disk(group: list[Edit], place: Place, name: str) -> Live:
    """A disk: its limits, its startup policy and the medium of a drive; virDomainUpdateDeviceFlags refuses all else
    (qemuDomainDiskChangeSupported).
    """
    limited = [edit for edit in group if edit.path.startswith(LIMITS)]
    rest = [edit for edit in group if edit not in limited]
    calls: list[Call] = []
    if limited:
        # All that is said of limits in one call: a total and its parts exclude each other, and 0 is no limit.
        gone = {name: 0 for edit in limited if edit.after is None for name in _limits_of(edit)}
        told = {
            node.tag: node.text if node.tag == "group_name" else int(node.text)
            for node in tree.find_all(place.node, "iotune/*")
        }
        args = {"target": place.key, "values": {**gone, **told}}
        calls.append(Call(Step("limit", args, f"set the limits of {name}", True), tuple(limited)))
    changes = {POLICY, *(MEDIA if place.node.get("device") in ("cdrom", "floppy") else ())}
    now, later = ([edit for edit in rest if (edit.path in changes) is known] for known in (True, False))
    node = _without(place, later) if now else None
    if node is None:
        return Live(tuple(calls), tuple(rest))
    step = Step("update_device", {"xml": tree.text_of(node)}, f"change {name}", True)
    return Live((*calls, Call(step, tuple(now))), tuple(later))


def _limits_of(edit: Edit) -> list[str]:
    """The limits of a disk that an edit is about, but for the name of their group."""
    whole = edit.path == LIMITS and not isinstance(edit.before, str) and edit.before is not None
    names = [child.tag for child in edit.before] if whole else [edit.path.rpartition("/")[2]]  # type: ignore[attr-defined]
    return [name for name in names if name not in ("iotune", "group_name")]


def _is_live(edit: Edit, rules: Rules) -> bool:
    """Whether libvirt changes this of a device that is in use: the row of the option says so. A type goes with its source."""
    return edit.path in rules.implied or effect_of(edit, rules) == "live"


def _without(place: Place, later: list[Edit]) -> tree.Element | None:
    """A copy of a device in which these edits are not made; None if they cannot be told apart from the others."""
    node = copy.deepcopy(place.node)
    for edit in later:
        path = edit.path[len(place.path) + 1 :]
        if len(edit.trail) > 1 or path.startswith(("source", "@type")):
            return None
        if not isinstance(edit.after, str) and not (edit.after is None and isinstance(edit.before, str)):
            return None
        if isinstance(edit.before, str):
            tree.put(node, path, edit.before)
        elif edit.before is None:
            tree.erase(node, path)
        else:
            return None
    return node


def can_plug(node: tree.Element, out: bool) -> bool:
    """Whether libvirt plugs such a device into a running guest, or out of it (qemu_hotplug.c)."""
    if node.tag == "disk":
        kind = node.get("device", "disk")
        return tree.get(node, "target/@bus") in ("virtio", "scsi", "usb") and (
            kind in ("disk", "lun") or (kind == "cdrom" and not out)
        )
    return node.tag in ATTACHABLE


def _moved(node: tree.Element) -> str:
    """A device for an update: what libvirt noted of an interface's old network does not go with the new one."""
    source = tree.find(node, "source")
    if node.tag == "interface" and source is not None:
        for name in ("portid", "bridge" if source.get("network") else "network"):
            source.attrib.pop(name, None)
    return tree.text_of(node)
