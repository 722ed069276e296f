# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read, plan, stop if this is a check, apply, verify: what every module that declares something does."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from .apply import Result, apply_plan
from .host.connection import Connection
from .host.judge import Parser, complaints
from .host.read import Scope, read_addresses, read_host
from .host.wait import Awaited, addresses_of, until_ready
from .outcome import Outcome, outcome_of
from .plan.current import Host
from .plan.export import export_host
from .plan.plan import Id, ObjectPlan, Plan
from .plan.problem import Problems
from .plan.stack import Stack, plan_stack
from .spec.kinds import KIND


class Run(NamedTuple):
    """How a stack is to be carried out."""

    uri: str
    check: bool
    parallel: int
    on_error: str


def reconcile(stack: Stack, run: Run) -> Outcome:
    """Make a stack true on a host and tell what was done, or what would be done.

    Raises Declined when the declaration is wrong, HypervisorError or MissingLibrary when the host cannot be read.
    """
    connection = Connection(run.uri)
    try:
        scope = scope_of(stack)
        host = read_host(connection, scope)
        plan = plan_stack(stack, host)
        _judge(plan, host, Parser(connection))
        if run.check:
            return outcome_of(plan, {}, {})
        results = apply_plan(connection, plan, run.parallel, run.on_error == "stop")
        after, results = _verified(connection, stack, scope, plan, results)
        if not any(result.error for result in results.values()):
            results = _awaited(connection, stack, plan, results)
        return outcome_of(after, results, _addresses(connection, stack, plan))
    finally:
        connection.close()


def gather(uri: str, patterns: Mapping[str, list[str] | None]) -> dict[str, list[dict[str, Any]]]:
    """What is on a host, as a stack. patterns: plural kind → names to tell about, as shell patterns; None for all.

    Raises HypervisorError or MissingLibrary.
    """
    connection = Connection(uri)
    try:
        host = read_host(connection, Scope(frozenset(), frozenset(), everything=True, machines=False))
    finally:
        connection.close()
    found = export_host(host)
    return {
        kind: [item for item in items if patterns.get(kind) is None or _matches(item["name"], patterns[kind] or [])]
        for kind, items in found.items()
    }


def _matches(name: str, patterns: list[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def scope_of(stack: Stack) -> Scope:
    """What has to be read in full to plan a stack."""
    domains = stack.get("domains") or []
    volumes = stack.get("volumes") or []
    going = any(item["state"] == "absent" for item in volumes) or any(
        item["state"] == "absent" and item.get("remove_storage") for item in domains
    )
    return Scope(
        domains=frozenset(item["name"] for item in domains),
        volumes=frozenset(_volume_names(domains, volumes)),
        everything=going,
        machines=any(item["state"] != "absent" for item in domains),
    )


def _volume_names(domains: list[dict[str, Any]], volumes: list[dict[str, Any]]) -> list[str]:
    names: list[str | None] = []
    for volume in volumes:
        names += [volume["name"], volume.get("backing"), volume.get("clone")]
    for domain in domains:
        names.append("{}-seed.iso".format(domain["name"]))
        for disk in domain.get("disks") or []:
            names += [disk.get("volume"), disk.get("image"), (disk.get("file") or "").rpartition("/")[2]]
            names.append("{}-{}.{}".format(domain["name"], disk["target"], disk.get("format") or "qcow2"))
    return [name for name in names if name]


def _judge(plan: Plan, host: Host, parser: Parser) -> None:
    """Let libvirt judge every definition that would be written. Raises Declined."""
    problems = Problems()
    for item in plan.objects:
        for step in item.steps:
            if step.verb == "define":
                xml = step.args["xml"]
                current = getattr(host, KIND[item.kind].plural).get(item.name)
                found = complaints(KIND[item.kind].schema, xml, current.inactive if current else None)
                if not found and item.kind == "domain":
                    found = [text for text in [parser.complaint(xml)] if text]
                for text in found:
                    problems.add("{} {}".format(*item.id), text)
    problems.raise_any()


def _verified(
    connection: Connection, stack: Stack, scope: Scope, plan: Plan, results: Mapping[Id, Result]
) -> tuple[Plan, dict[Id, Result]]:
    """The plan with what still waits, and results in which that which did not stick is an error.

    The host is read and planned again: nothing of what was done may be left to do.
    """
    checked = dict(results)
    if not plan.changed or any(result.error for result in results.values()):
        return plan, checked
    again = plan_stack(_settled(stack), read_host(connection, scope))
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
    merged = tuple(_with_pending(item, left.get(item.id)) for item in plan.objects)
    return Plan(merged), checked


def _with_pending(item: ObjectPlan, after: ObjectPlan | None) -> ObjectPlan:
    return item if after is None else item._replace(pending=after.pending, undeclared=after.undeclared)


def _settled(stack: Stack) -> Stack:
    """The stack with acts as the states that they lead to."""
    domains = [
        dict(item, state="running", restart="never")
        if item["state"] in ("restarted", "reset")
        else dict(item, restart="never")
        for item in stack.get("domains") or []
    ]
    return dict(stack, domains=domains)


def _waiting_for(stack: Stack, plan: Plan) -> list[Awaited]:
    """The guests whose declaration asks to wait, and which will run."""
    plans = {item.name: item for item in plan.objects if item.kind == "domain"}
    found = []
    for item in stack.get("domains") or []:
        wish = item.get("wait_for") or {}
        if (wish.get("address") or wish.get("agent")) and plans[item["name"]].state == "running":
            macs = tuple(plans[item["name"]].facts.get("macs", ()))
            found.append(Awaited(item["name"], macs, bool(wish["address"]), bool(wish["agent"]), wish["timeout"]))
    return found


def _awaited(connection: Connection, stack: Stack, plan: Plan, results: Mapping[Id, Result]) -> dict[Id, Result]:
    checked = dict(results)
    for name, sentence in until_ready(connection, _waiting_for(stack, plan)):
        before = checked.get(("domain", name), Result(False, (), None))
        checked[("domain", name)] = before._replace(error=sentence)
    return checked


def _addresses(connection: Connection, stack: Stack, plan: Plan) -> dict[str, list[str]]:
    """Addresses of the running guests of this plan by guest."""
    running = [item for item in plan.objects if item.kind == "domain" and item.state == "running"]
    if not running:
        return {}
    leases = read_addresses(connection)
    asked: frozenset[str] = frozenset(guest.name for guest in _waiting_for(stack, plan))
    found = {}
    for item in running:
        macs = tuple(item.facts.get("macs", ()))
        known = [address for mac in macs for address in leases.get(mac, [])]
        found[item.name] = known or (addresses_of(connection, item.name, macs, leases) if item.name in asked else [])
    return found
