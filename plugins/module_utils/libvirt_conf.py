# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that configure libvirt's daemons (libvirtd.conf, qemu.conf and so on): read, judged and edited. Pure.

The format is that of libvirt's virconf.c: `name = value` with a number, a string or a list of strings, and comments.
Strings know no escapes. Of an option that is there twice, the first counts.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Any, NamedTuple

_ENTRY = re.compile(r"^[ \t]*(?P<name>[A-Za-z_][\w.-]*)[ \t]*=[ \t]*", re.MULTILINE)
_NUMBER = re.compile(r"-?\d+")
_QUOTED = re.compile(r'"""(?P<long>.*?)"""|"(?P<double>[^"\n]*)"|' + r"'(?P<single>[^'\n]*)'", re.DOTALL)
_BETWEEN = re.compile(r"(?:[ \t\r\n,]|#[^\n]*\n)*")
_REST = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\r?\n|\Z)")
_COMMENT = re.compile(r"[ \t]*(?:#[^\n]*)?\r?\n")


class Malformed(Exception):
    """A file that libvirt could not read either."""


class Entry(NamedTuple):
    """An option of a file, and where it stands there, its line's end included."""

    name: str
    value: Any
    start: int
    end: int


def entries(text: str) -> list[Entry]:
    """All options of a file. Raises Malformed, with the number of the line."""
    found: list[Entry] = []
    at = 0
    while at < len(text):
        empty = _COMMENT.match(text, at)
        if empty:
            at = empty.end()
            continue
        entry = _ENTRY.match(text, at)
        read = _value(text, entry.end()) if entry else None
        rest = _REST.match(text, read[1]) if read else None
        if not entry or not read or not rest:
            if not text[at:].strip() or text[at:].lstrip().startswith("#"):
                break
            raise Malformed(f"line {text.count(chr(10), 0, at) + 1} is no `name = value`")
        found.append(Entry(entry["name"], read[0], at, rest.end()))
        at = rest.end()
    return found


def _value(text: str, at: int) -> tuple[Any, int] | None:
    """A value and where it ends."""
    number = _NUMBER.match(text, at)
    if number:
        return int(number.group()), number.end()
    if text[at : at + 1] == "[":
        return _list(text, at + 1)
    quoted = _QUOTED.match(text, at)
    return (next(part for part in quoted.groups() if part is not None), quoted.end()) if quoted else None


def _list(text: str, at: int) -> tuple[list[Any], int] | None:
    items: list[Any] = []
    while True:
        between = _BETWEEN.match(text, at)
        at = between.end() if between else at
        if text[at : at + 1] == "]":
            return items, at + 1
        quoted = _QUOTED.match(text, at)
        if not quoted:
            return None
        items.append(next(part for part in quoted.groups() if part is not None))
        at = quoted.end()


def edited(text: str, options: dict[str, Any]) -> str:
    """The text with these options, None being an option that shall not be there. All else stays as it is, to the byte.

    A new option goes below the commented sample of it that libvirt's packages ship.
    """
    for name, value in options.items():
        there = [entry for entry in entries(text) if entry.name == name]
        wanted = [] if value is None else [f"{name} = {written(value)}\n"]
        if there and value is not None and same(there[0].value, value):
            wanted = [text[there[0].start : there[0].end]]
        for entry in reversed(there[1:]):
            text = text[: entry.start] + text[entry.end :]
        if there:
            text = text[: there[0].start] + "".join(wanted) + text[there[0].end :]
        elif wanted:
            at = _place(text, name)
            text = text[:at] + ("\n" if at and text[at - 1] != "\n" else "") + wanted[0] + text[at:]
    return text


class Former(NamedTuple):
    """What an option was before it was first changed, and what was written last; None is not to be there."""

    before: Any
    written: Any


def settled(text: str, options: dict[str, Any], known: dict[str, Former]) -> tuple[dict[str, Any], dict[str, Former]]:
    """The options to write, and what to remember of them: what was declared once and is no longer goes back to what it was,
    unless somebody else changed it since.
    """
    there: dict[str, Any] = {}
    for entry in entries(text):
        there.setdefault(entry.name, entry.value)
    back = {
        name: former.before
        for name, former in known.items()
        if name not in options and same(there.get(name), former.written)
    }
    ours = {
        name: Former(known[name].before if name in known else there.get(name), value)
        for name, value in options.items()
        if name in known or not same(there.get(name), value)
    }
    return {**back, **options}, ours


def _place(text: str, name: str) -> int:
    """Where a new option goes: behind its sample, or at the end."""
    sample = re.search(rf"^#[ \t]?{re.escape(name)}[ \t]*=[^\n]*\n", text, re.MULTILINE)
    if not sample:
        return len(text)
    at = sample.end()
    if "[" in sample.group() and "]" not in sample.group():
        rest = re.compile(r"(?:#[^\n\]]*\n)*#[^\n]*\][^\n]*\n").match(text, at)
        at = rest.end() if rest else at
    return at


def same(there: Any, wanted: Any) -> bool:
    """Whether a value of a file is the one that is wanted."""
    return bool(there == (int(wanted) if isinstance(wanted, bool) else wanted))


def written(value: Any) -> str:
    """A value as it stands in a file."""
    if isinstance(value, (bool, int)):
        return str(int(value))
    if isinstance(value, list):
        return "[ " + ", ".join(_quoted(item) for item in value) + " ]" if value else "[]"
    return _quoted(str(value))


def _quoted(text: str) -> str:
    quote = "'" if '"' in text else '"'
    return f"{quote}{text}{quote}"


_LENS = re.compile(r'\b(?P<kind>bool|int|str|str_array|limits)_entry[ \t]+"(?P<name>\w+)"')
_KINDS = {"bool": "bool", "int": "int", "str": "str", "str_array": "list", "limits": "limit"}
_WANTS = {
    "bool": "true or false",
    "int": "a number",
    "str": "a string",
    "list": "a list of strings",
    "limit": 'a number or "unlimited"',
}


def known_options(lens: str) -> dict[str, str]:
    """The options that libvirt knows, by its own description of the file for Augeas, which its packages bring."""
    return {found["name"]: _KINDS[found["kind"]] for found in _LENS.finditer(lens)}


def problems(options: dict[str, Any], known: dict[str, str]) -> list[str]:
    """What is wrong with options; without knowledge of a file, only what no file could hold."""
    found = []
    for name, value in options.items():
        kind = known.get(name)
        if known and kind is None:
            alike = get_close_matches(name, known, 3)
            found.append(
                f"{name} is no option of this libvirt" + (f" (did you mean {', '.join(alike)}?)" if alike else "")
            )
        elif value is not None and not _fits(value, kind):
            found.append(f"{name} wants {_WANTS[kind] if kind else 'a number, a string or a list of strings'}")
        elif any(_unwritable(text) for text in (value if isinstance(value, list) else [value])):
            found.append(f"{name}: libvirt's files can hold neither line breaks nor both kinds of quotes in a string")
    return found


def _fits(value: Any, kind: str | None) -> bool:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    is_list = isinstance(value, list) and all(isinstance(item, str) for item in value)
    fitting = {
        "bool": isinstance(value, bool) or (is_number and value in {0, 1}),
        "int": is_number,
        "str": isinstance(value, str),
        "list": is_list,
        "limit": is_number or value == "unlimited",
        None: isinstance(value, (bool, int, str)) or is_list,
    }
    return fitting[kind]


def _unwritable(value: Any) -> bool:
    return isinstance(value, str) and ("\n" in value or ('"' in value and "'" in value))
