# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""libvirt's test documents as declarations and what libvirt made of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from nonsense import absurd, without_rules

from ansible_collections.kvmfleet.libvirt.plugins.module_utils import tree

SETS = {
    "domain": (
        ("qemuxml2argvdata", "qemuxml2xmloutdata"),
        ("qemuxmlconfdata", "qemuxmlconfdata"),
        ("qemuxmlconfdata", "qemuxmlactive2xmldata"),
        ("genericxml2xmlindata", "genericxml2xmloutdata"),
    ),
    "network": (("networkxml2xmlin", "networkxml2xmlout"),),
    "nwfilter": (("nwfilterxml2xmlin", "nwfilterxml2xmlout"),),
    "pool": (("storagepoolxml2xmlin", "storagepoolxml2xmlout"),),
    "secret": (("secretxml2xmlin", "secretxml2xmlin"),),
    "volume": (("storagevolxml2xmlin", "storagevolxml2xmlout"),),
}
"""Folders of inputs and of outputs, by kind. Of secrets libvirt's tests say that each comes out as it went in."""

# "cpu-check-full.x86_64-latest.xml", "disk-mirror-active.xml", "x.x86_64-7.0.0.abi-update.xml".
_VARIANT = re.compile(r"\.[a-z0-9_]+-(?:latest|\d+\.\d+\.\d+)(?:\+\w+)?(?:\.abi-update)?$")
_VIEW = re.compile(r"-(?:active|inactive|simple)$")


class Pair(NamedTuple):
    """A document, and what libvirt's tests say that libvirt makes of it. name: of the output, below its release.
    left_out: how many of its rules make no sense.
    """

    kind: str
    name: str
    declared: str
    current: str
    left_out: int = 0


def pairs(kind: str, folder: Path) -> list[Pair]:
    """The pairs of one kind in the documents of one release."""
    found = [pair for inputs, outputs in SETS[kind] for pair in _pairs(kind, folder / inputs, folder / outputs)]
    return [_sensible(pair, folder) for pair in found] if kind == "nwfilter" else found


def _sensible(pair: Pair, folder: Path) -> Pair:
    """A pair without the rules that no run would come to declare, on both sides."""
    declared, current = tree.parse(pair.declared), tree.parse(pair.current)
    places = absurd(declared, folder)
    texts = [tree.text_of(without_rules(root, places)) for root in (declared, current)]
    return pair._replace(declared=texts[0], current=texts[1], left_out=len(places))


def _pairs(kind: str, inputs: Path, outputs: Path) -> list[Pair]:
    found = []
    paths = sorted(outputs.glob("*.xml"))
    mixed = inputs == outputs and any(_VARIANT.search(path.stem) for path in paths)
    for path in paths:
        if mixed and not _VARIANT.search(path.stem):
            continue
        plain = _VARIANT.sub("", path.stem)
        for stem in (plain, _VIEW.sub("", plain), f"{plain}-invalid"):
            declared = inputs / f"{stem}.xml"
            if declared.exists():
                name = f"{outputs.name}/{path.stem}"
                found.append(Pair(kind, name, _text(declared), _text(path)))
                break
    return found


# The directories that libvirt's tests gave the hypervisor until 9.1, and those that it has on a host.
_DIRECTORIES = {"'/tmp/lib/": "'/var/lib/libvirt/qemu/", "'/tmp/channel/": "'/var/lib/libvirt/qemu/channel/target/"}


def _text(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    for old, new in _DIRECTORIES.items():
        text = text.replace(old, new)
    return text
