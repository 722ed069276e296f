# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""That a task comes to its module, on each ansible-core. What the host keeps is tested on real ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.kvmfleet.libvirt.plugins.plugin_utils import sources

COLLECTIONS = Path(sources.__file__).parents[5]


def _told(task: dict[str, Any], tmp_path: Path, keep: bool) -> str:
    """What ansible-playbook says of a task on this machine. A library is kept below tmp_path, not in anybody's home."""
    (tmp_path / "sitecustomize.py").write_text(
        "import pwd\nfrom types import SimpleNamespace\n"
        f"pwd.getpwuid = lambda _number: SimpleNamespace(pw_dir={str(tmp_path)!r}, pw_name='somebody')\n"
    )
    play = {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "collections": ["kvmfleet.libvirt"],
        "vars": {"kvmfleet_libvirt_keep": keep, "ansible_python_interpreter": sys.executable},
        "environment": {"PYTHONPATH": str(tmp_path)},
        "tasks": [task],
    }
    book = tmp_path / "play.yml"
    book.write_text(json.dumps([play]))
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "-i", "localhost,", book],
        env={
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
            "ANSIBLE_REMOTE_TEMP": str(tmp_path / "remote"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    return " ".join(done.stdout.split() + done.stderr.split())


WRONG = {"name": "web1", "memry": "1 GiB", "description": 'quotes """ and \\ and \u00e9'}


@pytest.mark.parametrize("keyword", ["kvmfleet.libvirt.domain", "domain", "action"])
def test_a_task_comes_to_its_module(keyword: str, tmp_path: Path) -> None:
    told = _told(
        {keyword: {"module": "kvmfleet.libvirt.domain", **WRONG} if keyword == "action" else WRONG}, tmp_path, False
    )
    assert "there is no option memry (did you mean memory" in told
    assert "ansible-doc kvmfleet.libvirt.domain lists" in told
    assert not (tmp_path / ".cache").exists()


def test_its_library_is_kept(tmp_path: Path) -> None:
    folder, stamps = tmp_path / ".cache" / "kvmfleet.libvirt", []
    for _time in range(2):
        assert "there is no option memry (did you mean memory" in _told(
            {"kvmfleet.libvirt.domain": WRONG}, tmp_path, True
        )
        (archive,) = folder.iterdir()
        stamps.append(archive.stat().st_mtime_ns)
    assert archive.name.startswith(sources.digest())
    assert stamps[0] == stamps[1]
    with zipfile.ZipFile(archive) as kept:
        assert {"ansible/module_utils/basic.pyc", "kvmfleet_libvirt/entry.pyc"} <= set(kept.namelist())
