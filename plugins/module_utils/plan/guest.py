# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A guest's declaration made concrete: its disks' volumes, its interfaces' addresses, its seed.

What a user writes in one place (an image and a size, an address) concerns several objects. Here it becomes plain
fields of the guest, plus volumes and reservations that are planned as objects of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .. import tree
from ..spec.kinds import KIND
from .content import format_of
from .document import raw_document
from .identity import derived_mac
from .problem import Problems
from .seed import with_ignition, with_seed
from .site import Declared, Reservation, Site
from .values import VALUES, pci_address, pci_attributes

# Options that name a disk's source on the host, which is no volume of ours.
SOURCES = ("file", "block", "dir", "vdpa", "network", "nvme", "vhostuser")
NEEDED = {"direct": "dev", "vdpa": "dev", "vhostuser": "path", "internal": "source_name", "client": "source_port"}
NEEDED.update({"mcast": "source_port", "server": "source_port", "udp": "source_port"})
# What tells interfaces apart that have no MAC address, and where it stands.
ENDS = {
    "network": "source/@network",
    "bridge": "source/@bridge",
    "dev": "source/@dev",
    "path": "source/@path",
    "source_name": "source/@name",
    "source_port": "source/@port",
}
BUS = {"vd": "virtio", "sd": "sata", "hd": "ide", "fd": "fdc", "nv": "nvme"}


def concrete(declared: Declared, site: Site) -> Declared:
    """The declaration with concrete disks and interfaces. Adds the implied volumes and reservations to the site."""
    current = site.host.domains.get(declared["name"])
    root = tree.only_read(current.inactive) if current else None
    where = "domain {}".format(declared["name"])
    result = dict(declared)
    if declared.get("disks") is not None:
        result["disks"] = [_disk(item, declared, root, where, site) for item in declared["disks"]]
        _unique(declared["disks"], "target", where + ": disks", site.problems)
    if declared.get("interfaces") is not None:
        result["interfaces"] = _interfaces(declared, root, where, site)
        present = [] if root is None else macs(root)
        _unique(result["interfaces"], "mac", where + ": interfaces", site.problems, present)
    for name, check in (("hostdevs", _hostdev), ("inputs", _input), ("controllers", _controller)):
        if declared.get(name) is not None:
            result[name] = [check(item, f"{where}: {name}[{place}]", site) for place, item in enumerate(declared[name])]
    if declared.get("cloud_init") is not None:
        result = with_seed(result, root, where, site)
    if declared.get("ignition") is not None:
        result = with_ignition(result, root, where, site)
    if declared.get("virt_type") == "auto":
        result["virt_type"] = None
    if declared.get("firmware") == "bios":
        result["firmware"] = None
        if root is not None and (root.find("os").get("firmware") == "efi" or tree.find(root, "os/nvram") is not None):
            site.problems.add(where + ": firmware", "is efi; the firmware of an existing guest is not changed to bios")
    return result


def _hostdev(item: Declared, where: str, site: Site) -> Declared:
    """One device of the host; it is exactly one."""
    given = [name for name in ("pci", "usb", "mdev", "scsi", "scsi_host") if item.get(name) is not None]
    if len(given) != 1:
        site.problems.add(where, "needs one of pci, usb, mdev, scsi and scsi_host")
    return item


def _input(item: Declared, _where: str, _site: Site) -> Declared:
    """One input with the bus that it has when none is declared; an evdev has none."""
    bus = item.get("bus") or {"passthrough": "virtio", "evdev": None}.get(item["type"], "usb")
    return dict(item, bus=bus)


def _controller(item: Declared, where: str, site: Site) -> Declared:
    """One controller; the first of its type if it says no index, but the first PCI controller is always there."""
    if item["type"] == "pci" and item.get("index") is None:
        site.problems.add(where + ".index", "is needed for pci")
    return dict(item, index=item.get("index") or 0)


def _unique(
    items: list[Mapping[str, Any]], option: str, where: str, problems: Problems, known: Sequence[str] = ()
) -> None:
    """A problem for each value that two items have, unless as many have it already: known."""
    given = [item[option] for item in items if item.get(option) is not None]
    for value in dict.fromkeys(given):
        if given.count(value) > max(1, known.count(value)):
            problems.add(where, f"{option} {value} is declared twice")


def _node(root: tree.Element | None, target: str) -> tree.Element | None:
    """The guest's disk with this target, as it is now."""
    if root is None:
        return None
    return next((node for node in tree.find_all(root, "devices/disk") if tree.get(node, "target/@dev") == target), None)


def _disk(item: Declared, guest: Declared, root: tree.Element | None, where: str, site: Site) -> Declared:
    """One disk with its source as plain fields; its own volume, if it has one, is added to the site."""
    where = "{}: disks[{}]".format(where, item["target"])
    node = _node(root, item["target"])
    item = dict(item, iotune=_limits(item.get("iotune") or {}, where, site.problems) or None)
    given = [name for name in ("image", "volume", *SOURCES) if item.get(name)]
    if len(given) > 1:
        site.problems.add(where, "{} exclude each other".format(" and ".join(given)))
    if (
        node is not None
        and item.get("volume")
        and tree.get(node, "source/@volume") == item["volume"]
        and not item.get("size")
    ):
        # The disk is that volume already, whether or not its pool can be looked into now.
        return {name: value for name, value in item.items() if name not in ("image", "image_pool")}
    for name in ("pool", "image_pool"):
        if item.get(name) and not site.knows("pool", item[name]):
            site.problems.add(f"{where}.{name}", f"pool {item[name]} is neither there nor declared")
    result = {
        name: value for name, value in item.items() if name not in ("image", "image_pool", "size", "volume", "pool")
    }
    if any(item.get(name) for name in SOURCES):
        if item.get("size"):
            site.problems.add(where + ".size", "goes with image or volume, not with another source")
    elif node is not None and not item.get("volume") and not _is_own(node, item, guest, site):
        # A disk that is there keeps its data, whatever image or size say about making it: only its size can grow.
        _grow(item, node, where, site)
        return result
    elif item.get("volume") or item.get("image") or item.get("size"):
        _stand_on_volume(result, item, guest, root, where, site)
    if node is None and not _is_in_xml(item, guest):
        _new_disk(result, where, site)
    return result


def _limits(iotune: Mapping[str, Any], where: str, problems: Problems) -> dict[str, Any]:
    """Limits of a disk: a total takes the place of those for reading and writing, and the other way round. libvirt refuses
    both (virDomainDiskDefValidate), and a validator takes forever to find out that its schema does as well.
    """
    found = {name: value for name, value in iotune.items() if value is not None}
    for what in ("bytes", "iops"):
        for burst in ("", "_max", "_max_length"):
            total, *single = (f"{way}_{what}_sec{burst}" for way in ("total", "read", "write"))
            given = [name for name in single if found.get(name)]
            if found.get(total) and given:
                problems.add(f"{where}.iotune", "{} and {} exclude each other".format(total, " and ".join(given)))
            elif found.get(total):
                found.update(dict.fromkeys(single, 0))
            elif given:
                found[total] = 0
    return found


def _is_in_xml(item: Declared, guest: Declared) -> bool:
    """Whether the declaration's own XML has this disk: then it says what a new one needs."""
    return _node(raw_document(KIND["domain"], guest.get("xml"), "", Problems()), item["target"]) is not None


def _volume_name(item: Declared, guest: Declared) -> str:
    return str(item.get("volume") or "{}-{}.{}".format(guest["name"], item["target"], item.get("format") or "qcow2"))


def _is_own(node: tree.Element, item: Declared, guest: Declared, site: Site) -> bool:
    """Whether the guest's present disk is the volume that this declaration would make."""
    pool, name = item.get("pool") or "default", _volume_name(item, guest)
    path = site.volume_path(pool, name)
    if path is not None and path in (tree.get(node, "source/@file"), tree.get(node, "source/@dev")):
        return True
    return tree.get(node, "source/@pool") == pool and tree.get(node, "source/@volume") == name


def _grow(item: Declared, node: tree.Element, where: str, site: Site) -> None:
    if item.get("size") is None:
        return
    path = tree.get(node, "source/@file") or tree.get(node, "source/@dev") or tree.get(node, "source/@volume")
    if path is None:
        return
    pool = tree.get(node, "source/@pool")
    volume = site.volume(pool, path) if pool else site.volume_at(path)
    if volume is None:
        site.problems.add(where + ".size", f"the disk is {path}, which is in no active pool; its size is not managed")
    else:
        site.imply({"name": volume.name, "pool": volume.pool, "size": item["size"]})


def _check_new(item: Declared, node: tree.Element | None, guest: Declared, where: str, site: Site) -> None:
    """Note a volume that is to be made although the guest has it: it would start with an empty disk, where its data may only
    not be mounted.
    """
    pool, name = item.get("pool") or "default", _volume_name(item, guest)
    is_implied = (pool, name) not in site.volumes
    if is_implied and site.has_lost(pool, name) and node is not None and _is_own(node, item, guest, site):
        site.problems.add(
            where,
            f"the guest's disk is volume {pool}/{name}, which is not in its pool any more; is what the pool's directory is "
            "on mounted? Where an empty disk is wanted in its place, declare the volume itself",
        )


def _stand_on_volume(
    result: Declared, item: Declared, guest: Declared, root: tree.Element | None, where: str, site: Site
) -> None:
    """Make a volume, which is implied if it is to be made, the source of a disk; one that is it already stays as it is."""
    pool, name = item.get("pool") or "default", _volume_name(item, guest)
    if not site.knows("pool", pool):
        site.problems.add(where, f"pool {pool} is neither there nor declared")
    declared = site.volumes.get((pool, name))
    node = _node(root, item["target"])
    if item.get("image") or item.get("size"):
        _check_new(item, node, guest, where, site)
        declared = site.imply(
            {
                "name": name,
                "pool": pool,
                "size": item.get("size"),
                "format": item.get("format"),
                "backing": item.get("image"),
                "backing_pool": item.get("image_pool") if item.get("image") else None,
            }
        )
    current = site.volume(pool, name)
    if not site.has_volume(pool, name) and (declared is None or declared["state"] == "absent"):
        site.problems.add(where + ".volume", site.lacks_volume(pool, name))
        result.update({"volume": name, "pool": pool})
        return
    stands = node is not None and (tree.get(node, "source/@pool"), tree.get(node, "source/@volume")) == (pool, name)
    path = None if stands else site.volume_path(pool, name)
    is_file = site.pool_directory(pool) is not None
    # A file is written as a file: AppArmor's helper does not resolve type='volume' (libvirt issue 546).
    if path and (is_file or path.startswith("/dev/")):
        result.pop("volume_mode", None)
        result.update({"file" if is_file else "block": path})
    else:
        result.update({"volume": name, "pool": pool})
    if item.get("format"):
        form = item["format"]
    elif not is_file:
        # The format of a volume that is no file is what kind of partition it is.
        form = "raw"
    elif current is None and site.has_volume(pool, name):
        # A volume that was not looked at is one that a disk of this guest stands on.
        form = _format_at(root, path)
    else:
        form = current.format if current else format_of(declared or {}, is_file)
        if not form:
            site.problems.add(where + ".format", f"cannot be told before volume {pool}/{name} is fetched; say it")
    if form:
        result["format"] = form


def _format_at(root: tree.Element | None, path: str | None) -> str | None:
    """The format in which the guest's disk on this file is read now."""
    nodes = [] if root is None else tree.find_all(root, "devices/disk")
    return next((tree.get(node, "driver/@type") for node in nodes if tree.get(node, "source/@file") == path), None)


def _new_disk(result: Declared, where: str, site: Site) -> None:
    """What a new disk gets when it is not declared."""
    device = result.get("device") or "disk"
    source = next((result[name] for name in ("volume", *SOURCES) if result.get(name)), None)
    if source is None and device not in {"cdrom", "floppy"}:
        site.problems.add(where, "a new disk needs image, size, volume, file, block or another source")
        return
    if result.get("format") is None and source is not None:
        result["format"] = _format_of_file(result, where, site)
    result["device"] = device
    result["bus"] = result.get("bus") or ("sata" if device == "cdrom" else BUS.get(result["target"][:2], "virtio"))
    if result.get("format") == "qcow2" and result.get("discard") is None:
        result["discard"] = "unmap"


def _format_of_file(item: Declared, where: str, site: Site) -> str | None:
    if item.get("dir"):
        return "fat"
    if item.get("device") == "cdrom" or any(item.get(name) for name in SOURCES if name != "file"):
        return "raw"
    if not item.get("file"):
        return None  # It is a volume, which was looked at.
    path = str(item["file"])
    volume = site.volume_at(path)
    if volume is not None and volume.format:
        return volume.format
    if path.endswith(".qcow2"):
        return "qcow2"
    if path.endswith((".raw", ".iso")):
        return "raw"
    site.problems.add(where + ".format", f"cannot be told from the name {path}; say it")
    return None


def _interfaces(declared: Declared, root: tree.Element | None, where: str, site: Site) -> list[Declared]:
    """The interfaces, each with its MAC address: the declared one, that of the interface it is, or a derived one."""
    present = [] if root is None else [_interface_facts(node) for node in tree.find_all(root, "devices/interface")]
    items = [dict(item, mac=_plain_mac(item.get("mac"))) for item in declared["interfaces"]]
    taken = {item["mac"].lower() for item in items if item.get("mac")}
    names = _names(items)
    for item, name in zip(items, names):
        at = "{}: interfaces[{}]".format(where, item.get("name") or item.get("mac") or name)
        _check_interface(item, at, site, present)
        if not item.get("mac"):
            mac = derived_mac(site.host.identity, declared["name"], name)
            item["mac"] = mac if any(fact[0] == mac for fact in present) and mac not in taken else None
            taken.add(item["mac"] or "")
    for item, name in zip(items, names):
        if not item.get("mac"):
            item["mac"] = _matching(item, present, taken) or derived_mac(
                site.host.identity, declared["name"], name, taken
            )
            taken.add(item["mac"])
        is_new = item["mac"].lower() not in {fact[0] for fact in present}
        if is_new and not item.get("model") and not item.get("hostdev"):
            item["model"] = "virtio"
        if is_new and _type_of(item) is None:
            site.problems.add(
                "{}: interfaces[{}]".format(where, item.get("name") or item["mac"]),
                "a new interface needs network, bridge, hostdev or type",
            )
        if item.get("filter_parameters"):
            # As libvirt writes them (virNWFilterFormatParamAttributes): several values of one name keep their order.
            item["filter_parameters"] = sorted(item["filter_parameters"], key=lambda one: str(one["name"]))
        _reserve(item, declared, site)
    return items


def _plain_mac(mac: str | None) -> str | None:
    """A MAC address as libvirt writes it; one that is wrong is left for the problem that tells so."""
    try:
        return VALUES["mac"].encode(mac) if mac else None
    except ValueError:
        return mac


def _names(items: list[Declared]) -> list[str]:
    """What identifies each interface that has no MAC address: its own name, or its network and place there."""
    count: dict[str, int] = {}
    names = []
    for item in items:
        source = item.get("network") or item.get("bridge") or " ".join(_end(item)[1:]).strip() or item.get("type") or ""
        place = count.get(source, 0)
        count[source] = place + 1
        names.append(item.get("name") or f"{source}#{place}")
    return names


def _type_of(item: Declared) -> str | None:
    """The type of a declared interface."""
    implied = next((name for name in ("network", "bridge", "hostdev") if item.get(name)), None)
    return implied or item.get("type")


def _end(item: Declared) -> tuple[str, ...]:
    """What a declared interface is connected to: its type, and what tells it apart from others of that type."""
    try:
        card = (pci_address(pci_attributes(item["hostdev"])) or "") if item.get("hostdev") else ""
    except ValueError:
        card = ""
    return (_type_of(item) or "", *(str(item.get(name) or "") for name in ENDS), card)


def _interface_facts(node: tree.Element) -> tuple[str, tuple[str, ...]]:
    """The MAC address of an interface that is there, and what it is connected to, as _end says it."""
    address = tree.find(node, "source/address")
    card = (None if address is None else pci_address(address.attrib)) or ""
    ends = (tree.get(node, path) or "" for path in ENDS.values())
    return (tree.get(node, "mac/@address") or "").lower(), (node.get("type") or "", *ends, card)


def _matching(item: Declared, present: list[tuple[str, tuple[str, ...]]], taken: set[str]) -> str | None:
    """The MAC address of an interface that is there, connected to the same thing, and not spoken for."""
    return next((mac for mac, end in present if mac not in taken and end == _end(item)), None)


def macs(root: tree.Element) -> list[str]:
    """The MAC addresses of a guest's interfaces."""
    return [(tree.get(node, "mac/@address") or "").lower() for node in tree.find_all(root, "devices/interface")]


def _check_interface(item: Declared, where: str, site: Site, present: list[tuple[str, tuple[str, ...]]]) -> None:
    """Note what does not fit in an interface. present: MAC addresses and ends of those that are there."""
    given = [name for name in ("network", "bridge", "hostdev", "type") if item.get(name)]
    if len(given) > 1:
        site.problems.add(where, "{} exclude each other".format(" and ".join(given)))
    option = NEEDED.get(item.get("type") or "")
    # The socket of passt is libvirt's own, and an interface that is there is connected already.
    there = any(mac == (item.get("mac") or "").lower() and end[0] == item.get("type") for mac, end in present)
    if option and not item.get(option) and item.get("backend") != "passt" and not there:
        site.problems.add(f"{where}.{option}", "is needed for type {}".format(item["type"]))
    attached = {end[1] for _mac, end in present}
    if item.get("network") and item["network"] not in attached and not site.knows("network", item["network"]):
        site.problems.add(where + ".network", "network {} is neither there nor declared".format(item["network"]))
    if item.get("address") and not item.get("network"):
        site.problems.add(where + ".address", "needs a network that gives addresses out")


def _reserve(item: Declared, declared: Declared, site: Site) -> None:
    if not item.get("address") or not item.get("network"):
        return
    where = "domain {}: interfaces[{}].address".format(declared["name"], item["mac"])
    try:
        address = VALUES["ip"].encode(item["address"])
    except ValueError as error:
        site.problems.add(where, str(error))
        return
    if ":" in address:
        # libvirt refuses a MAC address beside an IPv6 one (network_conf.c): DHCPv6 knows clients by DUID.
        site.problems.add(where, "an IPv6 address cannot be reserved by MAC address")
        return
    site.reservations.append(Reservation(item["network"], item["mac"].lower(), address, declared["name"]))
