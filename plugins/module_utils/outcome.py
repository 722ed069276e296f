# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run tells: changed, each object, the diff and one sentence."""

from __future__ import annotations

import json
from typing import Any, Dict, List, Mapping, NamedTuple

from .apply import Result
from .plan.plan import Change, Id, ObjectPlan, Plan


class Outcome(NamedTuple):
    """The result of a module. errors: what failed; empty when nothing did."""

    changed: bool
    objects: List[Dict[str, Any]]
    diff: Dict[str, str]
    msg: str
    errors: List[str]


def outcome_of(plan: Plan, results: Mapping[Id, Result], addresses: Mapping[str, List[str]]) -> Outcome:
    """Tell about a plan. results: what became of it; empty in check mode, where the plan itself is the answer."""
    objects = [_object(item, results.get(item.id), addresses, bool(results)) for item in plan.objects]
    errors = [result.error for result in results.values() if result.error]
    changed = any(entry["changed"] for entry in objects)
    diff = {"before": _text(plan, 1), "after": _text(plan, 2)} if plan.changed else {"before": "", "after": ""}
    return Outcome(changed, objects, diff, _sentence(objects, errors), errors)


def _object(item: ObjectPlan, result: Any, addresses: Mapping[str, List[str]], applied: bool) -> Dict[str, Any]:
    changed = result.done if applied and result is not None else bool(item.changes)
    entry: Dict[str, Any] = {
        "kind": item.kind,
        "name": item.name,
        "changed": changed,
        "state": item.state,
        "changes": [change._asdict() for change in item.changes],
        "pending": [change._asdict() for change in item.pending],
        "restart_required": bool(item.pending) or bool(result and result.waiting),
        "undeclared": list(item.undeclared),
    }
    if result is not None and result.waiting:
        entry["declined"] = list(result.waiting)
    if item.kind == "domain":
        entry["uuid"] = item.facts.get("uuid")
        entry["addresses"] = list(addresses.get(item.name, []))
    return entry


def _text(plan: Plan, side: int) -> str:
    """One side of the diff: the values of the changed fields, object by object, as YAML in the user's words."""
    lines: List[str] = []
    for item in plan.objects:
        for place, change in enumerate(item.changes):
            if place == 0:
                lines.append("%s %s:" % item.id)
            lines.extend(_line(change, side))
    return "\n".join(lines) + "\n" if lines else ""


def _line(change: Change, side: int) -> List[str]:
    value = change[side]
    if value is None:
        return []
    text = value if isinstance(value, str) and "\n" not in value else json.dumps(value, ensure_ascii=False)
    return ["  %s: %s" % (change.path or "definition", text)]


def _sentence(objects: List[Dict[str, Any]], errors: List[str]) -> str:
    """One sentence for a person."""
    if errors:
        return errors[0] if len(errors) == 1 else "%s (and %d more)" % (errors[0], len(errors) - 1)
    parts: List[str] = []
    for kind, plural in (("pool", "pools"), ("network", "networks"), ("volume", "volumes"), ("domain", "guests")):
        entries = [entry for entry in objects if entry["kind"] == kind]
        changed = [entry for entry in entries if entry["changed"]]
        if changed:
            parts.append("%d of %d %s changed" % (len(changed), len(entries), plural))
    text = ", ".join(parts) or "nothing to change"
    waits = [_waits(entry) for entry in objects if entry["restart_required"]]
    return "; ".join([text] + waits[:5])


def _waits(entry: Dict[str, Any]) -> str:
    paths = ", ".join(change["path"] for change in entry["pending"]) or "; ".join(entry.get("declined", []))
    return "%s waits for a restart: %s" % (entry["name"], paths)


