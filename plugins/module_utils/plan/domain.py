# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Domains: from a declaration and the host as it is to steps, with what has to wait for a restart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from .. import tree
from . import ownership, values
from .current import Domain, Host
from .guest import macs
from .identity import derived_uuid
from .objects import (
    Wanted,
    changes_of,
    check_uuid,
    effect_of,
    fingerprint_step,
    overlaid,
    owned_after,
    running,
    undeclared,
)
from .overlay import Edit, size_at
from .plan import Change, Id, ObjectPlan, Step
from .power import power_steps
from .problem import Problems
from .rules import Rules, keys_among
from .site import Declared, Site
from .volume import users_of, volume_id

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


def plan_domain(want: Wanted, declared: Declared, site: Site) -> ObjectPlan:
    """The plan for one guest that is to be there. declared: made concrete."""
    name = declared["name"]
    current = site.host.domains.get(name)
    root = tree.parse(current.inactive) if current else new_document(want, declared, site)
    uuid = tree.get(root, "uuid") if current else None
    machine = tree.get(root, "os/type/@machine")
    _complete(want, root, declared, current is not None)
    owned = ownership.read(root)
    edits, settled = overlaid(want, root)
    edits = _without_aliases(edits, site.host)
    _keep_machine(edits, root, machine)
    edits += _one_boot_order(want, root, site.problems)
    check_uuid(want, root, uuid, site)
    _check_machine(want, site)
    if current is None and want.raw is None and root.find("memory") is None:
        site.problems.add(want.where + ": memory", "is needed for a new guest")
    steps: list[Step] = []
    changes = changes_of(edits, want.rules, None if current else "create")
    kept = current is None or current.persistent or not (edits or declared.get("autostart"))
    if not kept:
        changes += (Change("persistent", False, True, "live"),)
    if edits or current is None or not kept:
        ownership.write(root, owned_after(want, owned))
        steps.append(Step("define", {"xml": tree.text_of(root)}, f"define guest {name}"))
        steps.extend(fingerprint_step(want))
    live = _live(want, current, root, owned, settled, site.host)
    if live.done and not edits:
        changes += changes_of(list(live.done), want.rules)
    steps.extend(live.steps)
    pending = changes_of(list(live.waiting), want.rules)
    power_changes, power, restarted = power_steps(declared, current, bool(pending), site.problems)
    changes += power_changes
    steps.extend(_autostart(declared, current))
    if declared.get("autostart") is not None and declared["autostart"] != bool(current and current.autostart):
        changes += (Change("autostart", bool(current and current.autostart), declared["autostart"], "live"),)
    if current is None:
        changes = (Change("state", "absent", _state_after(declared, current), "create"), *changes)
    facts: dict[str, Any] = {"uuid": tree.get(root, "uuid"), "macs": macs(root)}
    return ObjectPlan(
        "domain",
        name,
        _state_after(declared, current),
        changes,
        tuple(steps) + power,
        () if restarted else pending,
        _needs(root, site),
        undeclared(want, root),
        facts,
    )


def _keep_machine(edits: list[Edit], root: tree.Element, machine: str | None) -> None:
    """Leave the machine type that an alias stands for as it is: written as the alias, a newer QEMU would make another one of it."""
    if machine is not None and not any(edit.path == "os/type/@machine" for edit in edits):
        tree.put(root, "os/type/@machine", machine)


def _one_boot_order(want: Wanted, root: tree.Element, problems: Problems) -> list[Edit]:
    """libvirt takes a boot order by kind of device or by device, not both: what is declared takes the place of the other one.

    It puts <boot dev='hd'/> into each definition that has no order by itself.
    """
    kinds, devices = root.findall("os/boot"), root.findall("devices/*/boot")
    if not (kinds and devices):
        return []
    if want.document.find("os/boot") is None:
        for node in kinds:
            tree.remove(node)
        return [Edit("os/boot", tuple(kinds), None, ())]
    if want.document.find("devices/*/boot") is not None:
        problems.add(want.where + ": boot", "excludes boot_order of disks and interfaces")
        return []
    edits = []
    for trail in list(ownership.places(root, want.rules)):
        node = trail[-1].node.find("boot")
        if node is not None and trail[-1].path.startswith("devices/"):
            edits.append(Edit(trail[-1].path + "/boot/@order", node.get("order"), None, trail))
            tree.remove(node)
    return edits


def _autostart(declared: Declared, current: Domain | None) -> tuple[Step, ...]:
    on = declared.get("autostart")
    if on is None or on == bool(current and current.autostart):
        return ()
    return (Step("autostart", {"on": on}, "set autostart of guest {}".format(declared["name"])),)


def _state_after(declared: Declared, current: Domain | None) -> str:
    state = str(declared["state"])
    if state in ("restarted", "reset"):
        return "running"
    return (current.state if current else "stopped") if state == "present" else state


def _needs(root: tree.Element, site: Site) -> frozenset[Id]:
    """The objects of this run that a guest stands on."""
    needs: set[Id] = set()
    files = {source.get("file") for source in root.iterfind("devices/disk/source")}
    names = {(source.get("pool"), source.get("volume")) for source in root.iterfind("devices/disk/source")}
    for pool, name in site.volumes:
        if site.volume_path(pool, name) in files or (pool, name) in names:
            needs.add(volume_id(pool, name))
    for source in root.iterfind("devices/interface/source"):
        if source.get("network"):
            needs.add(("network", source.get("network")))
    return frozenset(needs)


def new_document(want: Wanted, declared: Declared, site: Site) -> tree.Element:
    """What a new guest has before its declaration is laid over it.

    A guest that is declared by raw XML gets only what libvirt cannot do without: its author decides on the rest.
    """
    host = site.host
    root = tree.element("domain", type=want.document.get("type") or _virt_type(host))
    root.append(tree.element("name", declared["name"]))
    # libvirt wants the UUID that SMBIOS tells the guest to be the guest's own.
    told = next((node.text for node in want.document.iterfind("sysinfo/system/entry[@name='uuid']")), None)
    root.append(tree.element("uuid", told or derived_uuid(host.identity, "domain", declared["name"])))
    if want.raw is not None or root.get("type") not in ("kvm", "qemu"):
        if want.document.find("os/type") is None:
            tree.put(root, "os/type", "hvm")
        return root
    kind = tree.make(root, "os/type")
    kind.text = "hvm"
    arch = tree.get(want.document, "os/type/@arch") or host.arch
    kind.set("arch", arch)
    if arch == "x86_64":
        kind.set("machine", "q35")
        for feature in ("acpi", "apic"):
            tree.make(root, "features/" + feature)
    if want.document.find("cpu") is None and (arch == "x86_64" or root.get("type") == "kvm"):
        # host-model can be migrated; emulation has no host CPU to model, and the default there is too old for new systems.
        tree.put(root, "cpu/@mode", "host-model" if root.get("type") == "kvm" else "maximum")
    tree.put(root, "clock/@offset", "utc")
    devices = tree.make(root, "devices")
    _default_devices(devices, tree.get(want.document, "os/type/@machine") or "q35", arch)
    # A list that is declared is the user's own. libvirt makes a serial port for a serial console, so that goes with it.
    declared_lists = {"console" if path == "devices/serial" and not _filled(want, path) else path for path in want.lists}
    for tag in ("serial", "console", "channel", "rng"):
        if "devices/" + tag in want.lists or tag in declared_lists:
            tree.erase(devices, tag)
    return root


def _filled(want: Wanted, path: str) -> bool:
    """Whether a declared list has entries: an empty one is told by a mark without attributes of its own."""
    return any(len(node) or node.get("type") for node in want.typed.findall(path))


def _virt_type(host: Host) -> str:
    if host.driver == "QEMU":
        return "kvm" if host.kvm else "qemu"
    return host.driver.lower()


def _default_devices(devices: tree.Element, machine: str, arch: str) -> None:
    """A serial console, the guest agent's channel, randomness, and free PCIe ports for what is attached later."""
    if arch == "x86_64" and "q35" in machine:
        tree.put(devices, "controller/@type", "pci")
        devices[-1].set("index", "0")
        devices[-1].set("model", "pcie-root")
        for index in range(1, 15):
            devices.append(tree.element("controller", None, type="pci", index=str(index), model="pcie-root-port"))
    for tag in ("serial", "console"):
        node = tree.element(tag, None, type="pty")
        node.append(
            tree.element("target", None, type="serial", port="0")
            if tag == "console"
            else tree.element("target", None, port="0")
        )
        devices.append(node)
    channel = tree.element("channel", None, type="unix")
    channel.append(tree.element("target", None, type="virtio", name="org.qemu.guest_agent.0"))
    devices.append(channel)
    rng = tree.element("rng", None, model="virtio")
    rng.append(tree.element("backend", "/dev/urandom", model="random"))
    devices.append(rng)


def _complete(want: Wanted, root: tree.Element, declared: Declared, exists: bool) -> None:
    """Fill in what a declared device cannot do without where the guest does not have that device yet."""
    for path, nodes in _device_groups(want.typed).items():
        there = keys_among(want.rules, path, root.findall(path)) or []
        by_key = dict(zip(keys_among(want.rules, path, want.document.findall(path)) or [], want.document.findall(path)))
        for key in keys_among(want.rules, path, nodes) or []:
            if key not in there and key in by_key:
                _fill(by_key[key])
            if key in by_key and by_key[key].tag == "graphics":
                _choose_port(by_key[key])
    memory, balloon = root.find("memory"), root.find("currentMemory")
    follows = (
        not exists or balloon is None or (memory is not None and size_at(memory, "KiB") == size_at(balloon, "KiB"))
    )
    if declared.get("memory") and not declared.get("current_memory") and follows:
        wanted_memory = want.document.find("memory")
        if wanted_memory is not None and want.document.find("currentMemory") is None:
            wanted_memory.addnext(tree.element("currentMemory", wanted_memory.text, unit=wanted_memory.get("unit")))


def _fill(node: tree.Element) -> None:
    """Fill in a new device."""
    if node.tag == "graphics" and node.get("type") not in ("vnc", "spice"):
        return
    for where, text in NEW_DEVICE.get(node.tag, ()):
        if tree.get(node, where) is None:
            tree.put(node, where, text)
    if node.tag == "rng" and tree.get(node, "backend/@model") == "random" and not tree.get(node, "backend"):
        tree.put(node, "backend", "/dev/urandom")


def _choose_port(node: tree.Element) -> None:
    """A port and autoport say one thing: libvirt forgets a port beside autoport='yes' (domain_conf.c)."""
    port, automatic = node.get("port"), node.get("autoport")
    if port is not None and automatic is None:
        node.set("autoport", "yes" if port == "-1" else "no")
    elif automatic == "yes" and port is None:
        node.set("port", "-1")


NEW_DEVICE: Mapping[str, tuple[tuple[str, str], ...]] = {
    "disk": (("@type", "file"), ("@device", "disk"), ("driver/@name", "qemu")),
    "channel": (("@type", "unix"), ("target/@type", "virtio")),
    "serial": (("@type", "pty"),),
    "console": (("@type", "pty"),),
    "rng": (("@model", "virtio"), ("backend/@model", "random")),
    "tpm": (("@model", "tpm-crb"), ("backend/@type", "emulator"), ("backend/@version", "2.0")),
    "graphics": (("@port", "-1"), ("@autoport", "yes")),
}


def _device_groups(root: tree.Element) -> dict[str, list[tree.Element]]:
    groups: dict[str, list[tree.Element]] = {}
    for node in root.iterfind("devices/*"):
        if tree.is_element(node):
            groups.setdefault("devices/" + node.tag, []).append(node)
    return groups


def _check_machine(want: Wanted, site: Site) -> None:
    """A problem if the host has no such machine type. Hosts that tell none, and architectures they cannot run, are let be."""
    machine = tree.get(want.document, "os/type/@machine")
    arch = tree.get(want.document, "os/type/@arch") or site.host.arch
    known = {name for (of, name) in site.host.machines if of == arch}
    if machine and known and machine not in known:
        alike = ", ".join(sorted(name for name in known if name.startswith(machine[:5]))[:5])
        hint = f"; it has for example {alike}" if alike else ""
        site.problems.add(want.where + ": machine", f"this host has no machine type {machine!r} for {arch}{hint}")


def _without_aliases(edits: list[Edit], host: Host) -> list[Edit]:
    """Edits less those that only name a machine type by its alias: q35 is pc-q35-9.0, or what pc-q35 was when the guest was
    made: a new QEMU on the host is no reason to give its guests another machine.
    """
    kept = []
    for edit in edits:
        if (
            edit.path == "os/type/@machine"
            and edit.before is not None
            and edit.after in _aliases(str(edit.before), host)
        ):
            continue
        kept.append(edit)
    return kept


def _aliases(machine: str, host: Host) -> frozenset[str]:
    family = machine.rpartition("-")[0]
    return frozenset(
        alias
        for (_arch, alias), canonical in host.machines.items()
        if alias != canonical and canonical.rpartition("-")[0] == family
    )


def _live(
    want: Wanted, current: Domain | None, root: tree.Element, before: ownership.Owned, settled: bool, host: Host
) -> Live:
    """Compare the declaration with the running guest. root: the definition made true; before: its ownership until now."""
    if current is None or current.live is None:
        return Live((), (), ())
    live = tree.parse(current.live)
    owned = ownership.read(live)
    most = live.find("memory")
    most_memory = size_at(most, "KiB") if most is not None else None
    edits = _without_aliases(running(want, live, root, before, settled), host)
    edits = [edit for edit in edits if not _expanded(edit, current)]
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
        step = _live_device(group, want.rules)
        if step is None:
            waiting.extend(group)
        else:
            steps.append(step)
            done.extend(group)
    if done and not want.keys <= owned.keys:
        keep = owned._replace(keys=owned.keys | want.keys)
        steps.append(Step("metadata", {"xml": ownership.as_text(keep)}, "note ownership in the running guest"))
    return Live(tuple(steps), tuple(waiting), tuple(done))


def _expanded(edit: Edit, current: Domain) -> bool:
    """Whether the running definition says the same in other words: libvirt expands a CPU model when the guest starts."""
    if not edit.path.startswith("cpu"):
        return False
    inactive = tree.parse(current.inactive)
    return tree.get(inactive, edit.path) == edit.after


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


def _live_device(group: list[Edit], rules: Rules) -> Step | None:
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
    if not media and not all(
        path in UPDATABLE or _effect_is_live(edit, rules) for path, edit in zip((e.path for e in group), group)
    ):
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


def _effect_is_live(edit: Edit, rules: Rules) -> bool:
    return edit.path in UPDATABLE and effect_of(edit, rules) == "live"


def _moved(node: tree.Element) -> str:
    """A device for an update: what libvirt noted of an interface's old network does not go with the new one."""
    source = node.find("source")
    if node.tag == "interface" and source is not None:
        for name in ("portid", "bridge" if source.get("network") else "network"):
            source.attrib.pop(name, None)
    return tree.text_of(node)


def plan_absent(declared: Declared, site: Site) -> ObjectPlan:
    """The plan for a guest that is not to be there. Its volumes stay unless remove_storage says otherwise."""
    name = declared["name"]
    current = site.host.domains.get(name)
    if current is None:
        return ObjectPlan("domain", name, "absent")
    _changes, steps, _restarted = power_steps(dict(declared, state="stopped"), current, False, site.problems)
    if current.persistent:
        steps += (Step("undefine", {"keeps": sorted(current.keeps)}, f"undefine guest {name}"),)
    root = tree.parse(current.inactive)
    if declared.get("remove_storage"):
        _remove_storage(root, name, site)
    return ObjectPlan(
        "domain",
        name,
        "absent",
        (Change("state", current.state, "absent", "delete"),),
        steps,
        facts={"uuid": tree.get(root, "uuid")},
    )


def _remove_storage(root: tree.Element, name: str, site: Site) -> None:
    """Add the guest's own volumes to those that are to be deleted: writable, or its seed; in a pool; used by nobody else."""
    for node in root.iterfind("devices/disk"):
        path = tree.get(node, "source/@file") or tree.get(node, "source/@dev")
        volume = site.volume_at(path) if path else None
        pool, volume_name = tree.get(node, "source/@pool"), tree.get(node, "source/@volume")
        if volume is None and pool and volume_name:
            volume = site.volume(pool, volume_name)
        if volume is None or node.find("shareable") is not None:
            continue
        own_seed = volume.name == f"{name}-seed.iso"
        if (node.get("device", "disk") != "disk" or node.find("readonly") is not None) and not own_seed:
            continue
        key = (volume.pool, volume.name)
        if site.volumes.get(key, {}).get("state", "absent") == "absent" and not users_of(volume.path, site, name):
            site.volumes[key] = {"name": volume.name, "pool": volume.pool, "state": "absent"}
