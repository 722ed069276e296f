# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every option whose change the table calls live, changed on one guest that runs: it is so in both definitions, or the
guest's refusal is told as pending; a second run does nothing; the guest goes on undisturbed.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from fleet import AREA, LOOK, Host, Result, Seen, Task

from ansible_collections.kvmfleet.libvirt.plugins.module_utils.spec.field import walk
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.spec.kinds import KIND

READY: dict[str, Any] = {"agent": True, "timeout": 120}
NOTE = '<shop:owner xmlns:shop="urn:example:shop"><shop:name>live</shop:name></shop:owner>'

# What the lab has not: devices of the host to hand over, a display that takes redirected ones, a lock manager, a bridge
# that knows VLANs, a macvtap device, a network with bandwidth to guarantee, and a /sys in which ports can be isolated.
NOT_IN_THE_LAB = (
    "hostdevs",
    "redirdevs",
    "leases",
    "interfaces[].vlan",
    "interfaces[].trust_guest_rx_filters",
    "interfaces[].bandwidth.inbound.floor",
    "interfaces[].isolated",
)


class Step(NamedTuple):
    """Options that are declared together, and where they stand in the definition. may_wait: whether this lab's kernel
    or guest lacks what it takes (a CPU controller, a scheduler for traffic, a driver), so that it may be declined.
    """

    options: dict[str, Any]
    paths: tuple[str, ...]
    may_wait: bool = False


def steps(pool: str, net: str, other: str) -> Iterator[Step]:
    yield Step({"title": "live", "description": "live", "metadata": [NOTE]}, ("title", "description"))
    yield Step({"on_crash": "preserve", "on_poweroff": "restart"}, ("on_crash", "on_poweroff"))
    yield Step({"on_poweroff": "destroy", "on_reboot": "destroy"}, ("on_poweroff", "on_reboot"))
    yield Step({"current_memory": "192 MiB"}, ("currentMemory",))
    yield Step({"vcpu_current": 2}, ("vcpu",), may_wait=True)
    yield Step({"iothreads": 2}, ("iothreads",))
    thread = {"id": 1, "poll_max": 65536, "poll_grow": 4, "poll_shrink": 2, "thread_pool_min": 1, "thread_pool_max": 8}
    yield Step({"iothread_ids": [thread, {"id": 2}]}, ("iothreads",), may_wait=True)
    pins = {
        "vcpupin": [{"vcpu": 0, "cpuset": "0"}],
        "emulatorpin": "1",
        "iothreadpin": [{"iothread": 1, "cpuset": "1"}],
    }
    yield Step({"cputune": pins}, ("cputune/vcpupin", "cputune/emulatorpin", "cputune/iothreadpin"))
    quotas = {
        f"{whose}{what}": 100000 for whose in ("", "global_", "emulator_", "iothread_") for what in ("period", "quota")
    }
    yield Step({"cputune": {"shares": 512, **quotas}}, ("cputune/shares", "cputune/quota"), may_wait=True)
    memory = {"hard_limit": "900 MiB", "soft_limit": "800 MiB", "swap_hard_limit": "1 GiB"}
    yield Step({"memtune": memory}, ("memtune",), may_wait=True)
    yield Step({"numatune": {"nodeset": "0"}}, ("numatune",), may_wait=True)
    yield Step({"blkiotune": {"weight": 500}}, ("blkiotune/weight",), may_wait=True)
    limits = {f"{way}_{what}_sec": 1000 for way in ("read", "write") for what in ("bytes", "iops")}
    device = {"path": "/dev/loop0", "weight": 300, **limits}
    yield Step({"blkiotune": {"devices": [device]}}, ("blkiotune/device",), may_wait=True)
    yield Step({"perf_events": {"cpu_clock": True}}, ("perf",), may_wait=True)
    yield from _disks(pool)
    yield from _interfaces(net, other)
    yield from _devices(pool)


def _disks(pool: str) -> Iterator[Step]:
    disk = {"target": "vda", "size": "2 MiB", "pool": pool}
    first = {"target": "sda", "device": "cdrom", "file": f"{folder(pool)}/one.iso"}
    single: dict[str, Any] = {"size_iops_sec": 4096}
    for name in (f"{way}_{what}_sec" for way in ("read", "write") for what in ("bytes", "iops")):
        single.update({name: 1 << 20, f"{name}_max": 2 << 20, f"{name}_max_length": 3})
    yield Step({"disks": [{**disk, "iotune": single}, first]}, ("devices/disk/iotune",))
    total: dict[str, Any] = {"group_name": "together"}
    for name in ("total_bytes_sec", "total_iops_sec"):
        total.update({name: 1 << 20, f"{name}_max": 2 << 20, f"{name}_max_length": 3})
    yield Step({"disks": [{**disk, "iotune": total}, first]}, ("devices/disk/iotune",))
    second = {"target": "vdb", "size": "1 MiB", "pool": pool}
    yield Step({"disks": [{**disk, "iotune": total}, first, second]}, ("devices/disk/target",))
    media = {**first, "file": f"{folder(pool)}/two.iso"}
    yield Step({"disks": [{**disk, "iotune": total}, media, second]}, ("devices/disk/source",))
    missing = {**media, "startup_policy": "optional"}
    yield Step({"disks": [{**disk, "iotune": total}, missing, second]}, ("devices/disk/source",))


def _interfaces(net: str, other: str) -> Iterator[Step]:
    link: dict[str, Any] = {"network": net, "name": "first"}
    yield Step({"interfaces": [{**link, "link": "down"}]}, ("devices/interface/link",))
    yield Step({"interfaces": [{**link, "link": "up"}]}, ("devices/interface/link",))
    filtered = {"filter": "clean-traffic", "filter_parameters": [{"name": "IP", "value": "10.9.9.9"}]}
    yield Step({"interfaces": [{**link, **filtered}]}, ("devices/interface/filterref",), may_wait=True)
    yield Step({"interfaces": [{**link, "coalesce": 5}]}, ("devices/interface/coalesce",), may_wait=True)
    inbound = {"average": 1000, "peak": 2000, "burst": 512}
    bandwidth = {"inbound": {**inbound}, "outbound": inbound}
    yield Step({"interfaces": [{**link, "bandwidth": bandwidth}]}, ("devices/interface/bandwidth",), may_wait=True)
    yield Step({"interfaces": [{**link, "network": other}]}, ("devices/interface/source",))
    yield Step({"interfaces": [{"bridge": f"{net[:-1]}br", "name": "first"}]}, ("devices/interface/source",))


def _devices(pool: str) -> Iterator[Step]:
    shown = {"type": "vnc", "password": "Liv3Pw", "password_valid_to": "2099-01-01T00:00:00", "connected": "keep"}
    yield Step({"graphics": [shown]}, ("devices/graphics",))
    yield Step({"memballoon": {"stats_period": 10}}, ("devices/memballoon/stats",))
    agent = {"name": "org.qemu.guest_agent.0"}
    yield Step({"channels": [agent, {"name": "org.example.0"}]}, ("devices/channel[2]/target",))
    yield Step(
        {"rngs": [*RNGS, {"model": "virtio", "backend": "random", "source": "/dev/random"}]}, ("devices/rng[2]",)
    )
    yield Step(
        {"controllers": [{"type": "scsi", "index": 1, "model": "virtio-scsi"}]}, ("devices/controller[@type='scsi']",)
    )
    yield Step({"inputs": [{"type": "tablet", "bus": "virtio"}]}, ("devices/input",))
    yield Step({"watchdogs": [{"model": "i6300esb", "action": "none"}]}, ("devices/watchdog",), may_wait=True)
    yield Step({"vsock": {"cid": 77}}, ("devices/vsock",), may_wait=True)
    yield Step(
        {"shmems": [{"name": "live", "size": "4 MiB", "model": "ivshmem-plain"}]}, ("devices/shmem",), may_wait=True
    )
    shared = {"source": f"{folder(pool)}/shared", "target": "live", "driver": "virtiofs"}
    yield Step({"filesystems": [shared]}, ("devices/filesystem",), may_wait=True)
    plug = {"model": "virtio-mem", "node": 0, "size": "64 MiB", "block": "2 MiB", "requested": "16 MiB"}
    yield Step({"memory_devices": [plug]}, ("devices/memory",), may_wait=True)
    yield Step(
        {"memory_devices": [{**plug, "requested": "32 MiB"}]}, ("devices/memory/target/requested",), may_wait=True
    )


RNGS = [{"model": "virtio", "backend": "random", "source": "/dev/urandom"}]


def folder(pool: str) -> str:
    """Where the files of this test are."""
    return f"{AREA}/{pool}-live"


def live_options() -> set[str]:
    """The options that the table calls live and that are a part of the definition."""
    found = {name for name, field in walk(KIND["domain"].fields) if field.effect == "live" and field.path is not None}
    return {name for name in found if not name.startswith(NOT_IN_THE_LAB)}


def declared(value: Any, name: str = "") -> Iterator[str]:
    """The dotted paths of the options in a declaration, as walk names them."""
    for key, part in value.items():
        yield name + key
        if isinstance(part, dict):
            yield from declared(part, f"{name}{key}.")
        for item in part if isinstance(part, list) else ():
            if isinstance(item, dict):
                yield from declared(item, f"{name}{key}[].")


def test_no_live_option_is_left_out() -> None:
    told = {name for step in steps("p", "n", "o") for name in declared(step.options)}
    assert live_options() - told == set()


@pytest.mark.newer
def test_each_live_option_is_changed_on_a_running_guest(
    host: Host, name: str, pool: str, net: str, tiny: dict[str, Any]
) -> None:
    other = f"{name}o"
    host.sh(f"mkdir -p {folder(pool)}/shared; truncate -s 1M {folder(pool)}/one.iso {folder(pool)}/two.iso")
    host.run("network", name=other, forward={"mode": "none"}, state="active")
    guest: dict[str, Any] = {
        **tiny,
        "name": name,
        "vcpus": 2,
        "vcpu_current": 1,
        "iothreads": 1,
        "max_memory": "1 GiB",
        "memory_backing": {"source": "memfd", "access": "shared"},
        "memballoon": {"model": "virtio"},
        "disks": [
            {"target": "vda", "size": "2 MiB", "pool": pool},
            {"target": "sda", "device": "cdrom", "file": f"{folder(pool)}/one.iso"},
        ],
        "interfaces": [{"network": net, "name": "first"}],
        "graphics": [{"type": "vnc", "password": "F1rst"}],
    }
    host.run("domain", **guest, state="running", wait_for=READY)
    before, number = boot(host, name), host.see().all["domains"][name]["id"]
    every = list(steps(pool, net, other))
    tasks = [Task("domain", {"name": name, **step.options}) for step in every]
    found = host.play(*(part for task in tasks for part in (task, task, LOOK)))
    wrong = []
    for step, run, again, seen in zip(every, found[::3], found[1::3], found[2::3]):
        wrong += [f"{step.options}: {word}" for word in trouble(step, name, run, again, seen)]
        assert seen.all["domains"][name]["id"] == number, step
    assert not wrong, "\n".join(wrong)
    assert boot(host, name) == before


def trouble(step: Step, name: str, run: Result, again: Result, seen: Seen) -> Iterator[Any]:
    """What went otherwise than it has to."""
    if run.failed:
        yield run.msg
        return
    if (run.changed, again.changed) != (True, False):
        yield "changed", run.changed, again.changed, again.data
    if run.objects[f"domain {name}"].get("declined") or run.pending:
        if not step.may_wait or again.pending != run.pending:
            yield "waits", run.objects[f"domain {name}"].get("declined"), run.pending, again.pending
        return
    for path in step.paths:
        views = [parts(seen, name, path, view) for view in ("inactive", "live")]
        if views[0] != views[1] or not views[0]:
            yield path, views


def parts(seen: Seen, guest: str, path: str, view: str) -> list[str]:
    """The elements at a path of a definition, without what is only told of a guest that runs."""
    found = seen.xml("domains", guest, view).findall(path)
    for node in [node for top in found for node in top.iter()]:
        for attribute in ("index", "portid", "bridge", "port", "listen"):
            node.attrib.pop(attribute, None)
        for child in [child for child in node if child.tag in ("alias", "backend", "listen", "current")]:
            node.remove(child)
        for child in node.findall("address[@base]"):
            node.remove(child)
        node.text = (node.text or "").strip() or None
    return [" ".join(ET.tostring(node, encoding="unicode").split()) for node in found]


def boot(host: Host, guest: str) -> str:
    """What tells one boot of a guest from another."""
    return host.inside(guest, "cat /proc/sys/kernel/random/boot_id").strip()
