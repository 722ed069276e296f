# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What libvirt's schemas, and its parser, say of a definition, asked before anything is written."""

from __future__ import annotations

import json
import os
import select
import signal
import tempfile
import time
from typing import Any, NoReturn

from .. import tree
from ..spec.kinds import KIND
from .connection import libvirt

# libvirt's own packages carry the schemas (libvirt0 on Debian, libvirt-libs on Fedora).
DIRECTORY = "/usr/share/libvirt/schemas"


# Seconds that the judge may take for all definitions of a run. A hundred take a tenth of one; but libxml2 takes for ever
# over an element with some twenty optional attributes.
DEADLINE = 20.0


def judged(definitions: list[tuple[str, str, str | None]]) -> list[list[str]]:
    """What is wrong with each of these definitions: its kind, itself, and as it was before, None when new.

    A process of its own judges, and is ended when its time is up: what it did not get to is left to libvirt.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        _judge(definitions, reader, writer)
    os.close(writer)
    end = time.monotonic() + DEADLINE
    told = b""
    while select.select([reader], [], [], max(0.0, end - time.monotonic()))[0]:
        part = os.read(reader, 1 << 16)
        if not part:
            break
        told += part
    os.close(reader)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    found = [json.loads(line) for line in told.split(b"\n")[:-1]]
    return found + [[] for _left in definitions[len(found) :]]


def _judge(definitions: list[tuple[str, str, str | None]], reader: int, writer: int) -> NoReturn:
    """Write what is wrong with each definition as a line of JSON; nothing else of this process goes on after it."""
    try:
        os.close(reader)
        judge = Judge()
        for kind, xml, before in definitions:
            os.write(writer, json.dumps(judge.complaints(kind, xml, before)).encode() + b"\n")
    finally:
        os._exit(0)


class Judge:
    """libvirt's schemas as a judge of definitions, and of networks its parser as well, by a driver that is a part of its library
    and has nothing to do with this host.

    For guests, QEMU's driver would be a better one (virConnectDomainXMLToNative), but it judges whether a guest could be started here
    and now, and in libvirt 11.3 some definitions make the daemon crash in it.
    """

    def __init__(self) -> None:
        self._schemas: dict[str, Any] = {}
        self._driver: Any = None

    def complaints(self, kind: str, xml: str, before: str | None) -> list[str]:
        """What is wrong with a definition, at most three sentences. before: the definition as it was, None when new.

        A document that did not fit before the change either cannot be judged by the schema.
        """
        schema = self._schema(KIND[kind].schema)
        if schema is None or schema.validate(tree.parse(xml)):
            told = self._parsed(xml) if kind == "network" else None
            return [told] if told and (before is None or not self._parsed(before)) else []
        found = list(dict.fromkeys(_sentence(entry) for entry in schema.error_log))
        if before is not None and not schema.validate(tree.parse(before)):
            return []
        place = _place(schema, tree.parse(xml))
        telling = [text for text in found if "failed to validate content" not in text and "interleave" not in text]
        return ([place] if place else telling or found)[:3]

    def _parsed(self, xml: str) -> str | None:
        """What libvirt's parser has against a network; nothing where its library was built without the driver that is asked."""
        try:
            if self._driver is None:
                with tempfile.NamedTemporaryFile("w", suffix=".xml") as file:
                    file.write("<node/>")
                    file.flush()
                    self._driver = libvirt.open(f"test://{file.name}")
        except libvirt.libvirtError:
            return None
        try:
            self._driver.networkDefineXML(xml).undefine()
        except libvirt.libvirtError as error:
            return f"libvirt: {error.get_error_message()}"
        return None

    def _schema(self, name: str) -> Any:
        path = os.path.join(DIRECTORY, name)
        if name not in self._schemas:
            self._schemas[name] = tree.etree.RelaxNG(tree.etree.parse(path)) if os.path.exists(path) else None
        return self._schemas[name]


def _sentence(entry: Any) -> str:
    return f"libvirt's schema: {entry.message}"


def _place(schema: Any, root: tree.Element) -> str | None:
    """What does not fit, if all else does: a Relax NG validator itself names only the element around it."""
    for child in root:
        if tree.is_element(child) and _fits_without(schema, root, child):
            return f"libvirt's schema: {_innermost(schema, root, child)} does not fit"
    return None


def _innermost(schema: Any, root: tree.Element, node: tree.Element) -> str:
    """The smallest part of an element without which the document fits."""
    for child in node:
        if tree.is_element(child) and _fits_without(schema, root, child):
            return _innermost(schema, root, child)
    for name, value in node.attrib.items():
        del node.attrib[name]
        fits = schema.validate(root)
        node.set(name, value)
        if fits:
            return f"{name}={value!r} in {_path(root, node)}"
    return _path(root, node)


def _path(root: tree.Element, node: tree.Element) -> str:
    return "/".join(str(part.tag) for part in [*reversed([*node.iterancestors()]), node][1:]) or str(root.tag)


def _fits_without(schema: Any, root: tree.Element, node: tree.Element) -> bool:
    parent = node.getparent()
    place = parent.index(node)
    parent.remove(node)
    fits = bool(schema.validate(root))
    parent.insert(place, node)
    return fits
