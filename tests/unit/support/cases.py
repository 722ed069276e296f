# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Golden cases: what is declared and what is there, and the plan that follows, as files (README.md beside them)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.current import Host
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.plan import Change, ObjectPlan, Plan, Step
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.problem import Declined
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.stack import plan_stack
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.spec.kinds import KIND
from ansible_collections.kvmfleet.libvirt.tests.unit.support.declarations import Stack, stack_of, stack_of_one
from ansible_collections.kvmfleet.libvirt.tests.unit.support.hosts import STANDARD, host_of

FOLDER = Path(__file__).resolve().parents[1] / "cases"


class Case(NamedTuple):
    """One golden case. id: "kind/name"; kind "stack" declares a whole stack. written: what the user declares."""

    id: str
    folder: Path
    kind: str
    written: dict[str, Any]
    stack: Stack
    host: Host

    @property
    def object_name(self) -> str:
        """Name of the object that the case is about; empty for a stack."""
        name = str(self.written.get("name", ""))
        return "{}/{}".format(self.written.get("type", "none"), name) if self.kind == "secret" else name


def cases() -> list[Case]:
    """All golden cases."""
    return [load(file.parent) for file in sorted(FOLDER.glob("*/*/declared.yml"))]


def load(folder: Path) -> Case:
    """The case in this folder."""
    kind = folder.parent.name
    written = yaml.safe_load((folder / "declared.yml").read_text(encoding="utf-8"))
    described = _described(folder)
    whole = written if kind == "stack" else _joined(described.pop("declared", {}), KIND[kind].plural, written)
    if kind != "stack" and (folder / "current.xml").exists():
        item = described.pop("current", {})
        item["xml"] = (folder / "current.xml").read_text(encoding="utf-8")
        if (folder / "live.xml").exists():
            item["live"] = (folder / "live.xml").read_text(encoding="utf-8")
        described[KIND[kind].plural] = {**described.get(KIND[kind].plural, {}), written["name"]: item}
    host = host_of(described)
    if kind == "snapshot":
        # No list of a stack: what is done to a guest has a task of its own.
        return Case(f"{kind}/{folder.name}", folder, kind, written, stack_of_one(kind, written, {}), host)
    return Case(f"{kind}/{folder.name}", folder, kind, written, stack_of(whole), host)


def _described(folder: Path) -> dict[str, Any]:
    """What host.yml says; pools and networks it does not mention are those of the usual host."""
    file = folder / "host.yml"
    said = yaml.safe_load(file.read_text(encoding="utf-8")) if file.exists() else {}
    return {**STANDARD, **said}


def _joined(beside: Mapping[str, Any], plural: str, written: Mapping[str, Any]) -> dict[str, Any]:
    return {**beside, plural: [*beside.get(plural, []), written]}


def outcome(case: Case) -> tuple[dict[str, Any], str | None]:
    """What the planner makes of a case: the content of plan.yml, and that of desired.xml or None."""
    try:
        plan = plan_stack(case.stack, case.host)
    except Declined as error:
        return {"problems": [str(problem) for problem in error.problems]}, None
    return plan_as_data(plan, case)


def plan_as_data(plan: Plan, case: Case) -> tuple[dict[str, Any], str | None]:
    """A plan as plain data; the definition of the case's own object apart."""
    desired = next(
        (
            step.args["xml"]
            for item in plan.objects
            if item.id == (case.kind, case.object_name)
            for step in item.steps
            if step.verb == "define"
        ),
        None,
    )
    return {"changed": plan.changed, "objects": [_object(item, desired) for item in plan.objects]}, desired


def _object(item: ObjectPlan, desired: str | None) -> dict[str, Any]:
    found: dict[str, Any] = {"object": " ".join(item.id), "state": item.state}
    if item.needs:
        found["needs"] = sorted(" ".join(need) for need in item.needs)
    if item.changes:
        found["changes"] = [_change(change) for change in item.changes]
    if item.pending:
        found["pending"] = [_change(change) for change in item.pending]
    if item.steps:
        found["steps"] = [_step(step, desired) for step in item.steps]
    if item.undeclared:
        found["undeclared"] = list(item.undeclared)
    return found


def _change(change: Change) -> dict[str, Any]:
    return dict(change._asdict())


def _step(step: Step, desired: str | None) -> dict[str, Any]:
    args = {name: _plain(value) for name, value in step.args.items() if value is not None}
    if desired is not None and args.get("xml") == desired:
        args["xml"] = "desired.xml"
    found: dict[str, Any] = {"do": step.words, "verb": step.verb, **({"args": args} if args else {})}
    if step.may_wait:
        found["may_wait"] = True
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items() if part is not None}
    return list(value) if isinstance(value, tuple) else value


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, and no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def as_yaml(data: Any) -> str:
    """Data as the text of an expected file."""
    return "---\n" + yaml.dump(data, Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True)


def settled(stack: Stack) -> Stack:
    """The stack with acts as the states that they lead to."""
    domains = [
        dict(item, state="running") if item["state"] in ("restarted", "reset") else item for item in stack["domains"]
    ]
    secrets = [dict(item, set_value="if_needed") for item in stack["secrets"]]
    snapshots = [
        dict(item, state="present", discard=None, power=None) if item["state"] == "reverted" else item
        for item in stack.get("snapshots", [])
    ]
    volumes = [dict(item, state="present") if item["state"] == "wiped" else item for item in stack["volumes"]]
    return dict(stack, domains=domains, secrets=secrets, snapshots=snapshots, volumes=volumes)


def guests_of(many: int, *, there: bool) -> tuple[Any, Any]:
    """A stack of so many guests, and the host: it has them all as declared, or none."""
    xml = (FOLDER / "domain" / "adopt_libvirt_9" / "current.xml").read_text(encoding="utf-8")
    names = [f"guest{number}" for number in range(many)]
    present = {
        name: {"xml": xml.replace("web1", name).replace("c5:1e:02", f"c5:{number // 256:02x}:{number % 256:02x}")}
        for number, name in enumerate(names)
    }
    host = host_of({"pools": {"default": {}}, "networks": {"default": {}}, "domains": present if there else {}})
    guest = {"memory": "2 GiB", "interfaces": [{"network": "default"}]}
    disks: dict[str, Any] = {} if there else {"disks": [{"target": "vda", "size": "1 GiB"}]}
    return stack_of({"domains": json.loads(json.dumps([{"name": name, **guest, **disks} for name in names]))}), host
