# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole guests, as a user has them: booted, found, configured, rebooted, given another seed.

Each test goes on with the guests of the one before.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import HERE, Site

from ansible_collections.kvmfleet.libvirt.plugins.filter.kvmfleet import known_hosts

STACK: dict[str, Any] = {
    name: "{{ declared[inventory_hostname]." + name + " }}" for name in ("pools", "networks", "domains")
}
DECLARE = {"hosts": "kvm_hosts", "gather_facts": False, "tasks": [{"kvmfleet.libvirt.stack": STACK}]}


@pytest.fixture(scope="module")
def booted(site: Site) -> Site:
    """The guests after the playbook that boots, finds, configures and reboots them."""
    done = site.play(HERE / "site.yml", declared=site.declared())
    assert done.status == 0, done.output[-6000:]
    (site.folder / "first_known_hosts").write_text((site.folder / "known_hosts").read_text())
    return site


def told(site: Site, data: dict[str, Any], number: int) -> dict[str, Any]:
    """What a task told of a Debian."""
    return next(item for item in data["objects"] if (item["kind"], item["name"]) == ("domain", site.debian(number)))


def inside(site: Site, number: int, command: str) -> str:
    return site.hosts[number - 1].inside(site.debian(number), command).strip()


def test_a_play_boots_finds_configures_and_reboots_guests(booted: Site) -> None:
    for number in (1, 2):
        expected = f"itg-deb{number} at {booted.address(number)} of {booted.hosts[number - 1].name}"
        assert inside(booted, number, "cat /srv/over-agent") == expected
        assert inside(booted, number, "stat -c %U:%a /srv/over-agent /etc/over-ssh").split() == ["it:644", "root:600"]
        assert booted.hosts[number - 1].inside(f"itg-tiny{number}", "cat /tmp/name").strip() == f"itg-tiny{number}"
        # Nothing of the connection is left.
        assert inside(booted, number, "ls -A /tmp /run | grep -c kvmfleet") == "0"


def test_ssh_knows_the_guests_by_the_keys_that_their_agents_told(booted: Site) -> None:
    for number in (1, 2):
        assert booted.login(number, "hostname", booted.folder / "known_hosts") == booted.debian(number)
        assert booted.login(number, "hostname", Path("/dev/null")) == ""


def test_another_seed_waits_is_no_change_and_leaves_the_guest_alone(booted: Site) -> None:
    before = inside(booted, 1, "cat /proc/sys/kernel/random/boot_id")
    other = {1: {"user_data": {"write_files": [{"path": "/srv/new", "content": "x"}]}, "on_change": "new_instance"}}
    done = booted.play([DECLARE, DECLARE], declared=booted.declared(cloud_init=other))
    assert done.status == 0, done.output[-6000:]
    first, again = (task["result"] for task in done.tasks if task["host"] == booted.hosts[0].name)
    assert (first["changed"], again["changed"]) == (True, False)
    for data in (first, again):
        assert [change["path"] for change in told(booted, data, 1)["pending"]] == ["cloud_init"]
        assert told(booted, data, 1)["restart_required"]
    assert inside(booted, 1, "cat /proc/sys/kernel/random/boot_id") == before


def test_a_new_instance_is_one_and_a_failed_cloud_init_speaks_for_itself(booted: Site) -> None:
    """Both at once, one on each host."""
    instance = "cat /var/lib/cloud/data/instance-id"
    before = inside(booted, 1, instance)
    failing = {"runcmd": [["sh", "-c", "exit 7"]]}
    other: dict[int, dict[str, Any]] = {
        1: {"user_data": {"write_files": [{"path": "/srv/new", "content": "x"}]}, "on_change": "new_instance"},
        2: {"user_data": failing, "on_change": "new_instance"},
    }
    allowed = {number: {"restart": "if_needed"} for number in (1, 2)}
    done = booted.play([DECLARE], declared=booted.declared(cloud_init=other, domain=allowed))
    results = {task["host"]: task for task in done.tasks}
    good, bad = (results[host.name] for host in booted.hosts)
    assert good["status"] == "ok", good["result"]
    assert told(booted, good["result"], 1)["pending"] == []
    assert inside(booted, 1, instance) not in ("", before)
    assert inside(booted, 1, "cat /srv/new") == "x"
    # What was made in it is still there: no disk was made anew.
    assert inside(booted, 1, "cat /etc/over-ssh").startswith("itg-deb1")
    assert bad["status"] == "failed"
    assert f"guest {booted.debian(2)}: cloud-init failed: " in bad["result"]["msg"]
    assert "runcmd" in bad["result"]["msg"]
    # cloud-init made new host keys: the old ones are refused, the new ones known.
    fresh = booted.folder / "fresh_known_hosts"
    fresh.write_text("\n".join(known_hosts(good["result"])) + "\n")
    assert booted.login(1, "hostname", booted.folder / "first_known_hosts") == ""
    assert booted.login(1, "hostname", fresh) == booted.debian(1)


def test_a_lost_seed_is_made_again_for_the_same_instance(booted: Site) -> None:
    host = booted.hosts[0]
    volume = f"{booted.debian(1)}-seed.iso"
    kept = booted.folder / "kept.iso"
    seed = f"/srv/kvmfleet-test/itg/{volume}"
    kept.write_bytes(host.sh(f"base64 {seed}").encode())
    host.sh(f"rm {seed} && virsh -q pool-refresh itg")
    other = {1: {"user_data": {"write_files": [{"path": "/srv/new", "content": "x"}]}, "on_change": "new_instance"}}
    done = booted.play([DECLARE], declared=booted.declared(cloud_init=other))
    (result,) = (task["result"] for task in done.tasks if task["host"] == host.name)
    assert told(booted, result, 1)["pending"] == []
    assert host.sh(f"base64 {seed}").encode() == kept.read_bytes()
