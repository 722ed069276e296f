# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bridges, bonds and VLANs of a host as files of systemd-networkd, NetworkManager or netplan. Pure.

A link is a mapping: `name`, `type` (bridge, bond, vlan, ethernet), `ports` (of a bridge or bond), `mode` (of a bond),
`link` and `id` (of a vlan), `addresses` with prefix length, `dhcp`, `gateway`, `gateway6`, `dns`, `mtu`, `mac`, `stp`.
"""

from __future__ import annotations

import ipaddress
import json
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Callable

HEAD = "# Written by kvmfleet.libvirt.kvm_host.\n"
TYPES = ("bridge", "bond", "vlan", "ethernet")
_UUIDS = uuid.UUID("7d4f3a0e-5f0b-5d0c-9b0e-3f3f1c9c1a52")
MODES = ("active-backup", "balance-rr", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb")
"""How a bond can share the load; the first is the default."""
_NAME = re.compile(r"(?!\.\.?$)[A-Za-z0-9_.-]{1,15}")
"""The kernel has 15 bytes for an interface's name."""
_MAC = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}")

Link = Mapping[str, Any]
Renderer = Callable[[Sequence[Link]], "dict[str, str]"]


def files(links: Sequence[Link], renderer: str) -> dict[str, str]:
    """The files by path. Raises ValueError with all that is wrong with the links."""
    wrong = list(problems(links))
    if wrong:
        raise ValueError("; ".join(wrong))
    return RENDERERS[renderer](links) if links else {}


def problems(links: Sequence[Link]) -> Iterable[str]:
    """What is wrong with links, before any host is touched."""
    names = [str(link.get("name", "")) for link in links]
    taken: dict[str, str] = {}
    for link in links:
        name = str(link.get("name", ""))
        for other in (name, *(link.get("ports") or []), *filter(None, [link.get("link")])):
            if not _NAME.fullmatch(str(other)):
                yield f"{other!r} is no name of an interface"
        if names.count(name) > 1:
            yield f"{name} is there twice"
        yield from _type_problems(link, name)
        yield from _address_problems(link, name)
        for port in link.get("ports") or []:
            if port in taken:
                yield f"{port} is a port of {taken[port]} and of {name}"
            taken[port] = name
    for link in links:
        if link.get("name") in taken and _speaks(link):
            yield f"{link['name']} is a port of {taken[link['name']]} and can have no addresses; give them to that"


def _type_problems(link: Link, name: str) -> Iterable[str]:
    kind = link.get("type")
    if kind not in TYPES:
        yield f"{name}: type is one of {', '.join(TYPES)}"
    if kind == "vlan" and not (link.get("link") and 0 < int(link.get("id") or 0) < 4095):
        yield f"{name}: a vlan has a link and an id from 1 to 4094"
    if kind == "bond" and not link.get("ports"):
        yield f"{name}: a bond has ports"
    if kind == "bond" and link.get("mode", MODES[0]) not in MODES:
        yield f"{name}: mode is one of {', '.join(MODES)}"
    if kind in {"vlan", "ethernet"} and link.get("ports"):
        yield f"{name}: only a bridge and a bond have ports"


def _address_problems(link: Link, name: str) -> Iterable[str]:
    for address in link.get("addresses") or []:
        try:
            ipaddress.ip_interface(address)
            if "/" not in address:
                yield f"{name}: {address} has no prefix length"
        except ValueError:
            yield f"{name}: {address} is no address"
    alone = [(option, link[option]) for option in ("gateway", "gateway6") if link.get(option)]
    for option, address in [*alone, *(("dns", server) for server in link.get("dns") or [])]:
        try:
            ipaddress.ip_address(address)
        except ValueError:
            yield f"{name}: {option} {address} is no address"
    if link.get("mac") and not _MAC.fullmatch(str(link["mac"])):
        yield f"{name}: mac {link['mac']} is no MAC address"


def _speaks(link: Link) -> bool:
    """Whether the host has an address there."""
    return bool(link.get("addresses") or link.get("dhcp"))


def _owners(links: Sequence[Link]) -> dict[str, Link]:
    """The bridge or bond of each port."""
    return {port: link for link in links for port in link.get("ports") or []}


def _vlans(links: Sequence[Link], name: str) -> list[str]:
    return [link["name"] for link in links if link["type"] == "vlan" and link["link"] == name]


def _below(links: Sequence[Link]) -> list[str]:
    """Interfaces that are not declared themselves, but carry what is: the machine's own."""
    known = {link["name"] for link in links}
    carriers = [*_owners(links), *(link["link"] for link in links if link["type"] == "vlan")]
    return [name for name in dict.fromkeys(carriers) if name not in known]


def _gateways(link: Link) -> list[str]:
    return [link[name] for name in ("gateway", "gateway6") if link.get(name)]


# systemd-networkd: the first file that matches an interface counts, so these come before others.


def _networkd(links: Sequence[Link]) -> dict[str, str]:
    found = {}
    for link in links:
        path = f"/etc/systemd/network/05-kvmfleet-{link['name']}"
        if link["type"] != "ethernet":
            found[f"{path}.netdev"] = HEAD + _sections(_netdev(link))
        found[f"{path}.network"] = HEAD + _sections(_network(link["name"], link, links))
    for name in _below(links):
        found[f"/etc/systemd/network/05-kvmfleet-{name}.network"] = HEAD + _sections(_network(name, {}, links))
    return found


def _netdev(link: Link) -> dict[str, list[tuple[str, Any]]]:
    netdev = [("Name", link["name"]), ("Kind", link["type"]), ("MACAddress", link.get("mac"))]
    more: dict[str, list[tuple[str, Any]]] = {
        "bridge": [("STP", bool(link.get("stp")))],
        "bond": [("Mode", link.get("mode", MODES[0])), ("MIIMonitorSec", "0.1")],
        "vlan": [("Id", link.get("id"))],
    }
    title = {"bridge": "Bridge", "bond": "Bond", "vlan": "VLAN"}[link["type"]]
    return {"NetDev": netdev, title: more[link["type"]]}


def _network(name: str, link: Link, links: Sequence[Link]) -> dict[str, list[tuple[str, Any]]]:
    owner = _owners(links).get(name)
    network: list[tuple[str, Any]] = []
    if owner:
        network.append(({"bridge": "Bridge", "bond": "Bond"}[owner["type"]], owner["name"]))
    network += [("VLAN", vlan) for vlan in _vlans(links, name)]
    if link.get("dhcp"):
        network.append(("DHCP", True))
    network += [("Address", address) for address in link.get("addresses") or []]
    network += [("Gateway", gateway) for gateway in _gateways(link)]
    network += [("DNS", server) for server in link.get("dns") or []]
    if not _speaks(link):
        network += [("LinkLocalAddressing", False), ("IPv6AcceptRA", False)]
    # A bridge without ports has no carrier and still wants its address.
    if link.get("type") == "bridge":
        network.append(("ConfigureWithoutCarrier", True))
    own = [("MTUBytes", link.get("mtu")), ("RequiredForOnline", None if _speaks(link) else False)]
    return {"Match": [("Name", name)], "Link": own, "Network": network}


def _sections(sections: Mapping[str, Sequence[tuple[str, Any]]]) -> str:
    """Sections with their settings; those without value are left out."""
    text = ""
    for title, settings in sections.items():
        given = [(name, value) for name, value in settings if value is not None]
        if given:
            lines = [f"{name}={_word(value)}\n" for name, value in given]
            text += f"\n[{title}]\n" + "".join(lines)
    return text


def _word(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


# NetworkManager: keyfiles. Their UUIDs are made of the names, so that a second run finds what the first one made.


def _network_manager(links: Sequence[Link]) -> dict[str, str]:
    found = {}
    for name, link in [*((link["name"], link) for link in links), *((name, {}) for name in _below(links))]:
        path = f"/etc/NetworkManager/system-connections/kvmfleet-{name}.nmconnection"
        found[path] = HEAD + _sections(_connection(name, link, links))
    return found


def _connection(name: str, link: Link, links: Sequence[Link]) -> dict[str, list[tuple[str, Any]]]:
    kind = link.get("type", "ethernet")
    owner = _owners(links).get(name)
    connection: list[tuple[str, Any]] = [
        ("id", f"kvmfleet-{name}"),
        ("uuid", uuid.uuid5(_UUIDS, name)),
        ("type", kind),
        ("interface-name", name),
        ("autoconnect-priority", 100),
        ("autoconnect-slaves", 1 if link.get("ports") else None),
        ("master", owner["name"] if owner else None),
        ("slave-type", owner["type"] if owner else None),
    ]
    sections: dict[str, list[tuple[str, Any]]] = {"connection": connection}
    ethernet = [("cloned-mac-address", link.get("mac")), ("mtu", link.get("mtu"))]
    sections["ethernet"] = ethernet
    if kind == "bridge":
        sections["bridge"] = [("stp", "true" if link.get("stp") else "false")]
    if kind == "bond":
        sections["bond"] = [("mode", link.get("mode", MODES[0])), ("miimon", 100)]
    if kind == "vlan":
        sections["vlan"] = [("id", link["id"]), ("parent", link["link"])]
    if not owner:
        sections["ipv4"] = _addresses(link, 4)
        sections["ipv6"] = _addresses(link, 6)
    return sections


def _addresses(link: Link, version: int) -> list[tuple[str, Any]]:
    own = [item for item in link.get("addresses") or [] if ipaddress.ip_interface(item).version == version]
    servers = [item for item in link.get("dns") or [] if ipaddress.ip_address(item).version == version]
    method = "manual" if own else "auto" if link.get("dhcp") else "disabled"
    settings: list[tuple[str, Any]] = [("method", method)]
    settings += [(f"address{number}", address) for number, address in enumerate(own, 1)]
    if method == "disabled":
        return settings
    settings.append(("gateway", link.get("gateway" if version == 4 else "gateway6")))
    return [*settings, ("dns", "".join(f"{server};" for server in servers) or None)]


# netplan: one file, merged with others by name of the interface; JSON is YAML.


def _netplan(links: Sequence[Link]) -> dict[str, str]:
    groups: dict[str, dict[str, Any]] = {}
    for name, link in [*((link["name"], link) for link in links), *((name, {}) for name in _below(links))]:
        kind = {"bridge": "bridges", "bond": "bonds", "vlan": "vlans"}.get(link.get("type", ""), "ethernets")
        groups.setdefault(kind, {})[name] = _planned(link)
    tree = {"network": {"version": 2, **groups}}
    return {"/etc/netplan/90-kvmfleet.yaml": HEAD + json.dumps(tree, indent=2) + "\n"}


def _planned(link: Link) -> dict[str, Any]:
    addresses = link.get("addresses") or []
    planned: dict[str, Any] = {
        "dhcp4": bool(link.get("dhcp")),
        "dhcp6": bool(link.get("dhcp")),
        "addresses": addresses or None,
        "interfaces": link.get("ports"),
        "macaddress": link.get("mac"),
        "mtu": link.get("mtu"),
        "routes": [{"to": "default", "via": gateway} for gateway in _gateways(link)] or None,
        "nameservers": {"addresses": link["dns"]} if link.get("dns") else None,
        "link-local": None if _speaks(link) else [],
    }
    if link.get("type") == "bridge":
        planned["parameters"] = {"stp": bool(link.get("stp"))}
    if link.get("type") == "bond":
        planned["parameters"] = {"mode": link.get("mode", MODES[0]), "mii-monitor-interval": 100}
    if link.get("type") == "vlan":
        planned.update(id=link["id"], link=link["link"])
    return {name: value for name, value in planned.items() if value is not None}


RENDERERS: dict[str, Renderer] = {
    "systemd-networkd": _networkd,
    "NetworkManager": _network_manager,
    "netplan": _netplan,
}
