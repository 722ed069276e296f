# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The desired document: what is there now, overlaid with what is declared.

The current tree is edited in place and every edit is noted. What the declaration does not mention is never touched:
unknown elements, addresses, aliases and foreign metadata survive.
"""

from __future__ import annotations

import copy
import re
from typing import NamedTuple

from .. import tree
from . import values
from .rules import Rules, join, key_of, keys_among, read_attribute
from .values import size_at

_OTHER_WAY = re.compile(r"^(read|write)_")
# In a declared tree: this element, or these attributes of it, shall not be there. Of a list, ABSENT says that it is empty: what was
# declared in it goes by ownership, and what somebody else put there stays, unless it is ALL that shall not be there.
ABSENT = "{urn:kvmfleet:libvirt}absent"
ALL = "all"
WITHOUT = "{urn:kvmfleet:libvirt}without"


class Place(NamedTuple):
    """An element with a key on the way to an edit. path: its rule path; key: which one; node: the element itself."""

    path: str
    key: str
    node: tree.Element


class Edit(NamedTuple):
    """One difference made. path: rule path ("devices/disk/driver/@cache"). before and after: a text for an attribute
    or an element's text, an element for one that was added or removed, a tuple of elements for a list, None for
    nothing. trail: the keyed elements that enclose it, outermost first, itself included when it is keyed.
    """

    path: str
    before: object
    after: object
    trail: tuple[Place, ...]


def overlay(have: tree.Element, want: tree.Element, rules: Rules) -> list[Edit]:
    """Edit the tree 'have' until the declared tree 'want' is true in it; return the edits, none if it already was."""
    edits: list[Edit] = []
    _merge(have, want, rules, "", (), edits)
    return edits


def _merge(
    have: tree.Element,
    want: tree.Element,
    rules: Rules,
    path: str,
    trail: tuple[Place, ...],
    edits: list[Edit],
) -> None:
    # A change of type empties the source, so the elements that a change drops go before children are merged.
    if rules.types.get(path) == "pci":
        _merge_pci(have, want, path, trail, edits)
    sized = path in rules.units or path in rules.sized
    measured = ("unit", "size") if not sized and _measures_the_same(have, want) else ()
    without = (want.get(WITHOUT) or "").split()
    for name in want.attrib:
        if name in (ABSENT, WITHOUT, *measured, *without) or (name == "unit" and sized):
            continue
        if _merge_attribute(have, want, name, rules, path, trail, edits):
            _drop(have, want, rules.known.drops.get(join(path, "@" + name), ()))
    _take_away(have, without, rules, path, trail, edits)
    text = (want.text or "").strip()
    if path in rules.units:
        _merge_size(have, want, None, rules, path, trail, edits)
    elif (
        text and not (measured and "size" not in want.attrib) and not rules.same(path, text, (have.text or "").strip())
    ):
        edits.append(Edit(path, (have.text or "").strip() or None, text, trail))
        have.text = want.text
        _drop(have, want, rules.known.drops.get(path, ()))
    for tag, wanted in tree.by_tag(want).items():
        _merge_children(have, tag, wanted, rules, path, trail, edits)


def _merge_attribute(
    have: tree.Element,
    want: tree.Element,
    name: str,
    rules: Rules,
    path: str,
    trail: tuple[Place, ...],
    edits: list[Edit],
) -> bool:
    where = join(path, "@" + name)
    if where in rules.units:
        return _merge_size(have, want, name, rules, where, trail, edits)
    text, before = want.get(name), read_attribute(have, name)
    if rules.same(where, text, before):
        return False
    edits.append(Edit(where, before, text, trail))
    have.set(name, text)
    if name == "prefix":
        have.attrib.pop("netmask", None)
    return True


def _take_away(
    have: tree.Element, without: list[str], rules: Rules, path: str, trail: tuple[Place, ...], edits: list[Edit]
) -> None:
    """Take the attributes away that shall not be there."""
    for name in without:
        where = join(path, "@" + name)
        if name in have.attrib and not _is_default(rules, where, have.get(name)):
            edits += [Edit(where, have.attrib.pop(name), None, trail)]


def _is_default(rules: Rules, where: str, text: str) -> bool:
    """Whether a value is what libvirt means where there is none."""
    return where in rules.known.omitted and rules.same(where, text, None)


def _drop(have: tree.Element, want: tree.Element, paths: tuple[str, ...]) -> None:
    """Take out what lost its meaning: children ("*" for all that are not declared, "?x" for those of which none is),
    neighbours ("../x"), and attributes ("@x") unless they are declared.
    """
    for path in paths:
        if path.startswith("?") and tree.find(want, path[1:]) is not None:
            continue
        if path == "*":
            for child in [
                child for tag, nodes in tree.by_tag(have).items() if tree.find(want, tag) is None for child in nodes
            ]:
                tree.remove(child)
            continue
        if path.startswith("@"):
            if path[1:] not in want.attrib:
                have.attrib.pop(path[1:], None)
            continue
        parent = have.getparent() if path.startswith("../") else have
        for node in [] if parent is None else tree.find_all(parent, path.lstrip("?").replace("../", "")):
            parent.remove(node)


def _merge_pci(have: tree.Element, want: tree.Element, path: str, trail: tuple[Place, ...], edits: list[Edit]) -> None:
    """A PCI address is one value. What belongs to an address of another kind goes with that one."""
    wanted, current = values.pci_address(want.attrib), values.pci_address(have.attrib)
    if wanted is not None and wanted != current:
        edits.append(Edit(path, current, wanted, trail))
        for name in have.attrib:
            if name != "multifunction":
                del have.attrib[name]
        have.attrib.update(want.attrib)


def _merge_size(
    have: tree.Element,
    want: tree.Element,
    attribute: str | None,
    rules: Rules,
    path: str,
    trail: tuple[Place, ...],
    edits: list[Edit],
) -> bool:
    wanted, current = (size_at(node, rules.units[path], attribute) for node in (want, have))
    if wanted is None or wanted == current or _is_rounded(wanted, current, have.get("unit") or rules.units[path]):
        return False
    edits.append(Edit(path, None if current is None else str(current), str(wanted), trail))
    if attribute:
        have.set(attribute, want.get(attribute))
    else:
        have.text = want.text
    have.attrib.pop("unit", None)
    if want.get("unit"):
        have.set("unit", want.get("unit"))
    return True


def _is_rounded(wanted: int, current: int | None, unit: str) -> bool:
    """Whether a size was rounded up to the unit that libvirt writes it in (virDomainParseMemory)."""
    factor = values.UNITS.get(unit.lower(), 1)
    return -(-wanted // factor) * factor == current


def measure(node: tree.Element) -> int | None:
    """What an element that names a unit says in bytes, be it as text or as size; None if it says no such thing."""
    text = (node.get("size") or node.text or "").strip()
    unit = node.get("unit") or ""
    return int(text) * values.UNITS[unit.lower()] if text.isdecimal() and unit.lower() in values.UNITS else None


def _measures_the_same(have: tree.Element, want: tree.Element) -> bool:
    wanted, current = measure(want), measure(have)
    if wanted is None or current is None:
        return False
    return wanted == current or _is_rounded(wanted, current, have.get("unit"))


def _merge_children(
    have: tree.Element,
    tag: str,
    wanted: list[tree.Element],
    rules: Rules,
    path: str,
    trail: tuple[Place, ...],
    edits: list[Edit],
) -> None:
    where = join(path, tag)
    current = tree.find_all(have, tag)
    if key_of(rules, where, wanted[0], 0) is not None:
        _merge_keyed(have, current, wanted, rules, where, trail, edits)
    elif len(wanted) == 1 and len(current) <= 1 and rules.types.get(where) != "items":
        _merge_single(have, current[0] if current else None, wanted[0], rules, where, trail, edits)
    else:
        _merge_list(have, current, wanted, rules, where, trail, edits)


def _merge_single(
    have: tree.Element,
    node: tree.Element | None,
    want: tree.Element,
    rules: Rules,
    where: str,
    trail: tuple[Place, ...],
    edits: list[Edit],
) -> None:
    if want.get(ABSENT):
        if node is not None and not (_is_default(rules, where, _text(node, rules, where) or "") and not len(node)):
            edits.append(Edit(where, node, None, trail))
            have.remove(node)
    elif node is not None:
        was_bare = tree.is_bare(node)
        _merge(node, want, rules, where, trail, edits)
        if tree.is_bare(node) and not was_bare and rules.types.get(where) != "flag":
            have.remove(node)
    elif not _says_nothing(want, rules, where):
        node = add(have, want)
        if len(want) or want.attrib or rules.types.get(where) in (None, "flag"):
            _note_added(node, rules, where, trail, edits)
        else:
            edits.append(Edit(where, None, _text(node, rules, where), trail))


def _says_nothing(want: tree.Element, rules: Rules, where: str) -> bool:
    """Whether all that a declared element says is what libvirt leaves out because it means the same."""
    if where in rules.units and want.text and size_at(want, rules.units[where]) is None:
        return True
    if (where in rules.units and want.text) or rules.types.get(where) == "flag" or not (len(want) or want.attrib):
        return where in rules.known.omitted and rules.same(where, (want.text or "").strip(), None)
    return not _probe(tree.element(want.tag), want, rules, where)


def _text(node: tree.Element, rules: Rules, where: str) -> str | None:
    if where in rules.units:
        return str(size_at(node, rules.units[where]))
    return (node.text or "").strip()


def _note_added(node: tree.Element, rules: Rules, where: str, trail: tuple[Place, ...], edits: list[Edit]) -> None:
    """A new element that is not an item is told as its attributes and texts, in the words the user declared them in."""
    found = len(edits)
    if (node.text or "").strip() and not len(node):
        edits.append(Edit(where, None, _text(node, rules, where), trail))
    address = values.pci_address(node.attrib) if rules.types.get(where) == "pci" else None
    if address is not None:
        edits.append(Edit(where, None, address, trail))
    elif where not in rules.named:
        _note_attributes(node, rules, where, trail, edits)
    for tag, children in tree.by_tag(node).items():
        below = join(where, tag)
        keys = keys_among(rules, below, children)
        if keys is not None:
            for place in (Place(below, key, child) for key, child in zip(keys, children)):
                _note_keyed(place, rules, trail, edits)
        elif len(children) > 1 or rules.types.get(below) == "items" or _are_words(children[0], rules, below):
            edits.append(Edit(below, None, tuple(children), trail))
        else:
            for child in children:
                _note_added(child, rules, below, trail, edits)
    if len(edits) == found:
        edits.append(Edit(where, None, node, trail))


def _note_attributes(node: tree.Element, rules: Rules, where: str, trail: tuple[Place, ...], edits: list[Edit]) -> None:
    for name, text in node.attrib.items():
        at = join(where, "@" + name)
        if at in rules.units:
            edits.append(Edit(at, None, str(size_at(node, rules.units[at], name)), trail))
        elif name != "unit" or not (where in rules.units or where in rules.sized):
            edits.append(Edit(at, None, text, trail))


def _note_keyed(place: Place, rules: Rules, trail: tuple[Place, ...], edits: list[Edit]) -> None:
    """A new entry of a list is told as a whole, an element that a table names as its parts."""
    if place.path in rules.named:
        _note_added(place.node, rules, place.path, (*trail, place), edits)
    else:
        edits.append(Edit(place.path, None, place.node, (*trail, place)))


def _are_words(node: tree.Element, rules: Rules, where: str) -> bool:
    """Whether elements like this one are the words of one option, as their texts or as an attribute of each."""
    return "words" in (rules.types.get(where), *(rules.types.get(join(where, "@" + name)) for name in node.attrib))


def _merge_keyed(
    have: tree.Element,
    current: list[tree.Element],
    wanted: list[tree.Element],
    rules: Rules,
    where: str,
    trail: tuple[Place, ...],
    edits: list[Edit],
) -> None:
    by_key = dict(zip(keys_among(rules, where, current) or [], current))
    for key, want in zip(keys_among(rules, where, wanted) or [], wanted):
        if want.get(ABSENT):
            _remove_all(by_key if want.get(ABSENT) == ALL else {}, where, trail, edits)
            continue
        node = by_key.get(key)
        if where in rules.known.hollow:
            _merge_hollow(have, node, want, rules, Place(where, key, want), trail, edits)
        elif node is None:
            _note_keyed(Place(where, key, add(have, want)), rules, trail, edits)
        elif where.startswith("metadata/"):
            _replace(node, want, (*trail, Place(where, key, node)), edits)
        else:
            _merge(node, want, rules, where, (*trail, Place(where, key, node)), edits)


def _remove_all(by_key: dict[str, tree.Element], where: str, trail: tuple[Place, ...], edits: list[Edit]) -> None:
    for key, node in by_key.items():
        edits.append(Edit(where, node, None, (*trail, Place(where, key, node))))
        tree.remove(node)


def _merge_hollow(
    have: tree.Element,
    node: tree.Element | None,
    want: tree.Element,
    rules: Rules,
    place: Place,
    trail: tuple[Place, ...],
    edits: list[Edit],
) -> None:
    """Merge an entry that is not there when it says nothing beside its key."""
    before = None if node is None else copy.deepcopy(node)
    node = add(have, want) if node is None else node
    place = place._replace(node=node)
    found: list[Edit] = []
    if before is not None:
        _merge(node, want, rules, place.path, (*trail, place), found)
    if [child.tag for child in node] == [rules.known.hollow[place.path]]:
        have.remove(node)
        found = [] if before is None else [Edit(place.path, before, None, (*trail, place._replace(node=before)))]
    elif before is None:
        _note_keyed(place, rules, trail, found)
    edits += found


def _replace(node: tree.Element, want: tree.Element, trail: tuple[Place, ...], edits: list[Edit]) -> None:
    """Put a piece of somebody's metadata in the place of the one that is there: only its author knows what a part means."""
    if tree.canonical(want) != tree.canonical(node):
        after = copy.deepcopy(want)
        edits.append(Edit(trail[-1].path, node, after, trail))
        node.getparent().replace(node, after)


def _merge_list(
    have: tree.Element,
    current: list[tree.Element],
    wanted: list[tree.Element],
    rules: Rules,
    where: str,
    trail: tuple[Place, ...],
    edits: list[Edit],
) -> None:
    """A repeated element without a key: the declared list is the whole list, in its order."""
    wanted = [node for node in wanted if not node.get(ABSENT)]
    if len(wanted) == len(current) and all(covers(a, b, rules, where) for a, b in zip(current, wanted)):
        return
    numbers = rules.known.spread.get(where)
    if numbers and _spread(current, numbers) == _spread(wanted, numbers):
        return
    after = tuple(copy.deepcopy(node) for node in wanted)
    place = have.index(current[0]) if current else len(have)
    for node in current:
        have.remove(node)
    for offset, node in enumerate(after):
        have.insert(place + offset, node)
    edits.append(Edit(where, tuple(current) or None, after or None, trail))


def _spread(nodes: list[tree.Element], attribute: str) -> set[tuple[object, ...]]:
    """What elements say of each number in a set of them."""
    return {
        (number, *sorted(pair for pair in node.attrib.items() if pair[0] != attribute))
        for node in nodes
        for number in _each(node.get(attribute) or "")
    }


def _each(text: str) -> frozenset[object]:
    numbers = values.VALUES["cpuset"].same(text)
    return numbers if isinstance(numbers, frozenset) else frozenset((text,))


def covers(have: tree.Element, want: tree.Element, rules: Rules, where: str) -> bool:
    """Whether everything that is declared in one element is already true in another."""
    return not _probe(copy.deepcopy(have), want, rules, where)


def _probe(have: tree.Element, want: tree.Element, rules: Rules, where: str) -> list[Edit]:
    edits: list[Edit] = []
    _merge(have, want, rules, where, (), edits)
    return edits


def add(parent: tree.Element, want: tree.Element) -> tree.Element:
    """A copy of a declared element in its new parent: after the last one with the same tag, else at the end."""
    node = copy.deepcopy(want)
    for marked in [part for part in node.iter() if part.get(ABSENT)]:
        tree.remove(marked)
    for marked in [part for part in node.iter() if part.attrib.pop(WITHOUT, None) is not None]:
        if marked is not node and tree.is_bare(marked):
            tree.remove(marked)
    # libvirt's schema wants read_bytes_sec and write_bytes_sec side by side (domaincommon.rng, iotune, as libxml2 reads it).
    tags = {node.tag, _OTHER_WAY.sub(lambda way: "write_" if way[0] == "read_" else "read_", str(node.tag))}
    peers = [peer for peer in parent if peer.tag in tags]
    if peers:
        peers[-1].addnext(node)
    else:
        parent.append(node)
    return node
