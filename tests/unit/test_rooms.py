# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Imports point one way, and the work grows with the number of guests and no faster."""

from __future__ import annotations

import ast
import cProfile
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.kvmfleet.libvirt.plugins.module_utils import tree
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.stack import plan_stack
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.spec.field import walk
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.spec.kinds import KIND
from ansible_collections.kvmfleet.libvirt.tests.unit.support.cases import FOLDER, cases, guests_of

PLUGINS = Path(__file__).resolve().parents[2] / "plugins"
ROOMS = PLUGINS / "module_utils"
FILES = sorted(ROOMS.rglob("*.py"))

# What each room may import of the others.
MAY: dict[str, set[str]] = {
    "spec": set(),
    "tree": set(),
    "plan": {"spec", "tree"},
    "agent": set(),
    "host": {"agent", "plan", "progress", "spec", "tree"},
    "libvirt_conf": set(),
    "edit_conf": {"libvirt_conf"},
    "pki": set(),
    "issue": {"pki"},
    "apply": {"host", "plan", "progress"},
    "outcome": {"apply", "plan"},
    "scope": {"host", "plan"},
    "converge": {"apply", "host", "outcome", "plan", "scope", "spec"},
    "unchanged": {"kept", "plan"},
    "reconcile": {"converge", "host", "outcome", "plan", "scope", "spec", "unchanged"},
    "module": {"plan", "spec"},
    "tell": {"host", "module", "plan", "spec"},
    "give": {"host", "module"},
    "entry": {"give", "host", "module", "plan", "reconcile", "spec", "tell", "unchanged"},
    "kept": set(),
    "progress": set(),
    "runner": {"entry", "progress", "unchanged"},
}
IMPURE = {
    "libvirt",
    "libvirt_qemu",
    "os",
    "time",
    "socket",
    "subprocess",
    "random",
    "urllib",
    "http",
    "shutil",
    "ansible",
}


def _room(file: Path) -> str:
    return file.relative_to(ROOMS).parts[0].removesuffix(".py")


def _imports(file: Path) -> tuple[set[str], set[str]]:
    """Rooms of our own, and top modules of others, that a file imports anywhere."""
    ours: set[str] = set()
    others: set[str] = set()
    inside = file.relative_to(ROOMS).parts
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            others |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            others.add((node.module or "").partition(".")[0])
        elif isinstance(node, ast.ImportFrom):
            above = inside[: len(inside) - node.level]
            names = [node.module] if node.module else [name.name for name in node.names]
            ours |= {[*above, *name.split(".")][0] for name in names}
    return ours, others


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOMS)))
def test_imports_point_one_way(file: Path) -> None:
    ours, others = _imports(file)
    room = _room(file)
    assert ours - {room} <= MAY[room]
    assert ("lxml" in others) == (room == "tree")
    if room in {"spec", "tree", "plan", "libvirt_conf", "pki"}:
        assert not others & IMPURE
    if room != "host":
        assert not others & {"libvirt", "libvirt_qemu"}


def test_nothing_of_ansible_s_is_needed_on_the_host_but_basic() -> None:
    """What else a file imports of it is not there where the kept library runs: only `kept.py` goes over the wire."""
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [name.name for name in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names += [f"{node.module}.{name.name}" for name in node.names]
            wanted = [name for name in names if name.startswith("ansible")]
            assert all(name.startswith("ansible.module_utils.basic") for name in wanted), file


def test_modules_are_documentation_and_wiring() -> None:
    for file in (PLUGINS / "modules").glob("*.py"):
        if file.stem == "library":
            continue  # It is sent as it stands, to where nothing else of ours is at hand.
        parsed = ast.parse(file.read_text(encoding="utf-8"))
        functions = [node for node in ast.walk(parsed) if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
        assert [node.name for node in functions] == ["main"], file.name
        assert (functions[0].end_lineno or 0) - functions[0].lineno < 12, file.name


def _options(written: Any, above: str = "") -> set[str]:
    found: set[str] = set()
    for name, value in written.items():
        found.add(above + name)
        if isinstance(value, dict):
            found |= _options(value, f"{above}{name}.")
        if isinstance(value, list):
            for item in value:
                found |= _options(item, f"{above}{name}[].") if isinstance(item, dict) else set()
    return found


@pytest.mark.parametrize("kind", KIND.values(), ids=lambda kind: kind.name)
def test_every_option_has_a_golden_case(kind: Any) -> None:
    declared: set[str] = set()
    for case in cases():
        if case.kind == kind.name:
            declared |= _options(case.written)
        elif case.kind == "stack":
            for item in case.written.get(kind.plural, []):
                declared |= _options(item)
    assert {name for name, _field in walk(kind.fields)} - declared == set()


def test_every_case_has_its_expected_files_and_no_others() -> None:
    known = {"declared.yml", "current.xml", "live.xml", "host.yml", "desired.xml", "plan.yml"}
    for folder in FOLDER.glob("*/*"):
        names = {file.name for file in folder.iterdir()}
        assert {"declared.yml", "plan.yml"} <= names <= known, folder


@pytest.mark.parametrize("there", [False, True], ids=["new", "unchanged"])
def test_parsing_grows_with_the_number_of_guests(there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 0
    parse = tree.parse

    def counted(text: str) -> Any:
        nonlocal count
        count += 1
        return parse(text)

    monkeypatch.setattr(tree, "parse", counted)
    monkeypatch.setattr(tree, "_READ", {})
    counts = []
    for many in (10, 100):
        stack, host = guests_of(many, there=there)
        count = 0
        plan_stack(stack, host)
        counts.append(count)
    assert counts[1] <= 10 * counts[0]
    assert counts[1] <= 8 * 100


@pytest.mark.parametrize("there", [False, True], ids=["new", "unchanged"])
def test_planning_grows_with_the_number_of_guests(there: bool) -> None:
    counts = []
    for many in (10, 100, 1000):
        stack, host = guests_of(many, there=there)
        profiler = cProfile.Profile()
        profiler.runcall(plan_stack, stack, host)
        counts.append(sum(entry.callcount for entry in profiler.getstats()))
    # A sort or two of all names grows a little faster.
    assert counts[1] <= 10.5 * counts[0]
    assert counts[2] <= 10.5 * counts[1]
    assert counts[2] <= 6000 * 1000
