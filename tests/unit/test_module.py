# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a module says of its options, and of those that are none."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.kvmfleet.libvirt.plugins.module_utils.module import misshapen, shorter
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.spec.field import argument_spec, needed_spec
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.spec.kinds import KIND, STACK
from ansible_collections.kvmfleet.libvirt.tests.unit.support.cases import cases

ALL = "Supported parameters include: memory, name, vcpu_current, vcpus, xml (guest)."


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ("vcpu", "there is no option vcpu (did you mean vcpus"),
        (
            "domains.disks.memry",
            "there is no option domains.disks.memry (did you mean memory?); ansible-doc k.l.domain",
        ),
        ("zzz, mem_ory", "there is no option zzz, mem_ory (did you mean memory?); "),
    ],
)
def test_an_unknown_option_is_told_with_those_that_it_may_be_meant_for(names: str, said: str) -> None:
    assert shorter(f"Unsupported parameters for (k.l.domain) module: {names}. {ALL}").startswith(said)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"domains": {"name": "x"}}, "domains has to be a list of mappings, not a mapping"),
        ({"domains": ["x"]}, "domains[0] has to be a mapping (of "),
        ({"domains": [{"name": "x"}, None]}, "domains[1] has to be a mapping (of "),
        (
            {"domains": [{"name": "x", "disks": {"target": "vda"}}]},
            "domains[0].disks has to be a list of mappings, not a ",
        ),
        (
            {"networks": [{"name": "x", "forward": "nat"}]},
            "networks[0].forward has to be a mapping (of mode, dev, interfaces",
        ),
        (
            {"networks": [{"name": "x", "forward": True}]},
            "networks[0].forward has to be a mapping (of mode, dev, interfaces",
        ),
    ],
)
def test_what_is_no_mapping_is_told_by_its_place(given: Any, said: str) -> None:
    assert next(misshapen(given, STACK)).startswith(said)


@pytest.mark.parametrize("text", ['{"mode": "nat"}', "mode=nat", {"mode": "nat"}, None])
def test_what_is_a_mapping_is_none_of_that(text: Any) -> None:
    assert list(misshapen({"networks": [{"name": "x", "forward": text}]}, STACK)) == []


def test_other_messages_stay() -> None:
    assert shorter("missing required arguments: name") == "missing required arguments: name"


def _said(value: Any) -> Any:
    """Options without those that say nothing: AnsibleModule gives None to each that it knows and nobody gave."""
    if isinstance(value, dict):
        return {name: _said(part) for name, part in value.items() if part is not None}
    return [_said(part) for part in value] if isinstance(value, list) else value


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.id)
def test_the_needed_options_validate_as_all_of_them(case: Any) -> None:
    fields = STACK if case.kind == "stack" else KIND[case.kind].fields
    whole = ArgumentSpecValidator(argument_spec(fields)).validate(copy.deepcopy(case.written))
    needed = ArgumentSpecValidator(needed_spec(fields, [case.written])).validate(copy.deepcopy(case.written))
    assert needed.error_messages == whole.error_messages
    assert _said(needed.validated_parameters) == _said(whole.validated_parameters)


@pytest.mark.parametrize("text", ['{"name": "a", "memory": "1 GiB"}', "name=a memory=1GiB"])
def test_a_guest_may_be_given_as_text(text: str) -> None:
    written = {"domains": [text]}
    checked = ArgumentSpecValidator(needed_spec(STACK, [written])).validate(written)
    assert checked.error_messages == []
    assert checked.validated_parameters["domains"][0]["memory"].replace(" ", "") == "1GiB"


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (
            {"domains": [{"name": "a", "memry": "1 GiB"}]},
            "domains.memry. Supported parameters include: acpi_tables, adopt",
        ),
        (
            {"domains": [{"name": "a", "disks": [{"target": "vda"}, {"target": "vdb", "sze": 1}]}]},
            "domains.disks.sze. Supported",
        ),
        ({"domains": [{"name": "a", "disks": ["vda"]}]}, "dictionary requested"),
        ({"domains": {"name": "a"}}, "cannot be converted to a list"),
        ({"domains": [{"disks": None}]}, "missing required arguments: name found in domains"),
        ({"networks": [{"name": "n", "state": "on"}]}, "value of state must be one of"),
    ],
)
def test_what_is_wrong_is_told_of_needed_options_as_of_all(written: Any, told: str) -> None:
    (error, *_more) = ArgumentSpecValidator(needed_spec(STACK, [written])).validate(written).error_messages
    (whole, *_more) = ArgumentSpecValidator(argument_spec(STACK)).validate(written).error_messages
    assert error == whole
    assert told in error
