# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses and bridges of networks that do not fit: within one, and with those of others on the host."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

from .. import tree
from .site import Site, subnet_of

# A name of a network device has 15 characters (Linux, IFNAMSIZ); an IPv4 packet 68 bytes at the least, 65535 at the most.
_NAME, _MTU = 15, (68, 65535)


def misfits(root: tree.Element) -> list[str]:
    """What does not fit within a network, and would be found only when it is started."""
    found = []
    bridge = tree.get(root, "bridge/@name") or ""
    if len(bridge) > _NAME and "%" not in bridge:
        found.append(f"bridge.name {bridge} is longer than {_NAME} characters")
    mtu = tree.get(root, "mtu/@size")
    if mtu and mtu.isdecimal() and not _MTU[0] <= int(mtu) <= _MTU[1]:
        found.append(f"mtu {mtu} is not between {_MTU[0]} and {_MTU[1]}")
    for block in root.findall("ip"):
        try:
            found += _in_block(block)
        except ValueError:
            continue  # No addresses at all; libvirt's own check says so.
    return found


def _in_block(block: tree.Element) -> Iterator[str]:
    subnet = subnet_of(block)
    if subnet is None:
        return
    own = ipaddress.ip_address(block.get("address"))
    # A network of one or two addresses, and one of IPv6, has no such ones (RFC 3021, RFC 4291).
    if own.version == 4 and subnet.num_addresses > 2 and own in (subnet.network_address, subnet.broadcast_address):
        yield f"{own} is no address of a host in {subnet}"
    for node in block.findall("dhcp/range"):
        start, end = (ipaddress.ip_address(node.get(name)) for name in ("start", "end"))
        if int(start) > int(end):
            yield f"range start {start} is beyond its end {end}"
    seen = {own: "the network's own"}
    for node in block.findall("dhcp/host"):
        if own.version == 6 and node.get("mac"):
            yield f"host {node.get('mac')} of an IPv6 block is known by its id, not by a MAC address"
        if not node.get("ip"):
            continue
        address = ipaddress.ip_address(node.get("ip"))
        if address in seen:
            yield f"host ip {address} is {seen[address]} already"
        seen[address] = "another host's"


def collisions(name: str, root: tree.Element, site: Site) -> Iterator[str]:
    """What a network that will be active would have together with another one that is."""
    own = {subnet for subnet in map(_subnet, root.findall("ip")) if subnet is not None}
    bridge = tree.get(root, "bridge/@name")
    yield from _on_the_way(own, site)
    for other, subnets, others_bridge in _others(name, site):
        for subnet in sorted(own & subnets, key=str):
            yield f"{subnet} is that of network {other} as well"
        if bridge and bridge == others_bridge and root.find("forward[@mode='bridge']") is None:
            yield f"bridge {bridge} is that of network {other} as well"


def taken_bridge(name: str, root: tree.Element, site: Site) -> Iterator[str]:
    """A bridge that another network has, whether it is active or not: libvirt defines no second one with it."""
    bridge = tree.get(root, "bridge/@name")
    if not bridge or not has_own_bridge(root):
        return
    names = [*site.host.networks, *site.networks]
    for other in dict.fromkeys(names[: names.index(name)] if name not in site.host.networks else site.host.networks):
        declared, current = site.networks.get(other, {}), site.host.networks.get(other)
        if other == name or declared.get("state") == "absent":
            continue
        there = None if current is None else tree.get(tree.only_read(current.inactive), "bridge/@name")
        if bridge == ((declared.get("bridge") or {}).get("name") or there):
            yield f"bridge {bridge} is that of network {other} as well"


def has_own_bridge(root: tree.Element) -> bool:
    """Whether libvirt makes a network's bridge when it starts, and takes it away when it stops."""
    return tree.get(root, "forward/@mode") in (None, "nat", "route", "open")


def seized_bridge(root: tree.Element, site: Site) -> Iterator[str]:
    """A device of the host that a network would have as its own bridge.

    libvirt does not only fail to start such a network, it takes the device away, and with it perhaps the host's own way out
    (networkStartNetworkVirtual in bridge_driver.c, 11.3).
    """
    bridge = tree.get(root, "bridge/@name")
    running = (tree.only_read(network.live) for network in site.host.networks.values() if network.live)
    networks = {tree.get(other, "bridge/@name") for other in running if has_own_bridge(other)}
    if bridge in site.host.links and bridge not in networks and has_own_bridge(root):
        yield (
            f"bridge {bridge} is a device that the host has already, and libvirt would take it away. For guests on a bridge of the"
            " host declare forward: {mode: bridge}; else give this network's bridge another name"
        )


def _on_the_way(own: set[Any], site: Site) -> Iterator[str]:
    """Subnets that would take the host's own way out: that of one of its links, or a part of it with a gateway in it."""
    bridges = {tree.get(tree.only_read(network.inactive), "bridge/@name") for network in site.host.networks.values()}
    gateways = [ipaddress.ip_address(route.gateway) for route in site.host.routes if route.gateway]
    for route in site.host.routes:
        link = ipaddress.ip_network(route.subnet)
        if route.gateway or not link.prefixlen or route.device in bridges:
            continue
        for subnet in own:
            inside = subnet.version == link.version and subnet.subnet_of(link)
            if inside and (subnet == link or any(gateway in subnet for gateway in gateways)):
                yield f"{subnet} is on the way of the host itself: its device {route.device} is in {link}"


def _others(name: str, site: Site) -> Iterator[tuple[str, set[Any], str | None]]:
    """Other networks that will be active, with their subnets and bridges; of those declared here, the ones before."""
    for other, network in site.host.networks.items():
        state = site.networks.get(other, {}).get("state", "present")
        changed = site.networks.get(other, {}).get("ips") is not None
        if other != name and network.live and state not in ("absent", "inactive") and not changed:
            root = tree.only_read(network.live)
            mode = tree.get(root, "forward/@mode")
            subnets = {subnet for subnet in map(_subnet, root.iterfind("ip")) if subnet is not None}
            yield other, subnets, tree.get(root, "bridge/@name") if mode != "bridge" else None
    for other, declared in site.networks.items():
        if other == name:
            return
        if declared["state"] == "active":
            blocks = [tree.element("ip", address=host, prefix=prefix) for host, prefix in _declared(declared)]
            subnets = {subnet for subnet in map(_subnet, blocks) if subnet is not None}
            yield other, subnets, (declared.get("bridge") or {}).get("name")


def _declared(declared: Any) -> Iterator[tuple[str, str]]:
    for item in declared.get("ips") or []:
        host, _slash, prefix = str(item.get("address") or "").partition("/")
        if prefix:
            yield host, prefix


def _subnet(block: tree.Element) -> Any | None:
    try:
        return subnet_of(block)
    except ValueError:
        return None
