# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What libvirt means by the documents of domains; each entry is a fact from its source or its own test documents."""

from __future__ import annotations

from .. import tree
from . import known_machine
from .known import Key, Known, by_attribute, by_place, by_text, by_texts


def _controller(node: tree.Element, _place: int) -> str:
    """Controllers are known by type and index; the four of one USB 2 bus share an index and differ in model. libvirt gives
    the first one that says no index the index 0; among PCI controllers that is the root, which is always there.
    """
    model = node.get("model") or ""
    index = node.get("index") or ("" if node.get("type") == "pci" else "0")
    return ",".join([node.get("type") or "", index, *([model] if model.startswith("ich9") else [])])


def _hostdev(node: tree.Element, place: int) -> str:
    source = node.find("source")
    if source is None:
        return str(place)
    return ",".join("{}={}".format(*pair) for part in source.iter() for pair in sorted(part.attrib.items()))


DOMAIN_KEYS: dict[str, Key] = {
    **known_machine.KEYS,
    "devices/disk": by_text("target/@dev"),
    "devices/interface": by_attribute("mac/@address"),
    "devices/controller": _controller,
    "devices/filesystem": by_text("target/@dir"),
    "devices/hostdev": _hostdev,
    "devices/channel": by_text("target/@name"),
    "devices/serial": by_attribute("target/@port"),
    "devices/parallel": by_attribute("target/@port"),
    "devices/console": by_attribute("target/@port"),
    "devices/graphics": by_text("@type"),
    "devices/video": by_place,
    "devices/input": by_texts("@type", "@bus"),
    "devices/sound": by_place,
    "devices/audio": by_attribute("@id"),
    "devices/rng": by_place,
    "devices/memory": by_place,
    "devices/redirdev": by_place,
    "devices/smartcard": by_place,
    "devices/hub": by_place,
    "devices/panic": by_text("@model"),
    "devices/shmem": by_text("@name"),
    "devices/lease": by_text("key"),
    "devices/watchdog": by_place,
    "devices/tpm": by_place,
}

# A changed source type makes the old source meaningless; a changed bus the old address (virt-manager does the same).
DOMAIN_DROPS: dict[str, tuple[str, ...]] = {
    **known_machine.DROPS,
    "devices/disk/@type": ("source", "backingStore"),
    "devices/interface/@type": ("source",),
    "devices/disk/target/@bus": ("../address", "../alias"),
    # libvirt refuses a listen address that differs from the first <listen> (domain_conf.c).
    "devices/graphics/@listen": ("listen",),
}

DOMAIN = Known(
    DOMAIN_KEYS,
    DOMAIN_DROPS,
    omitted={**known_machine.OMITTED, "devices/parallel/protocol/@type": "raw"},
    told=(
        "@id",
        "devices/disk/mirror",
        "devices/disk//source/@index",
        "devices/disk//backingStore/@index",
        "devices/channel/target/@state",
        "devices/disk/target/@tray",
        *known_machine.TOLD,
    ),
    spread=known_machine.SPREAD,
)
