# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages that are made from the tables say what the tables say."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.kvmfleet.libvirt.tests.unit.support.pages import effects_page

PAGE = Path(__file__).resolve().parents[2] / "docs" / "effects.md"


def test_effects_page(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--regenerate"):
        PAGE.write_text(effects_page(), encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == effects_page()
