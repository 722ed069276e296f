# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What libvirt means by the documents of networks; each entry is a fact from its source or its own test documents."""

from __future__ import annotations

import ipaddress

from .. import tree
from .known import Key, Known, by_tag, by_text, by_texts
from .values import duid, number


def _ip_family(node: tree.Element, _place: int) -> str:
    """Addresses of a network are known by family and place: the address itself may be declared anew."""
    earlier = [peer for peer in node.itersiblings("ip", preceding=True) if _family(peer) == _family(node)]
    return _family(node) + (f".{len(earlier)}" if earlier else "")


def _family(node: tree.Element) -> str:
    return str(node.get("family") or ("ipv6" if ":" in node.get("address", "") else "ipv4"))


def _route(node: tree.Element, place: int) -> str:
    """A static route is known by the network that it leads to, with prefix length or netmask as it may be written."""
    try:
        return str(ipaddress.ip_interface("{}/{}".format(node.get("address"), _mask(node))).network)
    except ValueError:
        return str(place)


def _mask(node: tree.Element) -> str:
    return str(node.get("prefix") or node.get("netmask") or (128 if ":" in node.get("address", "") else 32))


def _client(node: tree.Element, place: int) -> str:
    """A host of DHCP is known by its MAC address, over IPv6 by its DUID."""
    if node.get("id") and not node.get("mac"):
        return duid(node.get("id"))
    return str(node.get("mac") or node.get("name") or node.get("ip") or place).lower()


def _pci(node: tree.Element, _place: int) -> str:
    return ",".join(str(number(node.get(name) or "0")) for name in ("domain", "bus", "slot", "function"))


NETWORK_KEYS: dict[str, Key] = {
    "ip": _ip_family,
    "ip/dhcp/host": _client,
    "dns/host": by_text("@ip"),
    "dns/txt": by_text("@name"),
    "dns/srv": by_texts("@service", "@protocol", "@domain", "@target", "@port"),
    "portgroup": by_text("@name"),
    "route": _route,
    "forward/interface": by_text("@dev"),
    "forward/address": _pci,
    "metadata/*": by_tag,
}

# <nat> is an error in every other mode (network_conf.c); libvirt itself puts a range of ports into it. It writes the first
# interface as the device as well, and refuses a device that is another one.
NETWORK_DROPS: dict[str, tuple[str, ...]] = {"forward/@mode": ("nat",), "forward/@dev": ("?interface",)}

# What libvirt takes an attribute or element for that is not there (network_conf.c, bridge_driver.c).
NETWORK_OMITTED: dict[str, str] = {
    "@ipv6": "no",
    "@trustGuestRxFilters": "no",
    "bridge/@macTableManager": "kernel",
    "dns/@enable": "yes",
    "dns/@forwardPlainNames": "yes",
    "domain/@localOnly": "no",
    "domain/@register": "no",
    "forward/@managed": "no",
    "forward/nat/@ipv6": "no",
    "forward/nat/port/@start": "1024",
    "forward/nat/port/@end": "65535",
    "ip/@family": "ipv4",
    "ip/@localPtr": "no",
    "ip/dhcp/host/lease/@unit": "minutes",
    "ip/dhcp/range/lease/@unit": "minutes",
    "port/@isolated": "no",
    "portgroup/@default": "no",
    "portgroup/vlan/@trunk": "no",
    "route/@family": "ipv4",
    "vlan/@trunk": "no",
}

NETWORK = Known(
    NETWORK_KEYS,
    NETWORK_DROPS,
    types={
        "ip/@address": "ip",
        "ip/@netmask": "ip",
        "ip/dhcp/host/@mac": "mac",
        "ip/dhcp/host/@id": "duid",
        "route/@address": "ip",
        **{f"forward/address/@{name}": "int" for name in ("domain", "bus", "slot", "function")},
    },
    omitted=NETWORK_OMITTED,
    told=("@connections", "forward/interface/@connections", "forward/address/@connections"),
)
