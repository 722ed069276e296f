# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every golden case gives the plan and the document that its files say, and what must hold for all of them does."""

from __future__ import annotations

import pytest
import yaml

from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.plan import Plan
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.stack import Earlier, plan_stack
from ansible_collections.kvmfleet.libvirt.tests.unit.support.applied import applied
from ansible_collections.kvmfleet.libvirt.tests.unit.support.cases import Case, as_yaml, cases, outcome, settled
from ansible_collections.kvmfleet.libvirt.tests.unit.support.declarations import Stack

CASES = cases()
every_case = pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
planned = [case for case in CASES if "problems" not in outcome(case)[0]]
carried_out = pytest.mark.parametrize("case", planned, ids=[case.id for case in planned])


@every_case
def test_plan(case: Case, request: pytest.FixtureRequest) -> None:
    data, desired = outcome(case)
    if request.config.getoption("--regenerate"):
        _write(case, as_yaml(data), desired)
    expected = case.folder / "desired.xml"
    assert as_yaml(data) == as_yaml(yaml.safe_load((case.folder / "plan.yml").read_text(encoding="utf-8")))
    assert desired == (expected.read_text(encoding="utf-8") if expected.exists() else None)


def _write(case: Case, plan: str, desired: str | None) -> None:
    (case.folder / "plan.yml").write_text(plan, encoding="utf-8")
    (case.folder / "desired.xml").unlink(missing_ok=True)
    if desired is not None:
        (case.folder / "desired.xml").write_text(desired, encoding="utf-8")


@carried_out
def test_carried_out_and_planned_again_nothing_is_left(case: Case) -> None:
    plan = plan_stack(case.stack, case.host)
    again = plan_stack(settled(case.stack), applied(case.host, plan))
    assert [(item.id, item.changes, item.steps) for item in again.objects if item.changes or item.steps] == []


@carried_out
def test_planned_again_with_what_was_planned_before_says_the_same(case: Case) -> None:
    plan = plan_stack(case.stack, case.host)
    host = applied(case.host, plan)
    again = plan_stack(settled(case.stack), host)
    assert plan_stack(settled(case.stack), host, Earlier(plan, case.host)) == again


@carried_out
def test_a_plan_that_changes_nothing_has_no_steps_and_the_other_way_round(case: Case) -> None:
    for item in plan_stack(case.stack, case.host).objects:
        assert bool(item.changes) == bool(item.steps), item.id


@every_case
def test_the_name_alone_changes_nothing(case: Case) -> None:
    stack: Stack = {
        "pools": [_bare("pool", name) for name in case.host.pools],
        "networks": [_bare("network", name) for name in case.host.networks],
        "domains": [_bare("domain", name) for name in case.host.domains],
    }
    plan = plan_stack(stack, case.host)
    assert plan == Plan(tuple(item._replace(changes=(), steps=(), pending=()) for item in plan.objects))


def _bare(_kind: str, name: str) -> dict[str, object]:
    return {"name": name, "state": "present", "restart": "if_needed", "timeout": 120, "force": False}
