"""One line of the table: how one thing compares with another."""

from __future__ import annotations

from statistics import median
from typing import NamedTuple

from play import Seconds
from ratio import Ratio, ratio_of, verdict


class Figure(NamedTuple):
    """The ratio of two contestants: of the whole command, of the task alone, and of the controller's processor time.

    target: what the design asks of the command's ratio; at_least: from below. seconds: the median command times.
    """

    what: str
    against: str
    command: Ratio
    task: Ratio
    controller: Ratio
    seconds: tuple[float, float]
    target: float | None = None
    at_least: bool = False

    @property
    def verdict(self) -> str:
        """Whether the target is met by the whole command."""
        return verdict(self.command, self.target, at_least=self.at_least)


def compare(
    times: dict[str, list[Seconds]],
    what: tuple[str, str],
    against: tuple[str, str],
    target: float | None = None,
    *,
    at_least: bool = False,
) -> Figure:
    """The figure for two contestants of a race, each given as its name there and its words in the table."""
    these, those = times[what[0]], times[against[0]]
    return Figure(
        what[1],
        against[1],
        ratio_of([run.command for run in these], [run.command for run in those]),
        ratio_of([run.task for run in these], [run.task for run in those]),
        ratio_of([run.controller for run in these], [run.controller for run in those]),
        (median(run.command for run in these), median(run.command for run in those)),
        target,
        at_least,
    )
