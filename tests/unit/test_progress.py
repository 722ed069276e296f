# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a long run is at is told to whoever watches, and to nobody else."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ansible_collections.kvmfleet.libvirt.plugins.module_utils import progress


def test_one_sentence_takes_the_place_of_the_one_before_and_goes_with_the_run(tmp_path: Path) -> None:
    file = tmp_path / "progress-1"
    with progress.told_in(str(file)):
        progress.tell("1 of 2 done")
        progress.tell("2 of 2 done")
        assert file.read_text() == "2 of 2 done"
        assert file.stat().st_mode & 0o777 == 0o600
        assert list(tmp_path.iterdir()) == [file]
    assert list(tmp_path.iterdir()) == []
    progress.tell("too late")
    assert list(tmp_path.iterdir()) == []


def test_a_module_that_ends_by_exit_leaves_no_file(tmp_path: Path) -> None:
    def run() -> None:
        with progress.told_in(str(tmp_path / "progress-1")):
            progress.tell("1 of 2 done")
            sys.exit(0)

    with pytest.raises(SystemExit):
        run()
    assert list(tmp_path.iterdir()) == []


def test_nobody_watches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with progress.told_in(None):
        progress.tell("1 of 2 done")
    assert list(tmp_path.iterdir()) == []


def test_where_it_cannot_be_told_the_run_goes_on(tmp_path: Path) -> None:
    with progress.told_in(str(tmp_path / "gone" / "progress-1")):
        progress.tell("1 of 2 done")


def test_how_far_a_content_is_stands_beside_the_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "progress-1"
    clock = iter((0.0, 0.5, 2.0, 2.0, 2.5, 4.0, 4.0))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with progress.told_in(str(file)):
        progress.tell("0 of 1 done")
        with progress.metered("https://images.example.org/a", 400 << 20) as through:
            through(1 << 20)
            assert file.read_text() == "0 of 1 done", "not more than once a second"
            through(120 << 20)
            assert file.read_text() == "0 of 1 done; https://images.example.org/a: 120 of 400 MiB"
            through(121 << 20)
            assert file.read_text().endswith(": 120 of 400 MiB")
            through(400 << 20)
            assert file.read_text().endswith(": 400 of 400 MiB")
        progress.tell("1 of 1 done")
        assert file.read_text() == "1 of 1 done"
