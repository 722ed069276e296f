# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters as playbooks call them, and each with its documentation."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.kvmfleet.libvirt.plugins.filter import kvmfleet
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.stack import plan_stack
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.spec.kinds import KIND
from ansible_collections.kvmfleet.libvirt.tests.unit.support.cases import Case, cases, outcome

FOLDER = Path(__file__).resolve().parents[2] / "plugins" / "filter"


def test_each_filter_is_documented_beside_it() -> None:
    assert set(kvmfleet.FilterModule().filters()) == {path.stem for path in FOLDER.glob("*.yml")}


def test_sizes() -> None:
    assert kvmfleet.size_bytes("1.5 GiB") == 1610612736
    assert kvmfleet.size_bytes(4096) == 4096
    assert kvmfleet.size_text(2 << 30) == "2 GiB"
    assert kvmfleet.size_text("2097152 KiB") == "2 GiB"
    for wrong in ("2", "lots", True, "2 parsecs"):
        with pytest.raises(AnsibleFilterError, match=r"size|unit"):
            kvmfleet.size_bytes(wrong)


def test_guests_of_a_declared_stack() -> None:
    stack = {
        "networks": [{"name": "default"}],
        "domains": [
            {"name": "web1", "interfaces": [{"network": "default"}, {"network": "lan", "address": "10.0.0.2"}]},
            {"name": "old", "state": "absent"},
            {"name": "db1"},
        ],
    }
    assert kvmfleet.guests_of(stack, uri="qemu:///system") == [
        {
            "name": "web1",
            "ansible_guest_agent_guest": "web1",
            "ansible_host": "10.0.0.2",
            "ansible_guest_agent_uri": "qemu:///system",
        },
        {"name": "db1", "ansible_guest_agent_guest": "db1", "ansible_guest_agent_uri": "qemu:///system"},
    ]
    assert kvmfleet.guests_of({}) == []
    with pytest.raises(AnsibleFilterError, match="takes a stack"):
        kvmfleet.guests_of("web1")


def test_guests_of_what_a_module_returned() -> None:
    result = {
        "objects": [
            {"kind": "volume", "name": "default/web1-vda.qcow2", "state": "present"},
            {"kind": "domain", "name": "web1", "state": "running", "addresses": ["fd00::2", "10.0.0.2"]},
        ]
    }
    assert [item["ansible_host"] for item in kvmfleet.guests_of(result)] == ["10.0.0.2"]


def test_placed_gives_each_host_its_guests_as_they_were() -> None:
    guests = [{"name": f"db{number}", "memory": "2 GiB", "vcpus": 2, "title": "x"} for number in range(3)]
    told = kvmfleet.placed(guests, {"a": {"memory": "8 GiB"}, "b": None, "c": {"vcpus": 2}}, [["db*"]])
    assert sorted(told) == ["a", "b", "c"]
    assert [len(here) for here in told.values()] == [1, 1, 1]
    assert sorted((item for here in told.values() for item in here), key=lambda item: item["name"]) == guests
    assert kvmfleet.placed([], ["a"]) == {"a": []}


def test_what_cannot_be_placed_is_an_error() -> None:
    with pytest.raises(AnsibleFilterError, match="guest a fits on no host: h has not enough memory left"):
        kvmfleet.placed([{"name": "a", "memory": "2 GiB"}], {"h": {"memory": "1 GiB"}})
    with pytest.raises(AnsibleFilterError, match=r"several guests: \['a'\]"):
        kvmfleet.placed([{"name": "a"}, {"name": "a"}], ["h"])


@pytest.mark.parametrize(
    ("guests", "hosts", "apart", "told"),
    [
        ([{"name": "a"}], {"h": {"memroy": "1 GiB"}}, [], "host h offers memory and vcpus, or one of them, and not"),
        ([{"name": "a"}], {"h": 4}, [], "host h offers memory and vcpus"),
        ([{"name": "a"}], {"h": {"memory": "lots"}}, [], "'lots' is not a size"),
        ([{"name": "a"}], ["h"], ["db*"], "anti_affinity is a list of groups"),
        ([{"name": "a"}], ["h"], "db*", "anti_affinity is a list of groups"),
        ([{"memory": "1 GiB"}], ["h"], [], "each with its name"),
        (["a"], ["h"], [], "each with its name"),
    ],
)
def test_a_slip_places_nothing(guests: Any, hosts: Any, apart: Any, told: str) -> None:
    with pytest.raises(AnsibleFilterError, match=told):
        kvmfleet.placed(guests, hosts, apart)


KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDGs8"


def test_known_hosts_has_a_line_for_each_key_under_all_names() -> None:
    told = {
        "objects": [
            {"kind": "network", "name": "lan"},
            {
                "kind": "domain",
                "name": "web1",
                "addresses": ["10.0.0.2", "fd00::2"],
                "host_keys": [KEY, "ssh-rsa AAAAB3"],
            },
            {"kind": "domain", "name": "web2", "addresses": ["10.0.0.3"]},
        ]
    }
    assert kvmfleet.known_hosts(told) == [f"web1,10.0.0.2,fd00::2 {KEY}", "web1,10.0.0.2,fd00::2 ssh-rsa AAAAB3"]
    assert kvmfleet.known_hosts([told["objects"][1]], 2222)[0] == f"[web1]:2222,[10.0.0.2]:2222,[fd00::2]:2222 {KEY}"


def test_a_stack_as_xml() -> None:
    stack = {
        "networks": [{"name": "lan", "bridge": {"name": "br9"}}],
        "domains": [
            {
                "name": "web1",
                "memory": "1 GiB",
                "disks": [
                    {"target": "vda", "image": "debian.qcow2", "size": "10 GiB"},
                    {"target": "vdb", "volume": "data.raw", "pool": "fast"},
                ],
                "interfaces": [{"network": "lan"}, {"network": "elsewhere"}],
                "cloud_init": {"user_data": {"hostname": "web1"}},
            },
            {"name": "old", "state": "absent"},
        ],
    }
    found = kvmfleet.stack_xml(stack)
    assert {kind: sorted(items) for kind, items in found.items()} == {"networks": ["lan"], "domains": ["web1"]}
    root = ET.fromstring(found["domains"]["web1"])
    assert [node.get("file") for node in root.iterfind("devices/disk/source")] == [
        "/var/lib/libvirt/images/web1-vda.qcow2",
        "/var/lib/libvirt/images/fast/data.raw",
        "/var/lib/libvirt/images/web1-seed.iso",
    ]
    assert [node.get("network") for node in root.iterfind("devices/interface/source")] == ["lan", "elsewhere"]
    assert root.get("type") == "kvm"
    emulated = kvmfleet.stack_xml(stack, kvm=False)["domains"]["web1"]
    assert ET.fromstring(emulated).get("type") == "qemu"


@pytest.mark.parametrize(
    ("stack", "told"),
    [
        ({"domains": [{"name": "a", "memory": "lots"}]}, "domain a: memory: 'lots' is not a size"),
        ({"domains": [{"memory": "1 GiB"}]}, "missing required arguments: name"),
        ({"guests": []}, "stack_xml: there is no option guests$"),
        ([], "stack_xml takes a stack"),
    ],
)
def test_a_wrong_stack_has_no_xml(stack: object, told: str) -> None:
    with pytest.raises(AnsibleFilterError, match=told):
        kvmfleet.stack_xml(stack)


def _new(case: Case) -> bool:
    """Whether a case is about what is not there yet, on the usual host."""
    there = any((case.folder / name).exists() for name in ("host.yml", "current.xml"))
    return case.kind in ("domain", "network", "stack") and not there and "problems" not in outcome(case)[0]


# What a host alone decides: UUIDs, MAC addresses and the name of the machine type.
OF_A_HOST = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|52:54(:[0-9a-f]{2}){4}|machine=\"[^\"]*\"")


@pytest.mark.parametrize("case", [case for case in cases() if _new(case)], ids=lambda case: case.id)
def test_a_stack_as_xml_is_what_would_be_defined(case: Case) -> None:
    declared = case.written if case.kind == "stack" else {KIND[case.kind].plural: [case.written]}
    told = kvmfleet.stack_xml(declared, arch=case.host.arch, kvm=case.host.kvm)
    defined = {
        (KIND[item.kind].plural, item.name): step.args["xml"]
        for item in plan_stack(case.stack, case.host).objects
        for step in item.steps
        if step.verb == "define" and item.previous is None
    }
    found = {(kind, name): text for kind, items in told.items() for name, text in items.items()}
    assert {key: OF_A_HOST.sub("", text) for key, text in found.items()} == {
        key: OF_A_HOST.sub("", text) for key, text in defined.items()
    }
