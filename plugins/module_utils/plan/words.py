# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documents and edits in the user's words: option names instead of XML paths, "2 GiB" instead of 2097152."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Callable

from .. import tree
from ..spec.field import Field, by_name
from . import values
from .overlay import Edit, Place
from .rules import Rules, join, read_attribute
from .values import size_at

MASK = "********"
_LOGIN = re.compile(r"^([a-z][a-z0-9+.-]*://)[^/@]*@", re.IGNORECASE)
_QUERY = re.compile(r"^([a-z][a-z0-9+.-]*://[^?#\s]*)\?\S+$", re.IGNORECASE)

_NAMES: dict[str, dict[str, str]] = {}


def names(rules: Rules) -> dict[str, str]:
    """Rule path → dotted option name, "[]" standing for which item: "devices/disk/driver/@cache" → "disks[].cache"."""
    kind = rules.kind.name
    if kind not in _NAMES:
        found: dict[str, str] = {}
        _enter_names(rules.kind.fields, "", "", found)
        _NAMES[kind] = found
    return _NAMES[kind]


def _enter_names(fields: tuple[Field, ...], path: str, name: str, found: dict[str, str]) -> None:
    for field in fields:
        if field.path is None:
            continue
        where, word = join(path, field.path), name + field.name
        if field.type == "cidr":
            found.setdefault(join(where, "@address"), word)
            found.setdefault(join(where, "@prefix"), word)
            found.setdefault(join(where, "@family"), word)
        if field.type in ("words", "fragments"):
            found.setdefault(tree.split(where)[0], word)
        if field.type == "map":
            where = tree.split(where)[0]
            found.setdefault(where, word + ".{}")
            found.setdefault(join(where, field.value[0]), word + ".{}")
        found.setdefault(where, word + "[]" if field.type == "items" else word)
        _enter_names(field.fields, where, word + ("[]." if field.type == "items" else "."), found)
        if field.type == "dict" and any(part.path == "." for part in field.fields):
            found[where] = word + "." + next(part.name for part in field.fields if part.path == ".")


def path_in_words(edit: Edit, rules: Rules) -> str:
    """Where an edit was made, as the user would write it: "disks[vda].cache"; what has no option keeps its XML path."""
    known = names(rules)
    head, tail = edit.path, ""
    while head and head not in known:
        head, _slash, last = head.rpartition("/")
        tail = last + ("/" + tail if tail else "")
    word = known.get(head, "")
    for place in edit.trail:
        own = known.get(place.path, "")
        if own.endswith("{}"):
            word = word.replace("{}", place.key, 1)
        elif own.endswith("[]"):
            word = word.replace("[]", f"[{place.key}]", 1)
    if not head:
        for place in edit.trail:
            tail = tail.replace(place.path, f"{place.path}[{place.key}]", 1)
    return ".".join(part for part in (word.replace("[]", "").replace(".{}", ""), tail) if part)


def key_in_words(place: Place, rules: Rules) -> str:
    """A keyed element as the user would write it: "disks[vda]"."""
    return path_in_words(Edit(place.path, None, None, (place,)), rules)


def value_in_words(path: str, value: Any, rules: Rules) -> Any:
    """A value of an edit as a user would write it; a secret is masked."""
    if value is None:
        return False if rules.types.get(path) == "flag" else None
    if rules.is_secret(path):
        return MASK
    list_of_words = rules.fields.get(path) or _list_of_words(path, rules)
    if list_of_words is not None and list_of_words.type == "words":
        return [_word(part, list_of_words) for part in (value if isinstance(value, tuple) else (value,))]
    if isinstance(value, tuple):
        return [value_in_words(path, part, rules) for part in value]
    if isinstance(value, str):
        return text_in_words(rules.types.get(path, "text"), value)
    return element_in_words(path, value, rules)


def _list_of_words(path: str, rules: Rules) -> Field | None:
    """The field whose words are attributes of the elements at this path ("os/boot" for "os/boot/@dev")."""
    return next((field for place, field in rules.fields.items() if place.startswith(path + "/@")), None)


def _word(part: Any, field: Field) -> str:
    if isinstance(part, str):
        return part
    attribute = tree.split(field.path or "")[1]
    return str(part.get(attribute) if attribute else (part.text or "").strip())


def text_in_words(kind: str, text: str) -> Any:
    """A document's text as a user would write it; sizes come in bytes."""
    if kind == "size":
        return values.size_text(int(text))
    value = values.VALUES.get(kind)
    return text if value is None else value.decode(text)


def element_in_words(path: str, node: tree.Element, rules: Rules) -> Any:
    """An added or removed element as the user's options, or as XML where it has none."""
    field = rules.fields.get(path)
    if field is not None and field.type == "map":
        return map_value(node, field)
    if field is None or not field.fields:
        if field is not None and field.type == "flag":
            return True
        text = (node.text or "").strip()
        return text_in_words(field.type, text) if field is not None and text else masked_xml(node, path, rules)
    return read_fields(node, field.fields)


def masked_xml(node: tree.Element, path: str, rules: Rules) -> str:
    """The element as one line of XML with its secrets masked."""
    copied = tree.parse(tree.text_of(node))
    _mask(copied, path, rules)
    return " ".join(tree.text_of(copied).split())


def _mask(node: tree.Element, path: str, rules: Rules) -> None:
    for name in node.attrib:
        if name in ("passwd", "password") or rules.is_secret(join(path, "@" + str(name))):
            node.set(name, MASK)
    if rules.is_secret(path):
        node.text = MASK
    for tag, children in tree.by_tag(node).items():
        for child in children:
            _mask(child, join(path, tag), rules)


def masked_options(options: Mapping[str, Any], fields: tuple[Field, ...]) -> dict[str, Any]:
    """A module's options as they may be shown: secrets, whole texts of XML, and what is no option, are masked.

    What was not given is left out: it is most of what there is.
    """
    table = by_name(fields)
    return {
        name: _masked(value, table[name]) if name in table else MASK
        for name, value in options.items()
        if value is not None and not name.startswith("_ansible_")
    }


def _masked(value: Any, field: Field) -> Any:
    if value is None:
        return value
    if field.secret or (field.name == "xml" and value):
        return MASK
    if field.type == "items" and isinstance(value, list):
        return [masked_options(item, field.fields) if isinstance(item, dict) else MASK for item in value]
    if field.type == "dict" and isinstance(value, dict):
        return masked_options(value, field.fields)
    return MASK if field.fields else shown_url(value)


def shown_url(value: Any) -> Any:
    """A URL without the name and password in it, and without its query, which may hold a token; all else as it is."""
    if not isinstance(value, str) or "://" not in value:
        return value
    return _QUERY.sub(rf"\1?{MASK}", _LOGIN.sub(rf"\1{MASK}@", value))


def read_fields(node: tree.Element, fields: tuple[Field, ...]) -> dict[str, Any]:
    """What an element says, as the user's options. Secrets are masked."""
    found: dict[str, Any] = {}
    implied: set[str] = set()
    for field in fields:
        if field.path is None or field.path in implied:
            continue
        value = _read(node, field)
        if value is not None:
            found[field.name] = value
            implied.update(where for where, _text in field.implies)
    return found


def _read(node: tree.Element, field: Field) -> Any:
    path = field.path or "."
    if field.type == "items":
        return [read_fields(child, field.fields) for child in tree.find_all(node, path)] or None
    if field.type == "dict":
        child = tree.find(node, path)
        return None if child is None or not is_implied(node, field) else read_fields(child, field.fields) or None
    value = read_value(node, field)
    return MASK if field.secret and value is not None else value


def is_implied(node: tree.Element, field: Field) -> bool:
    """Whether an element says all that goes with a field: only then it is this field's value."""
    return all(tree.get(node, where) == text for where, text in field.implies)


def read_value(node: tree.Element, field: Field) -> Any:
    """The value of a field that is neither a list of items nor a mapping, as a user would write it; None without one."""
    path = field.path or "."
    if field.type in _READ:
        return _READ[field.type](node, path, field) or None
    if not is_implied(node, field):
        return None
    if field.type == "pci":
        child = tree.find(node, path)
        return None if child is None else values.pci_address(child.attrib)
    text = tree.get(node, path)
    return values.VALUES[field.type].decode(text) if text else None


def _read_words(node: tree.Element, path: str, _field: Field) -> list[str | None]:
    where, attribute = tree.split(path)
    return [child.get(attribute) if attribute else child.text for child in tree.find_all(node, where)]


def _read_map(node: tree.Element, path: str, field: Field) -> dict[str, Any]:
    where, attribute = tree.split(path)
    entries = {child.get(attribute): map_value(child, field) for child in tree.find_all(node, where)}
    return {name: value for name, value in entries.items() if name and value is not None}


def _read_fragments(node: tree.Element, path: str, _field: Field) -> list[str]:
    return [tree.text_of(child).strip() for child in tree.find_all(node, path + "/*")]


def _read_size(node: tree.Element, path: str, field: Field) -> str | None:
    where, attribute = tree.split(path)
    child = tree.find(node, where)
    count = None if child is None else size_at(child, field.unit, attribute)
    return None if count is None else values.size_text(count)


def _read_cidr(node: tree.Element, _path: str, _field: Field) -> str | None:
    prefix = read_attribute(node, "prefix")
    return "{}/{}".format(node.get("address"), prefix) if prefix and node.get("address") else None


_READ: dict[str, Callable[[tree.Element, str, Field], Any]] = {
    "words": _read_words,
    "map": _read_map,
    "fragments": _read_fragments,
    "flag": lambda node, path, _field: tree.find(node, path) is not None,
    "size": _read_size,
    "cidr": _read_cidr,
}


def map_value(node: tree.Element, field: Field) -> Any:
    """The value of a map's entry."""
    place, kind = field.value
    text = tree.get(node, place)
    return None if text is None else values.VALUES[kind].decode(text)


def edits_in_words(edits: list[Edit], rules: Rules) -> list[tuple[str, Any, Any, Edit]]:
    """(path, before, after, edit) of every edit a user wants to read: what only follows from another one is left out."""
    shown = []
    told = set()
    for edit in edits:
        if edit.path in rules.implied and any(_implies(other, edit, rules) for other in edits):
            continue
        word = path_in_words(edit, rules)
        if _is_cidr(edit, rules):
            if word not in told:
                told.add(word)
                shown.append((word, *_cidr_in_words(edit, edits), edit))
            continue
        before, after = (value_in_words(edit.path, value, rules) for value in (edit.before, edit.after))
        shown.append((word, before, after, edit))
    return shown


def _implies(other: Edit, edit: Edit, rules: Rules) -> bool:
    """Whether one edit says what another one only follows from."""
    if other is edit or other.trail != edit.trail:
        return False
    return edit.path not in rules.fields or other.path in rules.implied[edit.path]


def _is_cidr(edit: Edit, rules: Rules) -> bool:
    """Whether an edit is of a part of an address with prefix length, which the user writes as one."""
    where, attribute = tree.split(edit.path)
    known = names(rules)
    return attribute in ("address", "prefix", "family") and known.get(where + "/@prefix", 1) == known.get(edit.path, 2)


def _cidr_in_words(edit: Edit, edits: list[Edit]) -> tuple[Any, Any]:
    """An address with its prefix length before and after all edits of it."""
    node = edit.trail[-1].node
    after = {name: read_attribute(node, name) for name in ("address", "prefix")}
    before = dict(after)
    for other in edits:
        if (
            other.trail
            and other.trail[-1].node is node
            and "@" in other.path
            and isinstance(other.before, (str, type(None)))
        ):
            before[other.path.rpartition("@")[2]] = other.before
    return _cidr(before), _cidr(after)


def _cidr(parts: Mapping[str, Any]) -> str | None:
    address, prefix = parts["address"], parts["prefix"]
    return f"{address}/{prefix}" if address and prefix else address
