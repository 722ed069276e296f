# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carry a plan out, verify that it stuck, and wait for the guests that somebody waits for."""

from __future__ import annotations

from collections.abc import Mapping

from .apply import apply_plan
from .host.connection import Connection
from .host.read import Lease, read_host, read_leases
from .host.ready import until_ready
from .outcome import Told
from .plan.plan import Awaited, Id, ObjectPlan, Plan, Result
from .plan.problem import Declined
from .plan.stack import Earlier, Stack, plan_stack
from .scope import scope_after, with_untouched


def converge(
    connection: Connection,
    stack: Stack,
    earlier: Earlier,
    awaited: list[Awaited],
    parallel: int,
    stop: bool,
) -> tuple[Plan, dict[Id, Result], Told]:
    """Make a plan true. Returns the plan with what still waits then, what became of each object, and what is known
    of the guests that were waited for.
    """
    stale = _stale_leases(connection, earlier.plan, awaited)
    results = apply_plan(connection, earlier.plan, parallel, stop)
    after, results = _verified(connection, stack, earlier, results)
    if any(result.error for result in results.values()):
        return after, results, {}
    ready = until_ready(connection, awaited, stale)
    for name, sentence in ready.late.items():
        results[("domain", name)] = results.get(("domain", name), Result(False, (), None))._replace(error=sentence)
    return after, results, ready.told


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


def _settled(stack: Stack) -> Stack:
    """The stack with acts as the states that they lead to."""
    domains = [
        dict(item, state="running", restart="never")
        if item["state"] in ("restarted", "reset")
        else dict(item, restart="never")
        for item in stack.get("domains") or []
    ]
    networks = [dict(item, restart="never") for item in stack.get("networks") or []]
    secrets = [dict(item, set_value="if_needed") for item in stack.get("secrets") or []]
    snapshots = [
        dict(item, state="present", discard=None, power=None) if item["state"] == "reverted" else item
        for item in stack.get("snapshots") or []
    ]
    volumes = [dict(item, state="present") if item["state"] == "wiped" else item for item in stack.get("volumes") or []]
    return dict(stack, snapshots=snapshots, domains=domains, networks=networks, secrets=secrets, volumes=volumes)
