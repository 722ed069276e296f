# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks."""

from __future__ import annotations

from typing import Any

import pytest
from fleet import Host, Seen, Task

MAC = "52:54:00:10:00:0"


def hosts_of(seen: Seen, name: str, view: str) -> dict[str, str]:
    """The reserved addresses of a network by MAC address."""
    nodes = seen.xml("networks", name, view).iterfind("ip/dhcp/host")
    return {node.get("mac", ""): node.get("ip", "") for node in nodes}


@pytest.mark.both
def test_a_network_from_nothing_to_nothing(host: Host, name: str, subnet: str) -> None:
    dhcp = {"ranges": [{"start": f"{subnet}.100", "end": f"{subnet}.150"}]}
    fields: dict[str, Any] = {"forward": {"mode": "nat"}, "ips": [{"address": f"{subnet}.1/24", "dhcp": dhcp}]}
    made = host.converge("network", name=name, state="active", autostart=True, **fields)
    assert made.run.only["state"] == "active"
    about = made.after.all["networks"][name]
    assert (about["active"], about["autostart"]) == (True, True)
    assert made.after.network(name, "forward/@mode") == "nat"
    assert made.after.network(name, "ip/dhcp/range/@start") == f"{subnet}.100"

    host.converge("network", changed=False, name=name)

    ended = host.converge("network", name=name, state="inactive", autostart=False)
    assert ended.run.changes == {"state": ("active", "inactive"), "autostart": (True, False)}
    about = ended.after.all["networks"][name]
    assert (about["active"], about["autostart"]) == (False, False)

    gone = host.converge("network", name=name, state="absent")
    assert gone.run.only["state"] == "absent"
    assert name not in gone.after.all["networks"]


MODES: list[tuple[str, dict[str, Any], str | None]] = [
    ("route", {"forward": {"mode": "route"}, "ips": [{"address": "{}.1/24"}]}, "route"),
    ("open", {"forward": {"mode": "open"}, "ips": [{"address": "{}.1/24"}]}, "open"),
    ("isolated", {"ips": [{"address": "{}.1/24"}], "domain": {"name": "lab.example", "local_only": True}}, None),
    ("bridge", {"forward": {"mode": "bridge"}, "bridge": {"name": "br-of-host"}}, "bridge"),
    ("ipv6", {"ips": [{"address": "{}.1/24"}, {"address": "fd00:77::1/64"}], "mtu": 1400}, None),
]


@pytest.mark.parametrize(("fields", "mode"), [pytest.param(*case[1:], id=case[0]) for case in MODES])
def test_ways_to_the_outside(host: Host, name: str, subnet: str, fields: dict[str, Any], mode: str | None) -> None:
    if "ips" in fields:
        fields = {**fields, "ips": [{"address": item["address"].format(subnet)} for item in fields["ips"]]}
    state = "present" if mode == "bridge" else "active"
    made = host.converge("network", name=name, state=state, **fields)
    assert made.after.network(name, "forward/@mode") == mode
    assert made.after.all["networks"][name]["active"] is (state == "active")


def test_running_network_takes_changes_without_losing_its_guests(host: Host, name: str, net: str, subnet: str) -> None:
    """Reserved addresses, ranges and names are changed under a guest that is attached."""
    guest = f"<domain type='qemu'><name>{name}g</name><memory>65536</memory><os><type>hvm</type></os><devices>"
    guest += f"<interface type='network'><source network='{net}'/></interface></devices></domain>"
    host.put(f"/srv/kvmfleet-test/{name}-g.xml", guest.encode())
    host.virsh(f"create /srv/kvmfleet-test/{name}-g.xml")

    def declared(addresses: dict[int, int], last: int, names: list[str]) -> dict[str, Any]:
        reserved = [{"mac": f"{MAC}{key}", "ip": f"{subnet}.{value}"} for key, value in addresses.items()]
        dhcp = {"ranges": [{"start": f"{subnet}.100", "end": f"{subnet}.{last}"}], "hosts": reserved}
        return {
            "ips": [{"address": f"{subnet}.1/24", "dhcp": dhcp}],
            "dns": {"enable": True, "hosts": [{"ip": f"{subnet}.9", "hostnames": names}] if names else []},
        }

    # The network was made with DNS off, which only a restart of the network changes.
    host.virsh(f"net-destroy {net}")
    host.run("network", name=net, state="active", dns={"enable": True})
    host.virsh(f"destroy {name}g")
    host.virsh(f"create /srv/kvmfleet-test/{name}-g.xml")
    links = host.see().all["links"]

    steps = [
        ({1: 11, 2: 12}, 200, ["a.example"]),
        ({1: 21, 2: 12}, 200, ["a.example", "b.example"]),
        ({2: 12}, 180, []),
    ]
    for addresses, last, names in steps:
        done = host.converge("network", name=net, **declared(addresses, last, names))
        assert done.run.pending == set()
        for view in ("inactive", "live"):
            assert hosts_of(done.after, net, view) == {f"{MAC}{k}": f"{subnet}.{v}" for k, v in addresses.items()}
            assert done.after.network(net, "ip/dhcp/range/@end", view) == f"{subnet}.{last}"
            found = [node.text for node in done.after.xml("networks", net, view).iterfind("dns/host/hostname")]
            assert found == names
        assert done.after.all["links"] == links, "the bridge and the guest's tap are the same as before"


def test_what_others_reserved_is_left_and_told(host: Host, name: str, net: str, subnet: str) -> None:
    entry = f"<host mac='{MAC}9' ip='{subnet}.99'/>"
    host.virsh(f'net-update {net} add ip-dhcp-host "{entry}" --live --config')
    dhcp = {"hosts": [{"mac": f"{MAC}1", "ip": f"{subnet}.11"}]}
    done = host.converge("network", name=net, ips=[{"address": f"{subnet}.1/24", "dhcp": dhcp}])
    assert hosts_of(done.after, net, "live") == {f"{MAC}1": f"{subnet}.11", f"{MAC}9": f"{subnet}.99"}
    empty = host.converge("network", name=net, ips=[{"address": f"{subnet}.1/24", "dhcp": {"hosts": []}}])
    assert f"{MAC}1" not in hosts_of(empty.after, net, "live")


@pytest.mark.both
def test_a_change_that_needs_the_network_anew_waits(host: Host, net: str) -> None:
    task = Task("network", {"name": net, "mtu": 1400, "state": "active"})
    changed, again = host.play(task, task)
    assert changed.changed
    assert changed.pending == again.pending == {"mtu"}
    assert not again.changed
    assert changed.only["restart_required"]
    assert "mtu" in changed.msg
    seen = host.see()
    assert seen.network(net, "mtu/@size") == "1400"
    assert seen.network(net, "mtu/@size", "live") is None
    host.virsh(f"net-destroy {net}")
    begun = host.converge("network", name=net, mtu=1400, state="active")
    assert begun.after.network(net, "mtu/@size", "live") == "1400"


def test_an_existing_network_is_redefined_in_place(host: Host, net: str, subnet: str) -> None:
    """Address and mode change; UUID, MAC address and bridge stay; drift is repaired."""
    before = host.see()
    host.virsh(f"net-destroy {net}")
    fields: dict[str, Any] = {"forward": {"mode": "route"}, "ips": [{"address": f"{subnet}.1/25"}]}
    assert f"{subnet}.200" in host.refused("network", name=net, **fields)
    fields["ips"][0]["dhcp"] = {"ranges": [{"start": f"{subnet}.100", "end": f"{subnet}.120"}]}
    done = host.converge("network", name=net, **fields)
    assert done.after.network(net, "forward/@mode") == "route"
    assert done.run.changes["ips[ipv4].address"] == (f"{subnet}.1/24", f"{subnet}.1/25")
    for path in ("uuid", "mac/@address", "bridge/@name", "ip/dhcp/range/@start"):
        assert done.after.network(net, path) == before.network(net, path)


def test_a_running_network_moves_when_it_is_started_anew(host: Host, net: str, subnet: str) -> None:
    """What DHCP gives out waits together with the address of its block."""
    dhcp = {
        "ranges": [{"start": f"{subnet}.20", "end": f"{subnet}.30"}],
        "hosts": [{"mac": f"{MAC}1", "ip": f"{subnet}.18"}],
    }
    done = host.converge("network", name=net, ips=[{"address": f"{subnet}.17/28", "dhcp": dhcp}])
    assert done.run.only["restart_required"]
    assert done.after.network(net, "ip/@address") == f"{subnet}.17"
    assert done.after.network(net, "ip/@address", "live") == f"{subnet}.1"
    assert hosts_of(done.after, net, "live") == {}


def test_raw_xml_twice_and_changed(host: Host, name: str, subnet: str) -> None:
    text = f"<network><name>{name}</name><forward mode='nat'><nat><port start='1024' end='65535'/></nat></forward>"
    text += f"<ip address='{subnet}.1' netmask='255.255.255.0'/></network>"
    host.converge("network", name=name, xml=text, state="active")
    done = host.converge("network", name=name, xml=text.replace("1024", "2048"))
    assert done.after.network(name, "forward/nat/port/@start") == "2048"


def test_fields_over_raw_xml(host: Host, name: str, subnet: str) -> None:
    text = f"<network><name>other</name><forward mode='nat'/><ip address='{subnet}.1' prefix='24'/></network>"
    made = host.converge("network", name=name, xml=text, forward={"mode": "route"})
    assert made.after.network(name, "forward/@mode") == "route"
    assert "other" not in made.after.all["networks"]


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"ips": [{"address": "10.1.2.3/33"}]}, "10.1.2.3/33"),
    ({"ips": [{"address": "10.1.2.3"}]}, "10.1.2.3"),
    ({"forward": {"mode": "teleport"}}, "teleport"),
    ({"mtu": "big"}, "mtu"),
    ({"bridge": {"nom": "br"}}, "nom"),
    ({"ips": [{"address": "10.1.2.1/24", "dhcp": {"hosts": [{"mac": "52:54", "ip": "10.1.2.3"}]}}]}, "52:54"),
    ({"ips": [{"address": "10.1.2.1/24", "dhcp": {"ranges": [{"start": "10.9.2.3", "end": "10.9.2.4"}]}}]}, "10.9.2.3"),
    ({"xml": "<network><name>x</name><forward mode='teleport'/></network>"}, "forward"),
    ({"uuid": "00000000-0000-0000-0000-00000000000g"}, "uuid"),
]


def test_what_cannot_be_is_refused(host: Host, name: str) -> None:
    host.refuses("network", [({"name": name, **options}, part) for options, part in REFUSED])


def test_names_that_are_no_names(host: Host) -> None:
    bad = ["../up", "a/b", "", ".", "new\nline", "x" * 300]
    host.refuses("network", [({"name": name, "ips": [{"address": "10.1.2.1/24"}]}, "name") for name in bad])
