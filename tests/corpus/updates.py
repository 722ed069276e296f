# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What libvirt's tests of virNetworkUpdate make of networks: each as it was, the update, and as it is afterwards."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from source import UPDATES

from ansible_collections.kvmfleet.libvirt.plugins.module_utils import tree

# virNetworkUpdateSection, as far as these tests have it.
SECTIONS = {
    "IP_DHCP_HOST": 4,
    "IP_DHCP_RANGE": 5,
    "FORWARD_INTERFACE": 7,
    "PORTGROUP": 9,
    "DNS_HOST": 10,
    "DNS_TXT": 11,
    "DNS_SRV": 12,
}
_SAID = re.compile(
    r"section = VIR_NETWORK_SECTION_(?P<section>\w+);"
    r'|DO_TEST(?:_INDEX)?\(\s*"(?P<name>[^"]+)",\s*"(?P<update>[^"]+)",\s*"(?P<before>[^"]+)",\s*"(?P<after>[^"]+)",'
)


class Update(NamedTuple):
    """A network before and after an update of one section, both in libvirt's words. name: of libvirt's test."""

    name: str
    section: int
    before: str
    after: str


def updates(folder: Path) -> list[Update]:
    """The updates that succeed in the tests of one release."""
    found = []
    section = 0
    for said in _SAID.finditer((folder / UPDATES).read_text(encoding="utf-8")):
        if said["section"]:
            section = SECTIONS[said["section"]]
        else:
            before = (folder / "networkxml2xmlout" / f"{said['before']}.xml").read_text(encoding="utf-8")
            after = (folder / "networkxml2xmlupdateout" / f"{said['after']}.xml").read_text(encoding="utf-8")
            found.append(Update(said["name"], section, before, after))
    return found


def for_a_host(update: Update, name: str, bridge: str) -> Update:
    """An update of a network that has another name, bridge and subnet than those of a host."""
    return update._replace(before=_moved(update.before, name, bridge), after=_moved(update.after, name, bridge))


_SUBNET, _OTHER = "192.168.122.", "192.168.231."


def _moved(xml: str, name: str, bridge: str) -> str:
    root = tree.parse(xml.replace(_SUBNET, _OTHER))
    tree.erase(root, "uuid")
    tree.put(root, "name", name)
    if tree.get(root, "bridge/@name"):
        tree.put(root, "bridge/@name", bridge)
    return tree.text_of(root)
