# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A declaration as a sparse document: only what the user wrote, as libvirt would write it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .. import tree
from ..spec.field import Field, Kind
from . import values
from .overlay import ABSENT, overlay, size_at
from .problem import Problems
from .rules import Rules, for_kind, join


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
    if path in rules.units:
        try:
            size_at(node, rules.units[path])
        except ValueError:
            yield "{}: '{}' is not a size in {}".format(path, node.text, node.get("unit") or rules.units[path])
    if node.get("netmask") is not None:
        try:
            values.prefix_of(node.get("netmask"))
        except ValueError:
            yield "{}: '{}' is not a netmask".format(join(path, "@netmask"), node.get("netmask"))
    for name, text in node.attrib.items():
        if rules.types.get(join(path, "@" + name)) == "ip":
            try:
                values.cidr("{}/{}".format(text, node.get("prefix") or 24))
            except ValueError:
                yield "{}: '{}' is not an address".format(join(path, "@" + name), text)
    for tag, children in tree.by_tag(node).items():
        for child in children:
            yield from _wrong_values(child, rules, join(path, tag))


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
    for field in fields:
        value = declared.get(field.name)
        if value is not None and field.path is not None:
            _write(parent, field, value, below(where, field.name), problems)


def _write(parent: tree.Element, field: Field, value: Any, where: str, problems: Problems) -> None:
    path = field.path or ""
    if field.type == "items":
        _write_items(parent, field, value, where, problems)
    elif field.type == "words":
        _write_words(parent, path, value, where, problems)
    elif field.type == "dict":
        write_fields(tree.make(parent, path), field.fields, value, where, problems)
    elif field.type == "flag":
        node = tree.make(parent, path)
        if not value:
            node.set(ABSENT, "yes")
    elif field.type == "size":
        _write_size(parent, field, value, where, problems)
    elif field.type == "cidr":
        _write_cidr(tree.make(parent, path), value, where, problems)
    else:
        _write_text(parent, field, value, where, problems)


def _write_text(parent: tree.Element, field: Field, value: Any, where: str, problems: Problems) -> None:
    path = field.path or ""
    if value == "" and "@" in path and field.type in ("text", "line"):
        problems.add(where, "is empty; leave it out instead")
        return
    if value == "" and "@" not in path:
        tree.make(parent, path).set(ABSENT, "yes")
        return
    try:
        tree.put(parent, path, values.VALUES[field.type].encode(value))
    except ValueError as error:
        problems.add(where, str(error))
        return
    for other, text in field.implies:
        tree.put(parent, other, text)


def _write_size(parent: tree.Element, field: Field, value: Any, where: str, problems: Problems) -> None:
    try:
        count = values.size_bytes(str(value))
    except ValueError as error:
        problems.add(where, str(error))
        return
    node = tree.make(parent, field.path or "")
    node.text = str(-(-count // values.UNITS[field.unit.lower()]))
    node.set("unit", field.unit)


def _write_cidr(node: tree.Element, value: Any, where: str, problems: Problems) -> None:
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
    above, _slash, tag = (field.path or "").rpartition("/")
    container = tree.make(parent, above or ".")
    if not items:
        marker = tree.element(tag)
        marker.set(ABSENT, "yes")
        container.append(marker)
    for place, item in enumerate(items):
        node = tree.element(tag)
        container.append(node)
        write_fields(node, field.fields, item, f"{where}[{item_name(item, place)}]", problems)


def _write_words(parent: tree.Element, path: str, words: list[str], where: str, problems: Problems) -> None:
    where, attribute = tree.split(path)
    above, _slash, tag = where.rpartition("/")
    container = tree.make(parent, above or ".")
    if not words:
        tree.make(container, tag).set(ABSENT, "yes")
    for word in words:
        try:
            values.VALUES["line"].encode(word)
        except ValueError as error:
            problems.add(where, str(error))
            continue
        node = tree.element(tag, None if attribute else str(word))
        if attribute:
            node.set(attribute, str(word))
        container.append(node)


def item_name(item: Mapping[str, Any], place: int) -> str:
    """What an item of a list is called in messages: the value of its identifying option, or its place from 0."""
    for name in ("target", "name", "mac", "ip", "network", "bridge"):
        if item.get(name):
            return str(item[name])
    return str(place)
