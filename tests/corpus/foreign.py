# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests as other programs write them, and all documents of a kind in libvirt's tests, for one host together."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from nonsense import absurd, without_rules
from planned import NAME_AT
from source import RELEASES, documents

from ansible_collections.kvmfleet.libvirt.plugins.module_utils import tree
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.secret import USAGE
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.spec.kinds import KIND

PREFIX = "crp"

GUESTS = "guests"
"""The folder of guests as OpenStack, oVirt, KubeVirt and others write them, and the beginning of their origins."""

FOLDERS = {
    "domain": (
        "genericxml2xmlindata",
        "genericxml2xmloutdata",
        "qemuhotplugtestdomains",
        "qemuxml2argvdata",
        "qemuxml2xmloutdata",
        "qemuxmlactive2xmldata",
        "qemuxmlconfdata",
    ),
    "network": ("networkxml2xmlin", "networkxml2xmlout", "networkxml2xmlupdateout"),
    "nwfilter": ("nwfilterxml2xmlin", "nwfilterxml2xmlout"),
    "pool": ("storagepoolxml2xmlin", "storagepoolxml2xmlout"),
    "secret": ("secretxml2xmlin",),
    "volume": ("storagevolxml2xmlin", "storagevolxml2xmlout"),
}


class Document(NamedTuple):
    """A document. origin: the file that it stands in; name: the one that it has here."""

    origin: str
    name: str
    xml: str


def foreign(kind: str) -> list[Document]:
    """The documents of one kind, those of other programs first: without UUID, emulated, with a name of their own."""
    found: list[Document] = []
    seen = set()
    for origin, path in _files(kind):
        try:
            root = tree.parse(path.read_text(encoding="utf-8"))
        except tree.BadXml:  # Some are there to be refused.
            continue
        if kind == "nwfilter":
            without_rules(root, absurd(root, path.parents[1]))
        _make_common(root, kind)
        digest = hashlib.sha256(tree.canonical(root)).digest()
        if root.tag == KIND[kind].root and digest not in seen:
            seen.add(digest)
            name = f"{PREFIX}{root.tag[0]}{len(found):04}"
            _give_name(root, kind, name)
            _make_unique(root, len(found))
            found.append(Document(origin, name, tree.text_of(root)))
    return found


def _files(kind: str) -> Iterator[tuple[str, Path]]:
    """The files that documents of a kind stand in, with what they are called by."""
    for path in sorted(Path(__file__).with_name(GUESTS).glob("*.xml")) if kind == "domain" else ():
        yield f"{GUESTS}/{path.stem}", path
    for release in RELEASES:
        for folder in FOLDERS[kind]:
            for path in sorted((documents(release) / folder).glob("*.xml")):
                yield f"{release}/{folder}/{path.stem}", path


def _make_common(root: tree.Element, kind: str) -> None:
    """Take out what only one document could have on a host, and what the lab has not."""
    for path in (NAME_AT[kind] or "usage/*", "uuid", "sysinfo/system/entry[@name='uuid']"):
        tree.erase(root, path)
    if root.get("type") == "kvm":
        root.set("type", "qemu")
    root.attrib.pop("id", None)


def _give_name(root: tree.Element, kind: str, name: str) -> None:
    path = NAME_AT[kind]
    if path == "name":
        root.insert(0, tree.element("name", name))
    elif path:
        tree.put(root, path, name)
    else:
        use = tree.get(root, "usage/@type")
        tree.put(root, "usage/" + USAGE.get(use, "name"), f"/{name}" if use == "volume" else name)


# What two pools may not share.
_OF_ONE_POOL = ("target/path", "source/name", "source/dir/@path", "source/device/@path")


def _make_unique(root: tree.Element, number: int) -> None:
    """Give networks that make a bridge one of their own, and pools their own place. Volumes take no space."""
    bridge = root.find("bridge")
    if root.tag == "network" and bridge is not None and tree.get(root, "forward/@mode") != "bridge":
        bridge.set("name", f"{PREFIX}br{number}")
    for path in _OF_ONE_POOL:
        if root.tag == "pool" and tree.get(root, path):
            tree.put(root, path, f"{tree.get(root, path)}{number}")
    if root.tag == "volume":
        tree.put(root, "allocation", "0")
