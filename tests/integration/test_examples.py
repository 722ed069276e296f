# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The examples as they are, with tiny guests: they do what they say, and nothing when they are played again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from fleet import AREA, ROOT, Host, environment
from inside import reach

EXAMPLES = ROOT / "playbooks" / "examples"
SMALL: dict[str, Any] = {"memory": "64 MiB", "vcpus": 1, "virt_type": "qemu"}
NOTHING: dict[str, list[str]] = {"volumes": [], "nwfilters": [], "secrets": []}


class Played(NamedTuple):
    """What a playbook did. tasks: host, status and result of each task, without those of a loop's items."""

    status: int
    tasks: list[dict[str, Any]]
    output: str

    @property
    def changes(self) -> list[str]:
        """What our modules said when they changed something."""
        found = [task["result"] for task in self.tasks if "objects" in task["result"]]
        return [result["msg"] for result in found if result.get("changed")]


class Examples(NamedTuple):
    """The examples on a host. uri: of the host, for this machine."""

    host: Host
    folder: Path
    uri: str

    def play(self, example: str, **variables: Any) -> Played:
        """Play one of them."""
        inventory = self.folder / "hosts.yml"
        known = yaml.safe_load(self.host.inventory.read_text(encoding="utf-8"))["kvm_hosts"]
        known["hosts"] = {self.host.name: known["hosts"][self.host.name]}
        inventory.write_text(yaml.safe_dump({"kvm_hosts": known}))
        given, record = self.folder / "variables.json", self.folder / "record.jsonl"
        common = {"host_uri": self.uri, "ansible_guest_agent_sockets": str(self.host.scratch)}
        given.write_text(json.dumps({**common, **variables}))
        record.write_text("")
        command = [Path(sys.executable).with_name("ansible-playbook"), "-i", inventory, "-e", f"@{given}"]
        playbook = EXAMPLES / f"{example}.yml"
        done = subprocess.run(
            [*command, playbook],
            env=environment(record),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        tasks = [json.loads(line) for line in record.read_text(encoding="utf-8").splitlines()]
        return Played(done.returncode, tasks, done.stdout + done.stderr)

    def settles(self, example: str, **variables: Any) -> Played:
        """Play one of them twice; the second time changes nothing. What the first time did."""
        first = self.play(example, **variables)
        assert first.status == 0, first.output[-4000:]
        assert first.changes
        again = self.play(example, **variables)
        assert (again.status, again.changes) == (0, []), again.output[-4000:]
        return first


@pytest.fixture
def examples(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Examples:
    """The examples on the host of this test."""
    return Examples(host, tmp_path, reach(host, monkeypatch, tmp_path))


def test_three_tier(examples: Examples, name: str, pool: str, subnet: str, tiny: dict[str, Any]) -> None:
    """Guests boot on two networks, and the next play runs in them."""
    host = examples.host
    host.sh(f"truncate -s 1M {AREA}/{name}.img")
    own = {"app": name, "pool": pool, "common": tiny, "image_url": f"file://{AREA}/{name}.img"}
    done = examples.settles("three_tier", **own, front=f"{subnet}", back=f"10.99.{subnet.rpartition('.')[2]}")
    ran = {task["host"]: task["result"]["stdout"].strip() for task in done.tasks if task["host"].startswith(name)}
    assert set(ran) == {f"{name}-{tier}" for tier in ("web", "app", "db")}
    assert set(ran.values()) == {host.inside(f"{name}-db", "uname -r").strip()}
    assert host.inside(f"{name}-db", "ls /sys/block").split() == ["vda", "vdb"]
    host.sh(f"rm {AREA}/{name}.img")


def test_build_farm(examples: Examples, name: str, pool: str, tiny: dict[str, Any]) -> None:
    """A worker does its job and is gone with its disk, also when the job fails."""
    host = examples.host
    host.virsh(f"vol-create-as {pool} base.qcow2 4M --format qcow2")
    before = host.see().all
    disk = {"target": "vda", "image": "base.qcow2", "size": "8 MiB", "pool": pool}
    own = {"farm": name, "pool": pool, "workers": 1, "worker": {**tiny, "disks": [disk]}}
    job = "cat /sys/block/vda/size; test $(cat /sys/block/vda/size) = 1"
    done = examples.play("build_farm", **own, job=job)
    assert done.status != 0
    worker = next(task for task in done.tasks if task["host"].startswith(f"{name}-1@"))
    assert (worker["status"], worker["result"]["rc"], worker["result"]["stdout"].strip()) == ("failed", 1, "16384")
    assert f"the job failed on {name}-1@{host.name}" in done.output
    after = host.see().all
    # libvirt gives the image that a guest stood on to the account that QEMU runs as.
    assert list(after.pop("volumes")) == list(before.pop("volumes"))
    assert after == before


def test_air_gapped(examples: Examples, name: str, pool: str, tiny: dict[str, Any]) -> None:
    """A guest without a network stands on an image that was carried in, and is asked through its agent."""
    image = examples.folder / "carried.img"
    image.write_bytes(bytes(1 << 20))
    own = {"guest": name, "pool": pool, "common": tiny, "image_file": str(image), "carried": f"{AREA}/{name}c"}
    examples.settles("air_gapped", **own)
    assert examples.host.inside(name, "ls /sys/block").split() == ["vda"]


def test_adopt(examples: Examples, name: str, net: str) -> None:
    """A guest of somebody else's is written down, found to be as written, and not touched."""
    host = examples.host
    xml = (
        f"<domain type='qemu'><name>{name}</name><memory unit='MiB'>64</memory><os><type arch='x86_64'>hvm</type></os>"
    )
    xml += f"<devices><interface type='network'><source network='{net}'/></interface></devices></domain>"
    host.put(f"{AREA}/{name}.xml", xml.encode())
    host.sh(f"virsh -q define {AREA}/{name}.xml && virsh -q start {name}")
    before = host.see().all["domains"][name]
    mine = {"domains": [f"{name}*"], "networks": [f"{name}*"], "pools": [], **NOTHING}
    examples.settles("adopt", mine=mine, folder=str(examples.folder / "declared"))
    after = host.see().all["domains"][name]
    assert [(item["id"], item["state"]) for item in (before, after)] == [(before["id"], "running")] * 2
    written = yaml.safe_load((examples.folder / "declared" / "guests.yml").read_text(encoding="utf-8"))
    assert [guest["name"] for guest in written["kvm_guests_stack"]["domains"]] == [name]
    assert "urn:kvmfleet" in after["inactive"]
    assert "urn:kvmfleet" not in before["inactive"]


def test_kubernetes_nodes(examples: Examples, name: str, pool: str) -> None:
    """Every node is there with its disks and its seed. The second run finds them where they are."""
    host = examples.host
    host.virsh(f"vol-create-as {pool} base.qcow2 4M --format qcow2")
    own = {"cluster": name, "pool": pool, "image": "base.qcow2", "state": "present", "bridge": "br0"}
    examples.settles("kubernetes_nodes", **own, control_plane=SMALL, worker=SMALL, workers=2)
    seen = host.see()
    nodes = [f"{name}-{node}" for node in ("cp1", "cp2", "cp3", "w1", "w2")]
    assert sorted(guest for guest in seen.all["domains"] if guest.startswith(name)) == nodes
    for node in nodes:
        assert {f"{pool}/{node}-{end}" for end in ("vda.qcow2", "vdb.qcow2", "seed.iso")} <= set(seen.all["volumes"])


def test_raw_xml(examples: Examples, name: str) -> None:
    """Guests that are defined from the same XML already are found as they are; what moved into options is made true."""
    host = examples.host
    guests = [{"name": f"{name}{letter}", "memory_mib": 64, "type": "qemu", "title": letter} for letter in "ab"]
    text = (EXAMPLES / "templates" / "guest.xml.j2").read_text(encoding="utf-8")
    text = text.replace("{{ guest.name }}", f"{name}a").replace("{{ guest.memory_mib }}", "64")
    host.put(f"{AREA}/{name}.xml", text.replace("{{ guest.type | default('kvm') }}", "qemu").encode())
    host.virsh(f"define {AREA}/{name}.xml")
    before = host.see()
    done = examples.settles("raw_xml", guests=guests)
    told = {item["name"]: item for task in done.tasks for item in task["result"].get("objects", [])}
    assert [change["path"] for change in told[f"{name}a"]["changes"]] == ["title", "state"]
    after = host.see()
    assert {after.state(guest["name"]) for guest in guests} == {"running"}
    assert after.domain(f"{name}a", "uuid") == before.domain(f"{name}a", "uuid")
