# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What libvirt's tests do to a network by virNetworkUpdate, a declaration does to one that runs by the same updates."""

from __future__ import annotations

from typing import Callable

import pytest
from exceptions import reasons, unexpected
from planned import EMPTY, declared, name_of, plan_of
from source import RELEASES, documents
from updates import updates

from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.problem import Declined
from ansible_collections.kvmfleet.libvirt.tests.unit.support.applied import applied

FEWEST = 17
"""So many updates succeed in libvirt's tests at least."""


@pytest.mark.parametrize("release", RELEASES)
def test_a_running_network_becomes_another_as_libvirts_tests_update_it(
    release: str, count: Callable[[str], None]
) -> None:
    found = updates(documents(release))
    wrong: dict[str, str] = {}
    for update in found:
        name = name_of("network", update.before)
        earlier = {**declared("network", update.before), "state": "active"}
        host = applied(EMPTY, plan_of("network", EMPTY, earlier))
        now = {**earlier, "xml": update.after}
        try:
            (plan,) = plan_of("network", host, now).objects
        except Declined as error:
            wrong[update.name] = str(error)
            continue
        sections = {step.args["section"] for step in plan.steps if step.verb == "update"}
        if plan.pending or sections != {update.section}:
            wrong[update.name] = f"sections {sections}, pending {plan.pending}"
            continue
        host = applied(host, plan_of("network", host, now))
        (again,) = plan_of("network", host, now).objects
        assert (again.changes, again.steps, again.pending) == ((), (), ()), update.name
        assert host.networks[name].live is not None
    names = [update.name for update in found]
    known = [name for name in names if name in reasons("updates")]
    count(
        f"{release} network: {len(found)} updates, {len(found) - len(wrong)} done by updates of the same section, "
        f"nothing waiting, {len(known)} exceptions"
    )
    for name in known:
        count(f"    {name}: {reasons('updates')[name]}")
    assert len(found) >= FEWEST
    assert unexpected("updates", wrong, names) == []
