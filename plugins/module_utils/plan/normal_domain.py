# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A domain document of the user's, written as libvirt would: numbers that it counts itself, the order it keeps.

Only documents that come as raw XML: an option says what it means.
"""

from __future__ import annotations

import re

from .. import tree
from .values import MOST, VALUES

USB2 = ("ich9-ehci1", "ich9-uhci1", "ich9-uhci2", "ich9-uhci3")


def normal_domain(root: tree.Element) -> None:
    """Write the document as libvirt would."""
    _number_controllers(tree.find_all(root, "devices/controller"))
    for tag in ("serial", "parallel"):
        _number_ports(tree.find_all(root, f"devices/{tag}"))
    _primary_video_first(root)
    _model_of_panic(root)
    _only_its_processors(root)
    _whole_numa(root)
    _lun_of_iscsi(root)
    _bound_socket_first(root)
    _no_made_up_path(root)
    _one_metadata_each(root)


def _number_controllers(nodes: list[tree.Element]) -> None:
    """Each one without an index has the lowest that is free; USB 2 companions share one (virDomainAssignControllerIndexes)."""
    taken = {(node.get("type"), node.get("index")) for node in nodes}
    models = {(node.get("index"), node.get("model")) for node in nodes if node.get("type") == "usb"}
    before: tree.Element = None
    for node in nodes:
        kind, model = node.get("type"), node.get("model")
        if node.get("index") is None:
            index = before.get("index") if before is not None and model in USB2 else None
            if index is None or before.get("model") not in USB2 or (index, model) in models:
                index = next(str(number) for number in range(len(nodes) + 1) if (kind, str(number)) not in taken)
            node.set("index", index)
            taken.add((kind, index))
        if kind == "usb":
            models.add((node.get("index"), model))
            before = node


def _number_ports(nodes: list[tree.Element]) -> None:
    """Each ISA port without a number has the lowest that is free, others the next one (virDomainChrDefPostParse)."""
    taken = {int(text) for node in nodes if (text := tree.get(node, "target/@port")) and text.isdecimal()}
    for node in nodes:
        if tree.get(node, "target/@port") is None:
            isa = node.tag == "serial" and (tree.get(node, "target/@type") or "isa-serial") == "isa-serial"
            number = min(set(range(len(nodes) + 1)) - taken) if isa else max(taken, default=-1) + 1
            tree.put(node, "target/@port", str(number))
            taken.add(number)


def _primary_video_first(root: tree.Element) -> None:
    """The primary video device is the first one (virDomainDefPostParseVideo); of others there is nothing to say."""
    nodes = tree.find_all(root, "devices/video")
    for node in nodes:
        model = tree.find(node, "model")
        if model is not None and model.get("primary") == "yes" and node is not nodes[0]:
            nodes[0].addprevious(node)
        elif model is not None and model.get("primary") == "no":
            del model.attrib["primary"]


def _model_of_panic(root: tree.Element) -> None:
    """Panic devices are known by their model, and each machine has a default one (qemuDomainDefaultPanicModel)."""
    arch, machine = tree.get(root, "os/type/@arch") or "x86_64", tree.get(root, "os/type/@machine") or ""
    for node in tree.find_all(root, "devices/panic"):
        if node.get("model") is None:
            model = "pvpanic" if arch not in ("x86_64", "i686") else "isa"
            node.set("model", "s390" if arch.startswith("s390") else "pseries" if "pseries" in machine else model)


def _only_its_processors(root: tree.Element) -> None:
    """Parts of caches and of memory bandwidth are cut to the processors that the guest has (virBitmapShrink in
    virDomainCachetuneDefParse), and dropped when none is left.
    """
    text = tree.get(root, "vcpu") or ""
    for node in [*tree.find_all(root, "cputune/cachetune"), *tree.find_all(root, "cputune/memorytune")]:
        numbers = VALUES["cpuset"].same(node.get("vcpus") or "")
        if not text.isdecimal() or isinstance(numbers, str):
            continue
        kept = sorted(number for number in numbers if number < int(text))
        if not kept:
            tree.remove(node)
        elif len(kept) < len(numbers):
            node.set("vcpus", ",".join(map(str, kept)))


def _whole_numa(root: tree.Element) -> None:
    """Processors that no cell names belong to the first one (qemuDomainDefNumaCPUsRectify)."""
    cells = tree.find_all(root, "cpu/numa/cell")
    text = tree.get(root, "vcpu") or ""
    sets = [VALUES["cpuset"].same(cell.get("cpus") or "") for cell in cells]
    if not cells or not text.isdecimal() or any(isinstance(numbers, str) for numbers in sets):
        return
    rest = set(range(min(int(text), MOST))).difference(*sets)
    if rest and cells[0].get("cpus"):
        cells[0].set("cpus", ",".join(map(str, sorted(sets[0] | rest))))


def _lun_of_iscsi(root: tree.Element) -> None:
    """The first LUN of an iSCSI target is named (virDomainPostParseCheckISCSIPath)."""
    for source in tree.find_all(root, "devices/*/source[@protocol='iscsi']"):
        if source.get("name") and "/" not in source.get("name"):
            source.set("name", source.get("name") + "/0")


def _bound_socket_first(root: tree.Element) -> None:
    """Of the two ends of a UDP socket the one that listens comes first (virDomainChrSourceDefFormat)."""
    for node in tree.find_all(root, "devices//source[@mode='bind']"):
        first = node.getparent().find("source")
        if node.getparent().get("type") == "udp" and node is not first:
            first.addprevious(node)


def _no_made_up_path(root: tree.Element) -> None:
    """A channel's path that libvirt made up is made up anew at each start (qemuDomainChrDefDropDefaultPath)."""
    for node in tree.find_all(root, "devices/channel[@type='unix']"):
        source, name = tree.find(node, "source"), tree.get(node, "target/@name") or ""
        if source is not None and re.search(_MADE_UP + re.escape(name) + "$", source.get("path") or ""):
            del source.attrib["path"]
            if not len(source):
                node.remove(source)


_MADE_UP = r"/libvirt/qemu/channel/(target/)?([^/]+\.|domain-[^/]+/|[0-9]+-[^/]+/)"


def _one_metadata_each(root: tree.Element) -> None:
    """Of each namespace the first element is kept, and nothing without one (virXMLNodeSanitizeNamespaces)."""
    seen = set()
    for node in list(root.find("metadata") if root.find("metadata") is not None else ()):
        namespace = node.tag.partition("}")[0]
        if not node.tag.startswith("{") or namespace in seen:
            tree.remove(node)
        seen.add(namespace)
