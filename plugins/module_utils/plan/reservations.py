# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests' reserved addresses in a network's document."""

from __future__ import annotations

import ipaddress
from typing import Any

from .. import tree
from . import ownership
from .overlay import Edit, Place
from .site import Reservation, subnet_of


def reserve(
    root: tree.Element, reservations: list[Reservation], owned: ownership.Owned
) -> tuple[list[Edit], list[str]]:
    """Put the guests' addresses into a network's document, or take them out where the address is empty.

    Only what was reserved by us before is taken out. Returns the edits and what is wrong.
    """
    edits: list[Edit] = []
    problems: list[str] = []
    for item in reservations:
        if not item.address and ownership.RESERVATION + item.mac in owned.keys:
            _release(root, item, edits)
    for item in reservations:
        if item.address:
            _reserve(root, item, edits, problems)
    return edits, problems


def _reserve(root: tree.Element, item: Reservation, edits: list[Edit], problems: list[str]) -> None:
    address = ipaddress.ip_address(item.address)
    block = next((node for node in tree.find_all(root, "ip") if address in (subnet_of(node) or ())), None)
    if block is None:
        problems.append(f"address {item.address} of guest {item.guest} is in none of the network's blocks")
        return
    if block.get("address") == item.address:
        problems.append(f"address {item.address} of guest {item.guest} is the host's own on this network")
        return
    subnet: Any = subnet_of(block)
    if subnet.prefixlen < 31 and address in (subnet.network_address, subnet.broadcast_address):
        problems.append(f"address {item.address} of guest {item.guest} is no address of a host")
        return
    trail = (Place("ip", _family(block), block),)
    for node in tree.find_all(block, "dhcp/host"):
        if node.get("ip") == item.address and (node.get("mac") or "").lower() != item.mac:
            problems.append(
                "address {} of guest {} is reserved for {}".format(
                    item.address, item.guest, node.get("mac") or node.get("name")
                )
            )
            return
        if (node.get("mac") or "").lower() == item.mac:
            if node.get("ip") != item.address:
                at = (*trail, Place("ip/dhcp/host", item.mac, node))
                edits.append(Edit("ip/dhcp/host/@ip", node.get("ip"), item.address, at))
                node.set("ip", item.address)
            return
    node = tree.element("host", None, mac=item.mac)
    # A running network takes no second host of one name, as that of a guest's other interface would be.
    if all(other.get("name") != item.guest for other in tree.find_all(block, "dhcp/host")):
        node.set("name", item.guest)
    node.set("ip", item.address)
    tree.make(block, "dhcp").append(node)
    edits.append(Edit("ip/dhcp/host", None, node, (*trail, Place("ip/dhcp/host", item.mac, node))))


def _release(root: tree.Element, item: Reservation, edits: list[Edit]) -> None:
    for block in tree.find_all(root, "ip"):
        for node in tree.find_all(block, "dhcp/host"):
            if (node.get("mac") or "").lower() == item.mac:
                trail = (Place("ip", _family(block), block), Place("ip/dhcp/host", item.mac, node))
                edits.append(Edit("ip/dhcp/host", node, None, trail))
                tree.remove(node)


def _family(block: tree.Element) -> str:
    return str(block.get("family") or ("ipv6" if ":" in block.get("address", "") else "ipv4"))
