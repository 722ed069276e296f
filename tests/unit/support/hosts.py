# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts as values, and what becomes of a host when a plan is carried out, simulated on those values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.kvmfleet.libvirt.plugins.module_utils import tree
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.current import (
    Domain,
    Filter,
    Host,
    Network,
    Origin,
    Pool,
    Route,
    Secret,
    Snapshot,
    Volume,
)

MACHINES = {
    ("x86_64", "q35"): "pc-q35-9.2",
    ("x86_64", "pc"): "pc-i440fx-9.2",
    **{("x86_64", name): name for name in ("pc-q35-9.2", "pc-q35-8.2", "pc-i440fx-9.2")},
}

POOL = """
<pool type='dir'>
  <name>{name}</name>
  <uuid>9c1f1b5e-53f5-4b0b-8a0a-6f6f6f6f6f6f</uuid>
  <capacity unit='bytes'>0</capacity>
  <allocation unit='bytes'>0</allocation>
  <available unit='bytes'>0</available>
  <source/>
  <target><path>{path}</path></target>
</pool>
"""

NETWORK = """
<network>
  <name>{name}</name>
  <uuid>0a3f27b3-5a3e-4f1e-9a7d-111111111111</uuid>
  <forward mode='nat'><nat><port start='1024' end='65535'/></nat></forward>
  <bridge name='virbr0' stp='on' delay='0'/>
  <mac address='52:54:00:aa:bb:cc'/>
  <ip address='192.168.122.1' netmask='255.255.255.0'>
    <dhcp><range start='192.168.122.2' end='192.168.122.254'/></dhcp>
  </ip>
</network>
"""

STANDARD: Mapping[str, Any] = {"pools": {"default": {}}, "networks": {"default": {}}}


def host_of(described: Mapping[str, Any]) -> Host:
    """A host from plain data: pools, networks and domains by name, each with what differs from the usual."""
    return Host(
        uri="qemu:///system",
        identity="0123456789abcdef/test-host",
        domains={name: domain_of(name, item) for name, item in (described.get("domains") or {}).items()},
        networks={name: network_of(name, item or {}) for name, item in (described.get("networks") or {}).items()},
        pools={name: pool_of(name, item or {}) for name, item in (described.get("pools") or {}).items()},
        machines=MACHINES,
        kvm=described.get("kvm", True),
        arch=described.get("arch", "x86_64"),
        driver=described.get("driver", "QEMU"),
        nwfilters={name: Filter(name, item["xml"]) for name, item in described.get("nwfilters", {}).items()},
        secrets={secret.name: secret for item in described.get("secrets", {}).values() for secret in [secret_of(item)]},
        snapshots={
            guest: {name: Snapshot(name, **facts) for name, facts in items.items()}
            for guest, items in described.get("snapshots", {}).items()
        },
        version=described.get("version", 11_003_000),
        routes=tuple(Route(*route) for route in described.get("routes", ())),
        links=tuple(described.get("links", ())),
        places=described.get("places", {}),
    )


def pool_of(name: str, item: Mapping[str, Any]) -> Pool:
    """A pool; active unless it says otherwise."""
    path = item.get("path", "/var/lib/libvirt/images")
    xml = item.get("xml") or POOL.format(name=name, path=path)
    live = item.get("live", xml) if item.get("active", True) else None
    volumes = {volume: volume_of(volume, name, path, facts or {}) for volume, facts in item.get("volumes", {}).items()}
    return Pool(
        name, xml, live, item.get("autostart", True), volumes, item.get("persistent", True), item.get("strangers")
    )


def volume_of(name: str, pool: str, directory: str, facts: Mapping[str, Any]) -> Volume:
    """A volume: a qcow2 file of 10 GiB unless it says otherwise."""
    return Volume(
        name,
        pool,
        facts.get("path", f"{directory}/{name}"),
        facts.get("capacity", 10 << 30),
        facts.get("format", "qcow2"),
        facts.get("backing"),
        facts.get("digest"),
        facts.get("xml", ""),
        Origin(**facts["origin"]) if "origin" in facts else None,
        facts.get("instance", ""),
        facts.get("made", 0),
    )


def network_of(name: str, item: Mapping[str, Any]) -> Network:
    """A network; active unless it says otherwise."""
    xml = item.get("xml") or NETWORK.format(name=name)
    live = item.get("live", xml) if item.get("active", True) else None
    attached = tuple(item.get("attached", ()))
    return Network(name, xml, live, item.get("autostart", True), item.get("persistent", True), attached)


def secret_of(item: Mapping[str, Any]) -> Secret:
    """A secret; without a value unless it says one."""
    root = tree.parse(item["xml"])
    uuid, kind = tree.get(root, "uuid") or "", tree.get(root, "usage/@type") or "none"
    usage = next((part.text for part in root.iterfind("usage/*")), uuid)
    value = item.get("value")
    return Secret(f"{kind}/{usage}", uuid, item["xml"], None if value is None else value.encode())


def domain_of(name: str, item: Mapping[str, Any]) -> Domain:
    """A guest; stopped unless it says otherwise."""
    state = item.get("state", "stopped")
    document = item.get("live", item["xml"])
    live = document if state not in ("stopped", "crashed", "saved") else None
    image = document if state == "saved" else None
    return Domain(name, item["xml"], live, state, item.get("autostart", False), item.get("persistent", True), image)
