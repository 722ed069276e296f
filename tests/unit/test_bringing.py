# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files of the control machine a task names, and which its host needs."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.kvmfleet.libvirt.plugins.plugin_utils.bringing import brought, checksum_of, needed


def test_volumes_with_a_local_source() -> None:
    there = {"name": "b", "pool": "images", "source": {"local": "b.iso"}}
    stack = {"volumes": [{"name": "a", "source": {"url": "http://x/a"}}, there, {"name": "c"}, "name=d"]}
    assert [(item.volume, item.source) for item in brought("stack", stack)] == [("images/b", {"local": "b.iso"})]
    assert [item.volume for item in brought("volume", {"name": "b", "source": {"local": "b.iso"}})] == ["default/b"]
    assert brought("pool", there) == []
    assert brought("stack", {"volumes": "name=a"}) == []


def test_what_is_needed_is_what_gets_new_content() -> None:
    objects = [
        {"kind": "volume", "name": "p/new", "changes": [{"path": "state"}, {"path": "source"}]},
        {"kind": "volume", "name": "p/another", "changes": [{"path": "source.checksum"}]},
        {"kind": "volume", "name": "p/grown", "changes": [{"path": "size"}]},
        {"kind": "volume", "name": "p/same", "changes": []},
        {"kind": "pool", "name": "p", "changes": [{"path": "source.dir"}]},
    ]
    assert needed({"objects": objects}) == {"p/new", "p/another"}
    assert needed({}) == set()


def test_checksum(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    assert checksum_of(str(tmp_path / "empty")).startswith("sha256:e3b0c44298fc1c14")
