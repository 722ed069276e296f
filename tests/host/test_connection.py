# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a user's own daemon is found."""

from __future__ import annotations

import os
from pathlib import Path

from ansible_collections.kvmfleet.libvirt.plugins.module_utils.host.connection import session_folder

SESSION = "qemu:///session"


def test_daemon_of_a_user_is_found_where_a_login_would_find_it(tmp_path: Path) -> None:
    me = os.geteuid()
    assert session_folder(SESSION, None, me, str(tmp_path)) is None
    own = tmp_path / str(me)
    own.mkdir()
    assert session_folder(SESSION, None, me, str(tmp_path)) == str(own)
    assert session_folder("qemu:///session?socket=/x", "", me, str(tmp_path)) == str(own)
    assert session_folder(SESSION, str(tmp_path / "gone"), me, str(tmp_path)) == str(own)
    assert session_folder(SESSION, str(own), me, str(tmp_path)) is None


def test_folder_of_another_user_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "4711").mkdir()
    assert session_folder(SESSION, str(tmp_path), 4711, str(tmp_path)) == str(tmp_path / "4711")


def test_other_connections_need_no_folder(tmp_path: Path) -> None:
    (tmp_path / str(os.geteuid())).mkdir()
    for uri in ("qemu:///system", "qemu+ssh://hv/session", "test:///default"):
        assert session_folder(uri, None, os.geteuid(), str(tmp_path)) is None
