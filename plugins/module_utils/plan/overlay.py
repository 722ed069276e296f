# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The desired document: what is there now, overlaid with what is declared.

The current tree is edited in place and every edit is noted. What the declaration does not mention is never touched:
unknown elements, addresses, aliases and foreign metadata survive.
"""

from __future__ import annotations

import copy
from typing import NamedTuple

from .. import tree
from . import values
from .rules import Rules, join, key_of, keys_among, read_attribute

# In a declared tree: this element, or this attribute, shall not be there.
ABSENT = "{urn:kvmfleet:libvirt}absent"


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
    if path in rules.units:
        _merge_size(have, want, rules, path, trail, edits)
    else:
        for name, text in want.attrib.items():
            if name != ABSENT and _merge_attribute(have, name, text, rules, path, trail, edits):
                _drop(have, want, rules.known.drops.get(join(path, "@" + name), ()))
        text = (want.text or "").strip()
        if text and not rules.same(path, text, (have.text or "").strip()):
            edits.append(Edit(path, (have.text or "").strip() or None, text, trail))
            have.text = want.text
    for tag, wanted in tree.by_tag(want).items():
        _merge_children(have, tag, wanted, rules, path, trail, edits)


def _merge_attribute(
    have: tree.Element,
    name: str,
    text: str,
    rules: Rules,
    path: str,
    trail: tuple[Place, ...],
    edits: list[Edit],
) -> bool:
    where = join(path, "@" + name)
    before = read_attribute(have, name)
    if rules.same(where, text, before):
        return False
    edits.append(Edit(where, before, text, trail))
    have.set(name, text)
    if name == "prefix":
        have.attrib.pop("netmask", None)
    return True


def _drop(have: tree.Element, want: tree.Element, paths: tuple[str, ...]) -> None:
    """Take out what lost its meaning, unless it is declared: children, neighbours ("../x") and attributes ("@x")."""
    for path in paths:
        if path.startswith("@"):
            if path[1:] not in want.attrib:
                have.attrib.pop(path[1:], None)
            continue
        parent = have.getparent() if path.startswith("../") else have
        for node in [] if parent is None else parent.findall(path.replace("../", "")):
            parent.remove(node)


def _merge_size(
    have: tree.Element,
    want: tree.Element,
    rules: Rules,
    path: str,
    trail: tuple[Place, ...],
    edits: list[Edit],
) -> None:
    wanted, current = size_at(want, rules.units[path]), size_at(have, rules.units[path])
    if wanted != current:
        edits.append(Edit(path, None if current is None else str(current), str(wanted), trail))
        have.text = want.text
        have.attrib.pop("unit", None)
        if want.get("unit"):
            have.set("unit", want.get("unit"))


def size_at(node: tree.Element, unit: str) -> int | None:
    """A size element in bytes; None when it is empty. unit: the one that counts when the element names none."""
    text = (node.text or "").strip()
    return values.scaled(text, node.get("unit") or unit) if text else None


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
        if node is not None:
            edits.append(Edit(where, node, None, trail))
            have.remove(node)
    elif node is not None:
        _merge(node, want, rules, where, trail, edits)
    elif not _says_nothing(want, rules, where):
        node = add(have, want)
        if len(want) or want.attrib or rules.types.get(where) in (None, "flag"):
            _note_added(node, rules, where, trail, edits)
        else:
            edits.append(Edit(where, None, _text(node, rules, where), trail))


def _says_nothing(want: tree.Element, rules: Rules, where: str) -> bool:
    """Whether all that a declared element says is what libvirt leaves out because it means the same."""
    if where in rules.units or rules.types.get(where) == "flag" or not (len(want) or want.attrib):
        return where in rules.known.omitted and rules.same(where, (want.text or "").strip(), None)
    return not _probe(tree.element(want.tag), want, rules, where)


def _text(node: tree.Element, rules: Rules, where: str) -> str | None:
    if where in rules.units:
        return str(size_at(node, rules.units[where]))
    return (node.text or "").strip()


def _note_added(node: tree.Element, rules: Rules, where: str, trail: tuple[Place, ...], edits: list[Edit]) -> None:
    """A new element that is not an item is told as its attributes and texts, in the words the user declared them in."""
    found = len(edits)
    if where in rules.units or ((node.text or "").strip() and not len(node)):
        edits.append(Edit(where, None, _text(node, rules, where), trail))
    if where not in rules.units:
        for name, text in node.attrib.items():
            edits.append(Edit(join(where, "@" + name), None, text, trail))
    for tag, children in tree.by_tag(node).items():
        below = join(where, tag)
        keys = keys_among(rules, below, children)
        if keys is not None:
            places = (Place(below, key, child) for key, child in zip(keys, children))
            edits.extend(Edit(below, None, place.node, (*trail, place)) for place in places)
        elif rules.types.get(below) == "items" or _are_words(children[0], rules, below):
            edits.append(Edit(below, None, tuple(children), trail))
        else:
            for child in children:
                _note_added(child, rules, below, trail, edits)
    if len(edits) == found:
        edits.append(Edit(where, None, node, trail))


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
            continue  # An empty list: what was declared in it goes by ownership, what somebody else put there stays.
        node = by_key.get(key)
        if node is None:
            node = add(have, want)
            edits.append(Edit(where, None, node, (*trail, Place(where, key, node))))
        else:
            _merge(node, want, rules, where, (*trail, Place(where, key, node)), edits)


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
    after = tuple(copy.deepcopy(node) for node in wanted)
    place = have.index(current[0]) if current else len(have)
    for node in current:
        have.remove(node)
    for offset, node in enumerate(after):
        have.insert(place + offset, node)
    edits.append(Edit(where, tuple(current) or None, after or None, trail))


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
    peers = [peer for peer in parent if peer.tag == node.tag]
    if peers:
        peers[-1].addnext(node)
    else:
        parent.append(node)
    return node
