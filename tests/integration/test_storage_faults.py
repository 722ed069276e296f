# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong with storage: full disks and lost directories. Nothing is half done, and the next run converges.

What goes wrong while content is fetched is in tests/host/test_content.py, at a hundredth of the price.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest
from fleet import AREA, Host, Task, make_ready, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Lab


@pytest.fixture
def small(host: Host, name: str) -> Iterator[str]:
    """The path of a file system of 6 MiB, in which a pool of the test's own is."""
    path = f"{AREA}/{name}"
    host.sh(f"mkdir -p {path} && mount -t tmpfs -o size=6m tmpfs {path}")
    host.sh(f"virsh -q pool-define-as {name}p dir --target {path} && virsh -q pool-start {name}p")
    yield path
    host.sh(f"virsh -q pool-destroy {name}p; umount {path}", check=False)


def test_a_full_disk(host: Host, name: str, small: str) -> None:
    """Fetched and cloned onto a disk that is too small: an error says so, and nothing is left."""
    pool, source = f"{name}p", f"{AREA}/{name}-from.raw"
    host.sh(f"head -c 4M /dev/urandom > {source} && cp {source} {small}/base.raw && virsh -q pool-refresh {pool}")
    fetched = {"name": "fetched.raw", "pool": pool, "source": {"file": source}}
    clone = {"name": "clone.raw", "pool": pool, "clone": "base.raw"}
    for result in host.play(*(Task("volume", options) for options in (fetched, clone))):
        assert result.failed
        assert "No space left on device" in result.msg, result.msg
        assert not result.changed
    assert host.sh(f"ls -A {small}").split() == ["base.raw"]
    assert host.sh(f"cmp {source} {small}/base.raw && echo same").strip() == "same"
    host.sh(f"mount -o remount,size=32m {small}")
    host.converge("stack", volumes=[fetched, clone])
    host.sh(f"cmp {source} {small}/fetched.raw && cmp {source} {small}/clone.raw")


def test_the_directory_of_a_pool_is_gone(host: Host, pool: str, name: str) -> None:
    """A run that needs it says so; one that declares the pool active makes it anew, with what is declared in it."""
    volume: dict[str, Any] = {"name": "a.qcow2", "pool": pool, "size": "1 MiB"}
    host.run("volume", **volume)
    host.sh(f"mv {AREA}/{name} {AREA}/{name}-away")
    lost, later = host.play(Task("volume", volume), Task("volume", volume))
    assert lost.failed
    assert f"{AREA}/{name}'" in lost.msg, lost.msg
    assert "is not active; declare it with state: active" in later.msg
    declared: dict[str, Any] = {"pools": [{"name": pool, "state": "active"}], "volumes": [volume]}
    host.run("stack", **declared)
    done = host.converge("stack", changed=False, **declared)
    assert f"{pool}/a.qcow2" in done.after.all["volumes"]
    assert host.sh(f"ls {AREA}/{name}-away").split() == ["a.qcow2"]


def test_a_clone_whose_run_is_killed_is_made_by_the_next(host: Host, pool: str, name: str) -> None:
    """The daemon goes on with it, and knows what it made aside."""
    host.sh(f"head -c 20M /dev/urandom > {AREA}/{name}/base.raw && virsh -q pool-refresh {pool}")
    task = Task("volume", {"pool": pool, "name": "clone.qcow2", "clone": "base.raw"})
    tool, slow = f"{AREA}/{name}-qemu-img", f"{AREA}/{name}-slow"
    host.put(slow, f'#!/bin/sh\n{tool} "$@"\nresult=$?\n[ "$1" = convert ] && sleep 8\nexit $result\n'.encode())
    host.sh(f"cp /usr/bin/qemu-img {tool}; chmod 755 {slow}; mount --bind {slow} /usr/bin/qemu-img")
    try:
        run = host.begin(task)
        until(lambda: host.sh(f"ls -A {AREA}/{name} | grep clone.*made", check=False), "it is being made")
        host.sh("pkill -KILL -x python3")
    finally:
        host.sh(f"umount -l /usr/bin/qemu-img; rm {tool} {slow}")
    assert "the module was killed on the host" in run.communicate(timeout=120)[0].decode()
    assert "clone.qcow2" not in host.sh(f"ls -A {AREA}/{name}").split()
    done, again = host.play(task, task)
    assert (done.failed, done.changed, again.changed) == (False, True, False), done.data
    assert host.sh(f"ls -A {AREA}/{name}").split() == ["base.raw", "clone.qcow2"]
    host.sh(f"qemu-img compare -q {AREA}/{name}/base.raw {AREA}/{name}/clone.qcow2")


def test_no_room_for_a_file_on_its_way(host: Host, pool: str, name: str, tmp_path: Path) -> None:
    """A file of the control machine that the folder which Ansible uses on the host has no room for."""
    image = tmp_path / "image.raw"
    image.write_bytes(b"data" * (3 << 20))
    folder = f"{AREA}/{name}-on-its-way"
    host.sh(f"mkdir -p {folder} && mount -t tmpfs -o size=4m tmpfs {folder}")
    try:
        task = Task("volume", {"pool": pool, "name": "a.raw", "source": {"local": str(image)}})
        (lacks,) = host.play(task, vars={"ansible_remote_tmp": folder})
        assert lacks.failed
        assert f"{image}, which has 12 MiB, could not be brought to the host" in lacks.msg
        assert "No space left on device; nothing was changed" in lacks.msg
        assert "\n" not in lacks.msg
        assert host.sh(f"ls -A {folder}; ls -A {AREA}/{name}") == ""
    finally:
        host.sh(f"umount -l {folder}", check=False)


def test_no_disk_is_made_anew_where_a_file_system_is_not_mounted(host: Host, pool: str, name: str) -> None:
    """The directory of a pool is there and empty: its guests are not given empty disks."""
    disks = [{"target": "vda", "size": "1 MiB", "pool": pool}]
    guest = {"name": name, "memory": "64 MiB", "vcpus": 1, "virt_type": "qemu", "disks": disks}
    host.run("domain", **guest)
    host.sh(f"mount -t tmpfs -o size=4m tmpfs {AREA}/{name} && virsh -q pool-refresh {pool}")
    try:
        assert f"volume {pool}/{name}-vda.qcow2, which is not in its pool any more" in host.refused("domain", **guest)
        assert host.sh(f"ls -A {AREA}/{name}") == ""
    finally:
        host.sh(f"umount {AREA}/{name}; virsh -q pool-refresh {pool}", check=False)
    host.converge("domain", changed=False, **guest)


@pytest.fixture
def shared(host: Host, lab: Lab, name: str) -> Iterator[tuple[Host, str]]:
    """Another host, and a directory that both have, mounted there through ssh: no lock of one holds on the other."""
    other = next((one for one in lab.hosts.values() if one is not host), None)
    if other is None:
        pytest.skip("needs two hosts")
    make_ready(other)
    other.sh("command -v sshfs || DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends sshfs")
    folder = f"{AREA}/{name}"
    host.sh(f"mkdir -p {folder}")
    other.sh(f"mkdir -p {folder} && sshfs -o allow_other,cache=no {host.name}:{folder} {folder}")
    for one in (host, other):
        one.sh(f"virsh -q pool-create-as {name}p dir --target {folder}")
    yield other, folder
    other.sh(f"virsh -q pool-destroy {name}p; umount {folder}; rmdir {folder}", check=False)


def test_two_hosts_share_a_pool(host: Host, shared: tuple[Host, str], name: str) -> None:
    """Both make the same volumes at once, and others with content of their own; a third run finds all of it."""
    other, folder = shared
    content = bytes(range(256)) * (32 << 10)
    for one in (host, other):
        one.put(f"{AREA}/{name}-from", content)
    checksum = "sha256:" + hashlib.sha256(content).hexdigest()
    same = {"name": "same.raw", "pool": f"{name}p", "source": {"file": f"{AREA}/{name}-from", "checksum": checksum}}
    seed = {"name": "files.iso", "pool": f"{name}p", "iso": {"files": {"a": "b"}}}
    tasks = {
        one: Task("stack", {"volumes": [same, seed, {**same, "name": f"{one.name}.raw"}], "on_error": "continue"})
        for one in (host, other)
    }
    runs = [one.begin(task) for one, task in tasks.items()]
    outputs = [run.communicate(timeout=300)[0].decode() for run in runs]
    assert not any("Traceback" in output for output in outputs)
    for one in (host, other):
        (done,) = one.play(tasks[one])
        assert (done.failed, done.changed) == (False, False), done.data
    names = ["same.raw", f"{host.name}.raw", f"{other.name}.raw"]
    # sshfs keeps what is open and has lost its name under another one until it is closed.
    assert sorted(host.sh(f"ls -A --ignore='.fuse_hidden*' {folder}").split()) == sorted([*names, "files.iso"])
    digests = host.sh(f"cd {folder} && sha256sum {' '.join(names)}").split()[::2]
    assert set(digests) == {checksum.partition(":")[2]}
