# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module documentation from the tables of fields; read on the controller only."""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.kvmfleet.libvirt.plugins.module_utils.spec.field import (
    ANSIBLE_TYPES,
    Field,
    argument_spec,
)
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.spec.kinds import KINDS

PLURALS = frozenset(kind.plural for kind in KINDS)

EFFECTS = {
    "live": "Applies to a running object at once.",
    "restart": "Applies to a running object at its next start.",
    "create": "Applies when the object is made.",
}


def options_text(fields: tuple[Field, ...]) -> str:
    """The options part of a DOCUMENTATION text. JSON is YAML, and needs no line to be folded by hand."""
    return json.dumps({"options": options(fields)}, indent=1)


def options(fields: tuple[Field, ...], above: str = "") -> dict[str, Any]:
    """Documentation of these fields, nested options included.

    above: where a kind's fields stand in this module ("domains[]."): the tables name options from their kind's top.
    """
    spec = argument_spec(fields)
    return {field.name: _option(field, spec[field.name], above) for field in fields}


def _option(field: Field, spec: dict[str, Any], above: str) -> dict[str, Any]:
    found: dict[str, Any] = {"description": [field.doc.replace("O(", "O(" + above)], "type": ANSIBLE_TYPES[field.type]}
    for name in ("elements", "choices", "default", "required", "aliases"):
        if name in spec:
            found[name] = spec[name]
    if field.path is not None and not field.fields:
        found["description"].append(EFFECTS[field.effect])
    if field.fields:
        found["suboptions"] = options(field.fields, f"{field.name}[]." if field.name in PLURALS else above)
    return found
