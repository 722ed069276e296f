# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pools."""

from __future__ import annotations

from typing import Any

import pytest
from fleet import AREA, Host, Task


@pytest.mark.both
def test_a_pool_from_nothing_to_nothing(host: Host, name: str) -> None:
    place = f"{AREA}/{name}"
    made = host.converge("pool", name=name, type="dir", path=place)
    assert made.run.only["state"] == "inactive"
    assert made.run.changes["state"] == ("absent", "inactive")
    assert not made.after.all["pools"][name]["active"]

    begun = host.converge("pool", name=name, state="active", autostart=True)
    assert begun.run.changes == {"state": ("inactive", "active"), "autostart": (False, True)}
    assert begun.after.all["pools"][name]["active"]
    assert begun.after.all["pools"][name]["autostart"]
    assert host.sh(f"test -d {place} && echo there").strip() == "there"

    host.sh(f"echo data > {place}/kept")
    ended = host.converge("pool", name=name, state="inactive", autostart=False)
    assert not ended.after.all["pools"][name]["active"]

    gone = host.converge("pool", name=name, state="absent")
    assert gone.run.changes == {"state": ("inactive", "absent")}
    assert name not in gone.after.all["pools"]
    assert host.sh(f"cat {place}/kept").strip() == "data", "a pool's directory is never deleted"


def test_a_name_alone_changes_nothing(host: Host, pool: str) -> None:
    host.converge("pool", changed=False, name=pool)
    host.converge("pool", changed=False, name=pool, state="active")


def test_an_active_pool_goes_with_its_data_kept(host: Host, pool: str, name: str) -> None:
    host.virsh(f"vol-create-as {pool} kept.raw 1M")
    gone = host.converge("pool", name=pool, state="absent")
    assert pool not in gone.after.all["pools"]
    assert host.sh(f"ls {AREA}/{name}").split() == ["kept.raw"]


def test_a_new_path_waits_until_the_pool_is_started_anew(host: Host, pool: str, name: str) -> None:
    place = f"{AREA}/{name}-other"
    (moved,) = host.play(task := Task("pool", {"name": pool, "path": place}))
    assert not moved.failed, moved.data
    assert moved.changed
    assert moved.only["restart_required"]
    assert moved.pending == {"path"}
    seen = host.see()
    assert seen.value("pools", pool, "target/path") == place
    assert seen.value("pools", pool, "target/path", "live") == f"{AREA}/{name}"
    (again,) = host.play(task)
    assert not again.changed
    assert again.pending == {"path"}, "what waits is told on every run"
    host.virsh(f"pool-destroy {pool}")
    begun = host.converge("pool", name=pool, path=place, state="active")
    assert begun.run.pending == set()
    assert begun.after.value("pools", pool, "target/path", "live") == place


def test_raw_xml_twice(host: Host, name: str) -> None:
    text = f"<pool type='dir'><name>{name}</name><target><path>{AREA}/{name}</path></target></pool>"
    made = host.converge("pool", name=name, xml=text, state="active")
    assert made.after.value("pools", name, "target/path") == f"{AREA}/{name}"


def test_permissions_of_a_new_directory(host: Host, name: str) -> None:
    permissions = {"mode": "0711", "owner": 0, "group": 0}
    host.converge("pool", name=name, path=f"{AREA}/{name}", permissions=permissions, state="active")
    assert host.sh(f"stat -c %a {AREA}/{name}").strip() == "711"


def test_permissions_of_an_active_pool(host: Host, pool: str, name: str) -> None:
    """They are those of the directory, and what was in it is as it was. YAML reads 0770 as the number 504."""
    place = f"{AREA}/{name}"
    host.sh(f"echo data > {place}/kept; chmod 600 {place}/kept")
    for mode, octal, group in ((504, "770", 0), ("0711", "711", 65534)):
        done = host.converge("pool", name=pool, permissions={"mode": mode, "owner": 0, "group": group})
        assert done.run.pending == set()
        assert host.sh(f"stat -c '%a %u %g' {place}").split() == [octal, "0", str(group)]
        assert done.after.value("pools", pool, "target/permissions/mode", "live") == f"0{octal}"
    assert host.sh(f"cat {place}/kept; stat -c %a {place}/kept").split() == ["data", "600"]
    host.sh(f"chmod 700 {place}; virsh -q pool-refresh {pool}")
    again = host.converge("pool", name=pool, permissions={"mode": "0711"})
    assert again.run.changes == {"permissions.mode": ("0700", "0711")}


def test_permissions_of_a_directory_that_is_there(host: Host, name: str) -> None:
    place = f"{AREA}/{name}"
    host.sh(f"mkdir -p {place}; echo data > {place}/kept")
    host.converge("pool", name=name, path=place, permissions={"mode": 0o750}, state="active")
    assert host.sh(f"stat -c %a {place}; cat {place}/kept").split() == ["750", "data"]


def test_what_others_put_into_a_pool_is_found(host: Host, pool: str, name: str) -> None:
    host.sh(f"qemu-img create -q -f qcow2 {AREA}/{name}/theirs.qcow2 1M")
    told, read, found = host.play(
        *(Task("pool", {"name": pool, "refresh": refresh}) for refresh in (False, True)),
        Task("volume", {"pool": pool, "name": "theirs.qcow2", "size": "1 MiB"}),
    )
    assert (told.changed, read.changed, found.changed) == (False, False, False)


ISCSI = {"hosts": [{"name": "iscsi.example.org", "port": 3261}], "devices": [{"path": "iqn.2026-01.org.example:a"}]}
KINDS: list[dict[str, Any]] = [
    {
        "type": "fs",
        "path": "/srv/p",
        "source": {"devices": [{"path": "/dev/nothing1"}], "format": "ext4", "vendor": "a", "product": "b"},
        "mount_options": ["noatime", "nodev"],
    },
    {
        "type": "netfs",
        "path": "/srv/p",
        "source": {"hosts": [{"name": "a"}], "dir": "/export/p", "format": "nfs", "protocol_version": "4.2"},
    },
    {"type": "logical", "source": {"devices": [{"path": "/dev/nothing2"}], "name": "vg0", "format": "lvm2"}},
    {"type": "disk", "path": "/dev", "source": {"devices": [{"path": "/dev/nothing3", "part_separator": False}]}},
    {
        "type": "iscsi",
        "path": "/dev/disk/by-path",
        "source": {**ISCSI, "auth": {"type": "chap", "username": "me", "secret_usage": "x"}},
    },
    {"type": "scsi", "path": "/dev/disk/by-path", "source": {"adapter": {"type": "scsi_host", "name": "scsi_host7"}}},
    {"type": "mpath", "path": "/dev/mapper"},
    {
        "type": "rbd",
        "source": {"hosts": [{"name": "a", "port": 6789}, {"name": "b"}], "name": "images"},
        "volume_allocation": "capacity",
        "config_options": [{"name": "client_mount_timeout", "value": "45"}],
    },
    {"type": "gluster", "source": {"hosts": [{"name": "a"}], "name": "images", "dir": "/p"}},
    {"type": "zfs", "source": {"name": "tank", "devices": [{"path": "/dev/nothing4"}]}},
    {"type": "iscsi-direct", "source": {**ISCSI, "initiator": "iqn.2026-01.org.example:host"}},
]


@pytest.mark.both
def test_every_kind_of_pool_is_defined_found_as_declared_and_exported(host: Host, name: str) -> None:
    """Kinds whose driver the host lacks are refused before anything is written."""
    first = host.play(*(Task("pool", {"name": f"{name}{number}", **item}) for number, item in enumerate(KINDS)))
    missing = [result.failed and "has no pools of type" in result.msg for result in first]
    there = [(f"{name}{number}", item) for number, item in enumerate(KINDS) if not missing[number]]
    assert [(result.changed, result.failed) for result in first if not result.failed] == [(True, False)] * len(there), [
        result.msg for result in first if result.failed
    ]
    # Debian 13 packages most of them apart.
    assert len(there) >= {"bookworm": 7}.get(host.release, 2), [result.msg for result in first if result.failed]
    again = [Task("pool", {"name": known, **item}) for known, item in there]
    *second, told = host.play(*again, Task("stack_info", {"pools": [known for known, _item in there]}))
    assert [(result.changed, result.failed) for result in second] == [(False, False)] * len(there)
    exported = told.data["stack"]["pools"]
    assert [item["xml"] for item in exported if "xml" in item] == []
    last = host.play(*(Task("pool", item) for item in exported))
    assert [(result.changed, result.failed) for result in last] == [(False, False)] * len(there)


def test_nothing_is_built_over_data(host: Host, name: str) -> None:
    """A pool that cannot be started is built only where that was asked for, and where its device holds nothing."""
    options = {
        "name": name,
        "type": "fs",
        "path": f"{AREA}/{name}",
        "source": {"devices": [{"path": f"{AREA}/{name}.img"}], "format": "ext4"},
        "state": "active",
    }
    host.sh(f"mkdir -p {AREA}; truncate -s 64M {AREA}/{name}.img; mke2fs -q -t ext4 {AREA}/{name}.img")
    before = host.sh(f"sha256sum {AREA}/{name}.img")
    for build in (False, True):
        (failed,) = host.play(Task("pool", {**options, "build": build}))
        assert failed.failed
        assert host.sh(f"sha256sum {AREA}/{name}.img") == before
    host.sh(f"rm {AREA}/{name}.img")


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({}, "path"),
    ({"path": "relative/path"}, "path"),
    ({"path": "/srv/x", "type": "tape"}, "tape"),
    ({"path": "/srv/x", "permissions": {"mode": 711}}, "'0711'"),
    ({"path": "/srv/x", "permissions": {"mode": "rwx"}}, "mode"),
    ({"type": "logical", "source": {"adapter": {"type": "scsi_host"}}}, "schema"),
    ({"path": "/srv/x", "stat": "active"}, "stat"),
    ({"path": "/srv/x", "uuid": "no-uuid"}, "uuid"),
    ({"xml": "<pool type='dir'>"}, "xml"),
    (
        {"xml": "<!DOCTYPE pool [<!ENTITY x SYSTEM 'file:///etc/hostname'>]><pool type='dir'><name>&x;</name></pool>"},
        "xml",
    ),
    ({"xml": "<network/>"}, "<pool>"),
]


def test_what_cannot_be_is_refused(host: Host, name: str) -> None:
    host.refuses("pool", [({"name": name, **options}, part) for options, part in REFUSED])


def test_a_pool_goes_with_its_data_only_when_told_and_when_nobody_misses_it(host: Host, pool: str, name: str) -> None:
    host.virsh(f"vol-create-as {pool} base.qcow2 1M --format qcow2")
    host.sh(f"echo precious > {AREA}/{name}/letter.txt")
    gone: dict[str, Any] = {"name": pool, "state": "absent", "remove_storage": True}
    host.refuses("pool", [(gone, "letter.txt")])
    host.sh(f"rm {AREA}/{name}/letter.txt && mkdir {AREA}/{name}/folder")
    assert "folder" in host.refused("pool", **gone)
    host.sh(f"rmdir {AREA}/{name}/folder")
    done = host.converge("pool", **gone)
    assert done.run.changes["data"] == (f"1 volumes in {AREA}/{name}", None)
    assert host.sh(f"ls -d {AREA}/{name} 2>&1 || true").strip().endswith("No such file or directory")
