# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""That a task comes to its module, on each ansible-core. What the host keeps is tested on real ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.kvmfleet.libvirt.plugins.plugin_utils import sources

COLLECTIONS = Path(sources.__file__).parents[5]


@pytest.mark.parametrize("keyword", ["kvmfleet.libvirt.domain", "domain", "action"])
def test_a_task_comes_to_its_module(keyword: str, tmp_path: Path) -> None:
    options = {"name": "web1", "memry": "1 GiB"}
    task = {keyword: {"module": "kvmfleet.libvirt.domain", **options} if keyword == "action" else options}
    play = {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "collections": ["kvmfleet.libvirt"],
        # Nothing is left in the home of whoever runs this.
        "vars": {"kvmfleet_libvirt_keep": False, "ansible_python_interpreter": sys.executable},
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
    told = " ".join(done.stdout.split() + done.stderr.split())
    assert "there is no option memry (did you mean memory" in told
    assert "ansible-doc kvmfleet.libvirt.domain lists" in told
