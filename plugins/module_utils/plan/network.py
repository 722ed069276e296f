# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks: from a declaration, the guests' reserved addresses and the host as it is to steps.

A running network is changed through virNetworkUpdate where libvirt can, so that no guest loses its connection.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Any

from .. import tree
from . import ownership
from .activity import Activity, settle
from .current import Network
from .identity import derived_uuid
from .objects import Wanted, changes_of, check_uuid, fingerprint_step, overlaid, owned_after, running, undeclared
from .overlay import ABSENT, Edit
from .plan import Change, ObjectPlan, Step
from .reservations import reserve
from .site import Reservation, Site, subnet_of
from .subnets import collisions, has_own_bridge, misfits, seized_bridge, taken_bridge
from .updates import as_it_runs, live_updates

# What libvirt says of a bridge that it makes, and refuses to hear of another one.
_OF_OWN_BRIDGE = {
    "mac": "mac/@address",
    "bridge.stp": "bridge/@stp",
    "bridge.delay": "bridge/@delay",
    "bridge.zone": "bridge/@zone",
}


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
    for guest in _cut_off(declared, current, site):
        site.problems.add(
            want.where, f"guest {guest} runs on it and would be cut off; stop it or move its interface first"
        )
    if declared["state"] == "absent":
        changes, steps = settle("network", name, declared, activity, None)
        return ObjectPlan("network", name, "absent", changes, steps)
    for document in (want.document, want.typed):
        _isolate(document)
    root = tree.parse(current.inactive) if current else _new(name, site)
    uuid = tree.get(root, "uuid") if current else None
    owned = ownership.read(root)
    edits, settled = overlaid(want, root)
    check_uuid(want, root, uuid, site)
    for problem in _wrong(root, want.document, current):
        site.problems.add(want.where, problem)
    _check_addresses(want, declared, root, current, edits, site)
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
        _straighten(root)
        xml = tree.text_of(root)
    changes = changes_of(edits, want.rules, None if current else "create")
    live_steps: tuple[Step, ...] = ()
    pending: tuple[Change, ...] = ()
    if current and current.live and declared["state"] != "inactive":
        live = as_it_runs(current.live)
        live_edits = running(want, live.root, root, owned, settled) + reserve(live.root, reservations, owned)[0]
        _straighten(live.root)
        live_steps, waiting = live_updates(live, live_edits)
        pending = changes_of(waiting, want.rules)
        if live_steps and not edits:
            changes = changes_of([edit for edit in live_edits if edit not in waiting], want.rules)
        if pending and declared.get("restart") == "if_needed":
            live_steps, pending = (_restart(current),), ()
            changes += (Change("state", "active", "active anew", "restart"),)
    more, steps = settle(
        "network", name, declared, activity, xml, fingerprint_step(want) * (xml is not None) + live_steps
    )
    return ObjectPlan(
        "network",
        name,
        activity.after(declared["state"]),
        changes + more,
        steps,
        pending,
        frozenset(),
        undeclared(want, root),
        {"attached": current.attached if current else ()},
        current.inactive if current and current.persistent else None,
    )


def _check_addresses(
    want: Wanted,
    declared: Mapping[str, Any],
    root: tree.Element,
    current: Network | None,
    edits: list[Edit],
    site: Site,
) -> None:
    """Note addresses that do not fit, where they are new or the network is to be started: what runs already is left."""
    known = misfits(tree.only_read(current.inactive)) if current and edits else []
    found = [problem for problem in misfits(root) if problem not in known] if edits else []
    starts = declared["state"] == "active" and not (current and current.live)
    moves = current is not None and current.live and any(edit.path.startswith(("ip", "bridge")) for edit in edits)
    if starts or moves:
        found += collisions(declared["name"], root, site)
    if current is None or any(edit.path.startswith("bridge") for edit in edits):
        found += taken_bridge(declared["name"], root, site)
    if starts or declared.get("autostart") or any(edit.path.startswith(("bridge", "forward")) for edit in edits):
        found += seized_bridge(root, site)
    for problem in found:
        site.problems.add(want.where, problem)


def _cut_off(declared: Mapping[str, Any], current: Network | None, site: Site) -> Iterator[str]:
    """The guests that run on a network which is to stop, and are to run on without having moved away from it."""
    if current is None or declared["state"] not in ("absent", "inactive"):
        return
    for guest in current.attached:
        wanted = site.domains.get(guest, {})
        interfaces = wanted.get("interfaces")
        moves = interfaces is not None and all(item.get("network") != current.name for item in interfaces)
        if wanted.get("state") not in ("absent", "stopped", "saved") and not moves:
            yield guest


def _restart(current: Network) -> Step:
    guests = ", ".join(current.attached)
    return Step("restart", {}, "restart the network" + (f" and attach its guests again: {guests}" if guests else ""))


def _isolate(document: tree.Element) -> None:
    """Libvirt has no word for a network that leads nowhere: it is one without <forward>."""
    node = tree.find(document, "forward")
    if node is not None and node.get("mode") == "none":
        node[:] = []
        node.attrib.clear()
        node.set(ABSENT, "yes")


def _straighten(root: tree.Element) -> None:
    """Make a definition one that libvirt takes: it repeats the first interface as the device, which may be another one by
    now, and its schema has no word for a VLAN that is no trunk.
    """
    forward = root.find("forward")
    first = None if forward is None else tree.find(forward, "interface")
    if first is not None and forward.get("dev") != first.get("dev"):
        forward.attrib.pop("dev", None)
    if not has_own_bridge(root):
        for path in _OF_OWN_BRIDGE.values():  # They were those of the bridge that libvirt made.
            tree.erase(root, path)
    for node in root.iter("vlan"):
        if node.get("trunk") == "no":
            del node.attrib["trunk"]


def _new(name: str, site: Site) -> tree.Element:
    root = tree.element("network")
    root.append(tree.element("name", name))
    root.append(tree.element("uuid", derived_uuid(site.host.identity, "network", name)))
    return root


def _wrong(root: tree.Element, declared: tree.Element, current: Network | None) -> list[str]:
    """What libvirt would refuse and is not so already: what others made stays manageable."""
    found = _outside(root) + _misplaced(root, declared)
    if not found or current is None:
        return found
    before = tree.only_read(current.inactive)
    known = _outside(before) + _misplaced(before, tree.element("network"))
    return [problem for problem in found if problem not in known]


def _outside(root: tree.Element) -> list[str]:
    """Addresses that DHCP is to give out although they are not in their block: libvirt would only say so at the write."""
    return [
        f"{node.tag} {name} {node.get(name)} is not in {subnet_of(block)}"
        for block in tree.find_all(root, "ip")
        for node in tree.find_all(block, "dhcp/range") + tree.find_all(block, "dhcp/host")
        for name in ("start", "end", "ip")
        if node.get(name) and not _is_in(node.get(name), block)
    ]


def _misplaced(root: tree.Element, declared: tree.Element) -> list[str]:
    """What libvirt refuses only when it starts the network, or in words that name nothing. declared: the sparse document."""
    families = [
        ":" in (block.get("address") or "")
        for block in tree.find_all(root, "ip")
        if tree.find(block, "dhcp") is not None
    ]
    found = ["DHCP is declared for two blocks of one family"] * (len(families) > len(set(families)))
    device, first = tree.get(declared, "forward/@dev"), tree.get(root, "forward/interface/@dev")
    if device and first and device != first:
        found.append(f"forward.dev is {device}, but the first of forward.interfaces is {first}")
    mode = tree.get(root, "forward/@mode")
    if mode in ("nat", "route", "open") and len(tree.find_all(root, "forward/interface")) > 1:
        found.append(f"forward.interfaces holds several devices; the mode {mode} takes one")
    if not has_own_bridge(root):
        words = {"ip": "ips", "domain": "domain", "dns/host": "dns", "dns/txt": "dns", "dns/srv": "dns"}
        strange = {word for path, word in words.items() if tree.find_all(root, path)}
        strange |= {word for word, path in _OF_OWN_BRIDGE.items() if tree.get(declared, path)}
        found += [
            f"{word} is for networks with a bridge of their own, not for the mode {mode}" for word in sorted(strange)
        ]
    default = [node.get("name") or "" for node in tree.find_all(root, "portgroup") if node.get("default") == "yes"]
    if len(default) > 1:
        found.append(f"portgroups {' and '.join(default)} are both default")
    for node in tree.find_all(root, "route"):
        address, mask = node.get("address"), node.get("prefix") or node.get("netmask")
        try:
            if address and mask:
                ipaddress.ip_network(f"{address}/{mask}")
        except ValueError:
            found.append(f"route {address}/{mask} is no network: bits of a host are set")
    return found


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
