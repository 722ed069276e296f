# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What cannot go well on this host is refused before anything is written, in check mode as well."""

from __future__ import annotations

from typing import Any

from fleet import AREA, Host

SMALL: dict[str, Any] = {"memory": "64 MiB", "vcpus": 1, "virt_type": "qemu"}
# Options of a guest that is to run, and a part of what is said of them.
REFUSED: tuple[tuple[dict[str, Any], str], ...] = (
    ({"disks": [{"target": "vda", "file": "/srv/none.raw"}]}, "/srv/none.raw is not there on the host"),
    ({"kernel": "/srv/none"}, "kernel: /srv/none is not there"),
    ({"interfaces": [{"bridge": "itnone"}]}, "the host has no network device itnone"),
    ({"filesystems": [{"source": "/srv/none", "target": "x"}]}, "filesystems: /srv/none is not there"),
    ({"cputune": {"vcpupin": [{"vcpu": 0, "cpuset": "4000"}]}}, "4000 names none of the host's CPUs"),
    ({"numatune": {"mode": "strict", "nodeset": "77"}}, "the host has no NUMA node 77"),
    ({"memory_backing": {"hugepages": True}}, "32 pages of 2048 KiB are needed and 0 are free"),
    ({"hostdevs": [{"pci": "0000:7f:1f.0"}]}, "the host has no PCI device 0000:7f:1f.0"),
    ({"graphics": [{"type": "vnc", "port": 22, "listen": "0.0.0.0"}]}, "port 22 is in use"),
    ({"virt_type": "kvm"}, "kvm"),
    ({"cpu": {"mode": "host-passthrough"}}, "cpu.mode: host-passthrough is not supported"),
    ({"cpu": {"mode": "custom", "model": "NoSuch"}}, "cpu.model: NoSuch is not offered"),
    ({"emulator": "/usr/bin/none"}, "/usr/bin/none is not there"),
    ({"arch": "riscv64"}, "riscv64"),
    ({"vcpus": 9999}, "at the most"),
)


def test_what_a_host_has_not_is_refused(host: Host, name: str, net: str) -> None:
    host.put(f"{AREA}/{name}", b"a file")
    guests = [
        ({"domains": [{"name": name, **SMALL, "state": "running", **options}]}, part) for options, part in REFUSED
    ]
    pools = [
        (
            {"pools": [{"name": name, "path": f"{AREA}/{name}{below}", "state": "active"}]},
            f"{AREA}/{name} is no directory",
        )
        for below in ("", "/below")
    ]
    bridges = [{"name": f"{name}{end}", "bridge": {"name": "itbr0"}} for end in "ab"]
    source = {"name": name, "pool": name, "source": {"file": "/srv/none"}}
    host.refuses(
        "stack",
        [
            *guests,
            *pools,
            ({"networks": bridges}, "bridge itbr0 is that of network"),
            (
                {"volumes": [source], "pools": [{"name": name, "path": f"{AREA}/{name}p", "state": "active"}]},
                "/srv/none",
            ),
        ],
    )


def test_a_hook_may_bring_what_a_start_needs(host: Host, name: str) -> None:
    """What libvirtd runs before a guest starts is the administrator's; here it makes the guest's disk."""
    disk, hook = f"{AREA}/{name}.raw", f"/etc/libvirt/hooks/qemu.d/{name}"
    guest = {"name": name, **SMALL, "state": "running", "disks": [{"target": "vda", "file": disk}]}
    host.put(hook, f'#!/bin/sh\n[ "$1 $2" = "{name} prepare" ] || exit 0\ntruncate -s 1M {disk}\n'.encode())
    try:
        host.sh(f"chmod 755 {hook}; systemctl restart libvirtd")
        made = host.run("stack", domains=[guest])
        assert not made.failed, made.msg
        assert host.see().state(name) == "running"
    finally:
        host.sh(f"rm {hook}; systemctl restart libvirtd")
