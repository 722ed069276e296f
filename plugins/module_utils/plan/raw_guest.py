# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a guest declared by raw XML is known by where its author left it out: MAC addresses of interfaces, the model of
its security label, and the memory of its NUMA nodes.
"""

from __future__ import annotations

from .. import tree
from .identity import derived_mac
from .values import size_at


def complete_raw(raw: tree.Element, current: str | None, host: str, guest: str) -> None:
    """Fill in what libvirt would make up at random, or take from the host. current: the guest's definition."""
    root = None if current is None else tree.only_read(current)
    address_interfaces(raw, root, host, guest)
    memory_of_nodes(raw, root)
    labels = tree.find_all(raw, "seclabel")
    model = None if root is None else only_model(root)
    if len(labels) == 1 and model and labels[0].get("model") is None:
        labels[0].set("model", model)


def memory_of_nodes(root: tree.Element, current: tree.Element | None) -> None:
    """The memory of a guest with NUMA nodes is theirs and that of its memory devices, whatever it says itself, and its
    balloon cannot be larger (virDomainDefPostParseMemory). A guest that has the memory which is declared was defined before
    libvirt counted so, and is left.
    """
    here, there = (None if one is None else tree.find(one, "memory") for one in (root, current))
    if None not in (here, there) and size_at(here, "KiB") == size_at(there, "KiB"):
        return
    cells = tree.find_all(root, "cpu/numa/cell")
    sizes = [size_at(cell, "KiB", "memory") for cell in cells]
    devices = [size_at(size, "KiB") for size in tree.find_all(root, "devices/memory/target/size")]
    if not cells or None in (*sizes, *devices):
        return
    total = sum(size or 0 for size in (*sizes, *devices)) // 1024
    for tag in ("memory", "currentMemory"):
        node = tree.find(root, tag)
        if node is not None and (tag == "memory" or (size_at(node, "KiB") or 0) > total << 10):
            node.text = str(total)
            node.set("unit", "KiB")


def only_model(root: tree.Element) -> str | None:
    """The model of a guest's only security label. One that is declared without a model is of this one: libvirt gave it the
    first that the host has (virSecurityLabelDefsParseXML).
    """
    labels = tree.find_all(root, "seclabel")
    return str(labels[0].get("model") or "") or None if len(labels) == 1 else None


def address_interfaces(raw: tree.Element, current: tree.Element | None, host: str, guest: str) -> None:
    """Give each interface without a MAC address that of the guest's interface to the same source, or one of its own.

    libvirt would make one up at random, and a document that is declared anew would add an interface to the guest.
    """
    nodes = tree.find_all(raw, "devices/interface")
    there = [] if current is None else tree.find_all(current, "devices/interface")
    taken = {(tree.get(node, "mac/@address") or "").lower() for node in nodes}
    for place, node in enumerate(nodes):
        if tree.get(node, "mac/@address"):
            continue
        macs = [str(tree.get(peer, "mac/@address")).lower() for peer in there if _is_alike(node, peer)]
        free = [mac for mac in macs if mac not in taken]
        mac = free[0] if free else derived_mac(host, guest, f"xml:{place}", taken)
        taken.add(mac)
        tree.put(node, "mac/@address", mac)


def _is_alike(declared: tree.Element, current: tree.Element) -> bool:
    """Whether an interface has the declared type and stands on the declared source."""
    want, have = tree.find(declared, "source"), tree.find(current, "source")
    attributes = {} if want is None else dict(want.attrib)
    return declared.get("type") == current.get("type") and all(
        have is not None and have.get(name) == text for name, text in attributes.items()
    )
