# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All that libvirt's RelaxNG schema of domains lets a document say, as paths, and which of them have an option."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible_collections.kvmfleet.libvirt.plugins.module_utils import tree
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.rules import join
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.values import PCI
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.spec.field import Field

DEPTH = 12
"""Elements that are below each other at the most: a disk's backing stores have backing stores."""
_RNG = "http://relaxng.org/ns/structure/1.0"


def sayable(folder: Path) -> list[str]:
    """The paths of all attributes, texts and empty elements of a domain, by the schemas of this folder."""
    return sorted(_Schema(folder).said)


class _Schema:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.parts: dict[str, list[Any]] = {}
        self.said: set[str] = set()
        self._elements: set[str] = set()
        self._been: set[tuple[str | None, str]] = set()
        self._files: set[str] = set()
        (start,) = self._read("domain.rng")
        self._walk(start, None)
        self.said |= {path for path in self._elements if not any(said.startswith(path + "/") for said in self.said)}

    def _read(self, name: str) -> list[Any]:
        """The start patterns of a file; what it defines and includes is kept."""
        if name in self._files:
            return []
        self._files.add(name)
        root = tree.parse((self.folder / name).read_text(encoding="utf-8"))
        for node in root.iter(f"{{{_RNG}}}include"):
            self._read(node.get("href"))
        for node in root.iter(f"{{{_RNG}}}define"):
            self.parts.setdefault(node.get("name"), []).append(node)
        return list(root.iter(f"{{{_RNG}}}start"))

    def _walk(self, node: Any, path: str | None) -> None:
        """Note all that a pattern allows at this path; None above the root element."""
        kind = tree.etree.QName(node).localname
        if kind == "ref":
            if (path, node.get("name")) not in self._been:
                self._been.add((path, node.get("name")))
                for part in self.parts.get(node.get("name"), ()):
                    self._inside(part, path)
        elif kind == "element":
            for name in _names(node):
                below = "" if path is None else join(path, name)
                if below.count("/") < DEPTH and below.split("/").count(name) < 3:
                    self._elements |= {below} - {""}
                    self._inside(node, below)
        elif kind == "attribute":
            self.said |= {join(path or "", f"@{name}") for name in _names(node)}
        elif kind in ("text", "data", "value", "list"):
            self.said |= {path or ""} - {""}
        elif kind not in ("name", "anyName", "nsName"):
            self._inside(node, path)

    def _inside(self, node: Any, path: str | None) -> None:
        for child in node:
            if tree.is_element(child):
                self._walk(child, path)


def _names(node: Any) -> Iterator[str]:
    """The names that an element or attribute can have in a document, as paths have them: "*" is any."""
    spaces = (above.get("ns") for above in (node, *node.iterancestors()) if above.get("ns"))
    space = next(spaces, "") if node.tag == f"{{{_RNG}}}element" else ""
    named = [node.get("name")] if node.get("name") else [name.text.strip() for name in _name_class(node)]
    for name in named or ["*"]:
        yield tree.plain(f"{{{space}}}{name}") if space else name


def _name_class(node: Any) -> list[Any]:
    return [name for child in list(node)[:1] for name in child.iter(f"{{{_RNG}}}name")]


def reachable(fields: tuple[Field, ...], above: str = "") -> Iterator[str]:
    """The paths that options write."""
    for field in fields:
        if field.path is None:
            continue
        path = join(above, field.path)
        yield path
        yield from (join(above, where) for where, _text in field.implies)
        if field.type == "cidr":
            yield from (join(path, f"@{name}") for name in ("address", "prefix", "netmask", "family"))
        if field.type == "pci":
            yield from (join(path, f"@{name}") for name in (*PCI, "multifunction"))
        if field.type == "size":
            yield join(tree.split(path)[0], "@unit")
        if field.type == "map":
            yield from (join(tree.split(path)[0], field.value[0]), tree.split(path)[0])
        yield from reachable(field.fields, path)
