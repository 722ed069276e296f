# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole Debian, as a user has it: image, disk, address, cloud-init, ssh, agent. Once, on the first host."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from fleet import ROOT, Host, Task

from ansible_collections.kvmfleet.libvirt.plugins.filter.kvmfleet import known_hosts


@pytest.mark.skipif(not (ROOT / "roles" / "debian_image" / "tasks").exists(), reason="there is no role debian_image")
def test_a_debian_guest_answers_as_declared(
    host: Host, name: str, pool: str, net: str, subnet: str, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    host.role("debian_image", debian_image_pool=pool, debian_image_name="debian.qcow2", debian_image_release="trixie")
    declared = {
        "name": name,
        "memory": "512 MiB",
        "vcpus": 2,
        "disks": [{"target": "vda", "image": "debian.qcow2", "size": "4 GiB", "pool": pool}],
        "interfaces": [{"network": net, "address": f"{subnet}.10"}],
        "cloud_init": {
            "pool": pool,
            "user_data": {
                "hostname": name,
                "users": [{"name": "it", "ssh_authorized_keys": [key.with_suffix(".pub").read_text().strip()]}],
            },
        },
        "state": "running",
        "wait_for": {"ssh": True, "cloud_init": True, "host_keys": True, "timeout": 600},
    }
    (run,) = host.play(Task("domain", declared))
    assert not run.failed, run.data
    assert f"{subnet}.10" in run.objects[f"domain {name}"]["addresses"]
    known = tmp_path / "known_hosts"
    known.write_text("\n".join(known_hosts(run.data)) + "\n")
    jump = ["ssh", "-F", str(host.inventory.with_name("ssh_config")), "-J", host.name, "-i", str(key)]
    # Its key was read through its agent: nothing is trusted at first sight.
    jump += ["-o", "StrictHostKeyChecking=yes", "-o", f"UserKnownHostsFile={known}"]

    def login() -> str:
        done = subprocess.run([*jump, f"it@{subnet}.10", "hostname"], capture_output=True, text=True, check=False)
        return done.stdout.strip()

    assert login() == name
    assert host.agent(name, "guest-get-osinfo")["id"] == "debian"
    host.converge("domain", changed=False, **declared)
    stopped = host.converge("domain", name=name, state="stopped", timeout=120)
    assert stopped.after.state(name) == "shut off"
