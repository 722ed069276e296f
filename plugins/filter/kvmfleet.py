# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters for those who write playbooks about guests. Each is documented beside, in NAME.yml."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Callable

from ansible.errors import AnsibleFilterError

from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan import values
from ansible_collections.kvmfleet.libvirt.plugins.plugin_utils import links, placement, rendering


def size_bytes(size: Any) -> int:
    """A size in bytes. A number is one already."""
    if isinstance(size, int) and not isinstance(size, bool):
        return size
    try:
        return values.size_bytes(str(size))
    except ValueError as error:
        raise AnsibleFilterError(str(error)) from None


def size_text(count: Any) -> str:
    """A number of bytes, or a size in another unit, as the modules write it."""
    return values.size_text(size_bytes(count))


def guests_of(declared: Any, uri: str | None = None) -> list[dict[str, Any]]:
    """The guests of a declared stack, or of what a module returned, each with its variables for a host of an inventory."""
    found = []
    for guest in _domains(declared):
        if guest.get("state") == "absent":
            continue
        address = _address(guest)
        found.append(
            {
                "name": guest["name"],
                "ansible_guest_agent_guest": guest["name"],
                **({"ansible_host": address} if address else {}),
                **({"ansible_guest_agent_uri": uri} if uri else {}),
            }
        )
    return found


def _domains(declared: Any) -> list[Mapping[str, Any]]:
    if isinstance(declared, Mapping) and "objects" in declared:
        return [item for item in declared["objects"] if item["kind"] == "domain"]
    if isinstance(declared, Mapping):
        declared = declared.get("domains") or []
    if not isinstance(declared, Sequence) or isinstance(declared, str):
        raise AnsibleFilterError(
            "guests_of takes a stack, a list of guests, or what the modules stack and domain return"
        )
    return [item for item in declared if item.get("kind", "domain") == "domain"]


def _address(guest: Mapping[str, Any]) -> str | None:
    """A guest's address: the first one that is known, IPv4 before IPv6, else the first that is declared."""
    known = sorted(guest.get("addresses") or [], key=lambda address: ":" in address)
    declared = [item["address"] for item in guest.get("interfaces") or [] if item.get("address")]
    return next(iter([*known, *declared]), None)


def known_hosts(declared: Any, port: int = 22) -> list[str]:
    """Lines for ssh's known_hosts: the keys of the guests that a module returned, under their names and addresses."""
    lines = []
    for guest in _domains(declared):
        names = [guest["name"], *(guest.get("addresses") or [])]
        hosts = ",".join(name if port == 22 else f"[{name}]:{port}" for name in names)
        lines += [f"{hosts} {key}" for key in guest.get("host_keys") or []]
    return lines


def stack_xml(declared: Any, arch: str = "x86_64", kvm: bool = True) -> dict[str, dict[str, str]]:
    """The definitions that a stack makes on a host which has nothing yet, as libvirt's XML."""
    if not isinstance(declared, Mapping):
        raise AnsibleFilterError("stack_xml takes a stack: a mapping of domains, networks and so on")
    try:
        return rendering.rendered(declared, arch, kvm)
    except rendering.Wrong as error:
        raise AnsibleFilterError(f"stack_xml: {error}") from None


def placed(
    guests: Any,
    hosts: Any,
    anti_affinity: Sequence[Sequence[str]] = (),
    current: Mapping[str, str] | None = None,
) -> dict[str, list[Any]]:
    """The guests of each host, as they were given; every host is there."""
    guests = list(guests)
    if not all(isinstance(guest, Mapping) and guest.get("name") for guest in guests):
        raise AnsibleFilterError("placed takes guests as they are declared, each with its name")
    if isinstance(anti_affinity, str) or any(isinstance(group, (str, Mapping)) for group in anti_affinity):
        raise AnsibleFilterError(
            "placed: anti_affinity is a list of groups, each a list of names, such as [['db*'], ['web*']]"
        )
    names = [guest["name"] for guest in guests]
    if len(set(names)) < len(names):
        raise AnsibleFilterError(
            f"placed: these names stand for several guests: {sorted({n for n in names if names.count(n) > 1})}"
        )
    needs = {guest["name"]: _size(guest, placement.Size(0, 0)) for guest in guests}
    offers = hosts if isinstance(hosts, Mapping) else dict.fromkeys([hosts] if isinstance(hosts, str) else hosts)
    rooms = {str(name): _room(str(name), offer or {}) for name, offer in offers.items()}
    try:
        found = placement.placed(needs, rooms, anti_affinity, current)
    except placement.NoRoom as error:
        raise AnsibleFilterError(f"placed: {error}") from None
    return {host: [guest for guest in guests if found[guest["name"]] == host] for host in rooms}


def _room(host: str, offer: Any) -> placement.Size:
    """What a host offers. A slip in a name would be a host without a limit."""
    if not isinstance(offer, Mapping) or set(offer) - {"memory", "vcpus"}:
        raise AnsibleFilterError(f"placed: host {host} offers memory and vcpus, or one of them, and not {offer!r}")
    return _size(offer, placement.UNLIMITED)


def _size(item: Mapping[str, Any], missing: placement.Size) -> placement.Size:
    memory, vcpus = item.get("memory"), item.get("vcpus")
    return placement.Size(
        missing.memory if memory is None else size_bytes(memory), missing.vcpus if vcpus is None else float(vcpus)
    )


def host_links(declared: Sequence[Mapping[str, Any]], renderer: str) -> dict[str, str]:
    """The files of a renderer, by path, that make these bridges, bonds and VLANs."""
    if renderer not in links.RENDERERS:
        raise AnsibleFilterError(f"host_links: {renderer} is none of {', '.join(links.RENDERERS)}")
    try:
        return links.files(declared, renderer)
    except ValueError as error:
        raise AnsibleFilterError(f"host_links: {error}") from None


class FilterModule:
    """The filters of this collection."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {
            "size_bytes": size_bytes,
            "size_text": size_text,
            "guests_of": guests_of,
            "host_links": host_links,
            "known_hosts": known_hosts,
            "placed": placed,
            "stack_xml": stack_xml,
        }
