# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters as playbooks call them, and each with its documentation."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.kvmfleet.libvirt.plugins.filter import kvmfleet

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
