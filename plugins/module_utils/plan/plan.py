# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan: what differs, what will be done, what has to wait. Check mode, diff and the real run all read this value."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

Id = tuple[str, str]


LEFT = "left_behind"
"""The path of what stays of a guest's storage that is told to go with it."""


class Change(NamedTuple):
    """One difference in the user's words. effect: live, restart, create or delete."""

    path: str
    before: Any
    after: Any
    effect: str


class Step(NamedTuple):
    """One call to the hypervisor on an object. args: what the verb needs. words: what it does, for messages.
    may_wait: when the hypervisor declines, the change waits for a restart instead of failing.
    """

    verb: str
    args: Mapping[str, Any]
    words: str
    may_wait: bool = False


# A digest of a password would help to guess it.
_PASSWORD = re.compile(r"""\bpassw(?:or)?d=("[^"]*"|'[^']*')""")


def digest(step: Step) -> str:
    """What a step is known by when the hypervisor declined it."""
    told = json.dumps([step.verb, dict(step.args)], sort_keys=True, default=str)
    return hashlib.sha256(_PASSWORD.sub("", told.replace('\\"', '"')).encode()).hexdigest()[:16]


class Premise(NamedTuple):
    """What has to be so on the host for a plan to go well. where: the option that says so. what: file, folder (is one or can be
    made), link (a network device), pci, cpus, nodes (of NUMA), pages (as "size bytes", both in bytes, size 0 for the host's default),
    nwfilter, secret, port (as "address port"), backend (of a kind of pool), room (as "pool bytes"). value: its name.
    """

    where: str
    what: str
    value: str


class ObjectPlan(NamedTuple):
    """What will happen to one object. state: what it is afterwards. needs: objects that have to be done before.
    pending: what becomes true only at a restart. undeclared: what somebody else put into a list that is declared.
    previous: the definition to put back when what follows a new one fails; None when there is none.
    patience: seconds for which jobs of others on it, such as a backup, are waited for.
    premises: what has to be so on the host before any of this is begun.
    """

    kind: str
    name: str
    state: str
    changes: tuple[Change, ...] = ()
    steps: tuple[Step, ...] = ()
    pending: tuple[Change, ...] = ()
    needs: frozenset[Id] = frozenset()
    undeclared: tuple[str, ...] = ()
    facts: Mapping[str, Any] = {}
    previous: str | None = None
    patience: int = 120
    premises: tuple[Premise, ...] = ()

    @property
    def id(self) -> Id:
        """Kind and name; a volume's name is "pool/volume"."""
        return (self.kind, self.name)


class Plan(NamedTuple):
    """The plan of one run: every declared or implied object, in the order in which a reader expects them."""

    objects: tuple[ObjectPlan, ...]

    @property
    def changed(self) -> bool:
        """Whether anything will be done."""
        return any(item.changes for item in self.objects)


def to_wake(plan: Plan) -> tuple[ObjectPlan, ...]:
    """The pools that are to be started and in which volumes are to be, each with all that it needs: what is in such a pool is
    known only then.
    """
    by_id = {item.id: item for item in plan.objects}
    started = {item.id for item in plan.objects if item.kind == "pool" and any(s.verb == "start" for s in item.steps)}
    found: set[Id] = set()
    left = [need for item in plan.objects if item.kind == "volume" for need in item.needs & started]
    while left:
        key = left.pop()
        if key not in found:
            found.add(key)
            left += by_id[key].needs & by_id.keys()
    return tuple(item for item in plan.objects if item.id in found)


# What may be waited for, in the words of a sentence about its lack.
AWAITED = {
    "address": "address",
    "agent": "answer of its agent",
    "cloud_init": "end of cloud-init",
    "ssh": "answer of ssh on port {port}",
    "host_keys": "host key of ssh",
}
# What only a guest's agent tells; an address and ssh are known without it.
BY_AGENT = frozenset(("agent", "cloud_init", "host_keys"))


class Awaited(NamedTuple):
    """A guest that somebody waits for. macs: its interfaces. what: any of address, agent, ssh, cloud_init, host_keys.
    timeout: in seconds. ssh_port: where its ssh listens.
    """

    name: str
    macs: tuple[str, ...]
    what: frozenset[str]
    timeout: int
    ssh_port: int


class Result(NamedTuple):
    """What became of one object. done: whether a step was carried out. waiting: why steps wait for a restart.
    error: what failed, None when nothing did. overtaken: whether it failed because somebody else was there first, so that it may
    go well when the host is read and planned anew.
    """

    done: bool
    waiting: tuple[str, ...]
    error: str | None
    overtaken: bool = False
