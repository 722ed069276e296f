# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""libvirt's own RelaxNG schemas: what does not fit them is refused before anything is written."""

from __future__ import annotations

import os
from typing import Any

from .. import tree

# libvirt's own packages carry the schemas (libvirt0 on Debian, libvirt-libs on Fedora).
DIRECTORY = "/usr/share/libvirt/schemas"
_COMPILED: dict[str, Any] = {}


def complaints(schema: str, xml: str, before: str | None) -> list[str]:
    """What the schema has against a document, at most three sentences; none when this host lacks the schema.

    before: the document as it was. When that does not fit either, the schema is no judge of the change.
    """
    relaxng = _schema(schema)
    if relaxng is None or relaxng.validate(tree.parse(xml)):
        return []
    found = [_sentence(entry) for entry in relaxng.error_log]
    if before is not None and not relaxng.validate(tree.parse(before)):
        return []
    unique = list(dict.fromkeys(found))
    telling = [text for text in unique if "failed to validate content" not in text and "interleave" not in text]
    return (telling or unique)[:3]


def _schema(name: str) -> Any:
    path = os.path.join(DIRECTORY, name)
    if name not in _COMPILED:
        _COMPILED[name] = tree.etree.RelaxNG(tree.etree.parse(path)) if os.path.exists(path) else None
    return _COMPILED[name]


def _sentence(entry: Any) -> str:
    return f"libvirt's schema: {entry.message}"
