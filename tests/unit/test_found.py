# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an inventory makes of guests' documents."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.kvmfleet.libvirt.plugins.plugin_utils import found

XML = """
<domain type='kvm' id='3'>
  <name>web1</name>
  <uuid>7b8d3c0e-7d3f-4f0a-9a43-0d6c1d0f6f11</uuid>
  <title>The {{ first }} one</title>
  <memory unit='KiB'>2097152</memory>
  <vcpu placement='static'>2</vcpu>
  <os><type arch='x86_64' machine='pc-q35-9.2'>hvm</type></os>
  <metadata>
    <libosinfo:libosinfo xmlns:libosinfo="http://libosinfo.org/xmlns/libvirt/domain/1.0">
      <libosinfo:os id="http://debian.org/debian/12"/>
    </libosinfo:libosinfo>
    <kvmfleet:declared xmlns:kvmfleet="urn:kvmfleet:libvirt"><kvmfleet:tag>not ours</kvmfleet:tag></kvmfleet:declared>
    <guest xmlns="urn:kvmfleet:libvirt:guest">
      <tag>web</tag><tag> blue </tag><entry key="owner">alice</entry><entry>keyless</entry>
      <entry key="backup">true</entry><entry key="rack">7</entry>
    </guest>
  </metadata>
  <devices>
    <interface type='network'><mac address='52:54:00:AA:00:01'/><source network='default' bridge='virbr0'/></interface>
    <interface type='bridge'><mac address='52:54:00:aa:00:02'/><source bridge='br0'/></interface>
    <interface type='user'><mac address='52:54:00:aa:00:03'/></interface>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0' state='connected'/></channel>
  </devices>
</domain>
"""


def test_a_document_is_told_in_plain_data() -> None:
    assert found.guest_of(XML, "running") == {
        "name": "web1",
        "uuid": "7b8d3c0e-7d3f-4f0a-9a43-0d6c1d0f6f11",
        "state": "running",
        "title": "The {{ first }} one",
        "description": "",
        "memory": 2 << 30,
        "vcpus": 2,
        "arch": "x86_64",
        "os": "debian12",
        "os_id": "http://debian.org/debian/12",
        "tags": ["blue", "web"],
        "metadata": {"owner": "alice", "backup": "true", "rack": "7"},
        "interfaces": [
            {"mac": "52:54:00:aa:00:01", "type": "network", "network": "default"},
            {"mac": "52:54:00:aa:00:02", "type": "bridge", "network": "br0"},
            {"mac": "52:54:00:aa:00:03", "type": "user", "network": ""},
        ],
        "networks": ["br0", "default"],
        "addresses": [],
        "agent": True,
    }


def test_a_bare_document_is_told_as_well() -> None:
    told = found.guest_of("<domain><name>x</name><uuid>u</uuid></domain>", "stopped")
    assert (told["os"], told["tags"], told["metadata"], told["interfaces"], told["agent"]) == ("", [], {}, [], False)


@pytest.mark.parametrize(
    ("filters", "passes"),
    [
        ({}, True),
        ({"states": frozenset({"running"})}, True),
        ({"states": frozenset({"stopped"})}, False),
        ({"names": ("web*",)}, True),
        ({"names": ("db*", "web?")}, True),
        ({"names": ("db*",)}, False),
        ({"names": ("!web1",)}, False),
        ({"names": ("web*", "!web1")}, False),
        ({"names": ("!db*",)}, True),
        ({"tags": frozenset({"web", "blue"})}, True),
        ({"tags": frozenset({"web", "green"})}, False),
        ({"metadata": {"owner": "alice"}}, True),
        ({"metadata": {"owner": "bob"}}, False),
        ({"metadata": {"missing": ""}}, False),
        ({"metadata": {"backup": True, "rack": 7}}, True),
        ({"metadata": {"backup": False}}, False),
    ],
)
def test_filters(filters: dict[str, Any], passes: bool) -> None:
    wanted = found.Wanted(frozenset(), (), frozenset(), {})._replace(**filters)
    assert found.is_wanted(found.guest_of(XML, "running"), wanted) is passes


def test_addresses_that_others_can_use_in_the_order_of_the_interfaces() -> None:
    guest = found.guest_of(XML, "running")
    told = [
        ("52:54:00:aa:00:02", "10.0.0.2"),
        ("52:54:00:AA:00:01", "fe80::1"),
        ("52:54:00:AA:00:01", "fd00::1"),
        ("52:54:00:aa:00:01", "192.168.122.9"),
        ("52:54:00:aa:00:01", "192.168.122.9"),
        ("00:00:00:00:00:00", "127.0.0.1"),
        ("52:54:00:bb:00:01", "172.17.0.1"),
        ("52:54:00:aa:00:01", "no address"),
    ]
    guest["addresses"] = found.addresses(guest, told, "agent")
    assert [(item["address"], item["network"], item["source"]) for item in guest["addresses"]] == [
        ("fd00::1", "default", "agent"),
        ("192.168.122.9", "default", "agent"),
        ("10.0.0.2", "br0", "agent"),
    ]
    assert found.preferred(guest, "ipv4") == "192.168.122.9"
    assert found.preferred(guest, "ipv6") == "fd00::1"
    assert found.preferred({**guest, "addresses": guest["addresses"][1:]}, "ipv6") == "192.168.122.9"
    assert found.preferred({**guest, "addresses": []}, "ipv4") is None


def test_leases_are_those_of_the_network_that_an_interface_is_on_now() -> None:
    guest = found.guest_of(XML, "running")
    default, other = frozenset({"default", "virbr0"}), frozenset({"old", "virbr1"})
    leases = [
        found.Lease(default, "52:54:00:AA:00:01", "192.168.122.7", 100),
        found.Lease(default, "52:54:00:aa:00:01", "192.168.122.9", 200),
        found.Lease(other, "52:54:00:aa:00:01", "10.9.9.9", 300),
        found.Lease(default, "52:54:00:aa:00:09", "192.168.122.8", 400),
        # On the bridge of a network, by the bridge's name.
        found.Lease(frozenset({"lan", "br0"}), "52:54:00:aa:00:02", "fd00::2", 0),
        found.Lease(frozenset({"lan", "br0"}), "52:54:00:aa:00:02", "fd00::1", 500),
    ]
    told = found.leased(guest, leases)
    assert [item["address"] for item in told] == ["192.168.122.9", "192.168.122.7", "fd00::2", "fd00::1"]
    assert {item["source"] for item in told} == {"lease"}
    only = {**guest, "addresses": [item for item in told if ":" in item["address"]]}
    assert found.preferred(only, "ipv4") == "fd00::2"


def some(name: str, host: str, uuid: str = "", state: str = "running") -> dict[str, Any]:
    return {"name": name, "host": host, "uuid": uuid or f"{name}-{host}", "state": state}


def test_guests_of_one_name_are_called_by_their_hosts_too() -> None:
    guests = [some("web", "hv1"), some("db", "hv1"), some("web", "hv2")]
    assert found.called(guests, full=False) == ["web.hv1", "db", "web.hv2"]
    assert found.called(guests, full=True) == ["web.hv1", "db.hv1", "web.hv2"]
    assert found.called(guests[1:], False, {"db", "all"}) == ["db.hv1", "web"]
    assert found.labels(["hv", "vm", "hv", "hv"]) == ["hv", "vm", "hv-2", "hv-3"]


def test_one_hypervisor_by_two_uris_has_its_guests_once() -> None:
    one, again = some("web", "hv1"), {**some("web", "hv1"), "host": "hv1-2"}
    assert found.once([("node1", one), ("node1", again)]) == [one]
    assert found.once([("node1", one), ("node2", again)]) == [one, again]


def test_a_guest_that_moved_is_where_it_is_active() -> None:
    there, left = some("web", "hv2", "u"), some("web", "hv1", "u", "stopped")
    off = some("db", "hv1", "v", "stopped")
    assert found.without_left_behind([left, off, there]) == [off, there]
    assert found.without_left_behind([left, off]) == [left, off]
    twins = [some("a", "hv1", "w"), some("a", "hv2", "w"), some("a", "hv3", "w", "stopped")]
    assert found.without_left_behind(twins) == twins
