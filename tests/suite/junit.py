"""Reading the JUnit files that pytest and ansible-test write."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

from outcome import Outcome, failed, passed, skipped

if TYPE_CHECKING:
    from pathlib import Path

    from command import Finished

NOT_APPLICABLE = "No tests applicable."
"""ansible-test's word for a check that has no file to look at: that is not a test left out."""


def outcomes(path: Path, prefix: str = "") -> list[Outcome]:
    """One outcome for each test case of a file, none where there is no file."""
    if not path.exists():
        return []
    # S314: the file comes from a program that this suite has just run.
    cases = ET.parse(path).getroot().iter("testcase")  # noqa: S314
    return [outcome for case in cases for outcome in _outcomes_of(case, prefix)]


def _outcomes_of(case: ET.Element, prefix: str) -> list[Outcome]:
    name = prefix + "::".join(filter(None, (case.get("classname"), case.get("name"))))
    trouble = case.find("failure")
    if trouble is None:
        trouble = case.find("error")
    if trouble is not None:
        return [failed(name, (trouble.text or trouble.get("message") or "").strip())]
    skip = case.find("skipped")
    if skip is None:
        return [passed(name)]
    reason = (skip.get("message") or skip.text or "").strip()
    return [] if reason == NOT_APPLICABLE else [skipped(name, reason)]


def with_status(outcomes: list[Outcome], done: Finished, name: str) -> list[Outcome]:
    """The outcomes, and one failure more where the program failed without a test that says why."""
    if done.status == 0 or any(outcome.verdict == "failed" for outcome in outcomes):
        return outcomes
    return [*outcomes, failed(name, f"ended with status {done.status}\n{done.tail()}")]
