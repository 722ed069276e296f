# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What libvirt's documents mean beyond the field tables: keys of repeated elements, defaults, what is only told.

Each entry is a fact of libvirt, learnt from its source and its own test documents.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Callable, NamedTuple

from .. import tree

Key = Callable[[tree.Element, int], str]


NONE: Mapping[str, Any] = MappingProxyType({})


def _as_it_is(_root: tree.Element) -> None:
    """Libvirt writes such documents as they are."""


class Known(NamedTuple):
    """Facts about the documents of one kind, by rule path.

    keys: how one of several elements with the same path is told from the others (element, its place among them → key).
    drops: children that lose their meaning when this attribute changes ("../" for its neighbours, "@" for attributes).
    types, units: value types and units of sizes that have no field of their own.
    omitted: the text that libvirt leaves out, as it means the same.
    spread: lists whose elements libvirt writes anew, one for each number in the set that this attribute holds.
    hollow: paths of entries that libvirt drops when they hold nothing but this, which is their key.
    told: XPaths of what a document tells of the present, or what libvirt decides by itself: not part of a declaration.
    normal: writes a document of the user's as libvirt would: numbers that it counts itself, the order it keeps.
    """

    keys: Mapping[str, Key] = NONE
    drops: Mapping[str, tuple[str, ...]] = NONE
    types: Mapping[str, str] = NONE
    units: Mapping[str, str] = NONE
    omitted: Mapping[str, str] = NONE
    told: tuple[str, ...] = ()
    hollow: Mapping[str, str] = {}
    spread: Mapping[str, str] = NONE
    normal: Callable[[tree.Element], None] = _as_it_is


def by_attribute(path: str, fallback: str = "") -> Key:
    """Key by the text at a path, lower-cased; by this word, or by the place where that is missing."""

    def key(node: tree.Element, place: int) -> str:
        return (tree.get(node, path) or "").lower() or fallback or str(place)

    return key


def by_text(path: str) -> Key:
    """Key by the text at a path as it stands, or by the place where that is missing."""

    def key(node: tree.Element, place: int) -> str:
        return tree.get(node, path) or str(place)

    return key


def by_texts(*paths: str) -> Key:
    """Key by the texts at several paths together."""

    def key(node: tree.Element, _place: int) -> str:
        return ",".join(tree.get(node, path) or "" for path in paths)

    return key


def by_place(_node: tree.Element, place: int) -> str:
    """The place as the key: for what has nothing else that tells it apart."""
    return str(place)


def by_tag(node: tree.Element, _place: int) -> str:
    """The tag as the key: there is one of each."""
    return str(node.tag)
