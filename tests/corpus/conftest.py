# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""libvirt's own test documents as a corpus, and the counts that a run of it tells."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "integration")]

pytest.register_assert_rewrite("on_lab", "fleet")

from fleet import ROOT, Host, make_ready  # noqa: E402

COUNTS = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[COUNTS] = []


@pytest.fixture
def count(request: pytest.FixtureRequest) -> Any:
    """Takes a sentence with counts, which is told at the end."""
    return request.config.stash[COUNTS].append


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """The counts, on lines that the suite finds."""
    for line in config.stash[COUNTS]:
        terminalreporter.write_line(f"corpus: {line}")


@pytest.fixture(scope="session", params=["host1", "host2"])
def host(request: pytest.FixtureRequest) -> Host:
    """A host of the lab, made ready as for the integration tests."""
    inventory = ROOT / ".lab" / "inventory.yml"
    if not inventory.exists():
        pytest.exit("there is no lab: tests/lab/lab up --hosts 2 --releases bookworm,trixie", returncode=1)
    known = yaml.safe_load(inventory.read_text(encoding="utf-8"))["kvm_hosts"]["hosts"]
    # ssh's control sockets have a limit of 108 characters.
    scratch = Path(subprocess.check_output(["mktemp", "-d", "/tmp/kvmfleet-XXXXXX"], text=True).strip())
    found = Host(request.param, known[request.param]["lab_release"], inventory, scratch)
    make_ready(found)
    return found
