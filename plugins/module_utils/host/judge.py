# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What libvirt would say of a definition, asked before anything is written: its schemas, and its own parser."""

from __future__ import annotations

import os
from typing import Any

from .. import tree
from ..spec.kinds import KIND
from .connection import Connection, code_name, libvirt

# libvirt's own packages carry the schemas (libvirt0 on Debian, libvirt-libs on Fedora).
DIRECTORY = "/usr/share/libvirt/schemas"


# Where two guests of one make differ: QEMU's driver is asked about one of them.
_INDIVIDUAL = "name|uuid|metadata|title|description|devices/interface/mac|devices/interface/source|devices/disk/source"
# What the driver says when the definition itself is wrong; everything else says that it cannot tell here and now.
_WRONG = ("VIR_ERR_XML_ERROR", "VIR_ERR_XML_DETAIL", "VIR_ERR_CONFIG_UNSUPPORTED", "VIR_ERR_ARGUMENT_UNSUPPORTED")


class Judge:
    """What libvirt would say of definitions: its schemas first, then QEMU's driver, which parses them as for a start.

    Nothing is written. The driver takes some 50 ms, so it is asked about guests of one make once.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._schemas: dict[str, Any] = {}
        self._asked: set[bytes] = set()

    def complaints(self, kind: str, xml: str, before: str | None) -> list[str]:
        """What is wrong with a definition, at most three sentences. before: the definition as it was, None when new."""
        found = self._by_schema(KIND[kind].schema, xml, before)
        return found or (self._by_driver(xml) if kind == "domain" else [])

    def _by_schema(self, name: str, xml: str, before: str | None) -> list[str]:
        """A document that did not fit before the change either cannot be judged by the schema."""
        schema = self._schema(name)
        if schema is None or schema.validate(tree.parse(xml)):
            return []
        found = list(dict.fromkeys(_sentence(entry) for entry in schema.error_log))
        if before is not None and not schema.validate(tree.parse(before)):
            return []
        telling = [text for text in found if "failed to validate content" not in text and "interleave" not in text]
        return (telling or found)[:3]

    def _schema(self, name: str) -> Any:
        path = os.path.join(DIRECTORY, name)
        if name not in self._schemas:
            self._schemas[name] = tree.etree.RelaxNG(tree.etree.parse(path)) if os.path.exists(path) else None
        return self._schemas[name]

    def _by_driver(self, xml: str) -> list[str]:
        make = tree.parse(xml)
        tree.erase(make, _INDIVIDUAL)
        key = tree.canonical(make)
        if key in self._asked or make.get("type") not in ("kvm", "qemu"):
            return []
        self._asked.add(key)
        try:
            self._connection.open.domainXMLToNative("qemu-argv", xml, 0)
        except libvirt.libvirtError as error:
            if code_name(error.get_error_code()) in _WRONG:
                return [f"libvirt: {error.get_error_message()}"]
        return []


def _sentence(entry: Any) -> str:
    return f"libvirt's schema: {entry.message}"
