# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a plan names as having to be so on the host: what a start, a new device, a pool or a volume builds on."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.stack import plan_stack
from ansible_collections.kvmfleet.libvirt.tests.unit.support.declarations import stack_of
from ansible_collections.kvmfleet.libvirt.tests.unit.support.hosts import host_of

GUEST = {"name": "web1", "memory": "1 GiB", "virt_type": "qemu"}
MAC = "52:54:00:00:00:01"
NATIVE = (
    "<domain type='kvm'><name>web1</name><uuid>5b3a1f4e-0000-4000-8000-00000000000d</uuid><memory>1048576</memory>"
    "<os><type arch='x86_64' machine='pc-q35-9.2'>hvm</type></os><devices><emulator>/usr/bin/qemu</emulator>"
    "<graphics type='vnc' port='5901' autoport='no' listen='127.0.0.1'/>{}</devices></domain>"
)
DISK = (
    "<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/srv/{0}'/>"
    "<target dev='vd{0}' bus='virtio'/></disk>"
)


def _premises(declared: dict[str, Any], **host: Any) -> set[tuple[str, str, str]]:
    """All premises of a plan but that pools are of a kind that there is, without the name of the object."""
    usual = {"pools": {"default": {"volumes": {"there.raw": {"format": "raw"}}}}, "networks": {"default": {}}, **host}
    plan = plan_stack(stack_of(declared), host_of(usual))
    return {
        (where.partition(": ")[2], what, value)
        for item in plan.objects
        for where, what, value in item.premises
        if what != "backend"
    }


def _started(**options: Any) -> set[tuple[str, str, str]]:
    return _premises({"domains": [{**GUEST, "state": "running", **options}]})


def test_a_definition_alone_builds_on_nothing() -> None:
    disks = [{"target": "vda", "file": "/srv/later.raw"}]
    for state in ("present", "stopped"):
        assert not _premises({"domains": [{**GUEST, "state": state, "kernel": "/boot/later", "disks": disks}]})


def test_the_files_of_a_guest_that_starts() -> None:
    optional = (
        "<domain><devices><disk device='cdrom'><source file='/srv/c.iso' startupPolicy='optional'/>"
        "<target dev='sda'/></disk></devices></domain>"
    )
    assert _started(
        kernel="/boot/k",
        initrd="/boot/i",
        disks=[
            {"target": "vda", "file": "/srv/a.raw"},
            {"target": "vdb", "block": "/dev/vg/b"},
            {"target": "vdc", "size": "1 GiB"},
            {"target": "vdd", "volume": "there.raw"},
        ],
        serials=[{"type": "file", "path": "/var/log/guests/web1"}],
        xml=optional,
    ) == {
        ("kernel", "file", "/boot/k"),
        ("initrd", "file", "/boot/i"),
        ("disks[vda]", "file", "/srv/a.raw"),
        ("disks[vdb]", "file", "/dev/vg/b"),
        ("disks[vdd]", "file", "/var/lib/libvirt/images/there.raw"),
        ("serials", "file", "/var/log/guests"),
    }


@pytest.mark.parametrize(
    ("interface", "expected"),
    [
        ({"bridge": "br9"}, {(f"interfaces[{MAC}]", "link", "br9")}),
        ({"type": "direct", "dev": "eth9"}, {(f"interfaces[{MAC}]", "link", "eth9")}),
        # A network has it, which makes it when it starts.
        ({"bridge": "virbr0"}, set()),
        ({"network": "default", "filter": "f"}, {(f"interfaces[{MAC}].filter", "nwfilter", "f")}),
    ],
)
def test_what_an_interface_is_connected_to(interface: dict[str, Any], expected: set[Any]) -> None:
    assert _started(interfaces=[{**interface, "mac": MAC}]) == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"vcpu_cpuset": "0-3"}, {("vcpu_cpuset", "cpus", "0-3")}),
        ({"cputune": {"vcpupin": [{"vcpu": 0, "cpuset": "9"}]}}, {("cputune.vcpupin", "cpus", "9")}),
        ({"numatune": {"mode": "strict", "nodeset": "1"}}, {("numatune", "nodes", "1")}),
        ({"memory_backing": {"hugepages": True}}, {("memory_backing.hugepages", "pages", f"0 {1 << 30}")}),
        ({"hostdevs": [{"pci": "0000:03:00.0"}]}, {("hostdevs[0000:03:00.0]", "pci", "0000:03:00.0")}),
        ({"graphics": [{"type": "vnc", "port": 5907}]}, {("graphics", "port", "127.0.0.1 5907")}),
        ({"graphics": [{"type": "vnc"}]}, set()),
    ],
    ids=str,
)
def test_what_else_a_start_takes(options: dict[str, Any], expected: set[Any]) -> None:
    assert _started(**options) == expected


def test_a_guest_that_runs_builds_on_what_is_new_in_it() -> None:
    there = {"xml": NATIVE.format(DISK.format("a")), "state": "running"}
    disks = [{"target": "vda", "file": "/srv/a"}, {"target": "vdb", "file": "/srv/b.raw"}]
    declared = {"domains": [{"name": "web1", "disks": disks}]}
    assert _premises(declared, domains={"web1": there}) == {("disks[vdb]", "file", "/srv/b.raw")}
    assert not _premises({"domains": [{"name": "web1", "vsock": {"cid": 77}}]}, domains={"web1": there})
    # Started anew, it needs all of it, but has its port already.
    anew = {"domains": [{"name": "web1", "state": "restarted"}]}
    assert _premises(anew, domains={"web1": there}) == {("disks[vda]", "file", "/srv/a")}
    assert not _premises({"domains": [{"name": "web1", "state": "stopped"}]}, domains={"web1": there})


@pytest.mark.parametrize("state", ["active", "present"])
def test_a_pool_that_starts_brings_its_files(state: str) -> None:
    pools = [
        {
            "name": "nfs",
            "type": "netfs",
            "path": "/srv",
            "source": {"hosts": [{"name": "n"}], "dir": "/e"},
            "state": state,
        },
        {"name": "vg", "type": "logical", "source": {"name": "vg"}, "state": state},
    ]
    disks = [{"target": "vda", "file": "/srv/a.raw"}, {"target": "vdb", "block": "/dev/vg/b"}]
    found = _premises({"pools": pools, "domains": [{**GUEST, "state": "running", "disks": disks}]})
    files = {value for _where, what, value in found if what == "file"}
    assert files == (set() if state == "active" else {"/srv/a.raw", "/dev/vg/b"})


def test_a_saved_guest_goes_on_with_what_it_had() -> None:
    there = {"xml": NATIVE.format(DISK.format("a")), "state": "saved"}
    assert not _premises({"domains": [{"name": "web1", "state": "running"}]}, domains={"web1": there})


def test_pools_and_volumes() -> None:
    pools = [
        {"name": "new", "path": "/srv/new", "state": "active"},
        {
            "name": "fs",
            "type": "fs",
            "path": "/srv/fs",
            "source": {"devices": [{"path": "/dev/sdx1"}]},
            "state": "active",
        },
    ]
    volumes = [
        {"name": "a.raw", "source": {"file": "/srv/a.raw"}},
        {"name": "b.raw", "size": "1 GiB", "preallocation": "falloc"},
        {"name": "c.raw", "size": "1 GiB"},
    ]
    assert _premises({"pools": pools, "volumes": volumes}) == {
        ("path", "folder", "/srv/new"),
        ("path", "folder", "/srv/fs"),
        ("source.devices", "file", "/dev/sdx1"),
        ("source.file", "file", "/srv/a.raw"),
        ("size", "room", f"default {1 << 30}"),
    }
    assert not _premises({"pools": [{"name": "default", "state": "active", "autostart": True}]})
