# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for guests. The tiny one has neither ssh nor cloud-init: what they would tell is put there by its agent."""

from __future__ import annotations

import base64
import time
from typing import Any

import pytest
from fleet import Host, Task

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDGs8"
BANNER = "while :; do echo SSH-2.0-tiny | nc -l -p 2222; done"


def tell(host: Host, guest: str, path: str, text: str) -> None:
    """Have a file in a guest."""
    coded = base64.b64encode(text.encode()).decode()
    script = f"mkdir -p {path.rpartition('/')[0]}; echo {coded} | base64 -d > {path}"
    host.agent(guest, "guest-exec", path="/bin/sh", arg=["-c", script])


@pytest.mark.both
def test_guests_are_waited_for_together(host: Host, name: str, tiny: dict[str, Any]) -> None:
    names = [f"{name}{number}" for number in range(2)]
    up = {"agent": True, "address": True, "timeout": 180}
    net = {"interfaces": [{"network": "default", "model": "virtio"}]}
    guests = [{"name": guest, **tiny, **net, "state": "running", "wait_for": up} for guest in names]
    host.run("stack", domains=guests)
    for guest in names:
        host.agent(guest, "guest-exec", path="/bin/sh", arg=["-c", BANNER])
        tell(host, guest, "/run/cloud-init/result.json", '{"v1": {"datasource": "DataSourceNoCloud", "errors": []}}')
        tell(host, guest, "/etc/ssh/ssh_host_ed25519_key.pub", f"{KEY} root@tiny")
    wish = {"ssh": True, "ssh_port": 2222, "cloud_init": True, "host_keys": True, "timeout": 60}
    told = host.run("stack", domains=[{"name": guest, "state": "running", "wait_for": wish} for guest in names])
    assert not told.changed
    for guest in names:
        assert told.objects[f"domain {guest}"]["host_keys"] == [KEY]
        assert told.objects[f"domain {guest}"]["addresses"]


def test_a_cloud_init_that_failed_or_does_not_run_is_told_at_once(host: Host, name: str, tiny: dict[str, Any]) -> None:
    host.run("domain", name=name, **tiny, state="running", wait_for={"agent": True, "timeout": 180})
    tell(host, name, "/run/cloud-init/result.json", '{"v1": {"errors": ["runcmd failed: no such program"]}}')
    began = time.monotonic()
    task = Task("domain", {"name": name, "state": "running", "wait_for": {"cloud_init": True, "timeout": 500}})
    (failed,) = host.play(task)
    assert failed.failed
    assert f"guest {name}: cloud-init failed: runcmd failed: no such program" in failed.msg
    move = "rm /run/cloud-init/result.json; touch /run/cloud-init/disabled"
    host.agent(name, "guest-exec", path="/bin/sh", arg=["-c", move])
    (disabled,) = host.play(task)
    assert disabled.failed
    assert f"guest {name}: cloud-init does not run in this boot" in disabled.msg
    assert time.monotonic() - began < 60


def test_what_is_lacking_at_the_deadline_is_told_and_a_guest_that_stops_is_not_waited_for(
    host: Host, name: str, tiny: dict[str, Any]
) -> None:
    wish = {"ssh": True, "cloud_init": True, "timeout": 3}
    net = {"interfaces": [{"network": "default", "model": "virtio"}]}
    stopping = host.begin(
        Task("domain", {"name": name, **tiny, **net, "state": "running", "wait_for": {"ssh": True, "timeout": 500}})
    )
    deadline = time.monotonic() + 120
    while host.virsh(f"domstate {name}", check=False) != "running" and time.monotonic() < deadline:
        time.sleep(0.5)
    time.sleep(2)
    host.virsh(f"destroy {name}")
    assert f"guest {name}: it stopped while it was waited for" in stopping.communicate(timeout=60)[0].decode()
    (late,) = host.play(Task("domain", {"name": name, "state": "running", "wait_for": wish}))
    assert late.failed
    assert f"guest {name} has no end of cloud-init and no answer of ssh on port 22 after 3 s" in late.msg
