# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A field of a declaration, and what follows from a table of fields: the argument spec.

A table row says everything about one option: its name for the user, its place in libvirt's document, how its value
is written there, when a change takes effect, and its documentation. Argument specs, module documentation, the
planner and the export all read the same rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

# Ansible's type for each of our value types (plan/values.py knows how each is written in XML).
ANSIBLE_TYPES: dict[str, str] = {
    "text": "str",
    "line": "str",
    "name": "str",
    "path": "str",
    "alias": "str",
    "mac": "str",
    "uuid": "str",
    "int": "int",
    "hex": "str",
    "size": "str",
    "limit": "int",
    "cpuset": "str",
    "cidr": "str",
    "pci": "str",
    "octal": "str",
    "ip": "str",
    "yes_no": "bool",
    "on_off": "bool",
    "flag": "bool",
    "bool": "bool",
    "float": "float",
    "mode": "raw",
    "raw": "raw",
    "words": "list",
    "dict": "dict",
    "items": "list",
    "map": "dict",
    "fragments": "list",
    "unset": "list",
}


class Field(NamedTuple):
    """One option of a declaration.

    name: the option, in snake_case. type: a key of ANSIBLE_TYPES. path: where the value stands in libvirt's
    document, relative to the enclosing field ("cpu/@mode", "title", "devices/disk"); None where the value is not a
    part of the document (state, autostart) or is turned into other fields first (image).
    effect: "live", "restart" or "create": when a change to an existing object becomes true.
    implies: (path, text) pairs written together with this field, such as a source's type.
    fields: the options inside a "dict" or "items" field. unit: the unit in which a size is written.
    value: of a "map", whose keys the path names: where below its element a value stands, and the value's type.
    """

    name: str
    type: str = "text"
    path: str | None = None
    doc: str = ""
    effect: str = "restart"
    choices: tuple[str, ...] = ()
    default: Any = None
    required: bool = False
    secret: bool = False
    aliases: tuple[str, ...] = ()
    implies: tuple[tuple[str, str], ...] = ()
    fields: tuple[Field, ...] = ()
    unit: str = "bytes"
    value: tuple[str, str] = (".", "line")


class Kind(NamedTuple):
    """A kind of libvirt object: its name here, its document's root element and its table of fields."""

    name: str
    plural: str
    root: str
    schema: str
    fields: tuple[Field, ...]


def argument_spec(fields: tuple[Field, ...]) -> dict[str, dict[str, Any]]:
    """The argument spec that AnsibleModule validates for these fields, nested options included."""
    return {field.name: _option(field) for field in fields}


def needed_spec(fields: tuple[Field, ...], given: list[Any]) -> dict[str, dict[str, Any]]:
    """As much of argument_spec(fields) as says the same of these declarations: the options that any of them gives, and
    those with a default or that are required. Other options are then not there at all instead of being None.

    AnsibleModule walks the whole spec for each item of a list; there are some fourteen hundred options, of which an item has ten.
    Where something is given that is no option, it is all of them, to be told in the error; and so it is where a mapping is
    given as text, which AnsibleModule reads later.
    """
    names = {name for item in given if isinstance(item, Mapping) for name in item}
    rows = by_name(fields)
    if not names <= rows.keys() or any(isinstance(item, str) for item in given):
        return argument_spec(fields)
    needed = {rows[name].name for name in names}
    spec = {}
    for field in fields:
        if field.name in needed or field.default is not None or field.required:
            spec[field.name] = _option(field, nested=False)
            if field.fields:
                spec[field.name]["options"] = needed_spec(field.fields, _below(field, given))
    return spec


def _below(field: Field, given: list[Any]) -> list[Any]:
    """What declarations say inside of a field."""
    values = [item.get(name) for item in given if isinstance(item, Mapping) for name in (field.name, *field.aliases)]
    return [part for value in values for part in (value if isinstance(value, list) else [value])]


def by_name(fields: tuple[Field, ...]) -> Mapping[str, Field]:
    """The rows of a table by their names and aliases, in the table's order."""
    # By identity: a table's own hash is that of all its texts. The table is kept, so that its identity is not another's.
    known = _BY_NAME.get(id(fields))
    if known is None:
        known = _BY_NAME[id(fields)] = (fields, {n: field for field in fields for n in (field.name, *field.aliases)})
    return known[1]


_BY_NAME: dict[int, tuple[tuple[Field, ...], dict[str, Field]]] = {}


def given_fields(fields: tuple[Field, ...], declared: Mapping[str, Any]) -> list[tuple[Field, Any]]:
    """The fields that a declaration gives a value, with that value, in the table's order: libvirt's schema wants one."""
    rows = _places(fields)
    found = [(*rows[name], value) for name, value in declared.items() if value is not None and name in rows]
    found.sort(key=_place)
    return [(field, value) for _number, field, value in found]


def _place(found: tuple[int, Field, Any]) -> int:
    return found[0]


def _places(fields: tuple[Field, ...]) -> dict[str, tuple[int, Field]]:
    known = _PLACES.get(id(fields))
    if known is None:
        known = _PLACES[id(fields)] = (fields, {field.name: (number, field) for number, field in enumerate(fields)})
    return known[1]


_PLACES: dict[int, tuple[tuple[Field, ...], dict[str, tuple[int, Field]]]] = {}


def _option(field: Field, *, nested: bool = True) -> dict[str, Any]:
    option: dict[str, Any] = {"type": ANSIBLE_TYPES[field.type]}
    if field.type == "items":
        option["elements"] = "dict"
    if field.type in ("words", "fragments", "unset"):
        option["elements"] = "str"
    if field.fields and nested:
        option["options"] = argument_spec(field.fields)
    if field.choices and field.type != "map":
        option["choices"] = list(field.choices)
    if field.default is not None:
        option["default"] = field.default
    if field.required:
        option["required"] = True
    if field.aliases:
        option["aliases"] = list(field.aliases)
    # Ansible masks the text of a no_log option wherever it stands, guests' names included: secrets we mask ourselves.
    if field.secret or _looks_secret(field.name):
        option["no_log"] = False
    return option


def _looks_secret(name: str) -> bool:
    """Whether AnsibleModule would warn that an option of this name lacks no_log."""
    return any(word in name for word in ("pass", "secret", "token", "key"))


def walk(fields: tuple[Field, ...], prefix: str = "") -> Iterator[tuple[str, Field]]:
    """Every field with its dotted option path, depth first; items are marked with "[]"."""
    for field in fields:
        name = prefix + field.name
        yield name, field
        yield from walk(field.fields, name + ("[]." if field.type == "items" else "."))
