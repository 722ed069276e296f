# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests that run the tiny Linux of the lab: what they see and do when their declaration changes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from fleet import AREA, Host, Result, Seen, Task, until

READY: dict[str, Any] = {"agent": True, "timeout": 120}


def sizes(host: Host, guest: str) -> dict[str, int]:
    """The disks that a guest sees, with their sizes in bytes."""
    lines = host.inside(guest, "for d in /sys/block/[vs]d*; do echo ${d##*/} $(cat $d/size); done 2>/dev/null").split()
    return {key: int(count) * 512 for key, count in zip(lines[::2], lines[1::2]) if not key.endswith("*")}


def macs(host: Host, guest: str) -> list[str]:
    """The network interfaces that a guest sees."""
    return sorted(host.inside(guest, "cat /sys/class/net/e*/address 2>/dev/null").split())


def interfaces(seen: Seen, guest: str, view: str) -> list[tuple[str | None, str | None]]:
    """The MAC and PCI addresses (bus) of a guest's interfaces."""
    nodes = seen.xml("domains", guest, view).findall("devices/interface")
    return [(node.find("mac").get("address"), node.find("address").get("bus")) for node in nodes]  # type: ignore[union-attr]


def boot(host: Host, guest: str) -> str:
    """What tells one boot of a guest from another."""
    return host.inside(guest, "cat /proc/sys/kernel/random/boot_id").strip()


@pytest.mark.both
def test_a_running_guest_is_changed_while_it_runs(
    host: Host, name: str, pool: str, net: str, subnet: str, tiny: dict[str, Any]
) -> None:
    """Disks and interfaces come and go, a disk grows, an address moves: the guest sees it and is not disturbed."""
    disk = {"target": "vda", "size": "4 MiB", "pool": pool}
    first: dict[str, Any] = {"network": net, "address": f"{subnet}.10"}
    fields: dict[str, Any] = {**tiny, "disks": [disk], "interfaces": [first], "title": "one"}
    ready: dict[str, Any] = {"state": "running", "wait_for": {**READY, "address": True}}
    made = host.converge("domain", name=name, **fields, **ready)
    own = made.run.objects[f"domain {name}"]
    assert own["state"] == "running"
    assert f"{subnet}.10" in own["addresses"]
    started, number = boot(host, name), made.after.all["domains"][name]["id"]
    (mac,) = macs(host, name)
    assert sizes(host, name) == {"vda": 4 << 20}

    def change(**options: Any) -> tuple[Result, Seen]:
        done = host.converge("domain", name=name, **options)
        assert done.run.pending == set(), done.run.data
        assert done.after.all["domains"][name]["id"] == number
        assert boot(host, name) == started
        return done.run, done.after

    second = {"target": "vdb", "size": "2 MiB", "pool": pool}
    _run, seen = change(disks=[disk, second], title="two")
    assert until(lambda: len(sizes(host, name)) == 2, "the guest sees the second disk")
    for view in ("inactive", "live"):
        assert len(seen.xml("domains", name, view).findall("devices/disk")) == 2
        assert seen.domain(name, "title", view) == "two"
    disk["size"] = "8 MiB"
    _run, seen = change(disks=[disk, second])
    assert until(lambda: sizes(host, name)["vda"] == 8 << 20, "the guest sees the first disk grown")
    _run, seen = change(disks=[disk])
    assert sizes(host, name) == {"vda": 8 << 20}
    assert f"{pool}/{name}-vdb.qcow2" in seen.all["volumes"], "a disk that leaves the guest keeps its data"

    _run, seen = change(interfaces=[first, {"network": net, "name": "second"}])
    assert until(lambda: len(macs(host, name)) == 2, "the guest sees the second interface")
    places = [interfaces(seen, name, view) for view in ("inactive", "live")]
    assert places[0] == places[1], "at the next start the guest finds its interfaces at the same places"
    change(interfaces=[first])
    assert macs(host, name) == [mac]

    _run, seen = change(interfaces=[{**first, "address": f"{subnet}.20"}])
    for view in ("inactive", "live"):
        assert seen.network(net, "ip/dhcp/host/@ip", view) == f"{subnet}.20"
    host.inside(
        name, "udhcpc -n -q -t 5 -i eth0 >/dev/null 2>&1 || udhcpc -n -q -i $(ls /sys/class/net | grep ^e) 2>&1"
    )
    until(lambda: f"{subnet}.20" in host.virsh(f"net-dhcp-leases {net}"), "the guest leases its new address")

    done = host.converge("domain", name=name, state="stopped", timeout=30)
    assert done.after.state(name) == "shut off"


def test_media_password_and_memory_of_a_running_guest(host: Host, name: str, pool: str, tiny: dict[str, Any]) -> None:
    """What can be changed without the guest noticing, or only by its leave."""
    for volume in ("one.iso", "two.iso"):
        host.virsh(f"vol-create-as {pool} {volume} 1M --format raw")
    media = {"target": "sda", "device": "cdrom", "volume": "one.iso", "pool": pool}
    graphics = {"type": "vnc", "listen": "127.0.0.1", "password": "Fir5tPw"}
    fields: dict[str, Any] = {
        **tiny,
        "disks": [media],
        "graphics": [graphics],
        "state": "running",
        "wait_for": READY,
    }
    host.converge("domain", name=name, **fields)
    number = host.see().all["domains"][name]["id"]

    done = host.converge("domain", name=name, disks=[{**media, "volume": "two.iso"}])
    for view in ("inactive", "live"):
        assert done.after.domain(name, "devices/disk/source/@file", view) == f"{AREA}/{name}/two.iso"
    done = host.converge("domain", name=name, graphics=[{**graphics, "password": "Sec0ndPw"}])
    assert done.run.pending == set()
    for view in ("inactive", "live"):
        assert done.after.domain(name, "devices/graphics/@passwd", view) == "Sec0ndPw"
    done = host.converge("domain", name=name, current_memory="192 MiB")
    for view in ("inactive", "live"):
        assert done.after.domain(name, "currentMemory", view) == str(192 << 10)
    assert done.after.all["domains"][name]["id"] == number


def test_a_change_that_needs_it_restarts_the_guest_by_its_power_button(
    host: Host, name: str, tiny: dict[str, Any]
) -> None:
    fields: dict[str, Any] = {**tiny, "state": "running", "wait_for": READY}
    host.run("domain", name=name, **fields)
    before = boot(host, name)
    done = host.converge("domain", name=name, **{**fields, "vcpus": 2}, restart="if_needed", timeout=60)
    assert done.run.pending == set()
    assert done.after.domain(name, "vcpu", "live") == "2"
    assert boot(host, name) != before
    assert host.inside(name, "nproc").strip() == "2"
    again = host.run("domain", name=name, state="restarted", timeout=60, wait_for=READY)
    assert again.changed
    assert boot(host, name) != before


def test_waiting_in_vain_says_for_what_and_what_is_known(host: Host, name: str, net: str, tiny: dict[str, Any]) -> None:
    """One booted and its network is unplugged, one has nothing to boot, one was paused by somebody, and one has its
    channel from the next start on: it is not waited for.
    """
    small = {"memory": "64 MiB", "virt_type": "qemu", "interfaces": [{"network": net}], "state": "running"}
    plugged_off = {"interfaces": [{"network": net, "link": "down", "mac": "52:54:00:12:34:56"}], "state": "running"}
    talks = {**tiny, "cmdline": tiny["cmdline"].replace("quiet ", ""), "serials": [{"log": f"{AREA}/{name}.log"}]}
    deaf = f"<domain type='qemu'><name>{name}d</name><memory unit='MiB'>64</memory><os><type>hvm</type></os></domain>"
    host.put(f"{AREA}/{name}.xml", deaf.encode())
    host.sh(f"virsh -q define {AREA}/{name}.xml && virsh -q start {name}d")
    host.put(
        f"{AREA}/{name}.xml", b"<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"
    )
    host.virsh(f"attach-device {name}d {AREA}/{name}.xml --config")
    waiting = host.begin(
        Task(
            "stack",
            {
                "domains": [
                    {"name": f"{name}a", **talks, **plugged_off, "wait_for": {"address": True, "timeout": 25}},
                    {"name": f"{name}b", **small, "wait_for": {"agent": True, "ssh": True, "timeout": 8}},
                    {"name": f"{name}c", **small, "wait_for": {"agent": True, "timeout": 25}},
                    {"name": f"{name}d", "state": "running", "wait_for": {"agent": True, "timeout": 500}},
                ]
            },
        )
    )
    until(lambda: host.virsh("list --name").split().count(f"{name}c"), "the guest runs")
    # Not before the run has seen that what it did is so.
    time.sleep(8)
    host.virsh(f"suspend {name}c")
    waiting.communicate(timeout=120)
    said = Path(waiting.args[-1]).with_suffix(".jsonl").read_text(encoding="utf-8")  # type: ignore[index,arg-type]
    expected = {
        "a has no address after 25 s": "none of this host's networks gave one to 52:54:00:12:34:56; ",
        "b has no answer of its agent and no answer of ssh on port 22 after 8 s": "its agent is not connected; is q",
        "c has no answer of its agent after 25 s": "it is paused, not running",
        "d": "it has no channel org.qemu.guest_agent.0 for its agent",
    }
    for what, why in expected.items():
        assert f"guest {name}{what}: {why}" in said, said
    for why in ("in the guest?; there is no address at which ssh could answer", "; the last line of its console is '"):
        assert why in said, said


def test_two_guests_at_once(host: Host, name: str, net: str, subnet: str, tiny: dict[str, Any]) -> None:
    domains = [
        {
            "name": f"{name}{letter}",
            **tiny,
            "interfaces": [{"network": net, "address": f"{subnet}.{10 + place}"}],
            "state": "running",
            "wait_for": {"address": True, "timeout": 120},
        }
        for place, letter in enumerate("ab")
    ]
    done = host.converge("stack", domains=domains)
    found = {item["name"]: item["addresses"] for item in done.run.data["objects"] if item["kind"] == "domain"}
    assert found == {f"{name}a": [f"{subnet}.10"], f"{name}b": [f"{subnet}.11"]}
    both = host.converge(
        "stack", domains=[{"name": item["name"], "state": "stopped", "timeout": 60} for item in domains]
    )
    assert {both.after.state(item["name"]) for item in domains} == {"shut off"}


def test_a_guest_is_saved_and_restored_where_it_was(host: Host, name: str, tiny: dict[str, Any]) -> None:
    """Its memory survives, what is declared meanwhile waits, and a stopped guest is not woken to be stopped."""
    host.run("domain", name=name, **tiny, state="running", wait_for=READY)
    before = boot(host, name)
    saved = host.converge("domain", name=name, state="saved")
    assert saved.run.only["state"] == "saved"
    assert "managed save" in host.virsh(f"dominfo {name}").lower()
    waits = host.converge("domain", name=name, vcpus=2)
    assert waits.run.pending == {"vcpus"}, "the image holds the old definition"
    host.converge("domain", name=name, changed=False, state="stopped", vcpus=2)
    host.run("domain", name=name, state="running", wait_for=READY)
    assert boot(host, name) == before
    again = host.run("domain", name=name, vcpus=2)
    assert (again.changed, again.pending) == (False, {"vcpus"})
    off = host.run("domain", name=name, state="stopped", timeout=60)
    assert off.changed
    assert "cannot be saved" in host.refused("domain", name=name, state="saved")


def test_a_guest_that_sleeps_is_woken(host: Host, name: str, tiny: dict[str, Any]) -> None:
    """It went to sleep by itself; running means that it is awake, and it goes on where it was."""
    host.run("domain", name=name, **tiny, state="running", wait_for=READY)
    before = boot(host, name)
    host.inside(name, "(sleep 1; echo mem > /sys/power/state) >/dev/null 2>&1 &")
    until(lambda: host.see().state(name) == "pmsuspended", "the guest sleeps", 60)
    host.converge("domain", name=name, changed=False)
    host.converge("domain", name=name, state="running")
    host.run("domain", name=name, wait_for=READY)
    assert boot(host, name) == before


def test_what_others_attached_stays_or_goes_as_declared(
    host: Host, name: str, pool: str, net: str, tiny: dict[str, Any]
) -> None:
    fields = {"disks": [{"target": "vda", "size": "2 MiB", "pool": pool}], "interfaces": [{"network": net}]}
    host.run("domain", name=name, **tiny, **fields, state="running", wait_for=READY)
    number = host.see().all["domains"][name]["id"]
    host.virsh(f"vol-create-as {pool} other.img 1M --format raw")
    host.virsh(f"attach-disk {name} {AREA}/{name}/other.img vdc --subdriver raw --live --config")
    host.virsh(f"attach-interface {name} network {net} --model virtio --live --config")
    left = host.converge("domain", name=name, changed=False, **fields)
    assert len(left.run.objects[f"domain {name}"]["undeclared"]) == 2
    done = host.converge("domain", name=name, **fields, exclusive=["disks", "interfaces"])
    assert done.run.pending == set()
    for view in ("inactive", "live"):
        devices = done.after.xml("domains", name, view)
        assert [len(devices.findall(f"devices/{tag}")) for tag in ("disk", "interface")] == [1, 1]
    assert done.after.all["domains"][name]["id"] == number
    assert f"{pool}/other.img" in done.after.all["volumes"], "what is taken out of a guest keeps its data"
    (refused,) = host.play(Task("domain", {"name": name, "exclusive": ["disks"]}))
    assert "disks is not declared" in refused.msg


def test_a_definition_that_cannot_be_carried_out_is_put_back(host: Host, name: str, tiny: dict[str, Any]) -> None:
    """A device that cannot be attached, and a restart that fails, leave a guest that runs as it was defined before."""
    host.run("domain", name=name, **tiny, state="running", wait_for=READY)
    before = host.see()
    # What is missing is seen beforehand. Of a link to itself nobody can tell but who opens it.
    host.sh(f"for n in gone.img none; do ln -s {name}-$n {AREA}/{name}-$n; done")
    gone = {"target": "vdb", "file": f"{AREA}/{name}-gone.img", "format": "raw"}
    failed, seen = host.play(
        Task("domain", {"name": name, "disks": [gone]}), Task("ansible.builtin.raw", {"cmd": "true"})
    )
    assert failed.failed, seen
    assert f"{name}-gone.img" in failed.msg
    assert "the previous definition was put back" in failed.msg
    after = host.see()
    assert after.all["domains"][name] == before.all["domains"][name]
    options = {"kernel": f"{AREA}/{name}-none", "restart": "if_needed", "timeout": 60}
    (failed,) = host.play(Task("domain", {"name": name, **options}))
    assert failed.failed
    assert "and the domain started with it" in failed.msg, failed.msg
    after = host.see()
    assert after.state(name) == "running"
    assert after.domain(name, "os/kernel") == tiny["kernel"]


def test_settings_of_a_running_guest(host: Host, name: str, tiny: dict[str, Any]) -> None:
    """Processors, pins, I/O threads, metadata and what happens at its end change while it runs, in both definitions."""
    fields: dict[str, Any] = {**tiny, "vcpus": 2, "vcpu_current": 1, "iothreads": 1}
    host.run("domain", name=name, **fields, state="running", wait_for=READY)
    before, number = boot(host, name), host.see().all["domains"][name]["id"]
    note = '<shop:owner xmlns:shop="urn:example:shop"><shop:name>{}</shop:name></shop:owner>'
    changes: list[tuple[dict[str, Any], str, str]] = [
        ({"vcpu_current": 2}, "vcpu/@current", "2"),
        ({"cputune": {"vcpupin": [{"vcpu": 0, "cpuset": "0"}]}}, "cputune/vcpupin/@cpuset", "0"),
        ({"cputune": {"emulatorpin": "1"}}, "cputune/emulatorpin/@cpuset", "1"),
        ({"iothread_ids": [{"id": 1}, {"id": 2}]}, "iothreads", "2"),
        ({"on_reboot": "destroy"}, "on_reboot", "destroy"),
        ({"on_crash": "preserve"}, "on_crash", "preserve"),
        ({"metadata": [note.format("a")]}, "metadata/{urn:example:shop}owner/{urn:example:shop}name", "a"),
        ({"metadata": [note.format("b")]}, "metadata/{urn:example:shop}owner/{urn:example:shop}name", "b"),
    ]
    for options, path, value in changes:
        done = host.converge("domain", name=name, **options)
        assert (done.run.pending, done.run.only.get("declined")) == (set(), None), done.run.data
        found = [done.after.domain(name, path, view) for view in ("inactive", "live")]
        # All processors in use are written as no number of those that are.
        assert found in ([value, value], [None, None] if path == "vcpu/@current" else []), (options, found)
        assert done.after.all["domains"][name]["id"] == number
    assert host.inside(name, "cat /sys/devices/system/cpu/present").strip() == "0-1"
    assert boot(host, name) == before


def test_devices_of_a_running_guest(host: Host, name: str, pool: str, net: str, tiny: dict[str, Any]) -> None:
    """Limits of a disk, links, statistics and whole devices change while it runs, in both definitions."""
    disk = {"target": "vda", "size": "2 MiB", "pool": pool}
    link = {"network": net, "name": "first"}
    fields: dict[str, Any] = {**tiny, "disks": [disk], "interfaces": [link], "memballoon": {"model": "virtio"}}
    host.run("domain", name=name, **fields, state="running", wait_for=READY)
    before, number = boot(host, name), host.see().all["domains"][name]["id"]
    second = {"model": "virtio", "backend": "random", "source": "/dev/random"}
    first = {"model": "virtio", "backend": "random", "source": "/dev/urandom"}
    changes: list[tuple[dict[str, Any], str, str | None]] = [
        (
            {"disks": [{**disk, "iotune": {"total_bytes_sec": 1 << 20}}]},
            "devices/disk/iotune/total_bytes_sec",
            "1048576",
        ),
        (
            {"disks": [{**disk, "iotune": {"read_iops_sec": 100, "total_bytes_sec": 0}}]},
            "devices/disk/iotune/read_iops_sec",
            "100",
        ),
        ({"interfaces": [{**link, "link": "down"}]}, "devices/interface/link/@state", "down"),
        ({"interfaces": [{**link, "link": "up"}]}, "devices/interface/link/@state", "up"),
        ({"memballoon": {"stats_period": 10}}, "devices/memballoon/stats/@period", "10"),
        ({"rngs": [first, second]}, "devices/rng[2]/backend", "/dev/random"),
        (
            {"channels": [{"name": "org.qemu.guest_agent.0"}, {"name": "org.example.0"}]},
            "devices/channel[2]/target/@name",
            "org.example.0",
        ),
    ]
    for options, path, value in changes:
        done = host.converge("domain", name=name, **options)
        told = done.run.objects[f"domain {name}"]
        assert (done.run.pending, told.get("declined")) == (set(), None), done.run.data
        found = [done.after.domain(name, path, view) for view in ("inactive", "live")]
        assert found == [value, value], (options, found)
        assert done.after.all["domains"][name]["id"] == number
    assert boot(host, name) == before
