# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Other URIs than qemu:///system: a host without Python, an ordinary user's session, other drivers."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fleet import AREA, Host, Result, Task
from inside import reach

SMALL: dict[str, Any] = {"memory": "64 MiB", "vcpus": 1, "virt_type": "qemu"}


Here = Callable[..., "list[Result]"]


@pytest.fixture
def here(host: Host, tmp_path: Path) -> Here:
    """Gives the results of tasks whose modules run on this machine. Keywords are options of all of them."""
    machine = Host("localhost", host.release, host.inventory, tmp_path)
    facts = {"ansible_python_interpreter": sys.executable, "ansible_connection": "local"}

    def play(*tasks: Task, **defaults: Any) -> list[Result]:
        return machine.play(*tasks, vars=facts, module_defaults={"group/kvmfleet.libvirt.libvirt": defaults})

    return play


def test_everything_about_a_guest_from_the_control_machine(
    host: Host, here: Here, name: str, subnet: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pool, network, content, seed and guest go through libvirt's connection alone; the host needs no Python."""
    uri = reach(host, monkeypatch, tmp_path)
    image = tmp_path / "base.raw"
    image.write_bytes(b"begin" + bytes(8 << 20) + b"end")
    # Whole sectors go another way into the pool than a file that ends within one.
    whole = tmp_path / "whole.raw"
    whole.write_bytes(b"begin".ljust(1 << 20, b"-") + bytes(8 << 20) + b"end".rjust(512))
    pool = f"{name}p"
    stack: dict[str, Any] = {
        "pools": [{"name": pool, "type": "dir", "path": f"{AREA}/{name}", "state": "active"}],
        "networks": [{"name": f"{name}n", "ips": [{"address": f"{subnet}.1/24"}], "state": "active"}],
        "volumes": [
            {"name": "base.raw", "pool": pool, "source": {"file": str(image)}, "permissions": {"mode": "0640"}},
            {"name": "answers.iso", "pool": pool, "iso": {"label": "OEMDRV", "files": {"ks/ks.cfg": "text"}}},
            {"name": "copy.raw", "pool": pool, "clone": "base.raw"},
            {"name": "whole.raw", "pool": pool, "format": "raw", "source": {"file": str(whole)}},
        ],
        "domains": [
            {
                **SMALL,
                "name": name,
                "disks": [{"target": "vda", "image": "base.raw", "pool": pool, "size": "16 MiB"}],
                "interfaces": [{"network": f"{name}n"}],
                "cloud_init": {"pool": pool, "user_data": {"hostname": name}},
                "state": "running",
            }
        ],
    }
    task = Task("stack", stack)
    checked, made, again = here(task._replace(check=True), task, task, uri=uri)
    for result in (checked, made, again):
        assert not result.failed, result.data
    assert checked.prediction() == made.prediction()
    assert (made.changed, again.changed) == (True, False), again.data
    seen = host.see()
    assert seen.state(name) == "running"
    assert (
        host.sh(f"sha256sum < {AREA}/{name}/base.raw; sha256sum < {AREA}/{name}/copy.raw").split()[::2]
        == [host.sh("sha256sum", stdin=image.read_bytes()).split()[0]] * 2
    )
    assert int(host.sh(f"stat -c %b {AREA}/{name}/base.raw")) * 512 < 1 << 20
    uploaded = host.sh(f"sha256sum < {AREA}/{name}/whole.raw; stat -c %b {AREA}/{name}/whole.raw").split()
    assert uploaded[0] == host.sh("sha256sum", stdin=whole.read_bytes()).split()[0]
    assert int(uploaded[-1]) * 512 < 2 << 20
    assert "OEMDRV" in host.sh(f"grep -ao OEMDRV {AREA}/{name}/answers.iso")

    # What is another now is sent anew, and is whole under its name.
    stack["volumes"][1]["iso"]["files"]["ks/ks.cfg"] = "graphical"
    stack["domains"][0]["cloud_init"]["user_data"] = {"hostname": "other"}
    changed, again = here(task, task, uri=uri)
    assert (changed.failed, changed.changed, again.changed) == (False, True, False), changed.data
    assert "graphical" in host.sh(f"grep -ao graphical {AREA}/{name}/answers.iso")
    assert "other" in host.sh(f"grep -ao other {AREA}/{name}/{name}-seed.iso")
    assert sorted(host.sh(f"ls -A {AREA}/{name}").split()) == sorted(
        ["answers.iso", "base.raw", "copy.raw", "whole.raw", f"{name}-seed.iso", f"{name}-vda.qcow2"]
    )

    # What needs the file itself is told, and nothing else is done.
    told = Task("volume", {"name": "copy.raw", "pool": pool, "permissions": {"mode": "0640", "owner": 64055}})
    (waits,) = here(told, uri=uri)
    assert not waits.failed, waits.data
    assert waits.pending == {"permissions.mode", "permissions.owner"}, waits.data
    back = Task("volume_fetch", {"name": "base.raw", "pool": pool, "dest": str(tmp_path / "back.raw")})
    fetched, same = here(back, back, uri=uri)
    assert (fetched.failed, fetched.changed, same.changed) == (False, True, False), fetched.data
    assert (tmp_path / "back.raw").read_bytes() == image.read_bytes()


@pytest.mark.both
def test_an_upload_onto_a_full_disk_leaves_nothing(
    host: Host, here: Here, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri, folder = reach(host, monkeypatch, tmp_path), f"{AREA}/{name}"
    (tmp_path / "large").write_bytes(bytes(range(256)) * (24 << 10))
    host.sh(f"mkdir -p {folder} && mount -t tmpfs -o size=4m none {folder}")
    try:
        host.sh(f"virsh -q pool-create-as {name}p dir --target {folder}")
        volume = {"name": "a.raw", "pool": f"{name}p", "source": {"file": str(tmp_path / "large")}}
        (full,) = here(Task("volume", volume), uri=uri)
        assert full.failed
        assert "No space left" in full.msg, full.msg
        assert host.sh(f"ls -A {folder}").split() == []
        # There is room for it, but not for it and the copy that gets its name.
        host.sh(f"mount -o remount,size=8m {folder}")
        (full,) = here(Task("volume", volume), uri=uri)
        assert full.failed
        assert host.sh(f"ls -A {folder}").split() == []
        host.sh(f"mount -o remount,size=32m {folder}")
        (made,) = here(Task("volume", volume), uri=uri)
        assert made.changed, made.data
        assert host.sh(f"ls -A {folder}").split() == ["a.raw"]
    finally:
        host.sh(f"virsh -q pool-destroy {name}p; umount -l {folder}", check=False)


@pytest.fixture
def user(host: Host, name: str) -> Any:
    """An ordinary user of the host."""
    host.sh(f"useradd -m -s /bin/bash {name}u && loginctl enable-linger {name}u")
    yield f"{name}u"
    # Stopped by systemd, not killed: a manager that was killed stays behind as a failed unit of the host.
    host.sh(f"loginctl disable-linger {name}u; systemctl stop user@$(id -u {name}u).service", check=False)
    host.sh(f"pkill -KILL -u {name}u; sleep 0.3; userdel -r {name}u", check=False)


def test_an_ordinary_user_s_session(host: Host, name: str, user: str) -> None:
    """Pools, volumes and guests are the user's own; what a session cannot do is said."""
    home = f"/home/{user}"
    guest: dict[str, Any] = {
        **SMALL,
        "name": name,
        "disks": [{"target": "vda", "size": "4 MiB", "pool": "own"}],
        "interfaces": [{"type": "user"}],
        "cloud_init": {"pool": "own", "user_data": {"hostname": name}},
        "state": "running",
    }
    stack = {
        "pools": [{"name": "own", "type": "dir", "path": f"{home}/images", "state": "active"}],
        "volumes": [{"name": "base.raw", "pool": "own", "source": {"file": "/etc/os-release"}}],
        "domains": [guest],
    }
    network = {"name": "default", "ips": [{"address": "192.168.250.1/24"}], "state": "active"}
    task = Task("stack", stack)
    gone = {"domains": [{"name": name, "state": "absent", "force": True, "timeout": 1, "remove_storage": True}]}
    checked, made, again, told, refused, ended = host.play(
        task._replace(check=True),
        task,
        task,
        Task("stack_info", {}),
        Task("network", network),
        Task("stack", gone),
        become=True,
        become_user=user,
        module_defaults={"group/kvmfleet.libvirt.libvirt": {"uri": "qemu:///session"}},
    )
    for result in (checked, made, again, told, ended):
        assert not result.failed, result.data
    assert checked.prediction() == made.prediction()
    assert (made.changed, again.changed, ended.changed) == (True, False, True), again.data
    assert [item["name"] for item in told.data["stack"]["domains"]] == [name]
    assert refused.failed
    assert "VIR_ERR" in refused.msg, refused.msg
    assert host.sh(f"stat -c %U {home}/images/base.raw").strip() == user
    assert name not in host.see().all["domains"]


def test_what_a_driver_cannot_do_is_said(host: Host, name: str) -> None:
    """A driver that is not installed, one without storage, and a URI that is none."""
    uris = ("lxc:///", "vbox:///session", "nonsense", "qemu+ssh://root@127.0.0.1:1/system")
    asked = [Task("domain", {"name": name, **SMALL, "uri": uri}) for uri in uris]
    for uri, result in zip(uris, host.play(*asked)):
        assert result.failed
        assert uri in result.msg, result.msg
        assert "VIR_ERR" in result.msg, result.msg
        assert "\n" not in result.msg.strip(), json.dumps(result.msg)
