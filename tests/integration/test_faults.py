# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong on a host: daemons and modules that die, libraries that are missing, two runs at once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from fleet import AREA, Host, Task, until

if TYPE_CHECKING:
    from collections.abc import Iterator

SMALL: dict[str, Any] = {"memory": "64 MiB", "vcpus": 1, "virt_type": "qemu"}
SOCKETS = "libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket"


@pytest.fixture
def daemon(host: Host) -> Iterator[None]:
    """libvirtd runs again afterwards."""
    yield
    host.sh(f"systemctl reset-failed; systemctl start {SOCKETS} libvirtd")


def guests(name: str, count: int, pool: str | None = None) -> list[dict[str, Any]]:
    """Guests without disks, or with an empty one."""
    disks = {} if pool is None else {"disks": [{"target": "vda", "size": "1 MiB", "pool": pool}]}
    return [{"name": f"{name}g{number:02d}", **SMALL, **disks} for number in range(count)]


def test_the_daemon_does_not_run(host: Host, name: str, daemon: None) -> None:
    host.sh(f"systemctl stop {SOCKETS} libvirtd")
    results = host.play(
        Task("domain", {"name": name, **SMALL}),
        Task("domain", {"name": name, **SMALL}, check=True),
        Task("stack_info", {}),
    )
    for result in results:
        assert result.failed
        for word in ("qemu:///system", "VIR_ERR_", "is the libvirt daemon running"):
            assert word in result.msg, result.msg
        assert "\n" not in result.msg


def test_a_library_is_missing(host: Host, name: str) -> None:
    """A bare virtual environment as the interpreter: the message names package and interpreter."""
    venv = f"{AREA}/{name}-venv"
    host.sh(f"python3 -m venv --without-pip {venv}")
    interpreter = {"vars": {"ansible_python_interpreter": f"{venv}/bin/python3"}}
    modules = ("network", "pool", "volume", "domain")
    tasks = [Task(module, {"name": name}) for module in modules]
    for result in host.play(*tasks, Task("stack", {}), Task("stack_info", {}), **interpreter):
        assert result.failed
        assert f"{venv}/bin/python3" in result.msg, result.msg
        assert "python3-lxml" in result.msg, result.msg
    site = host.sh(f"ls -d {venv}/lib/python3*/site-packages").strip()
    host.sh(f"ln -s /usr/lib/python3/dist-packages/lxml {site}/lxml")
    (result,) = host.play(Task("domain", {"name": name}), **interpreter)
    assert result.failed
    assert "python3-libvirt" in result.msg


def test_two_runs_at_once_agree(host: Host, name: str, pool: str) -> None:
    """Both make the same guests; whoever comes second finds them made. Neither leaves half a guest."""
    task = Task("stack", {"domains": guests(name, 4, pool)})
    runs = [host.begin(task) for _twice in range(2)]
    outputs = [run.communicate(timeout=300)[0].decode() for run in runs]
    assert not any("Traceback" in output for output in outputs)
    done = host.converge("stack", changed=False, **task.options)
    assert {done.after.state(item["name"]) for item in task.options["domains"]} == {"shut off"}


def module_runs(host: Host) -> str:
    """Process numbers of the module on the host."""
    return host.sh("pgrep -f 'AnsiballZ_|ansiballz|ansible_module' || true").strip()


def test_a_run_that_is_killed_is_finished_by_the_next(host: Host, name: str, pool: str) -> None:
    declared: dict[str, Any] = {
        "domains": [{**item, "state": "running"} for item in guests(name, 8, pool)],
        "parallel": 1,
    }
    run = host.begin(Task("stack", declared))
    until(lambda: len(host.virsh("list --name").split()) >= 2, "two guests run", 60)
    host.sh("pkill -KILL -f -u root '[p]ython3.*(ansible|-u)' || pkill -KILL -n python3", check=False)
    run.communicate(timeout=120)
    assert len(host.virsh("list --name").split()) < 8, "the run was killed half-way"
    done = host.converge("stack", **declared)
    assert {done.after.state(item["name"]) for item in declared["domains"]} == {"running"}
    assert not host.sh(f"find {AREA}/{name} -name '.*' -type f").strip(), "no partial file is left"


def test_a_daemon_that_dies_half_way_is_told_and_the_next_run_converges(host: Host, name: str, daemon: None) -> None:
    declared: dict[str, Any] = {"domains": [{**item, "state": "running"} for item in guests(name, 30)]}
    run = host.begin(Task("stack", declared))
    until(lambda: len(host.virsh("list --name", check=False).split()) >= 3, "three guests run", 60)
    host.sh("systemctl kill -s KILL libvirtd")
    output = run.communicate(timeout=300)[0].decode()
    assert "Traceback" not in output
    assert "VIR_ERR_" in output
    time.sleep(1)
    until(lambda: host.sh("virsh -q list >/dev/null 2>&1 && echo ok", check=False), "the daemon is back", 60)
    done = host.converge("stack", **declared)
    assert {done.after.state(item["name"]) for item in declared["domains"]} == {"running"}


def test_a_guest_that_does_not_let_go_keeps_its_disk_until_its_restart(host: Host, name: str, pool: str) -> None:
    """Nothing in the guest answers the request to unplug: that is told as pending, on every run until it is true."""
    disks = [{"target": target, "size": "1 MiB", "pool": pool} for target in ("vda", "vdb")]
    host.run("domain", name=name, **SMALL, disks=disks, state="running")
    task = Task("domain", {"name": name, "disks": disks[:1]})
    run, checked, again = host.play(task, task._replace(check=True), task)
    assert (run.changed, checked.changed, again.changed) == (True, False, False), "it is not asked again"
    for result in (run, checked, again):
        assert not result.failed, result.data
        assert result.pending == {"disks[vdb]"}, result.data
        assert "did not let go" in result.objects[f"domain {name}"]["declined"][0]
        assert "waits for a restart" in result.msg
    seen = host.see()
    counts = {view: len(seen.xml("domains", name, view).findall("devices/disk")) for view in ("inactive", "live")}
    assert counts == {"inactive": 1, "live": 2}
    done = host.run("domain", name=name, disks=disks[:1], state="restarted", force=True, timeout=1)
    assert done.pending == set()
    assert f"{pool}/{name}-vdb.qcow2" in host.see().all["volumes"]


def test_a_full_disk_leaves_no_volume_and_no_part_of_one(host: Host, name: str) -> None:
    """The pool is a file system of 4 MiB: content, a clone and a seed that do not fit are told, and nothing is left."""
    folder = f"{AREA}/{name}"
    host.sh(f"mkdir -p {folder} && mount -t tmpfs -o size=4m none {folder}")
    try:
        host.run("pool", name=f"{name}p", type="dir", path=folder, state="active")
        host.sh(f"head -c 3M /dev/urandom > {folder}/first.raw; head -c 9M /dev/urandom > {AREA}/{name}-big")
        host.virsh(f"pool-refresh {name}p")
        before = host.sh(f"ls -A {folder}")
        options = {"pool": f"{name}p", "name": "new.raw", "format": "raw"}
        guest = {**SMALL, "cloud_init": {"pool": f"{name}p", "user_data": "#!/bin/sh\n# " + "x" * (2 << 20)}}
        fetched, cloned, seeded = host.play(
            Task("volume", {**options, "source": {"file": f"{AREA}/{name}-big"}}),
            Task("volume", {**options, "clone": "first.raw"}),
            Task("domain", {"name": name, **guest}),
        )
        for result in (fetched, cloned, seeded):
            assert result.failed, result.data
            assert "No space left on device" in result.msg, result.msg
        assert host.sh(f"ls -A {folder}") == before
        host.sh(f"rm {folder}/first.raw")
        host.converge("domain", name=name, **guest)
    finally:
        host.sh(f"virsh -q pool-destroy {name}p; umount -l {folder}; rm -f {AREA}/{name}-big", check=False)
