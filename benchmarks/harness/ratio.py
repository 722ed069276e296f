"""Ratios of interleaved runs: what a noisy machine still tells the truth about."""

from __future__ import annotations

from statistics import median
from typing import NamedTuple


class Ratio(NamedTuple):
    """How many times as long one thing took as another: the median over the rounds, and the extremes."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f}-{self.high:.2f})"


def ratio_of(these: list[float], those: list[float]) -> Ratio:
    """Round by round, as the runs of one round saw the same machine; not the ratio of two medians."""
    each = [this / that for this, that in zip(these, those, strict=True)]
    return Ratio(median(each), min(each), max(each))


def verdict(ratio: Ratio, target: float | None, *, at_least: bool = False) -> str:
    """Whether a target is met, in words: by all rounds, by none, or by some, which leaves it open."""
    if target is None:
        return ""
    worst, best = (ratio.low, ratio.high) if at_least else (-ratio.high, -ratio.low)
    limit = target if at_least else -target
    if worst >= limit:
        return "met"
    return "NOT MET" if best < limit else "open"


def within(value: float, limit: float) -> str:
    """Whether a figure that does not vary is within its limit, in words."""
    return "met" if value <= limit else "NOT MET"
