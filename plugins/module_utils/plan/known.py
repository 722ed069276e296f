# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What libvirt's documents mean beyond the field tables: keys of repeated elements, defaults, what is only told.

Each entry is a fact of libvirt, learnt from its source and its own test documents.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Callable, NamedTuple

from .. import tree

Key = Callable[[tree.Element, int], str]


NONE: Mapping[str, Any] = MappingProxyType({})


class Known(NamedTuple):
    """Facts about the documents of one kind, by rule path.

    keys: how one of several elements with the same path is told from the others (element, its place among them → key).
    drops: children that lose their meaning when this attribute changes ("../" for its neighbours, "@" for attributes).
    types, units: value types and units of sizes that have no field of their own.
    omitted: the text that libvirt leaves out, as it means the same.
    told: XPaths of what a document tells of the present, or what libvirt decides by itself: not part of a declaration.
    """

    keys: Mapping[str, Key] = NONE
    drops: Mapping[str, tuple[str, ...]] = NONE
    types: Mapping[str, str] = NONE
    units: Mapping[str, str] = NONE
    omitted: Mapping[str, str] = NONE
    told: tuple[str, ...] = ()


def _attribute(path: str, fallback: str = "") -> Key:
    """Key by the text at a path, lower-cased; by this word, or by the place where that is missing."""

    def key(node: tree.Element, place: int) -> str:
        return (tree.get(node, path) or "").lower() or fallback or str(place)

    return key


def _exact(path: str) -> Key:
    def key(node: tree.Element, place: int) -> str:
        return tree.get(node, path) or str(place)

    return key


def _joined(*paths: str) -> Key:
    def key(node: tree.Element, _place: int) -> str:
        return ",".join(tree.get(node, path) or "" for path in paths)

    return key


def _place(_node: tree.Element, place: int) -> str:
    return str(place)


def _controller(node: tree.Element, _place: int) -> str:
    """Controllers are known by type and index; the four of one USB 2 bus share an index and differ in model. libvirt gives
    the first one that says no index the index 0; among PCI controllers that is the root, which is always there.
    """
    model = node.get("model") or ""
    index = node.get("index") or ("" if node.get("type") == "pci" else "0")
    return ",".join([node.get("type") or "", index, *([model] if model.startswith("ich9") else [])])


def _hostdev(node: tree.Element, place: int) -> str:
    source = node.find("source")
    if source is None:
        return str(place)
    return ",".join("{}={}".format(*pair) for part in source.iter() for pair in sorted(part.attrib.items()))


def _namespace(node: tree.Element, _place: int) -> str:
    return str(node.tag)


def _ip_family(node: tree.Element, _place: int) -> str:
    """Addresses of a network are known by family and place: the address itself may be declared anew."""
    earlier = [peer for peer in node.itersiblings("ip", preceding=True) if _family(peer) == _family(node)]
    return _family(node) + (f".{len(earlier)}" if earlier else "")


def _family(node: tree.Element) -> str:
    return str(node.get("family") or ("ipv6" if ":" in node.get("address", "") else "ipv4"))


DOMAIN_KEYS: dict[str, Key] = {
    "devices/disk": _exact("target/@dev"),
    "devices/interface": _attribute("mac/@address"),
    "devices/controller": _controller,
    "devices/filesystem": _exact("target/@dir"),
    "devices/hostdev": _hostdev,
    "devices/channel": _exact("target/@name"),
    "devices/serial": _attribute("target/@port"),
    "devices/parallel": _attribute("target/@port"),
    "devices/console": _attribute("target/@port"),
    "devices/graphics": _exact("@type"),
    "devices/video": _place,
    "devices/input": _joined("@type", "@bus"),
    "devices/sound": _place,
    "devices/audio": _attribute("@id"),
    "devices/rng": _place,
    "devices/memory": _place,
    "devices/redirdev": _place,
    "devices/smartcard": _place,
    "devices/hub": _place,
    "devices/panic": _exact("@model"),
    "devices/shmem": _exact("@name"),
    "devices/lease": _exact("key"),
    "devices/watchdog": _place,
    "devices/tpm": _place,
    "cpu/feature": _exact("@name"),
    "cpu/numa/cell": _attribute("@id"),
    "clock/timer": _exact("@name"),
    "vcpus/vcpu": _exact("@id"),
    "cputune/vcpupin": _exact("@vcpu"),
    "cputune/iothreadpin": _exact("@iothread"),
    "iothreadids/iothread": _exact("@id"),
    "numatune/memnode": _exact("@cellid"),
    "metadata/*": _namespace,
}

NETWORK_KEYS: dict[str, Key] = {
    "ip": _ip_family,
    "ip/dhcp/host": lambda node, place: (
        node.get("mac") or node.get("id") or node.get("name") or node.get("ip") or str(place)
    ).lower(),
    "dns/host": _exact("@ip"),
    "dns/txt": _exact("@name"),
    "dns/srv": _joined("@service", "@protocol", "@domain", "@target", "@port"),
    "portgroup": _exact("@name"),
    "route": _joined("@family", "@address", "@prefix", "@netmask"),
    "metadata/*": _namespace,
}

# A changed source type makes the old source meaningless; a changed bus the old address (virt-manager does the same).
DOMAIN_DROPS: dict[str, tuple[str, ...]] = {
    "devices/disk/@type": ("source", "backingStore"),
    "devices/interface/@type": ("source",),
    "devices/disk/target/@bus": ("../address", "../alias"),
    # Each of these belongs to one mode; libvirt refuses them with another (conf/cpu_conf.c).
    "cpu/@mode": ("@check", "@match", "@migratable"),
    # libvirt refuses a listen address that differs from the first <listen> (domain_conf.c).
    "devices/graphics/@listen": ("listen",),
}

# <nat> is an error in every other mode (network_conf.c); libvirt itself puts a range of ports into it.
NETWORK_DROPS: dict[str, tuple[str, ...]] = {"forward/@mode": ("nat",)}

DOMAIN = Known(
    DOMAIN_KEYS,
    DOMAIN_DROPS,
    omitted={"cpu/model/@fallback": "allow", "devices/parallel/protocol/@type": "raw"},
    told=(
        "@id",
        "devices/disk/mirror",
        "devices/disk//source/@index",
        "devices/disk//backingStore/@index",
        "devices/channel/target/@state",
        "devices/disk/target/@tray",
        "seclabel/imagelabel",
    ),
)

NETWORK = Known(
    NETWORK_KEYS,
    NETWORK_DROPS,
    types={"mac/@address": "mac", "ip/@address": "ip", "ip/@netmask": "ip", "ip/dhcp/host/@mac": "mac"},
    omitted={"ip/@family": "ipv4", "route/@family": "ipv4", "@ipv6": "no"},
    told=("@connections",),
)

POOL = Known(
    types={"source/dir/@path": "path", "target/path": "path"},
    omitted={"target/permissions/owner": "-1", "target/permissions/group": "-1"},
    # Logical volumes are where their group is (storage_backend_logical.c).
    told=("capacity", "allocation", "available", "source/device/freeExtent", "self::*[@type='logical']/target/path"),
)

KNOWN: dict[str, Known] = {"domain": DOMAIN, "network": NETWORK, "pool": POOL}
