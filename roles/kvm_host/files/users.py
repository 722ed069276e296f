# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Has users in groups, and their services run without a login (lingering). Remembers what it did itself: who is no
longer named is taken out again, and whom somebody else put there stays.

Prints {"problem": "" or a sentence, "changed": [sentences]} as JSON.

usage: users.py '{"groups": {"libvirt": ["alice"]}, "lingering": ["bob"], "check": false}'
"""

from __future__ import annotations

import grp
import json
import pwd
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

RECORD = Path("/var/lib/kvmfleet/users.json")
LINGERING = Path("/var/lib/systemd/linger")
LINGER = "lingering"
"""In the place of a group."""


class Step(NamedTuple):
    """A user comes into a group or goes out of it; the group may be LINGER."""

    user: str
    group: str
    comes: bool

    @property
    def command(self) -> list[str]:
        """What does it."""
        if self.group == LINGER:
            return ["loginctl", "enable-linger" if self.comes else "disable-linger", self.user]
        return ["gpasswd", "--add" if self.comes else "--delete", self.user, self.group]

    def __str__(self) -> str:
        return f"{self.user} {'comes into' if self.comes else 'goes out of'} {self.group}"


Sets = dict[str, list[str]]
"""Users by group."""


def plan(wanted: Sets, there: Sets, ours: Sets) -> tuple[list[Step], Sets]:
    """What is to be done, and what is ours then: who was put there by us, now or before, and is still wanted."""
    steps, kept = [], {}
    for group in sorted({*wanted, *ours}):
        names, before, inside = wanted.get(group, []), ours.get(group, []), there.get(group, [])
        steps += [Step(name, group, True) for name in names if name not in inside]
        steps += [Step(name, group, False) for name in before if name not in names and name in inside]
        own = [name for name in names if name in before or name not in inside]
        if own:
            kept[group] = own
    return steps, kept


def problem(wanted: Sets) -> str:
    """Why it cannot be had, or nothing."""
    for name in sorted({name for names in wanted.values() for name in names}):
        try:
            pwd.getpwnam(name)
        except KeyError:
            return f"there is no user {name} on this host"
    for group, names in wanted.items():
        if names and group != LINGER and not _group(group):
            return f"there is no group {group} on this host"
    if wanted.get(LINGER) and not shutil.which("loginctl"):
        return "there is no loginctl on this host, so no user's services can run without a login"
    return ""


def _group(name: str) -> Any:
    try:
        return grp.getgrnam(name)
    except KeyError:
        return None


def there(group: str, names: list[str]) -> list[str]:
    """Which of these users are in a group, as their main one or besides. Users that are gone are in none."""
    if group == LINGER:
        return [name for name in names if (LINGERING / name).exists()]
    entry = _group(group)
    return [name for name in names if entry and _is_in(name, entry)]


def _is_in(name: str, entry: Any) -> bool:
    try:
        return name in entry.gr_mem or pwd.getpwnam(name).pw_gid == entry.gr_gid
    except KeyError:
        return False


def main(asked: dict[str, Any]) -> None:
    """Do it and tell."""
    wanted: Sets = {**asked["groups"], LINGER: asked["lingering"]}
    ours: Sets = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}
    wrong = problem(wanted)
    groups = {*wanted, *ours}
    inside = {group: there(group, [*wanted.get(group, []), *ours.get(group, [])]) for group in groups}
    steps, kept = plan(wanted, inside, ours)
    if not wrong and not asked["check"]:
        # Before it is done: a run may break off.
        remember({group: sorted({*ours.get(group, []), *kept.get(group, [])}) for group in {*ours, *kept}})
        for step in steps:
            done = subprocess.run(step.command, check=False, capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(f"{' '.join(step.command)}: {done.stderr.strip()}")
        remember(kept)
    print(json.dumps({"problem": wrong, "changed": [] if wrong else [str(step) for step in steps]}))


def remember(ours: Sets) -> None:
    """Keep the record, which goes with its last entry."""
    if not ours:
        RECORD.unlink(missing_ok=True)
    else:
        RECORD.parent.mkdir(exist_ok=True)
        RECORD.write_text(json.dumps(ours, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
