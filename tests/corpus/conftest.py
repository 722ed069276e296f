# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""libvirt's own test documents as a corpus, and the counts that a run of it tells."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "integration")]

pytest.register_assert_rewrite("on_lab", "fleet")

from fleet import NAMES, Host, lab_hosts, make_ready, scheduling_by_host  # noqa: E402

COUNT = "corpus"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--whole", action="store_true", help="declare all documents on the lab hosts, not a sample")


@pytest.fixture
def whole(request: pytest.FixtureRequest) -> bool:
    """Whether all documents are declared on the lab hosts."""
    return bool(request.config.getoption("whole"))


@pytest.fixture
def count(request: pytest.FixtureRequest) -> Any:
    """Takes a sentence with counts, which is told at the end."""
    return lambda line: request.node.user_properties.append((COUNT, line))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The counts, on lines that the suite finds."""
    reports = [report for name in ("passed", "failed") for report in terminalreporter.stats.get(name, ())]
    for report in sorted(reports, key=lambda report: report.nodeid):
        for name, line in report.user_properties if report.when == "call" else ():
            if name == COUNT:
                terminalreporter.write_line(f"corpus: {line}")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With xdist, what is on a host is declared and removed by one worker alone."""
    return scheduling_by_host(config, log)


@pytest.fixture(scope="session", params=NAMES)
def host(request: pytest.FixtureRequest) -> Host:
    """A host of the lab, made ready as for the integration tests."""
    found = lab_hosts()[request.param]
    make_ready(found)
    return found
