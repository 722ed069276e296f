# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each behaviour that is claimed names tests that are there."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

TESTS = Path(__file__).resolve().parents[1]
MOLECULE = TESTS.parent / "extensions" / "molecule"
GROUPS: dict[str, dict[str, Any]] = yaml.safe_load((TESTS / "behaviours.yml").read_text(encoding="utf-8"))


def _claims() -> Iterator[tuple[str, str]]:
    """Each behaviour with each of its tests."""
    for behaviours in GROUPS.values():
        for behaviour, said in behaviours.items():
            for test in said["tests"] if isinstance(said, dict) else said:
                yield behaviour, test


def _functions(file: Path) -> set[str]:
    nodes = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize(("behaviour", "test"), list(_claims()))
def test_it_is_there(behaviour: str, test: str) -> None:
    file, _colons, function = test.partition("::")
    if file.startswith("molecule/"):
        assert (MOLECULE / file.removeprefix("molecule/")).is_file(), behaviour
    else:
        assert function in _functions(TESTS / file), behaviour
