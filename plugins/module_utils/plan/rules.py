# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When two places in libvirt's documents are the same place, and when two texts there mean the same.

Rules are keyed by the path of tags below the root ("devices/disk", "cpu/@mode"). Value types come from the field
tables; what a table cannot say stands here, each with its source in libvirt.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from .. import tree
from ..spec.field import Field, Kind
from . import values
from .known import Key, Known
from .known_domain import DOMAIN
from .known_network import NETWORK
from .known_secret import SECRET
from .known_storage import POOL

KNOWN: dict[str, Known] = {"domain": DOMAIN, "network": NETWORK, "pool": POOL, "secret": SECRET}


class Rules(NamedTuple):
    """What the overlay has to know of one kind's documents.

    known: facts about these documents. types: value type of a path. units: unit of a size that says none.
    fields: the table row of a path. implied: paths that are written because of other fields, with the paths of these.
    sized: paths of elements that have a size, with its unit, in their attributes. named: paths of elements of which a
    table names one by its attribute, as the two <sysinfo>. keys: what key_rule found, by path.
    """

    kind: Kind
    known: Known
    types: Mapping[str, str]
    units: Mapping[str, str]
    fields: Mapping[str, Field]
    implied: Mapping[str, frozenset[str]]
    sized: frozenset[str]
    named: frozenset[str]
    keys: dict[str, Key | None]

    def key_rule(self, path: str, tag: str) -> Key | None:
        """What gives the elements at this path, whose tag is this one, their keys; None where nothing does."""
        if path not in self.keys:
            above = path[: -len(tree.plain(tag)) - 1]  # A namespace has slashes of its own.
            self.keys[path] = self.known.keys.get(path) or (self.known.keys.get(above + "/*") if above else None)
        return self.keys[path]

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
    implied: dict[str, frozenset[str]] = {}
    named = set()

    def enter(fields: tuple[Field, ...], above: str) -> None:
        for field in fields:
            if field.path is None:
                continue
            path = join(above, field.path)
            if "[" in field.path:
                named.add(join(above, field.path.partition("[")[0]))
            if field.type in ("map", "fragments"):
                path = tree.split(path)[0]
            rows.setdefault(path, field)
            types.setdefault(path, field.type)
            if field.type == "map" and field.value[0] != ".":
                rows[join(path, field.value[0])] = field
                types[join(path, field.value[0])] = field.value[1]
            if field.type == "size":
                units[path] = field.unit
            for where, _text in field.implies:
                told = join(above, where)
                implied[told] = implied.get(told, frozenset()) | {path}
            enter(field.fields, path)

    enter(kind.fields, "")
    sized = frozenset(tree.split(path)[0] for path in units if "@" in path)
    return Rules(kind, known, types, units, rows, implied, sized, frozenset(named), {})


def join(above: str, path: str) -> str:
    """A path below another one, as rules have it: without what tells one of several elements from the others."""
    if "[" in path:
        path = _NAMED.sub("", path)
    if path == ".":
        return above
    return f"{above}/{path}" if above else path


_NAMED = re.compile(r"\[[^]]*\]")


def for_kind(kind: Kind) -> Rules:
    """The rules of this kind, made once."""
    if kind.name not in _MADE:
        _MADE[kind.name] = _rules(kind, KNOWN.get(kind.name, Known()))
    return _MADE[kind.name]


_MADE: dict[str, Rules] = {}


def key_of(rules: Rules, path: str, node: tree.Element, place: int) -> str | None:
    """The key of an element among those with the same path, or None where the path has no rule."""
    rule = rules.key_rule(path, node.tag)
    return None if rule is None else rule(node, place)


def keys_among(rules: Rules, path: str, nodes: list[tree.Element]) -> list[str] | None:
    """The keys of all elements with one path in their order, None where the path has no rule.

    Two that would have one key (two interfaces with one MAC address that work together) are told apart by their order.
    """
    if not nodes:
        return []
    rule = rules.key_rule(path, nodes[0].tag)
    if rule is None:
        return None
    seen: dict[str, int] = {}
    keys = []
    for place, node in enumerate(nodes):
        key = rule(node, place)
        seen[key] = seen.get(key, 0) + 1
        keys.append(key if seen[key] == 1 else f"{key}#{seen[key]}")
    return keys


def name_iothreads(root: tree.Element) -> None:
    """Write an entry for each I/O thread that is only counted: those are numbered from 1 (virDomainIOThreadIDDefArrayInit)."""
    listed = {node.get("id") for node in tree.find_all(root, "iothreadids/iothread")}
    text = tree.get(root, "iothreads") or "0"
    count = min(int(text), values.MOST) if text.isdecimal() else 0
    free = (str(number) for number in range(1, 1 << 16) if str(number) not in listed)
    for _missing in range(count - len(listed)):
        tree.make(root, "iothreadids").append(tree.element("iothread", id=next(free)))


def read_attribute(node: tree.Element, name: str) -> str | None:
    """An attribute of an element; a prefix or netmask is told from the other one, as libvirt keeps either; all virtual
    CPUs are in use where nothing else is said; and firmware in flash memory is UEFI, whether it was named or chosen: of a
    running guest libvirt 9.0 tells only the result of its choice.
    """
    value: Any = node.get(name)
    if value is None and name == "prefix" and node.get("netmask"):
        return values.prefix_of(node.get("netmask"))
    if value is None and name == "current" and node.tag == "vcpu":
        value = (node.text or "").strip() or None
    if value is None and name == "firmware" and node.tag == "os" and tree.get(node, "loader/@type") == "pflash":
        value = "efi"
    return None if value is None else str(value)
