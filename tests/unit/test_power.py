# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each declared state from each state that a guest can be in: which calls, and what is said of them."""

from __future__ import annotations

import pytest

from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.problem import Declined
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.stack import plan_stack
from ansible_collections.kvmfleet.libvirt.tests.unit.support.cases import FOLDER
from ansible_collections.kvmfleet.libvirt.tests.unit.support.declarations import stack_of
from ansible_collections.kvmfleet.libvirt.tests.unit.support.hosts import host_of

GUEST = (FOLDER / "domain" / "adopt_libvirt_9" / "current.xml").read_text(encoding="utf-8")
NOW = ("stopped", "running", "paused", "pmsuspended", "saved", "crashed")

# One row for each declared state; a column for each state that the guest is in now. "!" is a problem.
TABLE: dict[str, tuple[str, ...]] = {
    "present": ("", "", "", "", "", ""),
    "running": ("start", "", "resume", "wakeup", "start", "destroy start"),
    "stopped": ("", "shutdown", "resume shutdown", "wakeup shutdown", "", "destroy"),
    "paused": ("start-paused", "suspend", "", "wakeup suspend", "start-paused", "destroy start-paused"),
    "saved": ("!", "save", "save", "wakeup save", "", "!"),
    "absent": (
        "undefine",
        "shutdown undefine",
        "resume shutdown undefine",
        "wakeup shutdown undefine",
        "undefine",
        "destroy undefine",
    ),
    "restarted": (
        "start",
        "shutdown start",
        "resume shutdown start",
        "wakeup shutdown start",
        "start",
        "destroy start",
    ),
    "reset": ("!", "reset", "reset resume", "wakeup reset", "!", "reset resume"),
}
# The same with a change that waits for a restart, and the consent to one.
NEEDED: dict[str, tuple[str, ...]] = {
    "present": ("define", "define shutdown start", "define resume shutdown start-paused", "define"),
    "running": (
        "define start",
        "define shutdown start",
        "define resume shutdown start",
        "define wakeup shutdown start",
    ),
    "stopped": ("define", "define shutdown", "define resume shutdown", "define wakeup shutdown"),
    "paused": ("define start-paused", "define shutdown start-paused", "define resume shutdown start-paused"),
    "restarted": ("define start", "define shutdown start", "define resume shutdown start"),
}


def _cells(table: dict[str, tuple[str, ...]]) -> list[tuple[str, str, str]]:
    return [(now, state, verbs) for state, row in table.items() for now, verbs in zip(NOW, row)]


def _verbs(now: str, persistent: bool = True, **declared: object) -> tuple[str, list[str]]:
    guest = {"xml": GUEST, "state": now, "persistent": persistent}
    host = host_of({"pools": {}, "networks": {"default": {}}, "domains": {"web1": guest}})
    try:
        plan = plan_stack(stack_of({"domains": [{"name": "web1", **declared}]}), host)
    except Declined:
        return "!", []
    (item,) = plan.objects
    verbs = [step.verb + ("-paused" if step.args.get("paused") else "") for step in item.steps]
    return " ".join(verbs), [f"{change.before} -> {change.after}" for change in item.changes if change.path == "state"]


@pytest.mark.parametrize(("now", "state", "verbs"), _cells(TABLE))
def test_calls(now: str, state: str, verbs: str) -> None:
    found, changes = _verbs(now, state=state)
    assert found == verbs
    assert bool(changes) == (verbs not in {"", "!"})


@pytest.mark.parametrize(("now", "state", "verbs"), _cells(NEEDED))
def test_calls_with_a_restart_that_is_needed(now: str, state: str, verbs: str) -> None:
    assert _verbs(now, state=state, vcpus=8, restart="if_needed")[0] == verbs


@pytest.mark.parametrize("state", ["present", "running"])
def test_without_consent_nothing_is_restarted(state: str) -> None:
    assert _verbs("running", state=state, vcpus=8)[0] == "define"


def test_a_guest_that_may_be_switched_off_need_not_be_resumed() -> None:
    assert _verbs("paused", state="stopped", force=True)[0] == "shutdown"


def test_what_is_said() -> None:
    assert _verbs("paused", state="running")[1] == ["paused -> running"]
    assert _verbs("running", state="restarted")[1] == ["running -> running anew"]
    assert _verbs("running", vcpus=8, restart="if_needed")[1] == ["running -> running anew"]


TRANSIENT: dict[str, tuple[str, ...]] = {
    "present": ("", ""),
    "running": ("", "define destroy start"),
    "stopped": ("define shutdown", "define destroy"),
    "saved": ("define save", "!"),
    "restarted": ("define shutdown start", "define destroy start"),
    "reset": ("reset", "reset resume"),
    "absent": ("shutdown", "destroy"),
}


@pytest.mark.parametrize(("state", "verbs"), TRANSIENT.items())
def test_a_transient_guest_is_defined_before_it_goes_off(state: str, verbs: tuple[str, ...]) -> None:
    assert tuple(_verbs(now, persistent=False, state=state)[0] for now in ("running", "crashed")) == verbs


@pytest.mark.parametrize(
    ("now", "state", "verbs"),
    [
        ("running", "running", "define balloon"),
        # It is asked when it can do its part, and neither before nor for what its next start brings.
        ("paused", "running", "define resume balloon"),
        ("pmsuspended", "running", "define wakeup balloon"),
        ("paused", "present", "define"),
        ("pmsuspended", "present", "define"),
        ("running", "paused", "define balloon suspend"),
        ("running", "saved", "define balloon save"),
        ("running", "stopped", "define shutdown"),
        ("running", "restarted", "define shutdown start"),
        ("crashed", "present", "define"),
        ("crashed", "running", "define destroy start"),
    ],
)
def test_a_guest_is_asked_while_it_runs(now: str, state: str, verbs: str) -> None:
    found, _changes = _verbs(now, state=state, current_memory="1 GiB")
    assert found.replace(" metadata", "") == verbs
