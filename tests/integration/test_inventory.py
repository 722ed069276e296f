# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests of a real host as inventory: found, grouped, reached by what they have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from fleet import Host
from inside import play, reach

READY: dict[str, Any] = {"agent": True, "timeout": 120}


def test_guests_are_found_with_their_addresses_and_reached(
    host: Host,
    name: str,
    net: str,
    subnet: str,
    tiny: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One has a leased address, one gave itself another than DHCP knows, one has no network, and one is off."""
    own = {"network": net, "address": f"{subnet}.10"}
    run: dict[str, Any] = {"state": "running", "wait_for": READY}
    domains = [
        {"name": f"{name}a", **tiny, **run, "interfaces": [own], "wait_for": {**READY, "address": True}},
        {"name": f"{name}b", **tiny, **run, "interfaces": [{"network": net, "link": "down"}]},
        {"name": f"{name}c", **tiny, **run},
        {"name": f"{name}d", "memory": "64 MiB", "virt_type": "qemu"},
    ]
    host.run("stack", domains=domains)
    tags = '<guest><tag>island</tag><entry key="owner">{{ 1/0 }}</entry></guest>'
    host.virsh(f"metadata {name}c urn:kvmfleet:libvirt:guest --key guest --set '{tags}' --live --config")
    host.inside(f"{name}b", f"for n in /sys/class/net/e*; do ip address add {subnet}.50/24 dev ${{n##*/}}; done")
    reach(host, monkeypatch, tmp_path)
    found = tmp_path / "x.guests.yml"
    # The host as Ansible knows it, by a pattern.
    hosts: dict[str, Any] = {"hosts": f"kvm_hosts:&{host.name}", "inventory": [str(host.inventory)]}
    hosts["host_uri"] = "'qemu+ssh://' ~ ansible_user ~ '@' ~ inventory_hostname ~ '/system'"
    found.write_text(
        yaml.safe_dump(
            {"plugin": "kvmfleet.libvirt.guests", **hosts, "names": [f"{name}*"], "agent": "always", "jump": True}
        )
    )
    told = play(
        host,
        found,
        "kvm_guests:!state_stopped",
        {
            "ansible.builtin.set_fact": {
                "seen": "{{ [inventory_hostname, kvmfleet.addresses, ansible_host | default(''), group_names] }}"
            }
        },
        {"ansible.builtin.raw": "echo {{ inventory_hostname }}; echo '{{ kvmfleet.metadata.owner | default('') }}'"},
        vars={"ansible_guest_agent_sockets": str(host.scratch)},
    )
    seen = {item["ansible_facts"]["seen"][0]: item["ansible_facts"]["seen"] for _status, item in told[:3]}
    assert sorted(seen) == [f"{name}a", f"{name}b", f"{name}c"]
    assert [(item["address"], item["source"]) for item in seen[f"{name}a"][1]] == [(f"{subnet}.10", "lease")]
    assert [(item["address"], item["source"]) for item in seen[f"{name}b"][1]] == [(f"{subnet}.50", "agent")]
    assert [seen[f"{name}{letter}"][2] for letter in "abc"] == [f"{subnet}.10", f"{subnet}.50", f"{name}c"]
    assert {f"network_{net}", "state_running"} <= set(seen[f"{name}a"][3])
    assert "tag_island" in seen[f"{name}c"][3]
    ran = {lines[0]: lines[1:] for lines in (item["stdout_lines"] for _status, item in told[3:])}
    assert ran == {f"{name}a": [""], f"{name}b": [""], f"{name}c": ["{{ 1/0 }}"]}
