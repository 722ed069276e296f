# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run planned that had nothing to do, kept beside the library for the next one.

A plan follows from the declarations, what was read of the host and this library, and from nothing else. So a run that reads
what an earlier one read, for the same declarations, takes that one's plan; whatever differs in a single byte is planned.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pickle
import stat
import tempfile
from collections.abc import Mapping
from typing import Any, NamedTuple

from .plan.current import Host
from .plan.plan import ObjectPlan, Plan

# Fewer guests are planned sooner than a file is read.
FEWEST = 20

# The facts of an object that are kept: JSON gives them back as they were.
_FACTS = frozenset(("uuid", "macs", "attached"))


class Memory(NamedTuple):
    """Where plans are kept. folder: the library's, which nobody else may write to; library: its digest."""

    folder: str
    library: str

    def recall(self, stack: Mapping[str, Any], host: Host) -> Plan | None:
        """The plan of an earlier run with the same declarations on the same host, None where there is none to rely on."""
        if not _is_worth_it(stack):
            return None
        path = self._path(stack)
        try:
            with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), encoding="utf-8") as file:
                about = os.fstat(file.fileno())
                if about.st_uid != os.geteuid() or stat.S_IMODE(about.st_mode) & 0o022:
                    return None
                kept = json.load(file)
            if kept["host"] != _digest(host):
                return None
            os.utime(path)
            return Plan(
                tuple(ObjectPlan(*item[:3], undeclared=tuple(item[3]), facts=item[4]) for item in kept["objects"])
            )
        except (OSError, ValueError, KeyError, TypeError, IndexError):
            return None

    def keep(self, stack: Mapping[str, Any], host: Host, plan: Plan) -> None:
        """Keep a plan that has nothing to do. Nothing that fails here is a reason for the run to fail."""
        if not _is_worth_it(stack) or not all(_is_settled(item) for item in plan.objects):
            return
        # Imported here: most runs keep nothing.
        from .kept import clear  # noqa: PLC0415

        objects = [(*item.id, item.state, item.undeclared, dict(item.facts)) for item in plan.objects]
        with contextlib.suppress(OSError, TypeError, ValueError):
            clear(self.folder)
            fd, name = tempfile.mkstemp(prefix=".new-", dir=self.folder)
            try:
                with open(fd, "w", encoding="utf-8") as file:
                    json.dump({"host": _digest(host), "objects": objects}, file)
                os.rename(name, self._path(stack))
            except BaseException:
                os.unlink(name)
                raise

    def _path(self, stack: Mapping[str, Any]) -> str:
        told = json.dumps([self.library, stack], sort_keys=True, default=repr)
        return os.path.join(self.folder, f"unchanged-{hashlib.sha256(told.encode()).hexdigest()}.json")


def _is_worth_it(stack: Mapping[str, Any]) -> bool:
    """Whether a stack is planned slowly enough. Of declared secrets no digest is kept, which would help to guess them."""
    return len(stack.get("domains") or []) >= FEWEST and not stack.get("secrets")


def _is_settled(item: ObjectPlan) -> bool:
    return not (item.changes or item.steps or item.pending) and item.facts.keys() <= _FACTS


def _digest(host: Host) -> str:
    return hashlib.sha256(pickle.dumps(host, 4)).hexdigest()
