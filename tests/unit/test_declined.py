# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a running guest declined is not asked again, on no run, until it is started anew or defined otherwise."""

from __future__ import annotations

from typing import Any

from ansible_collections.kvmfleet.libvirt.plugins.module_utils import tree
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan import ownership
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.current import Domain, Host
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.plan import ObjectPlan, Plan, Step, digest
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.stack import plan_stack
from ansible_collections.kvmfleet.libvirt.tests.unit.support.applied import applied
from ansible_collections.kvmfleet.libvirt.tests.unit.support.declarations import stack_of
from ansible_collections.kvmfleet.libvirt.tests.unit.support.hosts import STANDARD, host_of

DISKS = [{"target": target, "file": f"/srv/{target}.qcow2"} for target in ("vda", "vdb")]
REASON = "the guest did not let go"


def plan(host: Host, **options: Any) -> ObjectPlan:
    stack = stack_of({"domains": [{"name": "web", "memory": "1 GiB", "restart": "never", **options}]})
    (found,) = plan_stack(stack, host).objects
    return found


def running() -> Host:
    """A host with a running guest of two disks."""
    host = host_of(STANDARD)
    stack = stack_of({"domains": [{"name": "web", "memory": "1 GiB", "disks": DISKS, "state": "running"}]})
    return applied(host, plan_stack(stack, host))


def declining(host: Host, live: str, step: Step, early: bool = False) -> Host:
    """The host once everything but this step was done, and what the guest declined was noted in it.

    early: whether it was not up yet when it declined.
    """
    root = tree.parse(live)
    owned = ownership.read(root)
    ownership.write(root, owned._replace(declined={digest(step): REASON}, early=frozenset([digest(step)] * early)))
    domain: Domain = host.domains["web"]
    return host._replace(domains={"web": domain._replace(live=tree.text_of(root))})


def test_what_was_declined_waits_and_is_no_change() -> None:
    before = running()
    first = plan(before, disks=DISKS[:1])
    (step,) = [step for step in first.steps if step.verb == "detach"]
    host = declining(applied(before, plan_of(first)), before.domains["web"].live or "", step)
    again = plan(host, disks=DISKS[:1])
    assert (again.changes, again.steps) == ((), ())
    assert [change.path for change in again.pending] == ["disks[vdb]"]
    assert again.facts["declined"] == (REASON,)


def test_it_is_done_by_a_restart_that_is_allowed() -> None:
    before = running()
    (step,) = [step for step in plan(before, disks=DISKS[:1]).steps if step.verb == "detach"]
    host = declining(applied(before, plan_of(plan(before, disks=DISKS[:1]))), before.domains["web"].live or "", step)
    restarted = plan(host, disks=DISKS[:1], restart="if_needed")
    assert [step.verb for step in restarted.steps] == ["shutdown", "start"]
    assert restarted.pending == ()
    assert "declined" not in restarted.facts


def test_another_definition_asks_again_and_forgets() -> None:
    before = running()
    (step,) = [step for step in plan(before, disks=DISKS[:1]).steps if step.verb == "detach"]
    host = declining(applied(before, plan_of(plan(before, disks=DISKS[:1]))), before.domains["web"].live or "", step)
    asked = plan(host, disks=DISKS[:1], title="another")
    assert [step.verb for step in asked.steps] == ["define", "describe", "detach", "metadata"]
    after = applied(host, plan_of(asked))
    assert ownership.read(tree.parse(after.domains["web"].live or "")).declined == {}


def test_what_a_guest_declined_before_it_was_up_is_asked_again_once_it_is() -> None:
    before = running()
    first = plan(before, disks=DISKS[:1])
    (step,) = [step for step in first.steps if step.verb == "detach"]
    host = declining(applied(before, plan_of(first)), before.domains["web"].live or "", step, early=True)
    assert plan(host, disks=DISKS[:1]).steps == ()
    up = tree.parse(host.domains["web"].live or "")
    up.find("devices/channel/target[@name='org.qemu.guest_agent.0']").set("state", "connected")
    came_up = host._replace(domains={"web": host.domains["web"]._replace(live=tree.text_of(up))})
    asked = plan(came_up, disks=DISKS[:1])
    assert [step.verb for step in asked.steps] == ["detach", "metadata"]
    assert [change.path for change in asked.changes] == ["disks[vdb]"]
    assert ownership.read(tree.parse(asked.steps[-1].args["xml"])).early == frozenset()


def test_a_password_is_no_part_of_what_is_noted() -> None:
    steps = [
        Step("update_device", {"xml": f'<graphics type="vnc" passwd={quote}{word}{quote}/>'}, "")
        for word in ("one", "two")
        for quote in ("'", '"')
    ]
    assert len({digest(step) for step in steps}) == 1
    assert digest(steps[0]) != digest(Step("update_device", {"xml": '<graphics type="spice"/>'}, ""))


def plan_of(item: ObjectPlan) -> Plan:
    return Plan((item,))
