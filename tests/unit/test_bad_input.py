# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad input is refused before anything is planned, with every problem in one go and each in words that help."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.problem import Declined
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.stack import plan_stack
from ansible_collections.kvmfleet.libvirt.tests.unit.support.declarations import Refused, stack_of
from ansible_collections.kvmfleet.libvirt.tests.unit.support.hosts import host_of

ENTRIES = yaml.safe_load((Path(__file__).parent / "bad_input.yml").read_text(encoding="utf-8"))
POOL = {"volumes": {"base.qcow2": {"capacity": 3 << 30}, "other.qcow2": {}}}
DERIVED_MAC = re.compile(r"\[52:54(:[0-9a-f]{2}){4}\]: a new")


@pytest.mark.parametrize("entry", ENTRIES, ids=[entry["name"] for entry in ENTRIES])
def test_all_problems_are_told_together(entry: dict[str, Any]) -> None:
    beside = entry.get("host", {})
    host = host_of({"pools": {"default": POOL, **beside.pop("pools", {})}, "networks": {"default": {}}, **beside})
    with pytest.raises(Declined) as raised:
        plan_stack(stack_of(entry["declared"]), host)
    assert [_comparable(str(problem)) for problem in raised.value.problems] == entry["problems"]


def _comparable(sentence: str) -> str:
    """A sentence without what is derived, or is said by a parser of one release or another."""
    return re.sub("(not well-formed XML): .*", r"\1", DERIVED_MAC.sub("[MAC]: a new", sentence))


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"domains": [{"name": "a", "memroy": "1 GiB"}]}, "memroy"),
        ({"domains": [{"memory": "1 GiB"}]}, "missing required arguments: name"),
        ({"domains": [{"name": "a", "state": "on"}]}, "value of state must be one of"),
        ({"domains": [{"name": "a", "vcpus": "many"}]}, "vcpus"),
        ({"networks": [{"name": "a", "dns": {"hosts": [{"hostnames": ["x"]}]}}]}, "missing required arguments: ip"),
    ],
)
def test_what_the_argument_spec_refuses(declared: dict[str, Any], message: str) -> None:
    with pytest.raises(Refused, match=message):
        stack_of(declared)
