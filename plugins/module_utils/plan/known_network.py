# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What libvirt means by the documents of networks; each entry is a fact from its source or its own test documents."""

from __future__ import annotations

from .. import tree
from .known import Key, Known, by_tag, by_text, by_texts


def _ip_family(node: tree.Element, _place: int) -> str:
    """Addresses of a network are known by family and place: the address itself may be declared anew."""
    earlier = [peer for peer in node.itersiblings("ip", preceding=True) if _family(peer) == _family(node)]
    return _family(node) + (f".{len(earlier)}" if earlier else "")


def _family(node: tree.Element) -> str:
    return str(node.get("family") or ("ipv6" if ":" in node.get("address", "") else "ipv4"))


NETWORK_KEYS: dict[str, Key] = {
    "ip": _ip_family,
    "ip/dhcp/host": lambda node, place: (
        node.get("mac") or node.get("id") or node.get("name") or node.get("ip") or str(place)
    ).lower(),
    "dns/host": by_text("@ip"),
    "dns/txt": by_text("@name"),
    "dns/srv": by_texts("@service", "@protocol", "@domain", "@target", "@port"),
    "portgroup": by_text("@name"),
    "route": by_texts("@family", "@address", "@prefix", "@netmask"),
    "metadata/*": by_tag,
}

# <nat> is an error in every other mode (network_conf.c); libvirt itself puts a range of ports into it.
NETWORK_DROPS: dict[str, tuple[str, ...]] = {"forward/@mode": ("nat",)}

NETWORK = Known(
    NETWORK_KEYS,
    NETWORK_DROPS,
    types={"mac/@address": "mac", "ip/@address": "ip", "ip/@netmask": "ip", "ip/dhcp/host/@mac": "mac"},
    omitted={"ip/@family": "ipv4", "route/@family": "ipv4", "@ipv6": "no"},
    told=("@connections",),
)
