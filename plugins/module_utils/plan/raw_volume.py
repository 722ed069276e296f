# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A volume's raw XML as options, so that an existing volume is held against it as against them.

There is no definition of a volume that could be overlaid: libvirt tells what a file is, and takes XML only to make one.
"""

from __future__ import annotations

from typing import Any

from .. import tree
from ..spec.field import Field
from ..spec.kinds import KIND
from .document import below, raw_document
from .image import QCOW2
from .problem import Problems
from .site import Declared
from .values import VALUES, size_text
from .words import read_fields

# What an existing volume is held against. All else in the XML counts only when a volume is made.
_COMPARED = tuple(
    field for field in KIND["volume"].fields if field.name in ("size", "format", *QCOW2, "encryption", "permissions")
)
# The user or group that means no change (conf/storage_conf.c).
_NOBODY = frozenset(("-1", str((1 << 32) - 1)))


def with_raw(declared: Declared, where: str, problems: Problems) -> Declared:
    """A declaration in which what raw XML says of an existing volume stands as options as well; typed ones win.
    backing_path: where the XML has the backing file.
    """
    raw = raw_document(KIND["volume"], declared.get("xml"), where, problems)
    if raw is None:
        return declared
    _write_plainly(raw)
    said = _sound(read_fields(raw, _COMPARED), _COMPARED, where + ": xml", problems)
    if said.get("size") == size_text(0):
        del said["size"]  # libvirt writes it where there is none.
    merged = {name: _merged(value, declared.get(name)) for name, value in said.items()}
    path = tree.get(raw, "backingStore/path") or ""
    return {
        **declared,
        **merged,
        "xml": tree.text_of(raw),
        "backing_path": path if path.startswith("/") else None,
    }


def _sound(said: dict[str, Any], fields: tuple[Field, ...], where: str, problems: Problems) -> dict[str, Any]:
    """What was read, without values that the options would not take, which are noted."""
    found = {}
    for field in fields:
        value = said.get(field.name)
        if isinstance(value, dict):
            found[field.name] = _sound(value, field.fields, below(where, field.name), problems)
        elif value is not None:
            try:
                VALUES.get(field.type, VALUES["text"]).encode(value)
                found[field.name] = value
            except ValueError as error:
                problems.add(below(where, field.name), str(error))
    return found


def _merged(raw: Any, typed: Any) -> Any:
    if isinstance(raw, dict) and isinstance(typed, dict):
        return {**raw, **{name: value for name, value in typed.items() if value is not None}}
    return raw if typed is None else typed


def _write_plainly(raw: tree.Element) -> None:
    """Write permissions as libvirt does: a mode is octal in whatever length, and an owner may be nobody."""
    for node in tree.find_all(raw, "target/permissions/mode"):
        text = (node.text or "").strip()
        node.text = f"{int(text, 8):04o}" if text and not set(text) - set("01234567") else text
    for name in ("owner", "group"):
        if tree.get(raw, f"target/permissions/{name}") in _NOBODY:
            tree.erase(raw, f"target/permissions/{name}")
