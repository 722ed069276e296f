# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a module says of options that are none."""

from __future__ import annotations

import pytest

from ansible_collections.kvmfleet.libvirt.plugins.module_utils.module import shorter

ALL = "Supported parameters include: memory, name, vcpu_current, vcpus, xml (guest)."


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ("vcpu", "there is no option vcpu (did you mean vcpus"),
        (
            "domains.disks.memry",
            "there is no option domains.disks.memry (did you mean memory?); ansible-doc k.l.domain",
        ),
        ("zzz, mem_ory", "there is no option zzz, mem_ory (did you mean memory?); "),
    ],
)
def test_an_unknown_option_is_told_with_those_that_it_may_be_meant_for(names: str, said: str) -> None:
    assert shorter(f"Unsupported parameters for (k.l.domain) module: {names}. {ALL}").startswith(said)


def test_other_messages_stay() -> None:
    assert shorter("missing required arguments: name") == "missing required arguments: name"
