# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who put what there. The keys declared last time, and fingerprints, are kept in the object's own metadata.

Keys only, never values. What was declared and is not declared any more is removed; what somebody else added is left.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from .. import tree
from .overlay import ABSENT, Edit, Place
from .rules import Rules, join, keys_among

NAMESPACE = "urn:kvmfleet:libvirt"
PREFIX = "kvmfleet"
TAG = f"{{{NAMESPACE}}}declared"
_KEY = f"{{{NAMESPACE}}}key"
_DECLINED = f"{{{NAMESPACE}}}declined"

# An owned key starts with one of these when it came from raw xml, is an address reserved for a guest, or a seed's
# cdrom. The last two come from options of their own, so a list that lacks them does not take them out.
RAW = "xml:"
RESERVATION = "reservation:"
SEED = "seed:"
KEPT = (RESERVATION, SEED)


class Owned(NamedTuple):
    """What the metadata says. keys: "devices/disk[vda]" and the like. declared, definition: fingerprints of the raw XML
    declared last, and of the definition libvirt made of it; None when there are none. declined: why a running guest declined a
    step, by the step's digest: it is not asked again before it is started anew or defined otherwise. instance, made: of the
    guest's seed, as the volume tells them; a guest that runs says those that it was started with. early: those of the steps that
    it declined before its guest agent was there; once that is, it is asked again.
    """

    keys: frozenset[str]
    declared: str | None
    definition: str | None
    declined: Mapping[str, str] = {}
    instance: str = ""
    made: int = 0
    early: frozenset[str] = frozenset()


NOTHING = Owned(frozenset(), None, None)


def read(root: tree.Element) -> Owned:
    """What an object's document says of our ownership."""
    node = tree.find(root, "metadata/" + TAG)
    if node is None:
        return NOTHING
    keys = frozenset((key.text or "").strip() for key in tree.find_all(node, _KEY))
    notes = tree.find_all(node, _DECLINED)
    declined = {str(child.get("step")): (child.text or "").strip() for child in notes}
    early = frozenset(str(child.get("step")) for child in notes if child.get("early"))
    made = node.get("made") or ""
    told = (node.get("declared"), node.get("definition"), declined, node.get("instance") or "")
    return Owned(keys, *told, int(made) if made.isdecimal() else 0, early)


def write(root: tree.Element, owned: Owned) -> None:
    """Put our ownership into an object's document, in place of what it said before."""
    strip(root)
    if owned != NOTHING:
        tree.make(root, "metadata").append(as_element(owned))


def as_text(owned: Owned) -> str:
    """The metadata as virDomainSetMetadata takes it: libvirt puts it into the namespace by itself."""
    return tree.text_of(_filled(tree.element("declared"), "key", "declined", owned))


def as_element(owned: Owned) -> tree.Element:
    """The metadata element for this ownership."""
    return _filled(tree.namespaced(TAG, PREFIX, NAMESPACE), _KEY, _DECLINED, owned)


def _filled(node: tree.Element, tag: str, declined: str, owned: Owned) -> tree.Element:
    for name in ("declared", "definition", "instance", "made"):
        value = getattr(owned, name)
        if value:
            node.set(name, str(value))
    for key in sorted(owned.keys):
        node.append(tree.element(tag, key))
    for step, reason in sorted(owned.declined.items()):
        node.append(tree.element(declined, reason, step=step, **({"early": "yes"} if step in owned.early else {})))
    return node


def strip(root: tree.Element) -> None:
    """Take our ownership out of a document, and a metadata element that is then empty."""
    node = tree.find(root, "metadata/" + TAG)
    if node is not None:
        metadata = node.getparent()
        metadata.remove(node)
        if not len(metadata):
            root.remove(metadata)


def fingerprint(root: tree.Element, rules: Rules) -> str:
    """A digest of a document without our metadata and without secrets, so that nothing can be guessed from it."""
    copied = tree.parse(tree.text_of(root))
    strip(copied)
    for path, field in rules.fields.items():
        where, attribute = tree.split(path)
        for node in tree.find_all(copied, where) if field.secret else ():
            if attribute:
                node.attrib.pop(attribute, None)
            else:
                node.text = None
    return hashlib.sha256(tree.canonical(copied)).hexdigest()


def places(
    root: tree.Element, rules: Rules, path: str = "", trail: tuple[Place, ...] = ()
) -> Iterator[tuple[Place, ...]]:
    """The trails of all keyed elements of a document."""
    for tag, children in tree.by_tag(root).items():
        if tag == "metadata":
            continue
        where = join(path, tag)
        keys = keys_among(rules, where, children)
        for number, child in enumerate(children):
            if child.get(ABSENT):
                continue  # The mark of an empty list is no entry.
            below = trail if keys is None else (*trail, Place(where, keys[number], child))
            if keys is not None:
                yield below
            yield from places(child, rules, where, below)


def key(trail: tuple[Place, ...]) -> str:
    """The owned key of a keyed element: "ip[ipv4]/dhcp/host[52:54:00:00:00:01]"."""
    text, above = "", ""
    for place in trail:
        text += place.path[len(above) :] + f"[{place.key}]"
        above = place.path
    return text


def keys_of(root: tree.Element, rules: Rules) -> frozenset[str]:
    """The owned keys of all keyed elements in a declared document."""
    return frozenset(key(trail) for trail in places(root, rules))


def remove_undeclared(have: tree.Element, rules: Rules, doomed: frozenset[str]) -> list[Edit]:
    """Take the elements with these keys out of a document; return the edits."""
    edits: list[Edit] = []
    if not doomed:
        return edits
    for trail in list(places(have, rules)):
        if key(trail) in doomed and trail[-1].node.getparent() is not None:
            edits.append(Edit(trail[-1].path, trail[-1].node, None, trail))
            tree.remove(trail[-1].node)
    return edits
