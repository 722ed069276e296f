# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pools."""

from __future__ import annotations

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


REFUSED: list[tuple[dict[str, str], str]] = [
    ({}, "path"),
    ({"path": "relative/path"}, "path"),
    ({"path": "/srv/x", "type": "zfs"}, "zfs"),
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
