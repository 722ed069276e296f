# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A guest's power: which calls bring it from its state to the declared one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Callable, NamedTuple

from .current import Domain
from .plan import Change, Step
from .problem import Problems
from .site import Declared

OFF = frozenset(("stopped", "saved", "crashed"))
# A guest that crashed and is preserved does nothing any more and is there all the same.
GONE = OFF - {"crashed"}
# A guest that does not hear what it is asked.
STILL = frozenset(("paused", "pmsuspended"))
# The verbs after which a guest does not run any more.
ENDS = frozenset(("shutdown", "destroy", "save"))


class Power(NamedTuple):
    """What brings a guest to a state: the calls, the state, and whether it starts with its present definition by them."""

    steps: tuple[Step, ...]
    after: str
    restarted: bool = False


class Calls(NamedTuple):
    """The calls on one guest, from the state that it is in.

    wake: makes one that sleeps hear what it is asked next. start, start_paused: from being off. clear: takes the remains
    of a crash away.
    """

    name: str
    wake: tuple[Step, ...]
    stop: Step
    start: tuple[Step, ...]
    start_paused: tuple[Step, ...]
    clear: tuple[Step, ...]

    def one(self, verb: str, words: str) -> Step:
        """A call without arguments."""
        return Step(verb, {}, f"{words} guest {self.name}")


def _calls(declared: Declared, now: str) -> Calls:
    name = declared["name"]
    stop = Step("shutdown", {"timeout": declared["timeout"], "force": declared["force"]}, f"shut guest {name} down")
    # A guest that crashed and is preserved holds its memory until it is destroyed.
    clear = (Step("destroy", {}, f"clear away the crashed guest {name}"),) if now == "crashed" else ()
    wake: tuple[Step, ...] = ()
    if now == "paused" and not declared["force"]:
        # A guest that does not run cannot hear that it shall shut down; one that may be switched off need not.
        wake = (Step("resume", {}, f"resume guest {name}"),)
    elif now == "pmsuspended":
        wake = (Step("wakeup", {}, f"wake guest {name}"),)
    words = f"restore guest {name}" if now == "saved" else f"start guest {name}"
    start, paused = Step("start", {}, words), Step("start", {"paused": True}, words)
    return Calls(name, wake, stop, (*clear, start), (*clear, paused), clear)


def stop_steps(declared: Declared, now: str) -> tuple[Step, ...]:
    """The calls that stop a guest which is in this state and on."""
    calls = _calls(declared, now)
    return calls.clear or (*calls.wake, calls.stop)


def _running(now: str, calls: Calls) -> Power | None:
    if now == "running":
        return None
    if now in OFF:
        return Power(calls.start, "running", now != "saved")
    return Power((calls.one("resume", "resume"),) if now == "paused" else calls.wake, "running")


def _stopped(now: str, calls: Calls) -> Power | None:
    if now in ("stopped", "saved"):
        return None
    return Power(calls.clear or (*calls.wake, calls.stop), "stopped")


def _paused(now: str, calls: Calls) -> Power | None:
    if now == "paused":
        return None
    if now in OFF:
        return Power(calls.start_paused, "paused", now != "saved")
    return Power((*calls.wake, calls.one("suspend", "pause")), "paused")


def _saved(now: str, calls: Calls) -> Power | None:
    if now == "saved":
        return None
    return Power((*(() if now == "paused" else calls.wake), calls.one("save", "save")), "saved")


def _restarted(now: str, calls: Calls) -> Power | None:
    if now in OFF:
        return Power(calls.start, "running", now != "saved")
    return Power((*calls.wake, calls.stop, *calls.start), "running", True)


def _reset(now: str, calls: Calls) -> Power | None:
    # QEMU does not run on by itself after the reset of a guest that stands still, and one that sleeps has to be woken before.
    wake = calls.wake if now == "pmsuspended" else ()
    resume = (calls.one("resume", "resume"),) if now in ("paused", "crashed") else ()
    return Power((*wake, calls.one("reset", "reset"), *resume), "running")


TOWARDS: Mapping[str, Callable[[str, Calls], Power | None]] = {
    "running": _running,
    "stopped": _stopped,
    "paused": _paused,
    "saved": _saved,
    "restarted": _restarted,
    "reset": _reset,
}
# What only a guest that is there can do: the state → the states in which it is not.
IMPOSSIBLE = {"saved": OFF - {"saved"}, "reset": OFF - {"crashed"}}


def power_steps(
    declared: Declared, current: Domain | None, waiting: bool, problems: Problems
) -> tuple[tuple[Change, ...], tuple[Step, ...], bool]:
    """Changes of state, the steps for them, and whether the guest is started anew by them.

    waiting: whether something waits for a restart, which restart=if_needed allows.
    """
    state, now = declared["state"], current.state if current else "stopped"
    calls = _calls(declared, now)
    if now in IMPOSSIBLE.get(state, ()):
        problems.add(f"domain {declared['name']}: state", f"the guest is not running; it cannot be {state}")
    power = TOWARDS[state](now, calls) if state in TOWARDS else None
    if waiting and not (power and power.restarted) and _may_restart(declared, now):
        after = now if state == "present" else "paused" if state == "paused" else "running"
        again = calls.start if after == "running" else calls.start_paused
        power = Power((*calls.wake, calls.stop, *again), after, True)
    if power is None:
        return (), (), False
    changes: tuple[Change, ...] = ()
    if current is not None:
        anew = now == power.after or (power.restarted and now not in OFF and state in ("present", "running", "paused"))
        effect = "restart" if power.restarted and now not in OFF else "live"
        changes = (Change("state", now, f"{power.after} anew" if anew else power.after, effect),)
    return changes, power.steps, power.restarted


def _may_restart(declared: Declared, now: str) -> bool:
    allowed = declared["restart"] == "if_needed" and declared["state"] not in ("stopped", "saved", "absent")
    # A guest is not put to sleep again, so one that may go on sleeping is left alone.
    return allowed and (now in ("running", "paused") or (now == "pmsuspended" and declared["state"] != "present"))
