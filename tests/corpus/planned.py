# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A foreign document declared on a host that is a value, and what the planner says to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ansible_collections.kvmfleet.libvirt.plugins.module_utils import tree
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.current import (
    Domain,
    Host,
    Network,
    Pool,
    Volume,
)
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.problem import Declined
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.stack import plan_stack
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.spec.kinds import KIND
from ansible_collections.kvmfleet.libvirt.tests.unit.support.declarations import stack_of

if TYPE_CHECKING:
    from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.plan import Plan

EMPTY = Host("qemu:///system", "corpus/host", {}, {}, {}, {}, False, "x86_64", "QEMU")


def host_with(kind: str, xml: str) -> Host:
    """A host on which there is this one object, not running. Its machine types are the newest ones of their kind."""
    root = tree.parse(xml)
    name = tree.get(root, "name") or ""
    if kind == "domain":
        machine, arch = tree.get(root, "os/type/@machine") or "", tree.get(root, "os/type/@arch") or ""
        family = machine.rpartition("-")[0]
        aliases = {(arch, alias): machine for alias in (family, ALIASES.get(family)) if alias}
        return EMPTY._replace(domains={name: Domain(name, xml, None, "stopped", False)}, machines=aliases)
    if kind == "network":
        return EMPTY._replace(networks={name: Network(name, xml, None, False)})
    if kind == "pool":
        return EMPTY._replace(pools={name: Pool(name, xml, None, False, {})})
    volume = Volume(name, "default", tree.get(root, "target/path") or "", 0)
    return EMPTY._replace(pools={"default": Pool("default", POOL, POOL, True, {name: volume})})


ALIASES = {"pc-i440fx": "pc", "pc-q35": "q35"}
POOL = "<pool type='dir'><name>default</name><target><path>/var/lib/libvirt/images</path></target></pool>"


def declaration(kind: str, name: str, **options: Any) -> dict[str, list[dict[str, Any]]]:
    """A stack of one object."""
    return stack_of({KIND[kind].plural: [{"name": name, **options}]})


def plan_of(kind: str, host: Host, name: str, **options: Any) -> Plan:
    """The plan for one object. Raises Declined."""
    return plan_stack(declaration(kind, name, **options), host)


def differences(kind: str, declared: str, current: str) -> list[str]:
    """What the planner would change of a document that libvirt made of a declaration, one line each."""
    name = tree.get(tree.parse(current), "name") or ""
    try:
        plan = plan_of(kind, host_with(kind, current), name, xml=declared)
    except Declined as error:
        return [f"declined: {problem}" for problem in error.problems]
    return [f"{change.path}: {change.before!r} -> {change.after!r}" for item in plan.objects for change in item.changes]
