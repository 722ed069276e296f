# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When two places in libvirt's documents are the same place, and when two texts there mean the same.

Rules are keyed by the path of tags below the root ("devices/disk", "cpu/@mode"). Value types come from the field
tables; what a table cannot say stands here, each with its source in libvirt.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from .. import tree
from ..spec.field import Field, Kind
from . import values
from .known import Known
from .known_domain import DOMAIN
from .known_network import NETWORK
from .known_secret import SECRET
from .known_storage import POOL

KNOWN: dict[str, Known] = {"domain": DOMAIN, "network": NETWORK, "pool": POOL, "secret": SECRET}


class Rules(NamedTuple):
    """What the overlay has to know of one kind's documents.

    known: facts about these documents. types: value type of a path. units: unit of a size that says none.
    fields: the table row of a path. implied: paths that are written because of another field.
    """

    kind: Kind
    known: Known
    types: Mapping[str, str]
    units: Mapping[str, str]
    fields: Mapping[str, Field]
    implied: frozenset[str]

    def same(self, path: str, want: str, have: str | None) -> bool:
        """Whether the declared text at this path means what the current one means."""
        if have is None:
            have = self.known.omitted.get(path)
        if have is None:
            return False
        if want == have:
            return True
        # An address counts in whatever base it is written: slot='4' is slot='0x04'.
        fallback = "int" if "/address/@" in path else "text"
        compare = values.VALUES.get(self.types.get(path, fallback), values.VALUES["text"]).same
        return bool(compare(want) == compare(have))

    def is_secret(self, path: str) -> bool:
        """Whether the value at this path is never shown."""
        field = self.fields.get(path)
        return field is not None and field.secret


def _rules(kind: Kind, known: Known) -> Rules:
    types = dict(known.types)
    units = dict(known.units)
    rows: dict[str, Field] = {}
    implied = set()

    def enter(fields: tuple[Field, ...], above: str) -> None:
        for field in fields:
            if field.path is None:
                continue
            path = join(above, field.path)
            rows.setdefault(path, field)
            types.setdefault(path, field.type)
            if field.type == "size":
                units[path] = field.unit
            for where, _text in field.implies:
                implied.add(join(above, where))
            enter(field.fields, path)

    enter(kind.fields, "")
    return Rules(kind, known, types, units, rows, frozenset(implied - set(rows)))


def join(above: str, path: str) -> str:
    """A path below another one."""
    if path == ".":
        return above
    return f"{above}/{path}" if above else path


def for_kind(kind: Kind) -> Rules:
    """The rules of this kind, made once."""
    if kind.name not in _MADE:
        _MADE[kind.name] = _rules(kind, KNOWN.get(kind.name, Known()))
    return _MADE[kind.name]


_MADE: dict[str, Rules] = {}


def key_of(rules: Rules, path: str, node: tree.Element, place: int) -> str | None:
    """The key of an element among those with the same path, or None where the path has no rule."""
    rule = rules.known.keys.get(path) or (rules.known.keys.get(path.rpartition("/")[0] + "/*") if "/" in path else None)
    return None if rule is None else rule(node, place)


def keys_among(rules: Rules, path: str, nodes: list[tree.Element]) -> list[str] | None:
    """The keys of all elements with one path in their order, None where the path has no rule.

    Two that would have one key (two interfaces with one MAC address that work together) are told apart by their order.
    """
    seen: dict[str, int] = {}
    keys = []
    for place, node in enumerate(nodes):
        key = key_of(rules, path, node, place)
        if key is None:
            return None
        seen[key] = seen.get(key, 0) + 1
        keys.append(key if seen[key] == 1 else f"{key}#{seen[key]}")
    return keys


def read_attribute(node: tree.Element, name: str) -> str | None:
    """An attribute of an element; a prefix or netmask is told from the other one, as libvirt keeps either."""
    value: Any = node.get(name)
    if value is None and name == "prefix" and node.get("netmask"):
        return values.prefix_of(node.get("netmask"))
    return None if value is None else str(value)
