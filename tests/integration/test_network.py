# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks."""

from __future__ import annotations

import re
from typing import Any

import pytest
from fleet import Host, Seen, Task, until

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
    ({"forward": {"mode": "nat", "interfaces": [{"dev": "eth0"}, {"dev": "eth1"}]}}, "forward"),
    ({"ips": [{"address": "10.1.2.1/24"}], "routes": [{"address": "10.3.0.1/16", "gateway": "10.1.2.2"}]}, "10.3.0.1"),
    ({"uuid": "00000000-0000-0000-0000-00000000000g"}, "uuid"),
]


def test_what_cannot_be_is_refused(host: Host, name: str) -> None:
    host.refuses("network", [({"name": name, **options}, part) for options, part in REFUSED])


def test_names_that_are_no_names(host: Host) -> None:
    bad = ["../up", "a/b", "", ".", "new\nline", "x" * 300]
    host.refuses("network", [({"name": name, "ips": [{"address": "10.1.2.1/24"}]}, "name") for name in bad])


SRV = {"service": "ldap", "protocol": "tcp", "domain": "lab.example", "target": "dc.lab.example", "port": 389}


def test_everything_about_a_network_that_this_host_can_run(host: Host, name: str, subnet: str) -> None:
    """libvirt takes each option, starts the network with it, and the second run finds it as declared."""
    dhcp = {
        "ranges": [{"start": f"{subnet}.100", "end": f"{subnet}.150", "lease": {"expiry": 2, "unit": "hours"}}],
        "hosts": [
            {"name": "byname", "ip": f"{subnet}.11"},
            {"mac": f"{MAC}1", "ip": f"{subnet}.12", "lease": {"expiry": 0}},
        ],
        "bootp": {"file": "pxelinux.0", "server": f"{subnet}.2"},
    }
    dhcp6 = {
        "ranges": [{"start": "fd00:77::100", "end": "fd00:77::1ff"}],
        "hosts": [{"id": "00:03:00:01:52:54:00:10:00:01", "name": "six", "ip": "fd00:77::11"}],
    }
    made = host.converge(
        "network",
        name=name,
        ipv6=True,
        trust_guest_rx_filters=False,
        forward={"mode": "nat", "dev": "host0", "nat": {"ipv6": True, "port": {"start": 2000, "end": 3000}}},
        bridge={"name": f"{name}x", "stp": True, "delay": 0, "mac_table_manager": "kernel"},
        mtu=1400,
        mac="52:54:00:77:77:77",
        domain={"name": "lab.example", "local_only": True},
        dns={
            "forward_plain_names": False,
            "forwarders": [{"addr": "10.0.0.53", "domain": "corp.example"}],
            "hosts": [{"ip": f"{subnet}.9", "hostnames": ["files", "files2"]}],
            "txts": [{"name": "motd", "value": "hello"}],
            "srvs": [{**SRV, "priority": 1, "weight": 2}],
        },
        portgroups=[{"name": "a", "default": True}, {"name": "b", "bandwidth": {"inbound": {"average": 1000}}}],
        port={"isolated": True},
        ips=[
            {"address": f"{subnet}.1/24", "local_ptr": True, "tftp": "/srv", "dhcp": dhcp},
            {"address": "fd00:77::1/64", "dhcp": dhcp6},
        ],
        routes=[{"address": "10.200.0.0/16", "gateway": f"{subnet}.2", "metric": 3}],
        dnsmasq_options=["no-ping"],
        state="active",
    )
    assert made.after.network(name, "route/@gateway", "live") == f"{subnet}.2"
    conf = host.sh(f"cat /var/lib/libvirt/dnsmasq/{name}.conf")
    for line in (
        "no-ping",
        f"dhcp-range={subnet}.100,{subnet}.150,255.255.255.0,2h",
        "enable-tftp",
        "txt-record=motd,hello",
    ):
        assert line in conf.splitlines()
    exported = host.run("stack_info", networks=[name], pools=[], volumes=[], domains=[]).data["stack"]["networks"][0]
    assert "xml" not in exported, exported["xml"]
    host.converge("network", changed=False, **exported)


@pytest.mark.both
def test_what_a_network_without_addresses_can_be(host: Host, name: str) -> None:
    """Modes that need hardware are defined and not started."""
    tasks: list[dict[str, Any]] = [
        {"forward": {"mode": "vepa", "interfaces": [{"dev": "eth1"}, {"dev": "eth2"}]}},
        {"forward": {"mode": "hostdev", "managed": True, "driver": {"name": "vfio"}, "pf": "eth3"}},
        {
            "forward": {"mode": "bridge"},
            "bridge": {"name": "ovs0"},
            "virtualport": {"type": "openvswitch", "profileid": "lab"},
            "vlan": {"tags": [{"id": 3}, {"id": 4, "native_mode": "tagged"}]},
            "portgroups": [
                {
                    "name": "a",
                    "vlan": {"trunk": True, "tags": [{"id": 5}]},
                    "virtualport": {"type": "openvswitch", "profileid": "x"},
                }
            ],
        },
    ]
    for number, fields in enumerate(tasks):
        options = {"name": f"{name}{number}", **fields}
        again = [Task("network", options), Task("stack_info", {"networks": [options["name"]]})]
        made, second, told = host.play(Task("network", options), *again)
        assert (made.changed, made.failed, second.changed, second.failed) == (True, False, False, False), made.data
        (exported,) = told.data["stack"]["networks"]
        assert "xml" not in exported, exported["xml"]
        (last,) = host.play(Task("network", exported))
        assert (last.changed, last.failed) == (False, False), last.data


@pytest.mark.both
def test_records_and_portgroups_change_while_the_network_runs(host: Host, name: str, subnet: str) -> None:
    fields: dict[str, Any] = {"name": name, "ips": [{"address": f"{subnet}.1/24"}], "state": "active"}
    steps: list[dict[str, Any]] = [
        {"dns": {"txts": [{"name": "a", "value": "1"}], "srvs": [SRV]}, "portgroups": [{"name": "a", "default": True}]},
        {
            "dns": {"txts": [{"name": "a", "value": "2"}], "srvs": [{**SRV, "priority": 3}]},
            "portgroups": [
                {"name": "b", "default": True},
                {"name": "a", "default": False, "bandwidth": {"inbound": {"average": 99}}},
            ],
        },
        {"dns": {"txts": [], "srvs": []}, "portgroups": []},
    ]
    host.run("network", **fields)
    links = host.see().all["links"]
    for step in steps:
        done = host.converge("network", **fields, **step)
        assert done.run.pending == set()
        assert done.after.all["links"] == links
        for path in ("dns/txt", "dns/srv", "portgroup"):
            assert _views(done.after, name, path, "inactive") == _views(done.after, name, path, "live"), path


def _views(seen: Seen, name: str, path: str, view: str) -> list[dict[str, str]]:
    return [node.attrib for node in seen.xml("networks", name, view).iterfind(path)]


@pytest.mark.both
def test_devices_of_the_host_come_and_go_while_the_network_runs(host: Host, name: str) -> None:
    for devices in (["host0"], ["host0", "lo"], ["lo"]):
        forward = {"mode": "vepa", "interfaces": [{"dev": device} for device in devices]}
        done = host.converge("network", name=name, forward=forward, state="active")
        assert done.run.pending == set()
        for view in ("inactive", "live"):
            assert [item["dev"] for item in _views(done.after, name, "forward/interface", view)] == devices


def test_no_ping_is_lost_through_live_changes_and_few_through_a_restart(
    host: Host, name: str, net: str, subnet: str, tiny: dict[str, Any]
) -> None:
    """A guest pings its host fifty times a second; then the network is restarted under it, and it is there again."""
    host.virsh(f"net-destroy {net}")
    base = {"name": net, "state": "active", "dns": {"enable": True}, "dnsmasq_options": ["no-ping"]}
    host.run("network", **base)
    host.run(
        "domain",
        name=name,
        **tiny,
        interfaces=[{"network": net}],
        state="running",
        wait_for={"address": True, "agent": True},
    )
    address = host.run("domain", name=name).only["addresses"][0]
    ping = f"ping -n -i 0.02 -W 1 {address}"
    host.sh(f"nohup {ping} > /tmp/{name}.ping 2>&1 & echo $! > /tmp/{name}.pid")

    def declared(**more: Any) -> dict[str, Any]:
        return {**base, "ips": [{"address": f"{subnet}.1/24", "dhcp": more.pop("dhcp", {})}], **more}

    one, two = ({"mac": f"{MAC}{number}", "ip": f"{subnet}.{10 + number}"} for number in (1, 2))
    changes = [
        declared(dhcp={"hosts": [one]}),
        declared(dhcp={"hosts": [{**one, "ip": f"{subnet}.33"}, two]}),
        declared(dhcp={"hosts": [two]}),
        declared(dhcp={"ranges": [{"start": f"{subnet}.90", "end": f"{subnet}.220"}]}),
        declared(dns={"hosts": [{"ip": f"{subnet}.9", "hostnames": ["a.example"]}]}),
        declared(dns={"hosts": [{"ip": f"{subnet}.9", "hostnames": ["a.example", "b.example"]}]}),
        declared(dns={"txts": [{"name": "a", "value": "1"}], "srvs": [SRV]}),
        declared(dns={"txts": [{"name": "a", "value": "2"}], "srvs": []}),
        declared(portgroups=[{"name": "a", "default": True}]),
        declared(portgroups=[]),
    ]
    for done in host.play(*(Task("network", options) for options in changes)):
        assert done.changed, done.data
        assert not done.failed, done.data
        assert done.pending == set()
        assert done.only["attached"] == [name]
    host.sh(f"kill -INT $(cat /tmp/{name}.pid); sleep 0.5")
    report = host.sh(f"tail -2 /tmp/{name}.ping; rm /tmp/{name}.ping /tmp/{name}.pid")
    sent, received = (int(word) for word in re.findall(r"(\d+) (?:packets transmitted|received)", report))
    assert sent > 200, report
    assert received == sent, report

    waits = host.run("network", **base, mtu=1400)
    assert waits.pending == {"mtu"}
    assert f"waits for a restart: mtu (in use by {name})" in waits.msg
    again = host.converge("network", **base, mtu=1400, restart="if_needed")
    assert again.run.changes == {"state": ("active", "active anew")}
    assert again.run.only["attached"] == [name]
    assert again.after.network(net, "mtu/@size", "live") == "1400"
    tap = again.after.domain(name, "devices/interface/target/@dev", "live")
    assert again.after.all["links"][tap]["master"] == f"{name}br"
    # A bridge with the spanning tree protocol forwards some seconds after it began.
    until(lambda: "1 received" in host.sh(f"ping -n -c 1 -W 1 {address}", check=False), "the guest answers", 15)
    assert again.after.network(net, "@connections", "live") == "1", "libvirt counts the guest again"
