# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The suite itself: it must count right, fail when it should, and leave nothing behind."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]

REPORT = """<?xml version="1.0"?>
<testsuites><testsuite>
  <testcase classname="a" name="passes"/>
  <testcase classname="a" name="fails"><failure message="short">long</failure></testcase>
  <testcase classname="a" name="breaks"><error message="import"/></testcase>
  <testcase classname="a" name="waits"><skipped message="no python3.8"/></testcase>
  <testcase classname="a" name="has no files"><skipped>No tests applicable.</skipped></testcase>
</testsuite></testsuites>
"""


@pytest.fixture
def suite(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Imports a module of tests/suite, which is a program and no package."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "suite"))
    yield importlib.import_module
    for name in set(sys.modules) - before:
        del sys.modules[name]


def executable(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_report_is_counted_case_by_case(suite: Any, tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(REPORT)
    outcomes = suite("junit").outcomes(report)
    assert [outcome[:3] for outcome in outcomes] == [
        ("a::passes", "passed", ""),
        ("a::fails", "failed", "long"),
        ("a::breaks", "failed", "import"),
        ("a::waits", "skipped", "no python3.8"),
    ]
    assert suite("outcome").total(outcomes) == "1 passed, 2 failed, 1 skipped"


def test_program_that_fails_without_a_failed_test_is_a_failure(suite: Any, tmp_path: Path) -> None:
    done = suite("command").run(["sh", "-c", "echo broke; exit 3"], log=tmp_path / "log", cwd=tmp_path)
    (outcome,) = suite("junit").with_status([], done, "pytest")
    assert outcome.verdict == "failed"
    assert "status 3" in outcome.detail
    assert "broke" in outcome.detail


def test_stage_without_a_test_is_a_failure(suite: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    stage = suite("stages").Stage("empty", lambda run: [])
    outcomes = suite("runner").run_stage(stage, None)
    assert [outcome.verdict for outcome in outcomes] == ["failed"]


def test_stage_that_breaks_is_a_failure_that_says_why(suite: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def outcomes(run: Any) -> Any:
        raise KeyError("no such thing")

    (outcome,) = suite("runner").run_stage(suite("stages").Stage("broken", outcomes), None)
    assert outcome.verdict == "failed"
    assert "no such thing" in outcome.detail


def test_stages_beside_each_other_in_a_fresh_clone_find_the_same_files(
    suite: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    workspace = suite("workspace")
    monkeypatch.setattr(workspace, "ROOT", tmp_path)
    (tmp_path / "file").write_text("")
    (tmp_path / ".gitignore").write_text(".cache\n")
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: sorted(workspace.files()), range(8)))
    assert found == [[Path(".gitignore"), Path("file")]] * 8


def test_program_that_hangs_is_ended_with_its_children(suite: Any, tmp_path: Path) -> None:
    command = suite("command")
    started = time.monotonic()
    done = command.run(["sh", "-c", "sleep 60 & echo $!; wait"], log=tmp_path / "log", cwd=tmp_path, timeout=0.5)
    assert done.status == 124
    assert time.monotonic() - started < 10
    child = int(done.log.read_text().split()[0])
    end = time.monotonic() + 5  # It was told to end; on a busy machine that takes a moment.
    while _runs(child) and time.monotonic() < end:
        time.sleep(0.05)
    assert not _runs(child)


def _runs(pid: int) -> bool:
    """Whether a process is there that is not a zombie."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and ") Z" not in stat.read_text()


@pytest.mark.parametrize(
    ("make", "last", "status"),
    [
        ("echo '7 passed, 0 failed'", "7 passed, 0 failed", 0),
        ("echo '7 passed, 1 failed, 2 skipped'; echo 'make: Error 1' >&2; exit 2", "7 passed, 1 failed", 2),
        ("echo 'no python3'; exit 2", "0 passed, 1 failed", 2),
    ],
)
def test_ci_ends_with_the_total_and_the_status(tmp_path: Path, make: str, last: str, status: int) -> None:
    copy = shutil.copytree(ROOT / ".ci", tmp_path / ".ci")
    executable(tmp_path / "bin" / "make", f"#!/bin/sh\n{make}\n")
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    done = subprocess.run([copy / "run"], capture_output=True, text=True, env={**os.environ, "PATH": path}, check=False)
    assert done.stdout.splitlines()[-1] == last
    assert done.returncode == status


def test_setup_without_python_says_so_in_one_line_and_does_nothing(tmp_path: Path) -> None:
    for part in ("tools", "requirements"):
        shutil.copytree(ROOT / "tests" / part, tmp_path / "tests" / part)
    for name in ("python3", "python3.11", "python3.12", "python3.13", "apt-get"):
        executable(tmp_path / "bin" / name, "#!/bin/sh\nexit 1\n")
    path = f"{tmp_path / 'bin'}:/usr/bin:/bin"
    done = subprocess.run(
        [tmp_path / "tests/tools/setup"], capture_output=True, text=True, env={"PATH": path}, check=False
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == "setup: no python3 of version 3.11 or newer on PATH\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", "tests"]
