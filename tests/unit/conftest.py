# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the unit tests."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

# hypothesis seeds itself from the code of a test: the same cases on every machine, new ones with every change. How long
# they take says how busy the machine is.
settings.register_profile(
    "suite",
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
    database=None,
)
settings.load_profile("suite")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--regenerate", action="store_true", help="write the expected files of the golden cases anew")
