# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What others wrote is never carried out on the control node, on any ansible-core that is supported."""

from __future__ import annotations

from ansible.inventory.data import InventoryData
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

from ansible_collections.kvmfleet.libvirt.plugins.inventory import guests
from ansible_collections.kvmfleet.libvirt.plugins.plugin_utils import found

NAME = "{{ 7 * 6 }}"
XML = f"""
<domain type='kvm'><name>{NAME}</name><uuid>u</uuid><title>{NAME}</title>
<metadata><guest xmlns='urn:kvmfleet:libvirt:guest'><tag>{NAME}</tag></guest></metadata></domain>
"""

OPTIONS = {
    "group": "kvm_guests",
    "group_by": ["host", "tag"],
    "address_family": "ipv4",
    "agent": "never",
    "jump": False,
    "strict": True,
    "compose": {},
    "groups": {},
    "keyed_groups": [],
}


def test_neither_a_guests_name_nor_its_title_is_taken_for_a_template() -> None:
    plugin = guests.InventoryModule()
    plugin._options = OPTIONS
    plugin.inventory = InventoryData()
    plugin.inventory.add_group("kvm_guests")
    guest = {**found.guest_of(XML, "running"), "uri": "test:///default", "host": "hv1"}
    plugin._add(guest, NAME)
    host = plugin.inventory.get_host(NAME)
    templar = Templar(loader=DataLoader(), variables={**host.get_vars(), **host.get_magic_vars()})
    for expression in ("inventory_hostname", "kvmfleet.name", "kvmfleet.title", "kvmfleet.tags[0]"):
        assert templar.template(guests.trusted("{{ " + expression + " }}")) == NAME, expression


def test_what_cannot_be_a_template_is_as_it_was() -> None:
    """ansible-inventory of ansible-core before 2.19 writes what is marked as a mapping, which others do not read."""
    told = guests.untrusted({"name": "web1", "tags": ["blue"], "memory": 1, "title": NAME})
    assert [type(item) for item in (told["name"], *told["tags"], told["memory"])] == [str, str, int]
    assert told["title"] == NAME
