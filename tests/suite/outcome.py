"""What came of one test, and the sentence that sums many of them up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

Verdict = Literal["passed", "failed", "skipped"]


class Outcome(NamedTuple):
    """One test: `detail` is the reason of a skip, or what a person needs to see of a failure."""

    name: str
    verdict: Verdict
    detail: str = ""


def passed(name: str) -> Outcome:
    """A test that passed."""
    return Outcome(name, "passed")


def failed(name: str, detail: str) -> Outcome:
    """A test that failed, with what to show of it."""
    return Outcome(name, "failed", detail)


def skipped(name: str, reason: str) -> Outcome:
    """A test that could not run here."""
    return Outcome(name, "skipped", reason)


def count(outcomes: Sequence[Outcome], verdict: Verdict) -> int:
    """How many outcomes have this verdict."""
    return sum(outcome.verdict == verdict for outcome in outcomes)


def total(outcomes: Sequence[Outcome]) -> str:
    """`N passed, N failed`, and `, N skipped` where there are any."""
    line = f"{count(outcomes, 'passed')} passed, {count(outcomes, 'failed')} failed"
    left_out = count(outcomes, "skipped")
    return f"{line}, {left_out} skipped" if left_out else line
