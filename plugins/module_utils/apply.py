# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carry out a plan: objects in parallel as far as they do not need each other, each object's steps in order."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing

from . import progress
from .host.act import check_unchanged, is_overtaken, perform
from .host.connection import OVERTAKEN_HINT, Connection, HypervisorError, MissingLibrary, Overtaken
from .host.fetch import BadContent
from .host.lines import Lines
from .host.wait import TimedOut
from .plan.plan import Id, ObjectPlan, Plan, Result, Step, digest

# What a running guest, or QEMU, cannot take at the moment although the definition is right.
_DECLINED = frozenset(
    (
        "VIR_ERR_OPERATION_UNSUPPORTED",
        "VIR_ERR_CONFIG_UNSUPPORTED",
        "VIR_ERR_ARGUMENT_UNSUPPORTED",
        "VIR_ERR_NO_SUPPORT",
        "VIR_ERR_OPERATION_FAILED",
        "VIR_ERR_INTERNAL_ERROR",
        "VIR_ERR_OPERATION_INVALID",
        "VIR_ERR_OPERATION_TIMEOUT",
    )
)

# Steps that only note something for the next run.
_NOTES = frozenset(("metadata", "fingerprint"))
# Steps of power: when one of them fails, what was defined is right all the same.
_POWER = frozenset(
    ("start", "stop", "shutdown", "destroy", "resume", "suspend", "save", "wakeup", "reset", "autostart")
)


Definitions = Mapping[Id, "str | None"]
"""Definitions as they were when a plan was made, None of what was not there."""


def apply_plan(
    connection: Connection, plan: Plan, parallel: int, stop: bool, before: Definitions | None = None
) -> dict[Id, Result]:
    """Carry out a plan. stop: begin no further object after one failed. An object whose needs failed is left out. before: of
    objects that are not defined anew where they are another one by now.
    """
    # libvirt hangs up on a client that does not answer for half a minute, as this one would not while it fetches something.
    connection.listen()
    results: dict[Id, Result] = {item.id: Result(False, (), None) for item in plan.objects if not item.steps}
    waiting: list[ObjectPlan] = [item for item in plan.objects if item.steps]
    running: dict[Future[Result], Id] = {}
    most = max(1, parallel)
    with closing(Lines(connection)) as lines, ThreadPoolExecutor(max_workers=most) as pool:
        while waiting or running:
            waiting = _leave_out(waiting, results, stop)
            ready = [item for item in waiting if item.needs <= set(results)]
            # Not more than are worked on at once: what is only queued could not be stopped any more.
            for item in ready[: most - len(running)]:
                waiting.remove(item)
                running[pool.submit(_carry_out, lines, item, before or {})] = item.id
            progress.tell(_words(plan, results, list(running.values())))
            if not running:
                results.update(_in_circles(waiting))
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                results[running.pop(future)] = future.result()
    return results


def _words(plan: Plan, results: dict[Id, Result], running: list[Id]) -> str:
    """What has been done of a plan, and what is at work: "12 of 40 done; at work on domain web13, domain web14"."""
    todo = [item.id for item in plan.objects if item.steps]
    at_work = ", ".join("{} {}".format(*key) for key in running[:3]) + (", ..." if len(running) > 3 else "")
    done = sum(key in results for key in todo)
    return f"{done} of {len(todo)} done" + (f"; at work on {at_work}" if at_work else "")


def _leave_out(waiting: list[ObjectPlan], results: dict[Id, Result], stop: bool) -> list[ObjectPlan]:
    """Objects that can still be begun; the others get a result that says why not."""
    kept = []
    failed = {key for key, result in results.items() if result.error}
    # What somebody else does at the same time says nothing of what is left.
    broken = any(result.error and not result.overtaken for result in results.values())
    for item in waiting:
        blocked = sorted(item.needs & failed)
        if blocked:
            told = "%s %s: not begun, as %s %s failed" % (item.id + blocked[0])
            results[item.id] = Result(False, (), told, all(results[key].overtaken for key in blocked))
        elif stop and broken:
            results[item.id] = Result(
                False, (), "{} {}: not begun after the failure of another object".format(*item.id)
            )
        else:
            kept.append(item)
    # What needs an object that was left out just now is left out as well.
    return kept if len(kept) == len(waiting) else _leave_out(kept, results, stop)


def _in_circles(waiting: list[ObjectPlan]) -> dict[Id, Result]:
    """Errors for objects that cannot be begun because each needs another one of them."""
    ids = {item.id for item in waiting}
    found = {}
    for item in waiting:
        others = ", ".join("{} {}".format(*need) for need in sorted(item.needs & ids))
        found[item.id] = Result(False, (), "{} {}: not begun, as it and {} need each other".format(*item.id, others))
    return found


def _carry_out(lines: Lines, item: ObjectPlan, before: Definitions) -> Result:
    with lines.taken() as connection:
        return _done(connection, item, before)


def _done(connection: Connection, item: ObjectPlan, before: Definitions) -> Result:
    done = False
    waiting: list[str] = []
    declined: dict[str, str] = {}
    for place, step in enumerate(item.steps):
        try:
            if step.verb == "define" and item.id in before:
                check_unchanged(connection, item, before[item.id])
            reason = perform(connection, item, step)
        except Overtaken as error:
            return Result(done, tuple(waiting), f"{item.kind} {item.name}: {error}", True)
        except HypervisorError as error:
            if is_overtaken(item.kind, error) and not step.may_wait:
                # Nothing is put back: it would be put over what somebody else has made.
                return Result(done, tuple(waiting), f"{error}; {OVERTAKEN_HINT}", True)
            if not step.may_wait or error.is_passing or error.code not in _DECLINED:
                return Result(done, tuple(waiting), f"{error}{_put_back(connection, item, place)}")
            reason = str(error)
        except (BadContent, TimedOut, MissingLibrary) as error:
            text = f"{item.kind} {item.name}: {error}{_put_back(connection, item, place)}"
            return Result(done, tuple(waiting), text)
        if reason:
            waiting.append(reason)
            declined[digest(step)] = reason
        else:
            done = done or step.verb not in _NOTES
    if declined and item.kind == "domain":
        waiting += _noted(connection, item, declined)
    return Result(done, tuple(waiting), None)


def _noted(connection: Connection, item: ObjectPlan, declined: Mapping[str, str]) -> list[str]:
    """Note in the running guest what it declined, so that the next run does not ask again; why that could not be done."""
    try:
        perform(connection, item, Step("decline", {"reasons": declined}, "note what it declined"))
    except HypervisorError as error:
        return [str(error)]
    return []


def _put_back(connection: Connection, item: ObjectPlan, failed: int) -> str:
    """After a step failed: put the previous definition back, and start with it what was stopped for the new one.

    Returns what a user is to be told of that; nothing when nothing was put back.
    """
    verbs = [step.verb for step in item.steps[:failed]]
    step = item.steps[failed]
    defined = item.previous is not None and "define" in verbs
    start = next((later for later in item.steps[failed:] if later.verb in ("start", "restart")), None)
    was_stopped = defined if step.verb == "restart" else "shutdown" in verbs and start is not None
    if not was_stopped and (not defined or step.verb in _POWER):
        return ""
    told = ""
    try:
        if defined:
            perform(connection, item, Step("define", {"xml": item.previous}, "put the previous definition back"))
            told = "; the previous definition was put back"
        if was_stopped and start is not None:
            # Until it is renamed, it has its former name.
            args = {**start.args, "called": step.args.get("called", item.name)}
            perform(connection, item, Step(start.verb, args, "start it again as it was"))
            told += f", and the {item.kind} started with it" if defined else f"; the {item.kind} was started again"
    except HypervisorError as error:
        return f"{told}; then failed as well: {error}"
    return told
