# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A running guest: what of a declaration is made true while it runs, and what waits for its next start."""

from __future__ import annotations

from typing import NamedTuple

from .. import tree
from . import ownership, values
from .current import Domain, Host
from .machine import without_aliases
from .objects import (
    Wanted,
    running,
)
from .overlay import Edit, size_at
from .plan import Step

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
# virDomainUpdateDeviceFlags: paths below a device that a running guest takes a change of.
UPDATABLE = frozenset(
    (
        "devices/interface/link/@state",
        "devices/interface/source/@network",
        "devices/interface/source/@bridge",
        "devices/interface/@type",
        "devices/graphics/@passwd",
    )
)
MEDIA = frozenset(("devices/disk/source/@file", "devices/disk/source", "devices/disk/@type"))


class Live(NamedTuple):
    """What makes a running guest true: steps, and the edits that wait for a restart."""

    steps: tuple[Step, ...]
    waiting: tuple[Edit, ...]
    done: tuple[Edit, ...]


def live_plan(
    want: Wanted, current: Domain | None, root: tree.Element, before: ownership.Owned, settled: bool, host: Host
) -> Live:
    """Compare the declaration with the running guest. root: the definition made true; before: its ownership until now."""
    if current is None or current.live is None:
        return Live((), (), ())
    live = tree.parse(current.live)
    owned = ownership.read(live)
    most = live.find("memory")
    most_memory = size_at(most, "KiB") if most is not None else None
    cpu = tree.get(live, "cpu/@mode") or "custom"
    edits = without_aliases(running(want, live, root, before, settled), host)
    edits = [edit for edit in edits if not _expanded(edit, cpu, tree.get(root, "cpu/@mode"))]
    # A running guest has the port that libvirt chose for it.
    edits = [edit for edit in edits if (edit.path, edit.after) != ("devices/graphics/@port", "-1")]
    devices: dict[int, list[Edit]] = {}
    steps: list[Step] = []
    waiting: list[Edit] = []
    done: list[Edit] = []
    for edit in edits:
        if edit.trail and edit.trail[0].path.startswith("devices/"):
            devices.setdefault(id(edit.trail[0].node), []).append(edit)
            continue
        step = _live_value(edit, most_memory or 0)
        (waiting if step is None else done).append(edit)
        if step is not None:
            steps.append(step)
    for group in devices.values():
        step = _live_device(group)
        if step is None:
            waiting.extend(group)
        else:
            steps.append(step)
            done.extend(group)
    if done and not want.keys <= owned.keys:
        keep = owned._replace(keys=owned.keys | want.keys)
        steps.append(Step("metadata", {"xml": ownership.as_text(keep)}, "note ownership in the running guest"))
    return Live(tuple(steps), tuple(waiting), tuple(done))


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


def _live_value(edit: Edit, most_memory: int) -> Step | None:
    """The call that changes a plain value of a running guest, None if it has to wait. most_memory: its limit in bytes."""
    if edit.path in ("title", "description"):
        return Step(
            "describe",
            {"what": edit.path, "text": edit.after if isinstance(edit.after, str) else None},
            f"set the {edit.path}",
        )
    if edit.path == "currentMemory" and isinstance(edit.after, str) and int(edit.after) <= most_memory:
        return Step(
            "balloon",
            {"kib": int(edit.after) // 1024},
            f"set the memory to {values.size_text(int(edit.after))}",
            True,
        )
    return None


def _live_device(group: list[Edit]) -> Step | None:
    """The call that makes one device of a running guest true, None if it has to wait."""
    place = group[0].trail[0]
    whole = next((edit for edit in group if edit.path == place.path), None)
    name = f"{place.node.tag} {place.key}"
    if whole is not None and not can_plug(place.node, whole.before is not None):
        return None
    xml = tree.text_of(place.node)
    if whole is not None and whole.before is None:
        return Step("attach", {"xml": xml, "path": place.path, "key": place.key}, f"attach {name}", True)
    if whole is not None:
        return Step("detach", {"xml": xml, "path": place.path, "key": place.key}, f"detach {name}", True)
    paths = {edit.path for edit in group}
    media = place.node.get("device") in ("cdrom", "floppy") and paths <= MEDIA
    if not media and not paths <= UPDATABLE:
        return None
    return Step("update_device", {"xml": _moved(place.node)}, f"change {name}", True)


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
    source = node.find("source")
    if node.tag == "interface" and source is not None:
        for name in ("portid", "bridge" if source.get("network") else "network"):
            source.attrib.pop(name, None)
    return tree.text_of(node)
