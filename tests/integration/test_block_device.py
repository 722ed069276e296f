# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pools on a block device of their own: made on it only where it is blank, and never over what is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fleet import AREA, Host, Task

if TYPE_CHECKING:
    from collections.abc import Iterator

# Beyond those that the lab's own machine uses.
NUMBERS = {"host1": 211, "host2": 212}


@pytest.fixture
def device(host: Host, name: str) -> Iterator[str]:
    """A blank block device of 32 MiB."""
    number = NUMBERS.get(host.name, 213)
    path = f"/dev/loop{number}"
    host.sh(f"mkdir -p {AREA} && truncate -s 32M {AREA}/{name}.disk")
    host.sh(f"test -b {path} || mknod {path} b 7 {number}; losetup {path} {AREA}/{name}.disk")
    yield path
    host.sh(f"virsh -q pool-destroy {name}p; umount {AREA}/{name}", check=False)
    host.sh(f"losetup -d {path}; rm -f {path} {AREA}/{name}.disk", check=False)


def test_a_file_system_is_made_on_a_blank_device_alone(host: Host, name: str, device: str) -> None:
    """It holds what was on it whenever it is mounted again, and keeps that when the pool goes."""
    folder = f"{AREA}/{name}"
    options = {
        "name": f"{name}p",
        "type": "fs",
        "path": folder,
        "source": {"devices": [{"path": device}], "format": "ext4"},
        "state": "active",
    }
    (blank,) = host.play(Task("pool", options))
    assert blank.failed, "nothing is built unless that was asked for"
    assert host.sh(f"blkid -p {device} || true") == ""
    made = host.converge("pool", **options, build=True)
    assert made.run.only["state"] == "active"
    assert host.sh(f"findmnt -no SOURCE,FSTYPE {folder}").split() == [device, "ext4"]

    volume = {"pool": f"{name}p", "name": "kept.qcow2", "size": "1 MiB"}
    host.converge("volume", **volume)
    identity = host.sh(f"blkid -o value -s UUID {device}")
    host.converge("pool", name=f"{name}p", state="inactive")
    # What is in a pool is known when it is active: no volume is made a second time, and check mode says so.
    checked, again, last = host.play(
        *(
            Task("stack", {"pools": [{**options, "build": True}], "volumes": [volume]}, check=check)
            for check in (True, False, False)
        )
    )
    assert checked.changes[f"{name}p/kept.qcow2: state"] == ("unknown", "present")
    assert [item["name"] for item in again.data["objects"] if item["changed"]] == [f"{name}p"], again.data
    assert (last.failed, last.changed) == (False, False), last.data
    assert host.sh(f"blkid -o value -s UUID {device}") == identity

    message = host.refused("pool", name=f"{name}p", state="absent", remove_storage=True)
    assert "is for pools of type dir; this is of type fs" in message
    host.converge("pool", name=f"{name}p", state="absent")
    assert host.sh(f"findmnt {folder} || true") == ""
    # What somebody else has on a device is never written over.
    host.sh(f"mkfs.ext2 -qF {device}")
    identity = host.sh(f"blkid -o value -s UUID {device}")
    (refused,) = host.play(Task("pool", {**options, "build": True, "source": {**options["source"], "format": "xfs"}}))
    assert refused.failed
    assert host.sh(f"blkid -o value -s UUID {device}") == identity
    for message, words in ((blank.msg, "wrong fs type"), (refused.msg, "already")):
        assert f"pool {name}p: start pool {name}p" in message
        assert words in message


def test_partitions_are_made_on_a_blank_device_alone(host: Host, name: str, device: str) -> None:
    """A table of them; a partition itself would need its device to come up, which nothing sees to in a lab host."""
    host.sh("command -v parted || DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends parted")
    options = {
        "name": f"{name}p",
        "type": "disk",
        "path": "/dev",
        "source": {"devices": [{"path": device}], "format": "gpt"},
        "state": "active",
    }
    (blank,) = host.play(Task("pool", options))
    assert "requires build" in blank.msg
    host.converge("pool", **options, build=True)
    assert ":gpt:" in host.sh(f"parted -sm {device} print")
    host.converge("pool", name=f"{name}p", state="inactive")
    other = {**options, "build": True, "source": {"devices": [{"path": device}], "format": "dos"}}
    (refused,) = host.play(Task("pool", other))
    assert "VIR_ERR_STORAGE_POOL_BUILT" in refused.msg
    assert ":gpt:" in host.sh(f"parted -sm {device} print")
