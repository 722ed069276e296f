# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A problem of a declaration: what is wrong, where, and what to do. Problems are collected, then reported together."""

from __future__ import annotations

from typing import NamedTuple


class Problem(NamedTuple):
    """One thing wrong with a declaration. where: an option path such as "domain web1: disks[vda].size"."""

    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


class Declined(Exception):
    """The declaration cannot be carried out; nothing was written. problems: at least one."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        super().__init__("; ".join(str(problem) for problem in problems))


class Problems:
    """Collects problems while a declaration is read, so that the user gets all of them in one run."""

    def __init__(self) -> None:
        self._found: list[Problem] = []

    def add(self, where: str, message: str) -> None:
        """Note a problem; the same problem is noted once."""
        problem = Problem(where, message)
        if problem not in self._found:
            self._found.append(problem)

    @property
    def found(self) -> bool:
        """Whether a problem was noted."""
        return bool(self._found)

    def raise_any(self) -> None:
        """Raise Declined if a problem was noted."""
        if self._found:
            raise Declined(tuple(self._found))
