# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bridges, bonds and VLANs as files of three renderers."""

from __future__ import annotations

import configparser
import re
from typing import Any

import pytest
import yaml

from ansible_collections.kvmfleet.libvirt.plugins.plugin_utils.links import RENDERERS, files

BRIDGE = {
    "name": "br0",
    "type": "bridge",
    "ports": ["bond0"],
    "addresses": ["192.0.2.10/24", "2001:db8::10/64"],
    "gateway": "192.0.2.1",
    "gateway6": "2001:db8::1",
    "dns": ["192.0.2.53", "2001:db8::53"],
    "mtu": 9000,
    "mac": "52:54:00:00:00:01",
}
BOND = {"name": "bond0", "type": "bond", "ports": ["eno1", "eno2"], "mode": "802.3ad"}
VLAN = {"name": "eno3.20", "type": "vlan", "link": "eno3", "id": 20}
GUESTS = {"name": "br20", "type": "bridge", "ports": ["eno3.20"]}
ALL = [BRIDGE, BOND, VLAN, GUESTS]


def sections(text: str) -> dict[str, dict[str, list[str]]]:
    """An ini file in which a key may come several times."""
    found: dict[str, dict[str, list[str]]] = {}
    here: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.startswith("["):
            here = found.setdefault(line.strip("[]"), {})
        elif "=" in line and not line.startswith("#"):
            name, value = line.split("=", 1)
            here.setdefault(name, []).append(value)
    return found


def test_networkd_gets_a_device_and_a_network_of_each_link() -> None:
    made = {path.rpartition("05-kvmfleet-")[2]: sections(text) for path, text in files(ALL, "systemd-networkd").items()}
    assert sorted(made) == sorted(
        [f"{name}.netdev" for name in ("br0", "bond0", "eno3.20", "br20")]
        + [f"{name}.network" for name in ("br0", "bond0", "eno3.20", "br20", "eno1", "eno2", "eno3")]
    )
    assert made["br0.netdev"] == {
        "NetDev": {"Name": ["br0"], "Kind": ["bridge"], "MACAddress": ["52:54:00:00:00:01"]},
        "Bridge": {"STP": ["no"]},
    }
    assert made["br0.network"] == {
        "Match": {"Name": ["br0"]},
        "Link": {"MTUBytes": ["9000"]},
        "Network": {
            "Address": ["192.0.2.10/24", "2001:db8::10/64"],
            "Gateway": ["192.0.2.1", "2001:db8::1"],
            "DNS": ["192.0.2.53", "2001:db8::53"],
            "ConfigureWithoutCarrier": ["yes"],
        },
    }
    assert made["bond0.netdev"]["Bond"] == {"Mode": ["802.3ad"], "MIIMonitorSec": ["0.1"]}
    assert made["bond0.network"]["Network"]["Bridge"] == ["br0"]
    assert made["eno2.network"] == {
        "Match": {"Name": ["eno2"]},
        "Link": {"RequiredForOnline": ["no"]},
        "Network": {"Bond": ["bond0"], "LinkLocalAddressing": ["no"], "IPv6AcceptRA": ["no"]},
    }
    assert made["eno3.network"]["Network"]["VLAN"] == ["eno3.20"]
    assert made["eno3.20.netdev"]["VLAN"] == {"Id": ["20"]}


def test_network_manager_gets_a_connection_of_each_link() -> None:
    made = {}
    for path, text in files(ALL, "NetworkManager").items():
        made[path.rpartition("/kvmfleet-")[2].removesuffix(".nmconnection")] = keyfile = configparser.ConfigParser()
        keyfile.read_string(text)
    assert sorted(made) == ["bond0", "br0", "br20", "eno1", "eno2", "eno3", "eno3.20"]
    assert dict(made["br0"]["ipv4"]) == {
        "method": "manual",
        "address1": "192.0.2.10/24",
        "gateway": "192.0.2.1",
        "dns": "192.0.2.53;",
    }
    assert made["br0"]["ipv6"]["gateway"] == "2001:db8::1"
    assert (made["bond0"]["connection"]["master"], made["bond0"]["connection"]["slave-type"]) == ("br0", "bridge")
    assert made["eno1"]["connection"]["slave-type"] == "bond"
    assert "ipv4" not in made["eno1"]
    assert made["br20"]["ipv4"]["method"] == "disabled"
    assert dict(made["eno3.20"]["vlan"]) == {"id": "20", "parent": "eno3"}
    identities = [keyfile["connection"]["uuid"] for keyfile in made.values()]
    assert len(set(identities)) == len(identities)
    assert files(ALL, "NetworkManager") == files(ALL, "NetworkManager")


def test_netplan_gets_one_file() -> None:
    ((path, text),) = files(ALL, "netplan").items()
    network = yaml.safe_load(text)["network"]
    assert path == "/etc/netplan/90-kvmfleet.yaml"
    assert network["version"] == 2
    assert network["bridges"]["br0"] == {
        "dhcp4": False,
        "dhcp6": False,
        "addresses": ["192.0.2.10/24", "2001:db8::10/64"],
        "interfaces": ["bond0"],
        "macaddress": "52:54:00:00:00:01",
        "mtu": 9000,
        "routes": [{"to": "default", "via": "192.0.2.1"}, {"to": "default", "via": "2001:db8::1"}],
        "nameservers": {"addresses": ["192.0.2.53", "2001:db8::53"]},
        "parameters": {"stp": False},
    }
    assert network["bonds"]["bond0"]["parameters"] == {"mode": "802.3ad", "mii-monitor-interval": 100}
    assert (network["vlans"]["eno3.20"]["link"], network["vlans"]["eno3.20"]["id"]) == ("eno3", 20)
    assert sorted(network["ethernets"]) == ["eno1", "eno2", "eno3"]
    assert network["ethernets"]["eno1"]["link-local"] == []


@pytest.mark.parametrize("renderer", RENDERERS)
def test_nothing_declared_is_no_file(renderer: str) -> None:
    assert files([], renderer) == {}


@pytest.mark.parametrize(
    ("links", "says"),
    [
        ([BRIDGE, BRIDGE], "br0 is there twice; br0 is there twice; bond0 is a port of br0 and of br0"),
        (
            [{"name": "much-too-long-name", "type": "bridge"}],
            "'much-too-long-name' is no name of an interface",
        ),
        ([{"name": "br0", "type": "brigde"}], "br0: type is one of bridge, bond, vlan, ethernet"),
        ([{"name": "v", "type": "vlan", "link": "eno1", "id": 4095}], "v: a vlan has a link and an id from 1 to 4094"),
        ([{"name": "b", "type": "bond"}], "b: a bond has ports"),
        ([{"name": "e", "type": "ethernet", "ports": ["x"]}], "e: only a bridge and a bond have ports"),
        ([{"name": "b", "type": "bridge", "addresses": ["192.0.2.1"]}], "b: 192.0.2.1 has no prefix length"),
        (
            [{"name": "b", "type": "bridge", "addresses": ["x/24"], "gateway": "y"}],
            "b: x/24 is no address",
        ),
        ([{"name": "b", "type": "bridge", "ports": ["../../x"]}], "'../../x' is no name of an interface"),
        ([{**VLAN, "link": "eno1\n[Route]"}], "'eno1\\n[Route]' is no name of an interface"),
        (
            [{**BOND, "mode": "lacp"}],
            "bond0: mode is one of active-backup, balance-rr, balance-xor, broadcast, 802.3ad",
        ),
        ([{"name": "b", "type": "bridge", "dns": ["one.one"]}], "b: dns one.one is no address"),
        ([{"name": "b", "type": "bridge", "mac": "52:54:00"}], "b: mac 52:54:00 is no MAC address"),
        (
            [GUESTS, {**VLAN, "dhcp": True}],
            "eno3.20 is a port of br20 and can have no addresses; give them to that",
        ),
    ],
)
def test_links_that_cannot_be_are_told(links: list[dict[str, Any]], says: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(says)}"):
        files(links, "netplan")
