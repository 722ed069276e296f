# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests that sleep, crashed, have no definition that lasts, or are held by a job of somebody else's.

They run nothing: what a kernel would do to its machine, QEMU's monitor does by writing to the same I/O ports.
"""

from __future__ import annotations

from typing import Any

import pytest
from fleet import AREA, Host, Task, until

SMALL: dict[str, Any] = {"memory": "64 MiB", "vcpus": 1, "virt_type": "qemu"}
FORCED: dict[str, Any] = {"timeout": 1, "force": True}
SLEEP = "o /h 0x604 0x2401"
"""ACPI's S3 of a Q35: sleep type 1 and sleep enable in PM1a control, where the firmware places it."""
PANIC = "o /b 0x505 1"
"""What a kernel tells pvpanic when it dies."""


def write(host: Host, guest: str, port: str, state: str) -> None:
    """Have a guest write to a port until it is in this state."""

    def done() -> bool:
        host.virsh(f"qemu-monitor-command {guest} --hmp '{port}'", check=False)
        return host.virsh(f"domstate {guest}") == state

    until(done, f"guest {guest} is {state}")


@pytest.mark.both
def test_a_guest_that_sleeps(host: Host, name: str) -> None:
    """It is left asleep where nothing else is declared, woken for what it is to do, and heard of with its state."""
    fields = {**SMALL, "pm": {"suspend_to_mem": True}}
    host.run("domain", name=name, **fields, state="running")
    write(host, name, SLEEP, "pmsuspended")
    left = host.converge("domain", changed=False, name=name, **fields)
    assert left.run.only["state"] == "pmsuspended"
    woken = host.converge("domain", name=name, title="awake", state="running")
    assert woken.run.changes == {"title": (None, "awake"), "state": ("pmsuspended", "running")}
    assert woken.after.state(name) == "running"
    assert woken.after.domain(name, "title", "live") == "awake"

    write(host, name, SLEEP, "pmsuspended")
    assert host.converge("domain", name=name, state="paused").after.state(name) == "paused"
    host.virsh(f"resume {name}")
    write(host, name, SLEEP, "pmsuspended")
    number = host.see().all["domains"][name]["id"]
    host.run("domain", name=name, state="reset")
    seen = host.see()
    assert (seen.state(name), seen.all["domains"][name]["id"]) == ("running", number)

    write(host, name, SLEEP, "pmsuspended")
    again = host.converge("domain", name=name, vcpus=2, state="running", restart="if_needed", **FORCED)
    assert again.run.pending == set()
    assert again.after.domain(name, "vcpu", "live") == "2"
    write(host, name, SLEEP, "pmsuspended")
    assert name not in host.converge("domain", name=name, state="absent", **FORCED).after.all["domains"]


@pytest.mark.both
def test_a_guest_that_crashed(host: Host, name: str) -> None:
    """It is left for whoever looks into it, until its declaration says what is to become of it."""
    fields = {**SMALL, "panics": [{"model": "isa"}], "on_crash": "preserve"}
    host.run("domain", name=name, **fields, state="running")
    write(host, name, PANIC, "crashed")
    number = host.see().all["domains"][name]["id"]
    left = host.converge("domain", name=name, vcpus=2)
    assert (left.run.only["state"], left.run.pending) == ("crashed", set())
    reset = host.run("domain", name=name, state="reset")
    assert reset.changes == {"state": ("crashed", "running")}
    seen = host.see()
    assert (seen.state(name), seen.all["domains"][name]["id"]) == ("running", number)
    assert host.run("domain", name=name, vcpus=2).pending == {"vcpus"}

    write(host, name, PANIC, "crashed")
    assert "cannot be saved" in host.refused("domain", name=name, state="saved")
    begun = host.converge("domain", name=name, state="running")
    assert begun.after.all["domains"][name]["id"] != number
    assert (begun.after.state(name), begun.after.domain(name, "vcpu", "live")) == ("running", "2")
    for state, after in (("stopped", "shut off"), ("absent", None)):
        host.run("domain", name=name, state="running")
        write(host, name, PANIC, "crashed")
        assert host.converge("domain", name=name, state=state).after.state(name) == after


def test_a_transient_guest_is_not_lost(host: Host, name: str) -> None:
    """Whoever stops it, or starts it anew, has a definition of it before."""
    text = f"<domain type='qemu'><name>{name}</name><memory unit='MiB'>64</memory><os><type>hvm</type></os></domain>"
    host.put(f"{AREA}/{name}.xml", text.encode())
    for state, after in (("stopped", "shut off"), ("restarted", "running")):
        host.virsh(f"create {AREA}/{name}.xml")
        assert host.converge("domain", changed=False, name=name, state="running").run.only["state"] == "running"
        run = host.run("domain", name=name, state=state, **FORCED)
        assert run.changes["persistent"] == (False, True)
        seen = host.see()
        assert (seen.state(name), seen.all["domains"][name]["persistent"]) == (after, True)
        host.run("domain", name=name, state="absent", **FORCED)
    host.virsh(f"create {AREA}/{name}.xml")
    assert name not in host.converge("domain", name=name, state="absent", **FORCED).after.all["domains"]


def test_a_disk_that_is_being_copied_is_waited_for(host: Host, name: str, pool: str) -> None:
    """Until the job has ended, or the guest's deadline is over; then all is as it was, and the error says why."""
    disks = [{"target": "vda", "size": "1 MiB", "pool": pool}]
    extra = {"target": "sda", "bus": "usb", "format": "raw", "size": "1 MiB", "pool": pool}
    host.run("domain", name=name, **SMALL, disks=[*disks, extra], state="running")
    copy = f"{AREA}/{name}/copy.raw"
    host.virsh(f"blockcopy {name} sda {copy} --format raw --transient-job")
    until(lambda: "Copy" in host.virsh(f"blockjob {name} sda --raw"), "the disk is being copied")
    task = Task("domain", {"name": name, "disks": disks, "timeout": 2})
    (late,) = host.play(task)
    assert late.failed
    assert "active block job" in late.msg
    assert "another job" in late.msg
    assert "previous definition was put back" in late.msg
    assert len(host.see().xml("domains", name).findall("devices/disk")) == 2
    host.sh(f"(sleep 6; virsh blockjob {name} sda --abort) >/dev/null 2>&1 &")
    run = host.run("domain", name=name, disks=disks, timeout=60)
    assert (run.changed, run.pending, run.objects[f"domain {name}"].get("declined")) == (True, set(), None)
    seen = host.see()
    assert [len(seen.xml("domains", name, view).findall("devices/disk")) for view in ("inactive", "live")] == [1, 1]
