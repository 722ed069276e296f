# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run tells: changed, each object, the diff and one sentence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from .plan.plan import LEFT, Change, Id, ObjectPlan, Plan, Result

# Kinds that are made once, and that no restart makes any different.
_MADE = frozenset(("volume", "snapshot"))


class Outcome(NamedTuple):
    """The result of a module. errors: what failed; empty when nothing did."""

    changed: bool
    objects: list[dict[str, Any]]
    diff: dict[str, str]
    msg: str
    errors: list[str]


# What is found out about a guest: its name in the result → lines of text.
Told = Mapping[str, Mapping[str, list[str]]]


def outcome_of(plan: Plan, results: Mapping[Id, Result], told: Told) -> Outcome:
    """Tell about a plan. results: what became of it; empty in check mode, where the plan itself is the answer.
    told: of each guest, what else is known: addresses, host_keys.
    """
    objects = [_object(item, results.get(item.id), told, bool(results)) for item in plan.objects]
    errors = [result.error for result in results.values() if result.error]
    changed = any(entry["changed"] for entry in objects)
    diff = {"before": _text(plan, 1), "after": _text(plan, 2)} if plan.changed else {"before": "", "after": ""}
    return Outcome(changed, objects, diff, _sentence(objects, errors), errors)


def _object(item: ObjectPlan, result: Any, told: Told, applied: bool) -> dict[str, Any]:
    changed = result.done if applied and result is not None else bool(item.changes)
    entry: dict[str, Any] = {
        "kind": item.kind,
        "name": item.name,
        "changed": changed,
        "state": item.state,
        "changes": [change._asdict() for change in item.changes],
        "pending": [change._asdict() for change in item.pending],
        # What a volume was made otherwise no restart makes true.
        "restart_required": (bool(item.pending) and item.kind not in _MADE) or bool(result and result.waiting),
        "undeclared": list(item.undeclared),
    }
    declined = (*(result.waiting if result is not None else ()), *item.facts.get("declined", ()))
    if declined:
        entry["declined"] = list(dict.fromkeys(declined))
    if item.kind == "network":
        entry["attached"] = list(item.facts.get("attached", ()))
    if item.kind == "domain":
        entry["uuid"] = item.facts.get("uuid")
        entry.update({"addresses": [], **told.get(item.name, {})})
    return entry


def _text(plan: Plan, side: int) -> str:
    """One side of the diff: the values of the changed fields, object by object, as YAML in the user's words."""
    lines: list[str] = []
    for item in plan.objects:
        for place, change in enumerate(item.changes):
            if place == 0:
                lines.append("{} {}:".format(*item.id))
            lines.extend(_line(change, side))
    return "\n".join(lines) + "\n" if lines else ""


def _line(change: Change, side: int) -> list[str]:
    value = change[side]
    if value is None:
        return []
    text = value if isinstance(value, str) and "\n" not in value else json.dumps(value, ensure_ascii=False)
    return ["  {}: {}".format(change.path or "definition", text)]


def _sentence(objects: list[dict[str, Any]], errors: list[str]) -> str:
    """One sentence for a person."""
    if errors:
        return errors[0] if len(errors) == 1 else f"{errors[0]} (and {len(errors) - 1} more)"
    parts: list[str] = []
    for kind, plural in (
        ("secret", "secrets"),
        ("nwfilter", "filters"),
        ("pool", "pools"),
        ("network", "networks"),
        ("volume", "volumes"),
        ("domain", "guests"),
        ("snapshot", "snapshots"),
    ):
        entries = [entry for entry in objects if entry["kind"] == kind]
        changed = [entry for entry in entries if entry["changed"]]
        if changed:
            parts.append(f"{len(changed)} of {len(entries)} {plural} changed")
    text = ", ".join(parts) or "nothing to change"
    waits = [_waits(entry) for entry in objects if entry["restart_required"]]
    waits += [_otherwise(entry) for entry in objects if entry["kind"] in _MADE and entry["pending"]]
    waits += [_left(entry) for entry in objects if any(change["path"] == LEFT for change in entry["changes"])]
    return "; ".join([text, *waits[:5]])


def _left(entry: dict[str, Any]) -> str:
    files = ", ".join(path for change in entry["changes"] if change["path"] == LEFT for path in change["after"])
    return f"guest {entry['name']} leaves behind what is not surely its own: {files}"


def _otherwise(entry: dict[str, Any]) -> str:
    paths = ", ".join(change["path"] for change in entry["pending"])
    return f"{entry['kind']} {entry['name']} was made otherwise and is left so: {paths}"


def _waits(entry: dict[str, Any]) -> str:
    paths = ", ".join(change["path"] for change in entry["pending"]) or "; ".join(entry.get("declined", []))
    guests = ", ".join(entry.get("attached", []))
    return "{} waits for a restart: {}".format(entry["name"], paths) + (f" (in use by {guests})" if guests else "")
