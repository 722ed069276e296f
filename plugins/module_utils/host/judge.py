# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What libvirt would say of a definition, asked before anything is written: its schemas, and its own parser."""

from __future__ import annotations

import os
from typing import Any

from .. import tree
from .connection import Connection, code_name, libvirt

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


# Where two guests of one make differ: QEMU's driver is asked about one of them.
_INDIVIDUAL = "name|uuid|metadata|title|description|devices/interface/mac|devices/interface/source|devices/disk/source"
# What the driver says when the definition itself is wrong; everything else says that it cannot tell here and now.
_WRONG = ("VIR_ERR_XML_ERROR", "VIR_ERR_XML_DETAIL", "VIR_ERR_CONFIG_UNSUPPORTED", "VIR_ERR_ARGUMENT_UNSUPPORTED")


class Parser:
    """QEMU's driver as a judge of guests' definitions: it parses them as for a start, and writes nothing.

    Asking takes some 50 ms, so guests of one make are asked about once.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._asked: set[bytes] = set()

    def complaint(self, xml: str) -> str | None:
        """Why libvirt would refuse this definition, None when it would not or cannot tell."""
        make = tree.parse(xml)
        tree.erase(make, _INDIVIDUAL)
        key = tree.canonical(make)
        if key in self._asked or make.get("type") not in ("kvm", "qemu"):
            return None
        self._asked.add(key)
        try:
            self._connection.open.domainXMLToNative("qemu-argv", xml, 0)
        except libvirt.libvirtError as error:
            if code_name(error.get_error_code()) in _WRONG:
                return f"libvirt: {error.get_error_message()}"
        return None


def _schema(name: str) -> Any:
    path = os.path.join(DIRECTORY, name)
    if name not in _COMPILED:
        _COMPILED[name] = tree.etree.RelaxNG(tree.etree.parse(path)) if os.path.exists(path) else None
    return _COMPILED[name]


def _sentence(entry: Any) -> str:
    return f"libvirt's schema: {entry.message}"
