# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects that are active or not and may start with the host: what pools and networks have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from .plan import Change, Step


class Activity(NamedTuple):
    """What is there now. persistent: whether it has a definition that outlives its stop."""

    exists: bool
    active: bool
    autostart: bool
    persistent: bool = True

    @property
    def word(self) -> str:
        """The state as a user would write it."""
        if not self.exists:
            return "absent"
        return "active" if self.active else "inactive"

    def after(self, declared: str) -> str:
        """The state once this declared one is carried out: "present" leaves an object active or inactive as it is."""
        return declared if declared != "present" else "active" if self.active else "inactive"

    def lacks_definition(self, declared: Mapping[str, Any]) -> bool:
        """Whether what is declared needs a definition that is not there: a new object, a transient one that is to stay."""
        return not self.exists or (
            not self.persistent and (bool(declared.get("autostart")) or declared["state"] == "inactive")
        )


def settle(
    kind: str,
    name: str,
    declared: Mapping[str, Any],
    now: Activity,
    xml: str | None,
    live: tuple[Step, ...] = (),
) -> tuple[tuple[Change, ...], tuple[Step, ...]]:
    """The changes of state and autostart, and all steps in order. xml: the definition to write, None when it fits.
    live: the steps that make a running object true.
    """
    state = declared["state"]
    changes: list[Change] = []
    steps: list[Step] = []
    if state == "absent":
        return _remove(kind, name, now)
    if xml is not None:
        steps.append(Step("define", {"xml": xml}, f"define {kind} {name}"))
    if not now.exists:
        changes.append(Change("state", "absent", now.after(state), "create"))
    elif xml is not None and not now.persistent:
        changes.append(Change("persistent", False, True, "live"))
    steps.extend(live)
    if state == "active" and not now.active:
        if now.exists:
            changes.append(Change("state", now.word, "active", "live"))
        steps.append(Step("start", {}, f"start {kind} {name}"))
    if state == "inactive" and now.active:
        changes.append(Change("state", "active", "inactive", "live"))
        steps.append(Step("stop", {}, f"stop {kind} {name}"))
    autostart = declared.get("autostart")
    if autostart is not None and autostart != now.autostart:
        changes.append(Change("autostart", now.autostart, autostart, "live"))
        steps.append(Step("autostart", {"on": autostart}, f"set autostart of {kind} {name}"))
    return tuple(changes), tuple(steps)


def _remove(kind: str, name: str, now: Activity) -> tuple[tuple[Change, ...], tuple[Step, ...]]:
    if not now.exists:
        return (), ()
    # A transient object is gone once it stops.
    steps = [Step("undefine", {}, f"undefine {kind} {name}")] if now.persistent else []
    if now.active:
        steps.insert(0, Step("stop", {}, f"stop {kind} {name}"))
    return (Change("state", now.word, "absent", "delete"),), tuple(steps)
