# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan that is kept is taken for what it was made for and for nothing else."""

from __future__ import annotations

import copy
import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kvmfleet.libvirt.plugins.module_utils import unchanged
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.outcome import outcome_of
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.plan import Change, Plan
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.stack import plan_stack
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.unchanged import FEWEST, Memory
from ansible_collections.kvmfleet.libvirt.tests.unit.support.applied import applied
from ansible_collections.kvmfleet.libvirt.tests.unit.support.cases import Case, cases, guests_of, outcome, settled

CASES = [case for case in cases() if "problems" not in outcome(case)[0]]
STACK, HOST = guests_of(FEWEST, there=True)
PLAN = plan_stack(STACK, HOST)


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    return Memory(str(tmp_path), "digest")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Memory:
    """A memory of the plan of STACK on HOST."""
    memory = Memory(str(tmp_path_factory.mktemp("kept")), "digest")
    memory.keep(STACK, HOST, PLAN)
    return memory


def _file(memory: Memory) -> Path:
    (path,) = Path(memory.folder).iterdir()
    return path


def test_the_same_again_is_the_same_plan(kept: Memory) -> None:
    found = kept.recall(copy.deepcopy(STACK), copy.deepcopy(HOST))
    assert found is not None
    assert outcome_of(found, {}, {}) == outcome_of(PLAN, {}, {})
    assert [item.facts["macs"] for item in found.objects] == [list(item.facts["macs"]) for item in PLAN.objects]


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_every_plan_that_is_kept_tells_what_the_planner_would(
    case: Case, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unchanged, "FEWEST", 0)
    host = applied(case.host, plan_stack(case.stack, case.host))
    again = settled(case.stack)
    plan = plan_stack(again, host)
    memory.keep(again, host, plan)
    found = memory.recall(again, host)
    idle = not any(item.pending or item.changes or item.facts.get("declined") for item in plan.objects)
    if found is None:
        assert not idle or again.get("secrets") or any("called" in item.facts for item in plan.objects)
    else:
        assert idle
        assert outcome_of(found, {}, {}) == outcome_of(plan, {}, {})


@given(data=st.data())
def test_any_other_host_is_planned(kept: Memory, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(HOST.domains)))
    guest = HOST.domains[name]
    place = data.draw(st.integers(0, len(guest.inactive) - 1))
    letter = data.draw(st.characters(codec="utf-8"))
    other = data.draw(
        st.sampled_from(
            [
                guest._replace(inactive=guest.inactive[:place] + letter + guest.inactive[place + 1 :]),
                guest._replace(live=guest.inactive),
                guest._replace(state="paused"),
                guest._replace(autostart=not guest.autostart),
                guest._replace(persistent=False),
                guest._replace(image=guest.inactive),
                None,
            ]
        )
    )
    domains = {key: other if key == name else item for key, item in HOST.domains.items()}
    host = HOST._replace(domains={key: item for key, item in domains.items() if item is not None})
    assert (kept.recall(STACK, host) is None) == (host != HOST)


@given(data=st.data())
def test_another_declaration_is_planned(kept: Memory, data: st.DataObject) -> None:
    stack: Any = copy.deepcopy(STACK)
    item = data.draw(st.sampled_from(stack["domains"]))
    option = data.draw(st.sampled_from(sorted(item)))
    item[option] = data.draw(st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text()))
    # True is 1 in Python, and is not in a declaration.
    if repr(stack) != repr(STACK):
        assert kept.recall(stack, HOST) is None


def test_another_library_plans_anew(kept: Memory) -> None:
    assert kept._replace(library="other").recall(STACK, HOST) is None


@pytest.mark.parametrize(
    "broken", [b"", b"{", b"[]", b"{}", b'{"host": "x"}', b'{"host": 1, "objects": [[]]}', b"\xff", b"null"]
)
def test_a_file_that_is_not_whole_is_no_plan(memory: Memory, broken: bytes) -> None:
    memory.keep(STACK, HOST, PLAN)
    _file(memory).write_bytes(broken)
    assert memory.recall(STACK, HOST) is None


def test_a_file_of_somebody_else_is_no_plan(memory: Memory, tmp_path: Path) -> None:
    memory.keep(STACK, HOST, PLAN)
    file = _file(memory)
    file.chmod(0o620)
    assert memory.recall(STACK, HOST) is None
    file.chmod(0o600)
    assert memory.recall(STACK, HOST) is not None
    moved = file.rename(tmp_path / "elsewhere")
    file.symlink_to(moved)
    assert memory.recall(STACK, HOST) is None


def test_what_waits_is_planned_each_time(memory: Memory) -> None:
    waiting = PLAN.objects[0]._replace(pending=(Change("vcpus", 1, 2, "restart"),))
    memory.keep(STACK, HOST, Plan((waiting, *PLAN.objects[1:])))
    assert list(Path(memory.folder).iterdir()) == []


def test_few_guests_and_secrets_are_planned_each_time(memory: Memory) -> None:
    few = {**STACK, "domains": STACK["domains"][1:]}
    memory.keep(few, HOST, PLAN)
    memory.keep({**STACK, "secrets": [{"type": "none"}]}, HOST, PLAN)
    assert list(Path(memory.folder).iterdir()) == []


def test_what_no_run_used_for_a_day_goes_and_nothing_else_does(memory: Memory, tmp_path: Path) -> None:
    long_ago = time.time() - 86400 - 60
    for name in ("unchanged-old.json", "0f3a.zip", "unchanged-used.json"):
        (tmp_path / name).write_text("{}")
        os.utime(tmp_path / name, (long_ago, long_ago))
    os.utime(tmp_path / "unchanged-used.json")
    memory.keep(STACK, HOST, PLAN)
    left = {path.name for path in tmp_path.iterdir()}
    assert left >= {"0f3a.zip", "unchanged-used.json"}
    assert "unchanged-old.json" not in left


def test_where_nothing_can_be_kept_the_run_goes_on(tmp_path: Path) -> None:
    nowhere = Memory(str(tmp_path / "gone"), "digest")
    nowhere.keep(STACK, HOST, PLAN)
    assert nowhere.recall(STACK, HOST) is None
