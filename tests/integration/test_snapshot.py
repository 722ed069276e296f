# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots of guests."""

from __future__ import annotations

from typing import Any

import pytest
from fleet import AREA, Host, Task, until


def guest(host: Host, name: str, pool: str, **more: Any) -> str:
    """A running guest of the test's own with a disk of 8 MiB."""
    disks = [{"target": "vda", "size": "8 MiB", "pool": pool}]
    small = {"memory": "64 MiB", "vcpus": 1, "virt_type": "qemu"}
    host.run("domain", name=f"{name}g", disks=disks, state="running", **{**small, **more})
    return f"{name}g"


def test_internal_snapshots(host: Host, name: str, pool: str) -> None:
    domain = guest(host, name, pool)
    first = {"domain": domain, "name": "first"}
    made = host.converge("snapshot", **first, description="as it was")
    assert made.run.changes["memory"] == (None, "internal")
    host.run("snapshot", domain=domain, name="second")
    told = host.run("snapshot", **first, type="external")
    assert (told.changed, told.pending) == (False, {"type"})
    assert "snapshot " + domain + "/first was made otherwise" in told.msg

    assert "discard" in host.refused("snapshot", **first, state="reverted")
    host.virsh(f"destroy {domain}")
    check, back = host.play(
        *(Task("snapshot", {**first, "state": "reverted", "discard": True}, c) for c in (True, False))
    )
    assert not back.failed, back.data
    assert check.prediction() == back.prediction()
    assert host.see().state(domain) == "running"

    host.converge("snapshot", **first, state="absent")
    assert host.virsh(f"snapshot-list --name {domain}").split() == ["second"]
    host.virsh(f"destroy {domain}")
    host.converge("snapshot", domain=domain, name="off")
    host.run("snapshot", domain=domain, name="later")
    gone = host.converge("snapshot", domain=domain, name="off", state="absent", children=True)
    assert gone.run.changes["children"] == (["later"], None)
    assert host.virsh(f"snapshot-list --name {domain}").split() == ["second"]


@pytest.mark.both
def test_external_snapshots(host: Host, name: str, pool: str, tiny: dict[str, Any]) -> None:
    domain = guest(host, name, pool, **tiny, channels=[{"name": "org.qemu.guest_agent.0"}])
    until(
        lambda: host.virsh(f'qemu-agent-command {domain} \'{{"execute":"guest-ping"}}\'', check=False), "the agent", 60
    )
    base = f"{AREA}/{name}/{domain}-vda.qcow2"
    # The volume grows under the guest: its kernel sees that, and it has run on.
    up = float(host.inside(domain, "cat /proc/uptime").split()[0])
    host.converge("volume", name=f"{domain}-vda.qcow2", pool=pool, size="16 MiB")
    seen = host.inside(domain, "cat /sys/block/vda/size /proc/uptime").split()
    assert int(seen[0]) * 512 == 16 << 20
    assert float(seen[1]) > up
    host.converge("snapshot", domain=domain, name="rest", disk_only=True, quiesce=True)
    on_top = host.see().domain(domain, "devices/disk/source/@file", "live")
    assert on_top != base
    refusal = host.refused("volume", name=f"{domain}-vda.qcow2", pool=pool, state="absent")
    assert domain in refusal
    whole = host.converge("snapshot", domain=domain, name="whole", type="external", directory=f"{AREA}/{name}")
    assert whole.run.changes["memory"] == (None, "external")
    assert f"{domain}.whole.memory" in host.sh(f"ls {AREA}/{name}").split()
    revert = {"domain": domain, "name": "rest", "state": "reverted", "discard": True}
    if host.release == "bookworm":
        assert "9.9" in host.refused("snapshot", **revert)
        host.converge("snapshot", domain=domain, name="rest", state="absent")
        host.converge("snapshot", domain=domain, name="whole", state="absent")
        assert host.see().domain(domain, "devices/disk/source/@file", "live") == base
        assert host.see().state(domain) == "running"
    else:
        # Somebody went back to it in every other second: libvirt would give the overlay a name that is taken.
        taken = f"n=$(date +%s); for k in $(seq 0 2 120); do printf x > {domain}-vda.$((n - n % 2 + k)); done"
        host.sh(f"cd {AREA}/{name} && {taken}")
        host.run("snapshot", **revert)
        assert host.see().domain(domain, "devices/disk/source/@file") not in (base, on_top)


def test_what_cannot_be_is_refused(host: Host, name: str, pool: str) -> None:
    domain = guest(host, name, pool)
    host.refuses(
        "snapshot",
        [
            ({"domain": "nobody", "name": "a"}, "nobody is not there"),
            ({"domain": domain, "name": "a", "quiesce": True}, "disk_only"),
            ({"domain": domain, "name": "a", "disk_only": True, "type": "internal"}, "external"),
            ({"domain": domain, "name": "a", "disks": ["vdz"]}, "vdz"),
            ({"domain": domain, "name": "a", "state": "reverted", "discard": True}, "is not there"),
        ],
    )
