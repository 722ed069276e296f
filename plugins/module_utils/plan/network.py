# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks: from a declaration, the guests' reserved addresses and the host as it is to steps.

A running network is changed through virNetworkUpdate where libvirt can, so that no guest loses its connection.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Set
from typing import Any

from .. import tree
from . import ownership
from .activity import Activity, settle
from .identity import derived_uuid
from .objects import Wanted, changes_of, check_uuid, fingerprint_step, overlaid, owned_after, running, undeclared
from .overlay import Edit, Place
from .plan import Change, ObjectPlan, Step
from .site import Reservation, Site, subnet_of

# virNetworkUpdateSection of the lists that a running network takes changes of; whether it can also modify an entry.
# libvirt 11.3 src/conf/network_conf.c; dns entries are modified only since 10.6, so they are deleted and added.
SECTIONS: dict[str, tuple[int, bool]] = {
    "ip/dhcp/host": (4, True),
    "ip/dhcp/range": (5, False),
    "dns/host": (10, False),
}
MODIFY, DELETE, ADD = 1, 2, 3


def plan_network(want: Wanted, declared: Mapping[str, Any], site: Site) -> ObjectPlan:
    """The plan for one network. declared: at least its name and state; the addresses reserved on it come with the site."""
    name = declared["name"]
    current = site.host.networks.get(name)
    activity = Activity(
        current is not None,
        current is not None and current.live is not None,
        bool(current and current.autostart),
        current is None or current.persistent,
    )
    if declared["state"] == "absent":
        changes, steps = settle("network", name, declared, activity, None)
        return ObjectPlan("network", name, "absent", changes, steps)
    root = tree.parse(current.inactive) if current else _new(name, site)
    uuid = tree.get(root, "uuid") if current else None
    owned = ownership.read(root)
    edits, settled = overlaid(want, root)
    check_uuid(want, root, uuid, site)
    for problem in _outside(root):
        site.problems.add(want.where, problem)
    reservations = [item for item in site.reservations if item.network == name]
    reserved, problems = reserve(root, reservations, owned)
    for problem in problems:
        site.problems.add(want.where, problem)
    # A block that is new is told with its hosts in it.
    made = [edit.after for edit in edits]
    edits += [edit for edit in reserved if not any(place.node is node for place in edit.trail[:-1] for node in made)]
    xml = None
    if edits or activity.lacks_definition(declared):
        ownership.write(root, _owned(want, owned, reservations))
        xml = tree.text_of(root)
    live_steps: tuple[Step, ...] = ()
    pending: tuple[Change, ...] = ()
    if current and current.live and declared["state"] != "inactive":
        live = tree.parse(current.live)
        live_edits = running(want, live, root, owned, settled) + reserve(live, reservations, owned)[0]
        live_steps, waiting = live_updates(live, live_edits)
        pending = changes_of(waiting, want.rules)
    more, steps = settle(
        "network", name, declared, activity, xml, fingerprint_step(want) * (xml is not None) + live_steps
    )
    changes = changes_of(edits, want.rules, None if current else "create")
    if live_steps and not edits:
        changes = changes_of([edit for edit in live_edits if edit not in waiting], want.rules)
    return ObjectPlan(
        "network",
        name,
        activity.after(declared["state"]),
        changes + more,
        steps,
        pending,
        frozenset(),
        undeclared(want, root),
    )


def _new(name: str, site: Site) -> tree.Element:
    root = tree.element("network")
    root.append(tree.element("name", name))
    root.append(tree.element("uuid", derived_uuid(site.host.identity, "network", name)))
    return root


def _outside(root: tree.Element) -> list[str]:
    """Addresses that DHCP is to give out although they are not in their block: libvirt would only say so at the write."""
    return [
        f"{node.tag} {name} {node.get(name)} is not in {subnet_of(block)}"
        for block in root.findall("ip")
        for node in block.findall("dhcp/range") + block.findall("dhcp/host")
        for name in ("start", "end", "ip")
        if node.get(name) and not _is_in(node.get(name), block)
    ]


def _is_in(address: str, block: tree.Element) -> bool:
    try:
        subnet = subnet_of(block)
        return subnet is None or ipaddress.ip_address(address) in subnet
    except ValueError:  # No address at all; libvirt's own check says so.
        return True


def _owned(want: Wanted, owned: ownership.Owned, reservations: list[Reservation]) -> ownership.Owned:
    after = owned_after(want, owned)
    added = {ownership.RESERVATION + item.mac for item in reservations if item.address}
    gone = {ownership.RESERVATION + item.mac for item in reservations if not item.address}
    return after._replace(keys=(after.keys | added) - gone)


def reserve(
    root: tree.Element, reservations: list[Reservation], owned: ownership.Owned
) -> tuple[list[Edit], list[str]]:
    """Put the guests' addresses into a network's document, or take them out where the address is empty.

    Only what was reserved by us before is taken out. Returns the edits and what is wrong.
    """
    edits: list[Edit] = []
    problems: list[str] = []
    for item in reservations:
        if item.address:
            _reserve(root, item, edits, problems)
        elif ownership.RESERVATION + item.mac in owned.keys:
            _release(root, item, edits)
    return edits, problems


def _reserve(root: tree.Element, item: Reservation, edits: list[Edit], problems: list[str]) -> None:
    address = ipaddress.ip_address(item.address)
    block = next((node for node in root.findall("ip") if address in (subnet_of(node) or ())), None)
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
    for node in block.findall("dhcp/host"):
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
    node = tree.element("host", None, mac=item.mac, name=item.guest, ip=item.address)
    tree.make(block, "dhcp").append(node)
    edits.append(Edit("ip/dhcp/host", None, node, (*trail, Place("ip/dhcp/host", item.mac, node))))


def _release(root: tree.Element, item: Reservation, edits: list[Edit]) -> None:
    for block in root.findall("ip"):
        for node in block.findall("dhcp/host"):
            if (node.get("mac") or "").lower() == item.mac:
                trail = (Place("ip", _family(block), block), Place("ip/dhcp/host", item.mac, node))
                edits.append(Edit("ip/dhcp/host", node, None, trail))
                tree.remove(node)


def _family(block: tree.Element) -> str:
    return str(block.get("family") or ("ipv6" if ":" in block.get("address", "") else "ipv4"))


def live_updates(live: tree.Element, edits: list[Edit]) -> tuple[tuple[Step, ...], list[Edit]]:
    """The virNetworkUpdate calls that make these edits true on a running network, and the edits that have to wait.

    live: the running definition with the edits made in it.
    """
    steps: list[Step] = []
    waiting: list[Edit] = []
    done = set()
    taken = {edit.before for edit in edits if edit.path == "ip/dhcp/host/@ip"}
    # What is in a block that itself has to wait, waits with it: libvirt holds it against the block that runs.
    late = {id(edit.trail[0].node) for edit in edits if edit.path in ("ip", "ip/@address", "ip/@prefix", "ip/@netmask")}
    for edit in edits:
        entry = _entry_of(edit)
        if entry is None or (edit.trail and id(edit.trail[0].node) in late):
            waiting.append(edit)
        elif id(entry) not in done:
            done.add(id(entry))
            own = [other for other in edits if _entry_of(other) is entry]
            steps.extend(_calls(live, own, entry, taken))
    # What goes, goes first: an address can be given to another guest only when it is free.
    steps.sort(key=lambda step: bool(step.args["command"] != DELETE))
    return tuple(steps), waiting


def _entry_of(edit: Edit) -> Any | None:
    """The list entry (or whole list) that an edit belongs to, None if libvirt cannot update it live."""
    if edit.path in SECTIONS and not edit.trail:
        return edit
    if edit.path in SECTIONS and edit.trail[-1].path != edit.path:
        return edit
    if edit.trail and edit.trail[-1].path in SECTIONS:
        return edit.trail[-1].node
    return None


def _calls(live: tree.Element, edits: list[Edit], entry: Any, taken: Set[object]) -> list[Step]:
    """The calls for the edits of one entry. taken: addresses that change hands in this run.

    libvirt changes the first entry that has the MAC address or the address, so one that takes an address over is taken
    out and added again.
    """
    edit = edits[0]
    place = live.findall("ip").index(edit.trail[0].node) if edit.trail and edit.trail[0].path == "ip" else -1
    if entry is edit:
        path, before, after = edit.path, edit.before or (), edit.after or ()
    else:
        path = edit.trail[-1].path
        before = (edit.before,) if edit.path == path and edit.before is not None else ()
        after = () if edit.path == path and edit.after is None else (entry,)
    section, can_modify = SECTIONS[path]
    if entry is not edit and edit.path != path:
        if can_modify and entry.get("ip") not in taken:
            return [_update(MODIFY, section, place, entry)]
        before = (_entry_before(entry, edits),)
    return [_update(DELETE, section, place, node) for node in before] + [
        _update(ADD, section, place, node) for node in after
    ]


def _entry_before(entry: tree.Element, edits: list[Edit]) -> tree.Element:
    """An entry as the running network has it. libvirt finds one to take out by all that it says; a DNS host by its address."""
    if entry.getparent().tag == "dns":
        return tree.element("host", None, ip=entry.get("ip"))
    old = tree.element("host", None, **entry.attrib)
    for edit in edits:
        name = edit.path.rpartition("@")[2]
        old.attrib.pop(name, None)
        if isinstance(edit.before, str):
            old.set(name, edit.before)
    return old


def _update(command: int, section: int, place: int, node: tree.Element) -> Step:
    words = {MODIFY: "change", DELETE: "take out", ADD: "add"}[command]
    args = {"command": command, "section": section, "parent": place, "xml": tree.text_of(node)}
    return Step("update", args, f"{words} {node.tag} of the running network")
