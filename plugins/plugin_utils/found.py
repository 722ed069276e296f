# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests as an inventory sees them: what their documents say, which are wanted, what they are called. Pure."""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from ansible_collections.kvmfleet.libvirt.plugins.module_utils import tree
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.agent import own_addresses
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.current import CHANNEL
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.values import scaled

# What people write into a guest's metadata for the inventory. libvirt keeps one element for each namespace, and what
# this collection keeps for itself has another one (plan/ownership.py).
NAMESPACE = "urn:kvmfleet:libvirt:guest"
LIBOSINFO = "http://libosinfo.org/xmlns/libvirt/domain/1.0"

Guest = dict[str, Any]
"""What is known of a guest, as plain data: the variable "kvmfleet" of its host."""


class Wanted(NamedTuple):
    """Which guests are wanted; an empty one lets all pass. names: patterns, with "!" in front those that are not wanted.
    tags: all of them. metadata: entries with these values.
    """

    states: frozenset[str]
    names: tuple[str, ...]
    tags: frozenset[str]
    metadata: Mapping[str, str]


def guest_of(xml: str, state: str) -> Guest:
    """What a guest's document says."""
    root = tree.parse(xml)
    interfaces = [_interface(node) for node in root.iterfind("devices/interface")]
    own = root.find(f"metadata/{{{NAMESPACE}}}guest")
    os = root.find(f"metadata/{{{LIBOSINFO}}}libosinfo/{{{LIBOSINFO}}}os")
    system = "" if os is None else os.get("id") or ""
    memory = root.find("memory")
    return {
        "name": root.findtext("name"),
        "uuid": root.findtext("uuid"),
        "state": state,
        "title": root.findtext("title") or "",
        "description": root.findtext("description") or "",
        "memory": scaled(memory.text, memory.get("unit", "KiB")) if memory is not None else 0,
        "vcpus": int(root.findtext("vcpu") or 1),
        "arch": tree.get(root, "os/type/@arch") or "",
        "os": "".join(system.split("/")[-2:]) if "//" in system else "",
        "os_id": system,
        "tags": _texts(own, "tag"),
        "metadata": _entries(own),
        "interfaces": interfaces,
        "networks": sorted({item["network"] for item in interfaces if item["network"]}),
        "addresses": [],
        "agent": any(
            node.get("name") == CHANNEL and node.get("state") == "connected"
            for node in root.iterfind("devices/channel/target")
        ),
    }


def facts() -> frozenset[str]:
    """The names of what is known of each guest."""
    return frozenset(guest_of("<domain/>", ""))


def _interface(node: Any) -> dict[str, str]:
    """An interface. network: libvirt's network, else the bridge or device that it is plugged into."""
    source = node.find("source")
    where = (
        [source.get(name) for name in ("network", "bridge", "dev") if source.get(name)] if source is not None else []
    )
    return {
        "mac": (tree.get(node, "mac/@address") or "").lower(),
        "type": node.get("type") or "",
        "network": where[0] if where else "",
    }


def _texts(own: Any, tag: str) -> list[str]:
    nodes = own.iterfind(f"{{{NAMESPACE}}}{tag}") if own is not None else ()
    return sorted({text for node in nodes if (text := (node.text or "").strip())})


def _entries(own: Any) -> dict[str, str]:
    nodes = own.iterfind(f"{{{NAMESPACE}}}entry") if own is not None else ()
    return {node.get("key"): (node.text or "").strip() for node in nodes if node.get("key")}


def is_wanted(guest: Guest, wanted: Wanted) -> bool:
    """Whether a guest passes all filters."""
    takes = [pattern for pattern in wanted.names if not pattern.startswith("!")]
    return (
        (not wanted.states or guest["state"] in wanted.states)
        and (not takes or any(fnmatch.fnmatchcase(guest["name"], pattern) for pattern in takes))
        and not any(fnmatch.fnmatchcase(guest["name"], item[1:]) for item in wanted.names if item.startswith("!"))
        and wanted.tags <= set(guest["tags"])
        and all(guest["metadata"].get(key) == _as_text(value) for key, value in wanted.metadata.items())
    )


def _as_text(value: Any) -> str:
    """A value of a YAML file as people write it into metadata: true, not Python's True."""
    return str(value).lower() if isinstance(value, bool) else str(value)


class Lease(NamedTuple):
    """An address that a network's DHCP gave out. where: the names by which guests are plugged into it. until: seconds since
    1970, 0 for one that does not end.
    """

    where: frozenset[str]
    mac: str
    address: str
    until: int


def leased(guest: Guest, leases: Iterable[Lease]) -> list[dict[str, str]]:
    """Addresses from the leases of the networks that a guest's interfaces are on, the newest first: those of a network that an
    interface was on before are none of its addresses now.
    """
    newest = sorted(leases, key=lambda item: -(item.until or float("inf")))
    told = [
        (item["mac"], lease.address)
        for item in guest["interfaces"]
        for lease in newest
        if lease.mac.lower() == item["mac"] and item["network"] in lease.where
    ]
    return addresses(guest, told, "lease")


def addresses(guest: Guest, told: Iterable[tuple[str, str]], source: str) -> list[dict[str, str]]:
    """Addresses that other hosts can use, in the order of the guest's interfaces. told: MAC and IP addresses."""
    places = {item["mac"]: number for number, item in enumerate(guest["interfaces"])}
    found = [
        {"address": address, "mac": mac, "network": guest["interfaces"][places[mac]]["network"], "source": source}
        for mac, address in own_addresses(told, places)
    ]
    return sorted(found, key=lambda item: places[item["mac"]])


def preferred(guest: Guest, family: str) -> str | None:
    """The address to reach a guest by: the first one of this family ("ipv4", "ipv6"), else the first one."""
    found = [item["address"] for item in guest["addresses"]]
    fitting = [address for address in found if (":" in address) == (family == "ipv6")]
    return (fitting or found or [None])[0]


def without_left_behind(guests: list[Guest]) -> list[Guest]:
    """Guests less those that moved: where several hosts know one UUID and it is active on one of them, it is there."""
    active = Counter(guest["uuid"] for guest in guests if guest["state"] not in ("stopped", "crashed"))
    return [guest for guest in guests if guest["state"] not in ("stopped", "crashed") or active[guest["uuid"]] != 1]


def labels(hosts: list[str]) -> list[str]:
    """Names for hosts, each once: those that several URIs share get the number of their URI, from the second one on."""
    seen: Counter[str] = Counter()
    found = []
    for host in hosts:
        seen[host] += 1
        found.append(host if seen[host] == 1 else f"{host}-{seen[host]}")
    return found


def once(guests: Iterable[tuple[str, Guest]]) -> list[Guest]:
    """Guests, each with the own name of its hypervisor, less those that come a second time: one hypervisor, by two URIs."""
    kept: dict[tuple[str, ...], Guest] = {}
    for host, guest in guests:
        kept.setdefault((host, guest["uuid"], guest["name"], guest["state"]), guest)
    return list(kept.values())


def called(guests: list[Guest], full: bool, taken: Collection[str] = ()) -> list[str]:
    """What each guest is called in the inventory: its name, with ".HOST" behind it if another guest has the same one. taken: names
    that mean something else there, such as "all" or those of hypervisors.
    """
    times = Counter(guest["name"] for guest in guests)
    return [
        "{name}.{host}".format(**item) if full or times[item["name"]] > 1 or item["name"] in taken else item["name"]
        for item in guests
    ]
