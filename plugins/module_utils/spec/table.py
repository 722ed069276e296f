# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of fields as text.

Ansible ships source and compiles it in each task. Fourteen hundred rows written as calls would cost a tenth of a second there;
as text they cost 13 ms. A table reads like this:

    - cache  text  driver/@cache  =none|writeback
        Cache mode of the host.
    - iotune  dict  iotune  live
        Limits of the disk.
        - read_bytes_sec  int  read_bytes_sec  live
            Bytes read in a second.

A row is the option's name, its type, its path ("-" for none, see Field) and, in any order: the effect (restart when
left out), "required", "secret", "=a|b" for choices, "default=x", "alias=x", "unit=KiB", "implies=@type:file",
"value=@state:on_off" for a map, and "fields=part" for a table that is given by name. Indented below it stand its documentation and the rows inside it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from .field import Field

EFFECTS = frozenset(("live", "restart", "create"))


class Row(NamedTuple):
    """A row of a table as it is read. indent: of its dash; doc: the lines of its documentation."""

    indent: int
    words: list[str]
    doc: list[str]


def rows(text: str, **parts: tuple[Field, ...]) -> tuple[Field, ...]:
    """The fields of a table. parts: tables that rows name with "fields=".

    Raises ValueError for what is no table; that is a mistake of ours, which a test finds.
    """
    found: list[Row] = []
    for line in text.splitlines():
        content = line.lstrip()
        if content.startswith("- "):
            found.append(Row(len(line) - len(content), content[2:].split(), []))
        elif content:
            found[-1].doc.append(content)
    fields, rest = _fields(found, 0, parts)
    if rest != len(found):
        raise ValueError(f"row {found[rest].words} is indented less than the first one")
    return fields


def _fields(found: list[Row], start: int, parts: dict[str, tuple[Field, ...]]) -> tuple[tuple[Field, ...], int]:
    """The fields of the rows from start on that stand side by side, and where the next one is that does not."""
    fields: list[Field] = []
    place = start
    while place < len(found) and found[place].indent == found[start].indent:
        row = found[place]
        place += 1
        inside: tuple[Field, ...] = ()
        if place < len(found) and found[place].indent > row.indent:
            inside, place = _fields(found, place, parts)
        fields.append(_field(row, inside, parts))
    return tuple(fields), place


def _field(row: Row, inside: tuple[Field, ...], parts: dict[str, tuple[Field, ...]]) -> Field:
    name, kind, path, *words = row.words
    more: dict[str, Any] = {"fields": inside}
    for word in words:
        key, _equals, value = word.partition("=")
        if word in EFFECTS:
            more["effect"] = word
        elif word in ("required", "secret"):
            more[word] = True
        elif not key:
            more["choices"] = tuple(value.split("|"))
        elif key == "default":
            more["default"] = {"bool": value == "true"}.get(kind, int(value) if kind == "int" else value)
        elif key == "alias":
            more["aliases"] = (value,)
        elif key == "implies":
            more["implies"] = (*more.get("implies", ()), _pair(value))
        elif key in ("unit", "value"):
            more[key] = value if key == "unit" else _pair(value)
        elif key == "fields":
            more["fields"] = parts[value] + inside
        else:
            raise ValueError(f"{word!r} of the row {name!r} means nothing")
    return Field(name, kind, None if path == "-" else path, " ".join(row.doc), **more)


def _pair(text: str) -> tuple[str, str]:
    where, _colon, what = text.partition(":")
    return where, what
