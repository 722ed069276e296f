"""Plays in a guest, over ssh through its host and over its agent: a Debian, with what a user has there."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from inventories import ssh_program
from lab import HOST, INVENTORY, run
from place import BIN, CACHE, POOL
from play import Command

GUEST = "bench-debian"
ADDRESS = "192.168.122.77"
IMAGE = "bench-debian.qcow2"
KEY = CACHE / "guest-key"
SIZE = 100 << 20
"""Bytes of the file that is copied."""


def have_guest() -> None:
    """The guest runs and answers by ssh and by its agent. The image is built once for a lab host."""
    if not KEY.exists():
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(KEY)])
    user = {"name": "root", "ssh_authorized_keys": [KEY.with_suffix(".pub").read_text(encoding="utf-8").strip()]}
    guest = {
        "name": GUEST,
        "memory": "768 MiB",
        "vcpus": 1,
        "disks": [{"target": "vda", "image": IMAGE, "size": "4 GiB", "pool": "bench"}],
        "interfaces": [{"network": "default", "address": ADDRESS}],
        "cloud_init": {"pool": "bench", "user_data": {"disable_root": False, "users": [user]}},
        "state": "running",
        "wait_for": {"ssh": True, "cloud_init": True, "timeout": 600},
    }
    pool = {"name": "bench", "type": "dir", "path": POOL, "state": "active"}
    role = {
        "name": "kvmfleet.libvirt.debian_image",
        "vars": {
            "debian_image_pool": "bench",
            "debian_image_name": IMAGE,
            "debian_image_release": "trixie",
            "debian_image_kernel_args": "mitigations=off no_timer_check tsc=reliable",
        },
    }
    tasks: list[dict[str, Any]] = [
        {"kvmfleet.libvirt.pool": pool},
        {"ansible.builtin.include_role": {"name": role["name"]}, "vars": role["vars"]},
        {"kvmfleet.libvirt.domain": guest},
    ]
    book = _written("guest.json", [{"hosts": HOST, "gather_facts": False, "tasks": tasks}])
    run([str(BIN / "ansible-playbook"), "-i", str(INVENTORY), str(book)])


def contestants(name: str, tasks: list[dict[str, Any]]) -> list[Command]:
    """The same tasks over the agent and over ssh, each a command, called NAME-agent and NAME-ssh."""
    program = ssh_program()
    common = {"ansible_pipelining": True, "ansible_user": "root", "ansible_python_interpreter": "/usr/bin/python3"}
    agent = {
        "ansible_connection": "kvmfleet.libvirt.guest_agent",
        "ansible_guest_agent_uri": f"qemu+ssh://root@{HOST}/system",
        "ansible_guest_agent_guest": GUEST,
    }
    # A guest of the bench is made anew each time.
    unknown = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
    ssh = {
        "ansible_host": ADDRESS,
        "ansible_ssh_private_key_file": str(KEY),
        "ansible_ssh_common_args": f"-o ProxyJump=root@{HOST} {unknown}",
    }
    hosts = {"agent": {**common, **agent}, "ssh": {**common, **ssh}}
    inventory = _written("guest-inventory.json", {"all": {"hosts": hosts}})
    found = []
    for host in hosts:
        book = _written(f"{name}-{host}.json", [{"hosts": host, "gather_facts": False, "tasks": tasks}])
        path = f"PATH={program.parent}{os.pathsep}{os.environ['PATH']}"
        words = ("env", path, str(BIN / "ansible-playbook"), "-i", str(inventory), str(book))
        found.append(Command(f"{name}-{host}", words))
    return found


def large_file() -> Path:
    """A file that cannot be packed, as large as SIZE."""
    path = CACHE / "large"
    if not path.exists():
        path.write_bytes(os.urandom(SIZE))
    return path


def forget_guest() -> None:
    """The guest goes, with its disk and its seed; the image stays for the next run."""
    gone = {"name": GUEST, "state": "absent", "force": True, "remove_storage": True}
    book = _written(
        "guest.json", [{"hosts": HOST, "gather_facts": False, "tasks": [{"kvmfleet.libvirt.domain": gone}]}]
    )
    run([str(BIN / "ansible-playbook"), "-i", str(INVENTORY), str(book)])


def _written(name: str, content: object) -> Path:
    path = CACHE / name
    path.write_text(json.dumps(content), encoding="utf-8")
    return path
