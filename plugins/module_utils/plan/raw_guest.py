# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a guest declared by raw XML is known by where its author left it out: the MAC addresses of interfaces."""

from __future__ import annotations

from .. import tree
from .identity import derived_mac


def address_interfaces(raw: tree.Element, current: str | None, host: str, guest: str) -> None:
    """Give each interface without a MAC address that of the guest's interface to the same source, or one of its own.

    libvirt would make one up at random, and a document that is declared anew would add an interface to the guest.
    """
    nodes = raw.findall("devices/interface")
    there = tree.only_read(current).findall("devices/interface") if current else []
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
    want, have = declared.find("source"), current.find("source")
    attributes = {} if want is None else dict(want.attrib)
    return declared.get("type") == current.get("type") and all(
        have is not None and have.get(name) == text for name, text in attributes.items()
    )
