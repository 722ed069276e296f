# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carry a plan out, verify that it stuck, and wait for the guests that somebody waits for."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Callable

from .apply import Definitions, apply_plan
from .host.connection import Connection
from .host.read import Lease, read_host, read_leases
from .host.ready import until_ready
from .outcome import Told
from .plan.current import Host
from .plan.plan import Awaited, Id, ObjectPlan, Plan, Result, to_wake
from .plan.problem import Declined
from .plan.secret import secret_name
from .plan.snapshot import snapshot_id
from .plan.stack import Earlier, Stack, plan_stack
from .plan.volume import volume_id
from .scope import scope_after, scope_of, with_untouched
from .spec.kinds import KIND

# How often a host that others change at the same time is looked at anew, and seconds by which they get ahead before.
LOOKS = 3
_AHEAD = 0.5
# The kinds whose definition is written as a whole, over whatever is there.
_DEFINED = frozenset(("domain", "network", "nwfilter", "pool"))


def converge(
    connection: Connection,
    stack: Stack,
    earlier: Earlier,
    awaited: list[Awaited],
    parallel: int,
    stop: bool,
    planned: Callable[[Stack, Host], Plan],
) -> tuple[Plan, dict[Id, Result], Told]:
    """Make a plan true. Returns the plan with what still waits then, what became of each object, and what is known
    of the guests that were waited for. planned: makes and judges a plan anew, where somebody else was there first.
    """
    stale = _stale_leases(connection, earlier.plan, awaited)
    earlier, woken = _awake(connection, stack, earlier, parallel, planned)
    if any(result.error for result in woken.values()):
        return earlier.plan, woken, {}
    definitions = _definitions(earlier.host, earlier.plan)
    results = {**apply_plan(connection, earlier.plan, parallel, stop, definitions), **woken}
    for _look in range(LOOKS):
        failed = [key for key, result in results.items() if result.error]
        if not failed or not all(results[key].overtaken for key in failed):
            break
        time.sleep(_AHEAD)
        left = _settled(stack, {key for key, result in results.items() if result.done})
        try:
            host = read_host(connection, scope_of(stack))
            plan = planned(left, host)
        except Declined as error:
            results[failed[0]] = results[failed[0]]._replace(error=f"{results[failed[0]].error}; as it is now: {error}")
            break
        if all(_steps(plan, key) == _steps(earlier.plan, key) for key in failed if results[key].done is False):
            break  # Nothing is otherwise than before, so it was nobody else.
        again = apply_plan(connection, plan, parallel, stop, _definitions(host, plan))
        earlier = Earlier(_joined(earlier.plan, plan, results), host)
        results = {
            **{key: result._replace(error=None, overtaken=False) for key, result in results.items()},
            **_both(results, again),
        }
    after, results = _verified(connection, stack, earlier, results)
    if any(result.error for result in results.values()):
        return after, results, {}
    ready = until_ready(connection, awaited, stale)
    for name, sentence in ready.late.items():
        results[("domain", name)] = results.get(("domain", name), Result(False, (), None))._replace(error=sentence)
    return after, results, ready.told


def _definitions(host: Host, plan: Plan) -> Definitions:
    """The definitions of what a plan would define, as they were for it. A transient object's changes by itself."""
    found: dict[Id, str | None] = {}
    for item in plan.objects:
        there: Any = getattr(host, KIND[item.kind].plural, {}).get(item.name) if item.kind in _DEFINED else None
        renamed = any(step.verb == "rename" for step in item.steps)
        if item.kind in _DEFINED and not renamed and getattr(there, "persistent", True):
            found[item.id] = None if there is None else there.inactive
    return found


def _steps(plan: Plan, key: Id) -> Any:
    return next((item.steps for item in plan.objects if item.id == key), ())


def _joined(first: Plan, then: Plan, results: Mapping[Id, Result]) -> Plan:
    """Two plans that were carried out one after the other as one: with what was done by the first, and all of the other."""
    before = {item.id: item for item in first.objects if results[item.id].done}
    objects = [_one_after_other(before.pop(item.id, None), item) for item in then.objects]
    return Plan((*objects, *before.values()))


def _one_after_other(first: ObjectPlan | None, then: ObjectPlan) -> ObjectPlan:
    if first is None:
        return then
    kept = {change.path for change in then.changes}
    changes = tuple(change for change in first.changes if change.path not in kept) + then.changes
    return then._replace(changes=changes, steps=first.steps + then.steps)


def _both(first: Mapping[Id, Result], then: Mapping[Id, Result]) -> dict[Id, Result]:
    none = Result(False, (), None)
    return {
        key: result._replace(
            done=result.done or first.get(key, none).done, waiting=(*first.get(key, none).waiting, *result.waiting)
        )
        for key, result in then.items()
    }


def _awake(
    connection: Connection, stack: Stack, earlier: Earlier, parallel: int, planned: Callable[[Stack, Host], Plan]
) -> tuple[Earlier, dict[Id, Result]]:
    """Start the pools in which volumes are to be, and plan the rest anew by what turns out to be in them.

    Returns the plan that is left to carry out, with what was done as done, and what became of that.
    """
    first = to_wake(earlier.plan)
    definitions = _definitions(earlier.host, Plan(first))
    results = apply_plan(connection, Plan(first), parallel, True, definitions) if first else {}
    if not first or any(result.error for result in results.values()):
        # It fails again with all the rest, and is told there.
        return earlier, {}
    done = {item.id: item._replace(steps=()) for item in first}
    try:
        host = read_host(connection, scope_of(stack))
        plan = planned(stack, host)
    except Declined as error:
        told = {item.id: Result(False, (), None) for item in earlier.plan.objects} | results
        told[first[-1].id] = results[first[-1].id]._replace(
            error="after {} {} was started: {}".format(*first[-1].id, error)
        )
        return earlier, told
    return Earlier(Plan(tuple(done.get(item.id, item) for item in plan.objects)), host), results


def _stale_leases(connection: Connection, plan: Plan, awaited: list[Awaited]) -> frozenset[Lease]:
    """The leases that awaited guests have from before they are started now."""
    started = {item.name for item in plan.objects if any(step.verb in ("start", "reset") for step in item.steps)}
    macs = {mac for guest in awaited if guest.name in started for mac in guest.macs}
    return frozenset(lease for lease in read_leases(connection) if lease.mac in macs) if macs else frozenset()


def _verified(
    connection: Connection, stack: Stack, earlier: Earlier, results: Mapping[Id, Result]
) -> tuple[Plan, dict[Id, Result]]:
    """The plan with what still waits, and results in which that which did not stick is an error.

    The host is read and planned again: nothing of what was done may be left to do. Guests that had nothing to do are
    neither read nor planned again.
    """
    checked, plan = dict(results), earlier.plan
    if not plan.changed or any(result.error for result in results.values()):
        return plan, checked
    try:
        scope = scope_after(stack, plan)
        host = with_untouched(read_host(connection, scope), earlier.host, stack, scope)
        again = plan_stack(_settled(stack), host, earlier)
    except Declined as error:
        # The declaration was right before: what was made of it is not (a fetched image is larger than its size).
        done = next((key for key, result in checked.items() if result.done), plan.objects[0].id)
        checked[done] = checked.get(done, Result(False, (), None))._replace(error=f"after the changes: {error}")
        return plan, checked
    left = {item.id: item for item in again.objects}
    for item in plan.objects:
        rest = left.get(item.id)
        result = checked.get(item.id)
        if rest is None or result is None or not rest.changes or result.waiting:
            continue
        paths = ", ".join(change.path for change in rest.changes)
        checked[item.id] = result._replace(
            error="{} {}: was written, but libvirt does not have it as declared: {}".format(*item.id, paths)
        )
    merged = tuple(_with_pending(item, left.get(item.id), checked.get(item.id)) for item in plan.objects)
    return Plan(merged), checked


def _with_pending(item: ObjectPlan, after: ObjectPlan | None, result: Result | None) -> ObjectPlan:
    """The plan of an object with what is pending now: what could not be done at all, and what the hypervisor declined."""
    if after is None:
        return item
    if result is None or not result.waiting:
        return item._replace(pending=after.pending, undeclared=after.undeclared)
    declined = tuple(change._replace(effect="restart") for change in after.changes)
    return item._replace(
        changes=item.changes if result.done else (),
        pending=after.pending + declined,
        undeclared=after.undeclared,
    )


def _settled(stack: Stack, which: set[Id] | None = None) -> Stack:
    """The stack with acts as the states that they lead to, where they have been done. which: objects, all where it is None."""
    return {
        plural: [settle(item) if settle and (which is None or key(item) in which) else item for item in items or []]
        for plural, items in stack.items()
        for key, settle in [_SETTLE.get(plural, (None, None))]
    }


def _settled_domain(item: Any) -> Any:
    state = "running" if item["state"] in ("restarted", "reset") else item["state"]
    return dict(item, state=state, restart="never")


def _settled_snapshot(item: Any) -> Any:
    return dict(item, state="present", discard=None, power=None) if item["state"] == "reverted" else item


# By plural kind: the id of what is declared, and the same declaration without its acts.
_SETTLE: Mapping[str, tuple[Callable[[Any], Id], Callable[[Any], Any]]] = {
    "domains": (lambda item: ("domain", item["name"]), _settled_domain),
    "networks": (lambda item: ("network", item["name"]), lambda item: dict(item, restart="never")),
    "secrets": (lambda item: ("secret", secret_name(item)), lambda item: dict(item, set_value="if_needed")),
    "snapshots": (snapshot_id, _settled_snapshot),
    "volumes": (
        lambda item: volume_id(item["pool"], item["name"]),
        lambda item: dict(item, state="present") if item["state"] == "wiped" else item,
    ),
}
