# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A declaration as a sparse document: only what the user wrote, as libvirt would write it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Callable

from .. import tree
from ..spec.field import Field, Kind, by_name, given_fields
from . import ownership, values
from .overlay import ABSENT, ALL, WITHOUT, overlay
from .problem import Problems
from .rules import Rules, for_kind, join
from .values import size_at


def declared_document(kind: Kind, declared: Mapping[str, Any], where: str, problems: Problems) -> tree.Element:
    """The sparse document of a declaration: its raw xml, if any, overlaid with its typed fields."""
    typed = tree.element(kind.root)
    write_fields(typed, kind.fields, declared, where, problems)
    raw = raw_document(kind, declared.get("xml"), where, problems)
    if raw is None:
        return typed
    overlay(raw, typed, for_kind(kind))
    return raw


def raw_document(kind: Kind, text: str | None, where: str, problems: Problems) -> tree.Element | None:
    """The user's own XML as a tree; None when there is none or it cannot be read, which is noted as a problem."""
    if not text:
        return None
    try:
        root = tree.parse(text)
    except tree.BadXml as error:
        problems.add(where + ": xml", str(error))
        return None
    if root.tag != kind.root:
        problems.add(where + ": xml", f"the root element is <{root.tag}>, expected <{kind.root}>")
        return None
    wrong = list(_wrong_values(root, for_kind(kind), ""))
    for sentence in wrong:
        problems.add(where + ": xml", sentence)
    return None if wrong else root


def _wrong_values(node: tree.Element, rules: Rules, path: str) -> Iterator[str]:
    """What the planner could not work with in the user's own XML: sizes, netmasks and addresses of networks."""
    yield from _wrong_size(node, None, path, rules)
    if node.get("netmask") is not None:
        try:
            values.prefix_of(node.get("netmask"))
        except ValueError:
            yield "{}: '{}' is not a netmask".format(join(path, "@netmask"), node.get("netmask"))
    for name, text in node.attrib.items():
        at = join(path, "@" + name)
        yield from _wrong_size(node, name, at, rules)
        if rules.types.get(at) == "ip":
            try:
                values.cidr("{}/{}".format(text, node.get("prefix") or 24))
            except ValueError:
                yield f"{at}: '{text}' is not an address"
    for tag, children in tree.by_tag(node).items():
        for child in children:
            yield from _wrong_values(child, rules, join(path, tag))


def _wrong_size(node: tree.Element, attribute: str | None, path: str, rules: Rules) -> Iterator[str]:
    text = (node.get(attribute) if attribute else node.text) or ""
    if path in rules.units and text.strip() and size_at(node, rules.units[path], attribute) is None:
        yield "{}: '{}' is not a size in {}".format(path, text, node.get("unit") or rules.units[path])


def below(where: str, name: str) -> str:
    """The place of an option for messages: "domain web1: disks[vda].size"."""
    return where + ("." if ": " in where else ": ") + name


def write_fields(
    parent: tree.Element,
    fields: tuple[Field, ...],
    declared: Mapping[str, Any],
    where: str,
    problems: Problems,
) -> None:
    """Write the declared values of these fields into an element of a sparse document."""
    for field, value in given_fields(fields, declared):
        if field.type == "unset":
            for name in value:
                _write_unset(parent, fields, str(name), declared, below(where, field.name), problems)
        elif field.path is not None:
            _write(parent, field, value, below(where, field.name), problems)


def _write_unset(
    parent: tree.Element,
    fields: tuple[Field, ...],
    name: str,
    declared: Mapping[str, Any],
    where: str,
    problems: Problems,
) -> None:
    """Mark what this option, by its dotted name, would write: it shall not be there."""
    word, dot, rest = name.partition(".")
    field = by_name(fields).get(word)
    if field is None:
        near = get_close_matches(word, by_name(fields), 1)
        problems.add(where, f"{word} is no option" + (f"; is {near[0]} meant?" if near else ""))
    elif dot and field.type == "dict" and field.path is not None:
        _write_unset(tree.make(parent, field.path), field.fields, rest, declared.get(field.name) or {}, where, problems)
    elif dot:
        problems.add(where, f"{word} has no options of its own that could be unset here")
    elif why := _why_not_unset(field, fields):
        problems.add(where, f"{word} {why}")
    elif declared.get(field.name) is not None:
        problems.add(where, f"{word} is declared as well")
    elif field.type == "words":
        _write_words(parent, field, [], where, problems)
    else:
        place, attribute = tree.split(field.path or "")
        node = tree.make(parent, place)
        if attribute is None:
            node.set(ABSENT, ALL)
        else:
            implied = [tree.split(path) for path, _text in field.implies if place != "."]
            gone = [attribute, *(other for where, other in implied if where == place and other is not None)]
            node.set(WITHOUT, " ".join([*node.get(WITHOUT, "").split(), *gone]))


def _why_not_unset(field: Field, fields: tuple[Field, ...]) -> str | None:
    """Why an option cannot be unset; None when it can."""
    if field.path is None:
        return "is no part of the definition"
    if field.required or field.effect == "create" or field.path in _NEEDED:
        return "cannot be unset"
    if field.type in ("items", "map", "fragments"):
        return "is a list; declare it empty instead"
    if field.type not in ("dict", "flag") and any(
        other.path is not None and other.path.startswith(field.path + "/") for other in fields
    ):
        return "cannot be unset alone; others stand in it"
    return None


# What each definition has, be it declared or not: libvirt would write it at once again.
_NEEDED = frozenset(
    (
        "memory",
        "currentMemory",
        "vcpu",
        "on_poweroff",
        "on_reboot",
        "on_crash",
        "clock",
        "@offset",
        "os/type/@machine",
        "devices/emulator",
        "devices/memballoon",
        "target/@bus",
        "mac/@address",
    )
)

Write = Callable[[tree.Element, Field, Any, str, Problems], None]


def _write(parent: tree.Element, field: Field, value: Any, where: str, problems: Problems) -> None:
    _WRITE.get(field.type, _write_text)(parent, field, value, where, problems)


def _write_dict(parent: tree.Element, field: Field, value: Any, where: str, problems: Problems) -> None:
    write_fields(tree.make(parent, field.path or ""), field.fields, value, where, problems)
    _write_implied(parent, field)


def _write_flag(parent: tree.Element, field: Field, value: Any, _where: str, _problems: Problems) -> None:
    node = tree.make(parent, field.path or "")
    if not value:
        node.set(ABSENT, "yes")


def _write_text(parent: tree.Element, field: Field, value: Any, where: str, problems: Problems) -> None:
    path = field.path or ""
    if value == "" and "@" in path and field.type in ("text", "line"):
        problems.add(where, "is empty; leave it out instead")
        return
    if value == ("" if field.type != "limit" else 0) and "@" not in path:
        tree.make(parent, path).set(ABSENT, "yes")
        return
    try:
        tree.put(parent, path, values.VALUES[field.type].encode(value))
    except ValueError as error:
        problems.add(where, str(error))
        return
    _write_implied(parent, field)


def _write_implied(parent: tree.Element, field: Field) -> None:
    for other, text in field.implies:
        tree.put(parent, other, text)


def _write_pci(parent: tree.Element, field: Field, value: Any, where: str, problems: Problems) -> None:
    try:
        attributes = values.pci_attributes(value)
    except ValueError as error:
        problems.add(where, str(error))
        return
    tree.make(parent, field.path or "").attrib.update(attributes)
    _write_implied(parent, field)


def _write_size(parent: tree.Element, field: Field, value: Any, where: str, problems: Problems) -> None:
    try:
        count = values.size_bytes(str(value))
    except ValueError as error:
        problems.add(where, str(error))
        return
    tree.put(parent, field.path or "", str(-(-count // values.UNITS[field.unit.lower()])))
    tree.make(parent, tree.split(field.path or "")[0]).set("unit", field.unit)


def _write_cidr(parent: tree.Element, field: Field, value: Any, where: str, problems: Problems) -> None:
    node = tree.make(parent, field.path or "")
    try:
        address, _slash, prefix = values.cidr(value).partition("/")
    except ValueError as error:
        problems.add(where, str(error))
        return
    if ":" in address:
        node.set("family", "ipv6")
    node.set("address", address)
    node.set("prefix", prefix)


def _write_items(
    parent: tree.Element, field: Field, items: list[dict[str, Any]], where: str, problems: Problems
) -> None:
    above, tag, _attribute = _entry(field.path or "")
    container = tree.make(parent, above)
    if not items:
        _mark_empty(container, tag)
    for place, item in enumerate(items):
        node = tree.element(tag)
        container.append(node)
        write_fields(node, field.fields, item, f"{where}[{item_name(item, place)}]", problems)


def _write_words(parent: tree.Element, field: Field, words: list[str], where: str, problems: Problems) -> None:
    above, tag, attribute = _entry(field.path or "")
    container = tree.make(parent, above)
    if not words:
        _mark_empty(container, tag)
    for word in words:
        try:
            text = values.VALUES["line"].encode(word)
        except ValueError as error:
            problems.add(where, str(error))
            continue
        node = tree.element(tag)
        tree.put(node, f"@{attribute}" if attribute else ".", text)
        container.append(node)


def _entry(path: str) -> tuple[str, str, str | None]:
    """A path to the entries of a list as (path of what they are in, their tag, the attribute it names)."""
    where, attribute = tree.split(path)
    above, _slash, tag = where.rpartition("/")
    return above or ".", tag, attribute


def _mark_empty(container: tree.Element, tag: str) -> None:
    """Note that a list is declared to have no entries."""
    marker = tree.element(tag)
    marker.set(ABSENT, "yes")
    container.append(marker)


def _write_map(parent: tree.Element, field: Field, given: Mapping[str, Any], where: str, problems: Problems) -> None:
    above, tag, attribute = _entry(field.path or "")
    container = tree.make(parent, above)
    if not given:
        _mark_empty(container, tag)
    place, kind = field.value
    for name, value in given.items():
        at = f"{where}.{name}"
        if field.choices and name not in field.choices:
            problems.add(at, "is not one of " + ", ".join(field.choices))
            continue
        try:
            key = values.VALUES["line"].encode(name)
            text = values.VALUES[kind].encode(value)
        except ValueError as error:
            problems.add(at, str(error))
            continue
        node = tree.element(tag)
        tree.put(node, f"@{attribute}", key)
        tree.put(node, place, text)
        container.append(node)


def _write_fragments(above: tree.Element, field: Field, texts: list[str], where: str, problems: Problems) -> None:
    """Elements of namespaces of the user's own (virXMLFormatMetadata keeps them as they are)."""
    parent = tree.make(above, field.path or "")
    for place, text in enumerate(texts):
        try:
            node = tree.parse(str(text))
        except tree.BadXml as error:
            problems.add(f"{where}[{place}]", str(error))
            continue
        if not node.tag.startswith("{"):
            problems.add(f"{where}[{place}]", f"<{node.tag}> has no namespace; libvirt keeps metadata by namespace")
            continue
        if node.tag == ownership.TAG:
            problems.add(f"{where}[{place}]", "is what this collection itself keeps there")
            continue
        if tree.find(parent, node.tag) is not None:
            problems.add(f"{where}[{place}]", f"{node.tag} is declared twice")
            continue
        parent.append(node)


_WRITE: Mapping[str, Write] = {
    "items": _write_items,
    "words": _write_words,
    "map": _write_map,
    "fragments": _write_fragments,
    "dict": _write_dict,
    "flag": _write_flag,
    "size": _write_size,
    "pci": _write_pci,
    "cidr": _write_cidr,
}


def item_name(item: Mapping[str, Any], place: int) -> str:
    """What an item of a list is called in messages: the value of its identifying option, or its place from 0."""
    for name in ("target", "name", "mac", "ip", "network", "bridge"):
        if item.get(name):
            return str(item[name])
    return str(place)
