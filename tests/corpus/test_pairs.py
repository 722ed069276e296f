# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What libvirt makes of a document, as its own tests say, is no difference to it; what somebody else made is one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Callable

import pytest
from exceptions import is_unnoticed, reasons, unexpected
from pairs import SETS, pairs
from planned import NAME_AT, differences
from source import RELEASES, documents

from ansible_collections.kvmfleet.libvirt.plugins.module_utils import tree
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.secret import USAGE

Count = Callable[[str], None]
FEWEST = {"domain": 600, "network": 35, "nwfilter": 40, "pool": 35, "secret": 7, "volume": 20}
"""So many pairs each release has at least."""
TRIES = 6
"""How often a value at the same path is changed, in documents of their own."""


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("kind", SETS)
def test_libvirts_own_words_are_no_difference(kind: str, release: str, count: Count) -> None:
    found: dict[str, str] = {}
    names, left_out = [], 0
    for pair in pairs(kind, documents(release)):
        left_out += pair.left_out
        names.append(f"{release}/{pair.name}")
        changes = differences(kind, pair.declared, pair.current)
        if changes:
            found[names[-1]] = "; ".join(changes)
    known = [name for name in names if name in reasons("pairs")]
    count(
        f"{release} {kind}: {len(names)} pairs, {len(names) - len(found)} without a difference, {len(known)} exceptions"
        + (f", {left_out} rules left out that libvirt's schema refuses" if left_out else "")
    )
    for name in known:
        count(f"    {name}: {reasons('pairs')[name]}")
    assert len(names) >= FEWEST[kind], "the documents were not found"
    assert unexpected("pairs", found, names) == []


def _values(node: Any, path: str) -> Iterator[tuple[str, Callable[[str], Any], str]]:
    """Each value of a document: its path, what sets it, and the value."""
    for name, text in node.attrib.items():
        yield f"{path}/@{name}", lambda new, name=name: node.set(name, new), text
    if (node.text or "").strip():
        yield path, lambda new: setattr(node, "text", new), node.text.strip()
    for child in node:
        yield from _values(child, f"{path}/{tree.plain(child.tag)}")


def _identity(kind: str) -> set[str]:
    """The paths by which an object is known: another value there is of another object."""
    names = (
        [NAME_AT[kind]] if NAME_AT[kind] else ["usage/@type", *(f"usage/{tag}" for tag in ("name", *USAGE.values()))]
    )
    return {f"{kind}/{path}" for path in ("uuid", *names)}


_OPPOSITE = {"yes": "no", "no": "yes", "on": "off", "off": "on"}


def _other(text: str) -> str:
    try:
        return str(int(text, 0) + 1)
    except ValueError:
        return _OPPOSITE.get(text, text + "x")


@pytest.mark.parametrize("kind", SETS)
def test_every_other_value_is_a_difference(kind: str, count: Count) -> None:
    """No rule may hide what a user wants changed."""
    tried: Counter[str] = Counter()
    hidden = []
    for pair in (pair for release in RELEASES for pair in pairs(kind, documents(release))):
        root = tree.parse(pair.current)
        for path, put, text in list(_values(root, kind)):
            if tried[path] < TRIES and path not in _identity(kind) and not is_unnoticed(path, text):
                tried[path] += 1
                put(_other(text))
                if not differences(kind, tree.text_of(root), pair.current):
                    hidden.append(f"{pair.name}: {path} {text} -> {_other(text)}")
                put(text)
    count(f"{kind}: {tried.total()} values at {len(tried)} paths declared otherwise, {len(hidden)} unnoticed")
    assert hidden == []


@pytest.mark.parametrize("kind", SETS)
def test_every_missing_element_is_a_difference(kind: str, count: Count) -> None:
    tried: Counter[str] = Counter()
    hidden = []
    for pair in (pair for release in RELEASES for pair in pairs(kind, documents(release))):
        root = tree.parse(pair.current)
        for node in [node for node in root.iter() if node is not root]:
            parts = [part.tag for part in [*reversed([*node.iterancestors()]), node]]
            path = "/".join(map(tree.plain, parts))
            if (
                tried[path] < TRIES
                and path not in _identity(kind)
                and not is_unnoticed(path, node.get("path") or "")
                and not is_unnoticed(path, tree.text_of(node).strip())
            ):
                tried[path] += 1
                parent, place = node.getparent(), node.getparent().index(node)
                parent.remove(node)
                if not differences(kind, pair.current, tree.text_of(root)):
                    hidden.append(f"{pair.name}: {path}")
                parent.insert(place, node)
    count(f"{kind}: {tried.total()} elements at {len(tried)} paths missing, {len(hidden)} unnoticed")
    assert hidden == []
