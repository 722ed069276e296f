# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two hosts of the lab, each with a whole Debian and a tiny guest. The image is built once, on the newer host.

$KVMFLEET_KEEP_GUESTS names a folder for the key of guests that stay after the tests, and are there for the next run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import yaml

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "integration")]

pytest.register_assert_rewrite("fleet", "inside")

from fleet import AREA, ROOT, SWEEP, Host, environment, lab_hosts, make_ready, tiny_guest  # noqa: E402
from inside import reach  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

POOL = {"name": "itg", "type": "dir", "path": f"{AREA}/itg", "state": "active"}
IMAGE = "debian.qcow2"
# Quicker where guests are emulated.
KERNEL = "mitigations=off no_timer_check tsc=reliable"


class Played(NamedTuple):
    """What a playbook did. tasks: host, name, status and result of each task."""

    status: int
    tasks: list[dict[str, Any]]
    output: str


class Site(NamedTuple):
    """Two hosts with a Debian and a tiny guest each. folder: what a control node has, inventory too. key: for ssh."""

    hosts: tuple[Host, ...]
    folder: Path
    key: Path
    tiny: tuple[dict[str, Any], ...]

    def debian(self, number: int) -> str:
        """The name of a host's Debian, by the number of the host."""
        return f"itg-deb{number}"

    def address(self, number: int) -> str:
        """The address of that Debian."""
        return f"10.97.{number}.10"

    def declared(self, **more: dict[int, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """What is declared for each host. cloud_init, domain: more of them for a Debian, by number."""
        found = {}
        public = self.key.with_suffix(".pub").read_text().strip()
        for number, host in enumerate(self.hosts, 1):
            given = more.get("cloud_init", {}).get(number, {})
            user: dict[str, Any] = {"name": "it", "sudo": "ALL=(ALL) NOPASSWD:ALL", "ssh_authorized_keys": [public]}
            data = {"hostname": self.debian(number), "users": [user], **given.get("user_data", {})}
            deb: dict[str, Any] = {
                "name": self.debian(number),
                "memory": "512 MiB",
                "vcpus": 1,
                "disks": [{"target": "vda", "image": IMAGE, "size": "4 GiB", "pool": "itg"}],
                "interfaces": [{"network": "itg", "address": self.address(number)}],
                "cloud_init": {"pool": "itg", **given, "user_data": data},
                "state": "running",
                "wait_for": {
                    **dict.fromkeys(("address", "ssh", "agent", "cloud_init", "host_keys"), True),
                    "timeout": 1200,
                },
                **more.get("domain", {}).get(number, {}),
            }
            small = {"name": f"itg-tiny{number}", **self.tiny[number - 1], "state": "running"}
            ends = {"start": f"10.97.{number}.100", "end": f"10.97.{number}.200"}
            net = {
                "name": "itg",
                "bridge": {"name": f"itg{number}", "delay": 0},
                "ips": [{"address": f"10.97.{number}.1/24", "dhcp": {"ranges": [ends]}}],
                "state": "active",
            }
            found[host.name] = {
                "pools": [POOL],
                "networks": [net],
                "domains": [deb, {**small, "wait_for": {"agent": True, "timeout": 1200}}],
            }
        return found

    def play(self, book: Path | list[dict[str, Any]], **variables: Any) -> Played:
        """Play a playbook on the hosts and the guests that are found on them."""
        path, record, given = (self.folder / name for name in ("book.json", "record.jsonl", "variables.json"))
        if not isinstance(book, Path):
            path.write_text(json.dumps(book))
        record.write_text("")
        common = {"key": str(self.key), "known_hosts": str(self.folder / "known_hosts")}
        given.write_text(json.dumps({**common, "ansible_guest_agent_sockets": str(self.hosts[0].scratch), **variables}))
        words = [Path(sys.executable).with_name("ansible-playbook"), "-i", self.folder / "inventory", "-e", f"@{given}"]
        done = subprocess.run(
            [*words, book if isinstance(book, Path) else path],
            env=environment(record),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=2400,
            check=False,
        )
        tasks = [json.loads(line) for line in record.read_text(encoding="utf-8").splitlines()]
        return Played(done.returncode, tasks, done.stdout)

    def login(self, number: int, command: str, known_hosts: Path) -> str:
        """What a command printed on a Debian over ssh, whose key has to be known; nothing if ssh refuses."""
        words = ["ssh", "-J", f"root@{self.hosts[number - 1].name}", "-i", self.key]
        words += ["-o", "StrictHostKeyChecking=yes", "-o", f"UserKnownHostsFile={known_hosts}"]
        done = subprocess.run(
            [*words, f"it@{self.address(number)}", command], capture_output=True, text=True, check=False
        )
        return done.stdout.strip()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The hosts, made ready, with the image in a pool. Nothing is left of the tests on them."""
    folder = tmp_path_factory.mktemp("site")
    hosts = tuple(lab_hosts().values())
    with ThreadPoolExecutor() as pool, pytest.MonkeyPatch.context() as patch:
        list(pool.map(make_ready, hosts))
        kept = os.environ.get("KVMFLEET_KEEP_GUESTS")
        _sweep(hosts if not kept else ())
        reach(hosts[0], patch, folder)
        key = Path(kept or folder) / "key"
        if not key.exists():
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        (folder / "inventory").mkdir()
        known = yaml.safe_load(hosts[0].inventory.read_text(encoding="utf-8"))["kvm_hosts"]
        known["hosts"] = {host.name: known["hosts"][host.name] for host in hosts}
        (folder / "inventory" / "hosts.yml").write_text(yaml.safe_dump({"kvm_hosts": known}))
        (folder / "inventory" / "guests.yml").write_text((HERE / "guests.yml").read_text(encoding="utf-8"))
        _image(hosts)
        try:
            yield Site(hosts, folder, key, tuple(tiny_guest(host) for host in hosts))
        finally:
            _sweep(hosts if not kept else ())


def _sweep(hosts: tuple[Host, ...]) -> None:
    for host in hosts:
        host.sh(SWEEP, check=False)


def _image(hosts: tuple[Host, ...]) -> None:
    """The image in a pool on each host: built on the last one, and carried to the others."""
    *others, builder = hosts
    for host in hosts:
        host.run("pool", **POOL)
    own = {"debian_image_kernel_args": KERNEL, "debian_image_release": "trixie"}
    builder.role("debian_image", debian_image_pool="itg", debian_image_name=IMAGE, **own)
    for host in others:
        host.sh(f"scp -q {builder.name}:{AREA}/itg/{IMAGE} {AREA}/itg/ && virsh -q pool-refresh itg", timeout=120)
