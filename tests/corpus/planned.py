# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A foreign document declared on a host that is a value, and what the planner says to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ansible_collections.kvmfleet.libvirt.plugins.module_utils import tree
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.current import (
    Domain,
    Filter,
    Host,
    Network,
    Pool,
    Secret,
    Volume,
)
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.problem import Declined
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.stack import plan_stack
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.values import size_at
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.spec.kinds import KIND, KINDS
from ansible_collections.kvmfleet.libvirt.tests.unit.support.declarations import Refused, stack_of

if TYPE_CHECKING:
    from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.plan import Plan

EMPTY = Host("qemu:///system", "corpus/host", {}, {}, {}, {}, False, "x86_64", "QEMU")


NAME_AT = {kind.name: next(field.path for field in kind.fields if field.name == "name") for kind in KINDS}
"""Where the document of a kind has its name; None where its use is its name."""


def name_of(kind: str, xml: str) -> str:
    """The name that a document has, empty when it has none."""
    root, path = tree.parse(xml), NAME_AT[kind]
    return (tree.get(root, path) or "") if path else next((part.text or "" for part in root.iterfind("usage/*")), "")


def host_with(kind: str, xml: str) -> Host:
    """A host on which there is this one object, not running. Its machine types are the newest ones of their kind."""
    root = tree.parse(xml)
    name = name_of(kind, xml)
    if kind == "domain":
        machine, arch = tree.get(root, "os/type/@machine") or "", tree.get(root, "os/type/@arch") or ""
        family = machine.rpartition("-")[0]
        aliases = {(arch, alias): machine for alias in (family, ALIASES.get(family)) if alias}
        return EMPTY._replace(domains={name: Domain(name, xml, None, "stopped", False)}, machines=aliases)
    if kind == "network":
        return EMPTY._replace(networks={name: Network(name, xml, None, False)})
    if kind == "pool":
        return EMPTY._replace(pools={name: Pool(name, xml, None, False, {})})
    if kind == "nwfilter":
        return EMPTY._replace(nwfilters={name: Filter(name, xml)})
    if kind == "secret":
        use = f"{tree.get(root, 'usage/@type') or 'none'}/{name}"
        return EMPTY._replace(secrets={use: Secret(use, tree.get(root, "uuid") or "", xml)})
    return EMPTY._replace(
        pools={POOL: Pool(POOL, DIRECTORY, DIRECTORY, True, {name: _volume(name, root)})}, secrets=KEYS
    )


def _volume(name: str, root: tree.Element) -> Volume:
    return Volume(
        name,
        POOL,
        tree.get(root, "target/path") or "",
        size_at(root.find("capacity"), "bytes") or 0 if root.find("capacity") is not None else 0,
        tree.get(root, "target/format/@type"),
        tree.get(root, "backingStore/path"),
        xml=tree.text_of(root),
    )


ALIASES = {"pc-i440fx": "pc", "pc-q35": "q35"}
POOL = "default"
DIRECTORY = f"<pool type='dir'><name>{POOL}</name><target><path>/var/lib/libvirt/images</path></target></pool>"

KEYS = {
    f"volume//{number}": Secret(f"volume//{number}", uuid, "<secret/>")
    for number, uuid in enumerate(("e78d4b51-a2af-485f-b0f5-afca709a80f4", "f52a81b2-424e-490c-823d-6bd4235bc572"))
}
"""The secrets that volumes of the corpus are encrypted with."""


def named(kind: str, xml: str) -> dict[str, Any]:
    """The declaration that says which object a document is of, and no more."""
    use = {"type": tree.get(tree.parse(xml), "usage/@type") or "none"} if kind == "secret" else {}
    return {"name": name_of(kind, xml), **use}


def declared(kind: str, xml: str) -> dict[str, Any]:
    """The declaration of a document: itself as raw XML, or in the options of a kind that takes none."""
    if kind != "secret":
        return {**named(kind, xml), "xml": xml}
    root = tree.parse(xml)
    said = {name: tree.get(root, path) for name, path in OPTIONS.items()}
    return {**named(kind, xml), **{name: text for name, text in said.items() if text is not None}}


OPTIONS = {"uuid": "uuid", "description": "description", "ephemeral": "@ephemeral", "private": "@private"}
"""A secret's options, by the words of https://libvirt.org/formatsecret.html."""


def plan_of(kind: str, host: Host, options: dict[str, Any]) -> Plan:
    """The plan for one object. Raises Declined, or Refused by the argument spec."""
    return plan_stack(stack_of({KIND[kind].plural: [options]}), host)


def differences(kind: str, before: str, after: str) -> list[str]:
    """What the planner would change of a document that libvirt made of a declaration, one line each."""
    try:
        plan = plan_of(kind, host_with(kind, after), {**declared(kind, before), "name": name_of(kind, after)})
    except Refused as error:
        return [f"refused: {error}"]
    except Declined as error:
        return [f"declined: {problem}" for problem in error.problems]
    changes = [change for item in plan.objects for change in (*item.changes, *item.pending)]
    return [f"{change.path}: {change.before!r} -> {change.after!r}" for change in changes]
