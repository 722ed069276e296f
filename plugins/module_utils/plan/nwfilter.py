# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Network filters: from a declaration and the host as it is to steps.

What a filter lets through is not to be guessed: its rules and references are compared as a whole, nothing more and nothing
less, where other lists only have to hold what is declared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .. import tree
from ..spec.field import Field
from ..spec.kinds import KIND
from . import values
from .document import below, write_fields
from .identity import derived_uuid
from .known_nwfilter import is_stateless, meaning
from .objects import changes_of, check_uuid, wanted
from .overlay import overlay
from .plan import Change, Id, ObjectPlan, Step
from .problem import Problems
from .site import Declared, Site
from .words import read_fields

# The filters that libvirt brings along (src/nwfilter/xml).
OF_LIBVIRT = frozenset(
    [
        "allow-arp",
        "allow-dhcp",
        "allow-dhcp-server",
        "allow-dhcpv6",
        "allow-dhcpv6-server",
        "allow-incoming-ipv4",
        "allow-incoming-ipv6",
        "allow-ipv4",
        "allow-ipv6",
        "clean-traffic",
        "clean-traffic-gateway",
        "no-arp-ip-spoofing",
        "no-arp-mac-spoofing",
        "no-arp-spoofing",
        "no-ip-multicast",
        "no-ip-spoofing",
        "no-ipv6-multicast",
        "no-ipv6-spoofing",
        "no-mac-broadcast",
        "no-mac-spoofing",
        "no-other-l2-traffic",
        "no-other-rarp-traffic",
        "qemu-announce-self",
        "qemu-announce-self-rarp",
    ]
)
LISTS = {"filterrefs": "filterref", "rules": "rule"}


def plan_nwfilter(declared: Declared, site: Site) -> ObjectPlan:
    """The plan for one filter."""
    name = declared["name"]
    current = site.host.nwfilters.get(name)
    if declared["state"] == "absent":
        return _absent(name, site)
    want = wanted(KIND["nwfilter"], declared, frozenset(), site.problems)
    lists = _declared_lists(declared, want.document, want.where, site.problems)
    root = tree.parse(current.inactive) if current else _new(name, site)
    uuid = tree.get(root, "uuid") if current else None
    changes = changes_of(overlay(root, want.document, want.rules), want.rules, None if current else "create")
    check_uuid(want, root, uuid, site)
    for option, nodes in lists.items():
        before = tree.find_all(root, LISTS[option])
        if [meaning(node) for node in before] == [meaning(node) for node in nodes]:
            continue
        told = [[_shown(node) for node in side] or None for side in (before, nodes)]
        changes += (Change(option, told[0], told[1], "live" if current else "create"),)
        for node in before:
            root.remove(node)
        root.extend(nodes)
    if changes and name in OF_LIBVIRT:
        site.problems.add(want.where, "is libvirt's own filter; declare one of another name, which may refer to it")
    if current is None:
        changes += (Change("state", "absent", "present", "create"),)
    steps = (Step("define", {"xml": tree.text_of(root)}, "define it"),) if changes else ()
    return ObjectPlan("nwfilter", name, "present", changes, steps, needs=_needs(root))


def check_loops(plans: Iterable[ObjectPlan], site: Site) -> None:
    """Note filters that refer to themselves by way of others, which libvirt refuses. plans: of the declared ones."""
    refs = {name: _needs(tree.only_read(found.inactive)) for name, found in site.host.nwfilters.items()}
    refs.update({plan.name: plan.needs if plan.state != "absent" else frozenset() for plan in plans})
    told: set[str] = set()
    for plan in plans:
        loop = _loop([plan.name], refs) if plan.changes and plan.name not in told else None
        if loop:
            told.update(loop)
            site.problems.add(f"nwfilter {plan.name}", f"refers to itself: {', '.join(loop)}")


def _loop(way: list[str], refs: Mapping[str, frozenset[Id]]) -> list[str] | None:
    """The way by which the first filter of it refers to itself, None when it does not."""
    for _kind, name in sorted(refs.get(way[-1], ())):
        if name == way[0]:
            return [*way, name]
        found = _loop([*way, name], refs) if name not in way else None
        if found:
            return found
    return None


def _absent(name: str, site: Site) -> ObjectPlan:
    current = site.host.nwfilters.get(name)
    if current is None:
        return ObjectPlan("nwfilter", name, "absent")
    if name in OF_LIBVIRT:
        site.problems.add(f"nwfilter {name}", "is libvirt's own filter and stays")
    for guest in _guests_with(name, site):
        site.problems.add(f"nwfilter {name}", f"is in use by guest {guest}, which runs, and is not removed")
    users = {
        ("nwfilter", other)
        for other, found in site.host.nwfilters.items()
        if ("nwfilter", name) in _needs(tree.parse(found.inactive))
    }
    gone = (Change("state", "present", "absent", "delete"),)
    return ObjectPlan("nwfilter", name, "absent", gone, (Step("undefine", {}, "undefine it"),), needs=frozenset(users))


def _guests_with(name: str, site: Site) -> Iterator[str]:
    """The guests that run with a filter and go on to. What is declared of their interfaces may take it from them."""
    for guest, domain in site.host.domains.items():
        declared = site.domains.get(guest, {})
        stays = declared.get("state") not in ("absent", "stopped", "saved") and declared.get("interfaces") is None
        filters = tree.find_all(tree.only_read(domain.live), "devices/interface/filterref") if domain.live else []
        if stays and any(node.get("filter") == name for node in filters):
            yield guest


def _needs(root: tree.Element) -> frozenset[Id]:
    return frozenset(("nwfilter", str(node.get("filter"))) for node in tree.find_all(root, "filterref"))


def _new(name: str, site: Site) -> tree.Element:
    root = tree.element("filter", None, name=name)
    root.append(tree.element("uuid", derived_uuid(site.host.identity, "nwfilter", name)))
    return root


def _declared_lists(
    declared: Declared, document: tree.Element, where: str, problems: Problems
) -> dict[str, list[tree.Element]]:
    """The elements of each list that is declared, by option; those in raw XML are taken out of the document."""
    found = {}
    for option, tag in LISTS.items():
        nodes = tree.find_all(document, tag)
        for node in nodes:
            document.remove(node)
        if declared.get(option) is not None:
            place = below(where, option)
            nodes = [_entry(tag, item, f"{place}[{number}]", problems) for number, item in enumerate(declared[option])]
        if nodes or declared.get(option) is not None:
            found[option] = nodes
    return found


def _entry(tag: str, item: Mapping[str, Any], where: str, problems: Problems) -> tree.Element:
    """A rule or a reference as libvirt writes it."""
    node = tree.element(tag)
    write_fields(node, _fields(tag), item, where, problems)
    if item.get("statematch") is False:
        node.set("statematch", "false")
    match = item.get("match")
    if match is not None and not isinstance(match, Mapping):
        problems.add(where + ".match", "is not a mapping of attributes to values")
    elif match and not item.get("protocol"):
        problems.add(where + ".match", "needs a protocol")
    elif item.get("protocol"):
        inner = tree.element(item["protocol"])
        node.append(inner)
        for name, value in (match or {}).items():
            try:
                # YAML reads a bare no as false.
                text = (
                    {True: "yes", False: "no"}[value]
                    if isinstance(value, bool)
                    else values.VALUES["line"].encode(value)
                )
                inner.set(str(name), text)
            except ValueError as error:
                problems.add(f"{where}.match", f"{name}: {error}")
    return node


def _fields(tag: str) -> tuple[Field, ...]:
    return next(field.fields for field in KIND["nwfilter"].fields if LISTS.get(field.name) == tag)


def _shown(node: tree.Element) -> Any:
    """An entry of a list as it is told: a rule with a second condition, which no option says, as XML."""
    return " ".join(tree.text_of(node).split()) if node.tag == "rule" and len(node) > 1 else entry_in_words(node)


def entry_in_words(node: tree.Element) -> dict[str, Any]:
    """A rule or a reference as the user's options."""
    found = read_fields(node, _fields(node.tag))
    if node.tag == "rule" and is_stateless(node):
        found["statematch"] = False
    if node.tag == "rule" and len(node):
        found["protocol"] = node[0].tag
        if node[0].attrib:
            found["match"] = dict(node[0].attrib)
    return found
