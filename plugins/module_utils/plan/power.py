# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A guest's power: which calls bring it from its state to the declared one."""

from __future__ import annotations

from .current import Domain
from .plan import Change, Step
from .problem import Problems
from .site import Declared


def power_steps(
    declared: Declared, current: Domain | None, waiting: bool, problems: Problems
) -> tuple[tuple[Change, ...], tuple[Step, ...], bool]:
    """Changes of state, the steps for them, and whether the guest is started anew by them.

    waiting: whether something waits for a restart, which restart=if_needed allows.
    """
    name, state = declared["name"], declared["state"]
    now = current.state if current else "stopped"
    stop = Step("shutdown", {"timeout": declared["timeout"], "force": declared["force"]}, f"shut guest {name} down")
    resume = Step("resume", {}, f"resume guest {name}")
    # A crashed guest that was preserved holds its memory until it is destroyed.
    crashed = [Step("destroy", {}, f"clear away the crashed guest {name}")] if now == "crashed" else []
    off = now == "stopped" or bool(crashed)
    start = [*crashed, Step("start", {}, f"start guest {name}")]
    start_paused = [*crashed, Step("start", {"paused": True}, f"start guest {name}")]
    # A guest that does not run cannot hear that it shall shut down; one that may be switched off need not.
    wake = {
        "paused": [] if declared["force"] else [resume],
        "pmsuspended": [Step("wakeup", {}, f"wake guest {name}")],
    }.get(now, [])
    steps: list[Step] = []
    after: str | None = None
    restarted = False
    if state == "running" and now != "running":
        steps, after = (start if off else [resume] if now == "paused" else wake), "running"
        restarted = off
    elif state == "stopped" and now != "stopped":
        steps, after = crashed or [*wake, stop], "stopped"
    elif state == "paused" and now != "paused":
        steps = start_paused if off else [*wake, Step("suspend", {}, f"pause guest {name}")]
        after, restarted = "paused", off
    elif state == "restarted":
        steps, after, restarted = (start if off else [*wake, stop, *start]), "running", True
    elif state == "reset":
        if off:
            problems.add(f"domain {name}: state", "the guest is not running; it cannot be reset")
        steps, after = [Step("reset", {}, f"reset guest {name}"), *([resume] if now == "paused" else [])], "running"
    changes: tuple[Change, ...] = ()
    if after is not None and current is not None:
        before = now
        changes = (
            Change(
                "state",
                before,
                f"{after} anew" if before == after else after,
                "restart" if restarted and not off else "live",
            ),
        )
    if (
        waiting
        and not restarted
        and declared["restart"] == "if_needed"
        and now in ("running", "paused")
        and state not in ("stopped", "absent")
    ):
        after = now if state == "present" else "paused" if state == "paused" else "running"
        steps, restarted = [*wake, stop, *(start if after == "running" else start_paused)], True
        changes = (Change("state", now, f"{after} anew", "restart"),)
    return changes, tuple(steps), restarted
