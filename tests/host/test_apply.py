# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The executor: order, needs, what one failure leaves out, and what may wait for a restart."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from ansible_collections.kvmfleet.libvirt.plugins.module_utils import apply
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.apply import apply_plan
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.host import act
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.host.connection import Connection
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.plan import Id, ObjectPlan, Plan, Step

GUEST = "<domain type='test'><name>{}</name><memory unit='MiB'>8</memory><os><type>hvm</type></os></domain>"
START = Step("start", {}, "start it")


def _guest(name: str, *more: Step, needs: frozenset[Id] = frozenset(), broken: bool = False) -> ObjectPlan:
    xml = "<domain/>" if broken else GUEST.format(name)
    return ObjectPlan(
        "domain", name, "running", steps=(Step("define", {"xml": xml}, f"define guest {name}"), *more), needs=needs
    )


def _names(connection: Connection) -> set[str]:
    return {domain.name() for domain in connection.open.listAllDomains(0)}


def test_steps_of_one_object_run_in_order(connection: Connection) -> None:
    results = apply_plan(connection, Plan((_guest("a", START),)), 5, stop=True)
    assert results[("domain", "a")].done
    assert results[("domain", "a")].error is None
    assert connection.open.lookupByName("a").isActive()


def test_objects_wait_for_what_they_need(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    perform = act.perform

    def note(where: Connection, item: ObjectPlan, step: Step) -> str | None:
        time.sleep(0.02)
        order.append(item.name)
        return perform(where, item, step)

    monkeypatch.setattr(apply, "perform", note)
    chain = [
        _guest(str(number), needs=frozenset({("domain", str(number - 1))} if number else ())) for number in range(6)
    ]
    apply_plan(connection, Plan(tuple(reversed(chain))), 5, stop=True)
    assert order == ["0", "1", "2", "3", "4", "5"]


def test_no_more_objects_at_once_than_asked_for(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    now = most = 0
    lock = threading.Lock()

    def count(*_what: Any) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.02)
        with lock:
            now -= 1

    monkeypatch.setattr(apply, "perform", count)
    apply_plan(connection, Plan(tuple(_guest(str(number)) for number in range(12))), 3, stop=True)
    assert most == 3


def test_after_a_failure_continue_leaves_out_only_what_needs_it(connection: Connection) -> None:
    plan = Plan(
        (
            _guest("bad", broken=True),
            _guest("after", needs=frozenset({("domain", "bad")})),
            _guest("after-that", needs=frozenset({("domain", "after")})),
            _guest("good"),
        )
    )
    results = apply_plan(connection, plan, 1, stop=False)
    assert _names(connection) == {"good"}
    assert str(results[("domain", "bad")].error).startswith("domain bad: define guest bad: ")
    assert results[("domain", "after")].error == "domain after: not begun, as domain bad failed"
    assert results[("domain", "after-that")].error == "domain after-that: not begun, as domain after failed"
    assert results[("domain", "good")].error is None


def test_after_a_failure_stop_begins_nothing(connection: Connection) -> None:
    plan = Plan((_guest("bad", broken=True), *(_guest(str(number)) for number in range(5))))
    results = apply_plan(connection, plan, 1, stop=True)
    assert _names(connection) == set()
    assert results[("domain", "4")].error == "domain 4: not begun after the failure of another object"


def test_a_failed_step_is_the_last_one(connection: Connection) -> None:
    results = apply_plan(connection, Plan((_guest("bad", START, broken=True),)), 5, stop=True)
    assert results[("domain", "bad")].done is False


def test_what_somebody_else_started_is_started(connection: Connection) -> None:
    results = apply_plan(connection, Plan((_guest("a", START, START),)), 5, stop=True)
    assert results[("domain", "a")].error is None


def test_what_may_wait_is_no_error(connection: Connection) -> None:
    attach = Step(
        "attach", {"xml": "<rng model='virtio'/>", "path": "devices/rng", "key": "0"}, "attach rng 0", may_wait=True
    )
    result = apply_plan(connection, Plan((_guest("a", START, attach),)), 5, stop=True)[("domain", "a")]
    assert result.error is None
    assert result.done
    assert len(result.waiting) == 1
    assert result.waiting[0].startswith("domain a: attach rng 0: ")


def test_objects_that_need_each_other_are_an_error_and_no_silence(connection: Connection) -> None:
    plan = Plan((_guest("a", needs=frozenset({("domain", "b")})), _guest("b", needs=frozenset({("domain", "a")}))))
    results = apply_plan(connection, plan, 5, stop=False)
    assert results[("domain", "a")].error == "domain a: not begun, as it and domain b need each other"
    assert _names(connection) == set()
