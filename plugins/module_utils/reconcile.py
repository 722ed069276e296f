# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read, plan, stop if this is a check, apply, verify: what every module that declares something does."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from .host.connection import Connection
from .host.read import read_host, read_leases
from .outcome import Outcome, outcome_of
from .plan.current import Host
from .plan.plan import AWAITED, Awaited, Plan
from .plan.problem import Problems
from .scope import scope_of
from .spec.kinds import KIND
from .unchanged import Memory

if TYPE_CHECKING:
    from .plan.stack import Stack


class Run(NamedTuple):
    """How a stack is to be carried out. memory: of plans of earlier runs, None where none is kept."""

    uri: str
    check: bool
    parallel: int
    on_error: str
    memory: Memory | None = None


def reconcile(stack: Stack, run: Run) -> Outcome:
    """Make a stack true on a host and tell what was done, or what would be done.

    Raises Declined when the declaration is wrong, HypervisorError or MissingLibrary when the host cannot be read.
    """
    connection = Connection(run.uri)
    try:
        host = read_host(connection, scope_of(stack))
        plan = _planned(connection, stack, host, run.memory)
        awaited = guests_awaited(stack, plan)
        if run.check:
            return outcome_of(plan, {}, {})
        if not any(item.steps for item in plan.objects) and not awaited:
            return outcome_of(plan, {}, _addresses(connection, plan))
        # Imported here: a run that changes nothing, which is most of them, is spared the source of all that acts.
        from .converge import converge  # noqa: PLC0415
        from .plan.stack import Earlier  # noqa: PLC0415

        after, results, told = converge(
            connection,
            stack,
            Earlier(plan, host),
            awaited,
            run.parallel,
            run.on_error == "stop",
            partial(_judged, connection),
        )
        if any(result.error for result in results.values()):
            # What failed is to be told, and it may be the daemon: nothing more is asked of it.
            return outcome_of(after, results, told)
        return outcome_of(after, results, dict(_addresses(connection, plan), **told))
    finally:
        connection.close()


def _planned(connection: Connection, stack: Stack, host: Host, memory: Memory | None) -> Plan:
    """The plan for a stack, judged by libvirt. Raises Declined."""
    known = memory.recall(stack, host) if memory else None
    if known is not None:
        return known
    plan = _judged(connection, stack, host)
    if memory:
        memory.keep(stack, host, plan)
    return plan


def _judged(connection: Connection, stack: Stack, host: Host) -> Plan:
    from .plan.stack import plan_stack  # noqa: PLC0415 - as below: most of the library, for a run that has not been before

    plan = plan_stack(stack, host)
    _judge(connection, plan, host)
    return plan


def _judge(connection: Connection, plan: Plan, host: Host) -> None:
    """Let libvirt judge every definition that would be written, and look for what the plan builds on. Raises Declined."""
    changing = [item for item in plan.objects if item.steps]
    if not changing:
        return
    from .host.judge import judged  # noqa: PLC0415 - as above: nothing to write, nobody to ask
    from .host.premises import missing  # noqa: PLC0415

    problems = Problems()
    there = {item.id: getattr(host, KIND[item.kind].plural, {}).get(item.name) for item in changing}
    before = {key: now.inactive if now else None for key, now in there.items()}
    defines = [(item, step.args["xml"]) for item in changing for step in item.steps if step.verb == "define"]
    asked = [(item.kind, xml, before[item.id]) for item, xml in defines]
    for (item, _xml), complaints in zip(defines, judged(asked) if asked else []):
        for text in complaints:
            problems.add("{} {}".format(*item.id), text)
    for where, text in missing(connection, plan, before):
        problems.add(where, text)
    problems.raise_any()


def guests_awaited(stack: Stack, plan: Plan) -> list[Awaited]:
    """The guests whose declaration asks to wait, and which will run."""
    plans = {item.name: item for item in plan.objects if item.kind == "domain"}
    found = []
    for item in stack.get("domains") or []:
        wish = item.get("wait_for") or {}
        # A guest that waits for its new name runs under the old one.
        guest = plans[item["name"]]
        what = frozenset(name for name in AWAITED if wish.get(name))
        if what and guest.state == "running" and "called" not in guest.facts:
            macs = tuple(guest.facts.get("macs", ()))
            found.append(Awaited(item["name"], macs, what, wish["timeout"], wish["ssh_port"]))
    return found


def _addresses(connection: Connection, plan: Plan) -> dict[str, dict[str, list[str]]]:
    """Addresses of the running guests of this plan by guest, as the networks' leases tell them."""
    running = [item for item in plan.objects if item.kind == "domain" and item.state == "running"]
    if not running:
        return {}
    leases = read_leases(connection)
    return {
        item.name: {"addresses": [lease.address for lease in leases if lease.mac in item.facts.get("macs", ())]}
        for item in running
    }
