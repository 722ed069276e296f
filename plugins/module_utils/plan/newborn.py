# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a new guest, or a new device of a guest, gets beyond its declaration."""

from __future__ import annotations

from collections.abc import Mapping

from .. import tree
from . import ownership
from .current import CHANNEL, Host
from .identity import derived_uuid
from .objects import Wanted, doomed
from .overlay import ABSENT
from .rules import keys_among
from .site import Declared, Site
from .values import size_at


def new_document(want: Wanted, declared: Declared, site: Site) -> tree.Element:
    """What a new guest has before its declaration is laid over it.

    A guest that is declared by raw XML gets only what libvirt cannot do without: its author decides on the rest.
    """
    host = site.host
    root = tree.element("domain", type=want.document.get("type") or _virt_type(host))
    root.append(tree.element("name", declared["name"]))
    # libvirt wants the UUID that SMBIOS tells the guest to be the guest's own.
    told = next((node.text for node in tree.find_all(want.document, "sysinfo/system/entry[@name='uuid']")), None)
    root.append(tree.element("uuid", told or derived_uuid(host.identity, "domain", declared["name"])))
    if want.raw is not None or root.get("type") not in ("kvm", "qemu"):
        if not tree.get(want.document, "os/type"):
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
    if tree.find(want.document, "cpu") is None and (arch == "x86_64" or root.get("type") == "kvm"):
        # host-model can be migrated; emulation has no host CPU to model, and the default there is too old for new systems.
        tree.put(root, "cpu/@mode", "host-model" if root.get("type") == "kvm" else "maximum")
    tree.put(root, "clock/@offset", "utc")
    devices = tree.make(root, "devices")
    _default_devices(devices, tree.get(want.document, "os/type/@machine") or "q35", arch)
    # A list that is declared is the user's own. libvirt makes a serial port for a serial console, so that goes with it.
    declared_lists = {
        "console" if path == "devices/serial" and not _filled(want, path) else path for path in want.lists
    }
    for tag in ("serial", "console", "channel", "rng"):
        if "devices/" + tag in want.lists or tag in declared_lists:
            tree.erase(devices, tag)
    on_scsi = any(tree.get(node, "target/@bus") == "scsi" for node in tree.find_all(want.document, "devices/disk"))
    if on_scsi and tree.find(want.document, "devices/controller[@type='scsi']") is None:
        # libvirt's own choice is a controller of 1995, which new systems have no driver for.
        devices.append(tree.element("controller", None, type="scsi", index="0", model="virtio-scsi"))
    return root


def _filled(want: Wanted, path: str) -> bool:
    """Whether a declared list has entries: an empty one is told by a mark without attributes of its own."""
    return any(len(node) or node.get("type") for node in tree.find_all(want.typed, path))


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
    channel.append(tree.element("target", None, type="virtio", name=CHANNEL))
    devices.append(channel)
    rng = tree.element("rng", None, model="virtio")
    rng.append(tree.element("backend", "/dev/urandom", model="random"))
    devices.append(rng)


def complete(want: Wanted, root: tree.Element, declared: Declared, exists: bool) -> None:
    """Fill in what a declared device cannot do without where the guest does not have that device yet."""
    for path, nodes in _device_groups(want.typed).items():
        there = keys_among(want.rules, path, tree.find_all(root, path)) or []
        by_key = dict(
            zip(
                keys_among(want.rules, path, tree.find_all(want.document, path)) or [],
                tree.find_all(want.document, path),
            )
        )
        for key in keys_among(want.rules, path, nodes) or []:
            if key not in there and key in by_key:
                _fill(by_key[key])
            if key in by_key and by_key[key].tag == "graphics":
                _choose_port(by_key[key])
                _choose_listen(by_key[key], root)
    for node in tree.find_all(want.document, "devices/disk"):
        _move_into_source(node, root)
    memory, balloon = tree.find(root, "memory"), tree.find(root, "currentMemory")
    follows = not exists or balloon is None or (memory is not None and size_at(balloon, "KiB") in _totals(memory, root))
    if declared.get("memory") and not declared.get("current_memory") and follows:
        wanted_memory = tree.find(want.document, "memory")
        if wanted_memory is not None and tree.find(want.document, "currentMemory") is None:
            wanted_memory.addnext(tree.element("currentMemory", wanted_memory.text, unit=wanted_memory.get("unit")))
    if declared.get("memory"):
        _add_devices(want, root)


def _totals(memory: tree.Element, root: tree.Element) -> tuple[int, int]:
    """A guest's memory in bytes, with and without that of its memory devices."""
    total = size_at(memory, "KiB") or 0
    return total, total - device_memory(tree.find_all(root, "devices/memory"))


def device_memory(nodes: list[tree.Element]) -> int:
    """The size of memory devices in bytes, which libvirt counts into a guest's memory (virDomainDefGetMemoryTotal)."""
    sizes = (tree.find(node, "target/size") for node in nodes)
    return sum(size_at(size, "KiB") or 0 for size in sizes if size is not None)


def _add_devices(want: Wanted, root: tree.Element) -> None:
    """Count the memory devices that the guest will have into the memory that is declared."""
    path = "devices/memory"
    present, wanted = (
        tree.find_all(root, path),
        [node for node in tree.find_all(want.document, path) if not node.get(ABSENT)],
    )
    after = dict(zip(keys_among(want.rules, path, present) or [], present))
    for key in doomed(want, ownership.read(root).keys):
        if key.startswith(path + "["):
            after.pop(key.rpartition("[")[2].rstrip("]"), None)
    after.update(zip(keys_among(want.rules, path, wanted) or [], wanted))
    extra = device_memory(list(after.values()))
    for document in {want.document, want.typed} if extra else ():
        memory = document.find("memory")
        memory.text = str(((size_at(memory, "KiB") or 0) + extra) // 1024)
        memory.set("unit", "KiB")


def _fill(node: tree.Element) -> None:
    """Fill in a new device."""
    for where, text in _defaults(node):
        if tree.get(node, where) is None:
            tree.put(node, where, text)
    if node.tag == "rng" and tree.get(node, "backend/@model") == "random" and not tree.get(node, "backend"):
        tree.put(node, "backend", "/dev/urandom")


def _defaults(node: tree.Element) -> tuple[tuple[str, str], ...]:
    """What a new device of this kind has to say, or should: (path, text)."""
    kind = tree.get(node, "backend/@type") if node.tag == "tpm" else node.get("type")
    if node.tag == "graphics" and (
        kind not in ("vnc", "spice")
        or node.get("socket")
        or node.get("port")
        or tree.get(node, "listen/@type") in ("socket", "none")
    ):
        return ()
    if tree.find(node, "source/auth") is not None:
        secret = "ceph" if tree.get(node, "source/@protocol") == "rbd" else "iscsi"
        return (*NEW_DEVICE[node.tag], ("source/auth/secret/@type", secret))
    if node.tag == "memory" and node.get("model") == "virtio-mem":
        # The smallest block that works with any size of pages, and nothing is plugged yet.
        return (("target/block", "2048"), ("target/requested", "0"))
    if node.tag == "vsock" and tree.get(node, "cid/@address") is not None:
        return NEW_DEVICE["vsock"][:1]
    if node.tag == "shmem" and tree.find(node, "server") is not None:
        return (("model/@type", "ivshmem-doorbell"),)
    return NEW_DEVICE.get(f"{node.tag} {kind}", NEW_DEVICE.get(node.tag, ()))


def _choose_port(node: tree.Element) -> None:
    """A port and autoport say one thing: beside autoport='yes' libvirt forgets a port, and keeps -1 for VNC only
    (virDomainGraphicsDefFormat, domain_conf.c).
    """
    port, automatic = node.get("port"), node.get("autoport")
    if port is not None and automatic is None:
        node.set("autoport", "yes" if port == "-1" else "no")
    if node.get("autoport") != "yes":
        return
    if node.get("type") == "vnc":
        node.set("port", port or "-1")
    elif port == "-1":
        del node.attrib["port"]


def _move_into_source(node: tree.Element, root: tree.Element) -> None:
    """Who logs in, and the encryption, may stand beside a disk's source (as libvirt has kept it since before 3.9) or in it,
    where a declaration puts it, but not in both places.
    """
    for tag in ("auth", "encryption"):
        for disk in tree.find_all(root, "devices/disk") if tree.find(node, "source/" + tag) is not None else ():
            beside, source = disk.find(tag), disk.find("source")
            if tree.get(disk, "target/@dev") == tree.get(node, "target/@dev") and None not in (beside, source):
                source.append(beside)


def _choose_listen(node: tree.Element, root: tree.Element) -> None:
    """Where a list of places to listen on is declared, the attribute that says the first of them too goes with the old one."""
    if tree.find(node, "listen") is not None and node.get("listen") is None:
        for present in tree.find_all(root, "devices/graphics"):
            if present.get("type") == node.get("type"):
                present.attrib.pop("listen", None)


NEW_DEVICE: Mapping[str, tuple[tuple[str, str], ...]] = {
    "disk": (("@type", "file"), ("@device", "disk"), ("driver/@name", "qemu")),
    "channel": (("@type", "unix"), ("target/@type", "virtio")),
    "serial": (("@type", "pty"),),
    "console": (("@type", "pty"),),
    "rng": (("@model", "virtio"), ("backend/@model", "random")),
    "tpm": (("@model", "tpm-crb"), ("backend/@type", "emulator"), ("backend/@version", "2.0")),
    "tpm passthrough": (("@model", "tpm-tis"),),
    "tpm external": (("@model", "tpm-crb"), ("backend/source/@type", "unix"), ("backend/source/@mode", "connect")),
    "graphics": (("@port", "-1"), ("@autoport", "yes")),
    "hostdev": (("@mode", "subsystem"),),
    "hostdev pci": (("@mode", "subsystem"), ("@managed", "yes")),
    "hostdev mdev": (("@mode", "subsystem"), ("@model", "vfio-pci")),
    "filesystem mount": (("@accessmode", "passthrough"),),
    "vsock": (("@model", "virtio"), ("cid/@auto", "yes")),
    "shmem": (("model/@type", "ivshmem-plain"),),
    "redirdev": (("@type", "spicevmc"),),
}


def _device_groups(root: tree.Element) -> dict[str, list[tree.Element]]:
    groups: dict[str, list[tree.Element]] = {}
    for node in tree.find_all(root, "devices/*"):
        if tree.is_element(node):
            groups.setdefault("devices/" + node.tag, []).append(node)
    return groups
