# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the integration tests of community.libvirt mean to show, shown by our modules: one play for each of its targets.

Where one of its assertions is void there (a result is overwritten before it is looked at), what it meant is held here.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

from fleet import AREA, Host, Result, Task

SMALL: dict[str, Any] = {"memory": "64 MiB", "vcpus": 1, "virt_type": "qemu"}
MIB = 1 << 20

Told = tuple[Task, bool]


def thrice(module: str, **options: Any) -> list[Told]:
    """Checked, done, and checked again, with what each is to tell: it would change, it changed, it would not."""
    task = Task(module, options)
    return [(task._replace(check=True), True), (task, True), (task._replace(check=True), False)]


def twice(module: str, **options: Any) -> list[Told]:
    """Done, and done again."""
    return [(Task(module, options), True), (Task(module, options), False)]


def told(host: Host, *steps: list[Told]) -> list[Result]:
    """The results of all steps in one play, each of which has to tell what it is to tell."""
    flat = [pair for step in steps for pair in step]
    results = host.play(*(task for task, _changed in flat))
    for (task, changed), result in zip(flat, results):
        assert not result.failed, (task, result.data)
        assert result.changed is changed, (task, result.data)
    return results


def only(**kinds: list[str]) -> Task:
    """What stack_info tells of these alone."""
    nothing: dict[str, Any] = {kind: [] for kind in ("domains", "networks", "pools", "volumes", "secrets", "nwfilters")}
    return Task("stack_info", {**nothing, **kinds})


def test_virt(host: Host, name: str) -> None:
    """A guest is defined, started, and removed while it runs."""
    results = told(
        host,
        thrice("domain", name=name, **SMALL),
        thrice("domain", name=name, state="running"),
        thrice("domain", name=name, state="absent", force=True, timeout=1),
    )
    assert results[1].only["name"] == name
    assert results[1].changes["state"] == ("absent", "stopped")
    assert name not in host.see().all["domains"]


def test_virt_net(host: Host, name: str, subnet: str) -> None:
    """A network is defined, started, told about, stopped and removed, each twice."""
    network = {"name": f"{name}n", "forward": {"mode": "nat"}, "ips": [{"address": f"{subnet}.1/24"}]}
    told(host, twice("network", **network), twice("network", name=f"{name}n", state="active"))
    host.sh(f"echo '<network><name>{name}i</name></network>' | virsh -q net-define /dev/stdin")
    one, every = host.play(only(networks=[f"{name}n"]), only(networks=["it*"]))
    assert [item["state"] for item in one.data["stack"]["networks"]] == ["active"]
    assert {item["name"] for item in every.data["stack"]["networks"]} == {f"{name}n", f"{name}i"}
    told(
        host,
        twice("network", name=f"{name}n", state="inactive"),
        twice("network", name=f"{name}n", state="absent"),
    )


def test_virt_pool(host: Host, name: str) -> None:
    """A directory pool is defined, started, stopped and removed."""
    results = told(
        host,
        thrice("pool", name=f"{name}p", type="dir", path=f"{AREA}/{name}"),
        thrice("pool", name=f"{name}p", state="active"),
        thrice("pool", name=f"{name}p", state="inactive"),
        thrice("pool", name=f"{name}p", state="absent"),
    )
    assert results[1].only["name"] == f"{name}p"
    assert f"{name}p" not in host.see().all["pools"]


def test_virt_volume_and_virt_undefine(host: Host, name: str, pool: str) -> None:
    """Volumes are made, listed, cloned, grown, wiped, deleted; a guest's disk goes with it, its image does not."""
    seed = {"name": "seed.iso", "iso": {"label": "cidata", "files": {"meta-data": "{}", "user-data": "#cloud-config"}}}
    results = told(
        host,
        twice("volume", name="a.qcow2", pool=pool, size="4 MiB"),
        twice("volume", name="b.qcow2", pool=pool, clone="a.qcow2"),
        [(Task("volume", {"name": "b.qcow2", "pool": pool, "state": "wiped"}), True)],
        twice("volume", pool=pool, **seed),
        twice("volume", name="a.qcow2", pool=pool, size="8 MiB"),
        [(only(volumes=["*"]), False)],
        [
            (
                Task("domain", {"name": name, **SMALL, "disks": [{"target": "vda", "image": "a.qcow2", "pool": pool}]}),
                True,
            )
        ],
    )
    listed = {item["name"]: item for item in results[-2].data["stack"]["volumes"] if item["pool"] == pool}
    assert {listed_name: item.get("size") for listed_name, item in listed.items() if listed_name != "seed.iso"} == {
        "a.qcow2": "8 MiB",
        "b.qcow2": "4 MiB",
    }
    assert "seed.iso" in listed
    seen = host.see()
    assert seen.volume(f"{pool}/a.qcow2", "capacity") == str(8 * MIB)
    assert f"{pool}/{name}-vda.qcow2" in seen.all["volumes"]
    told(
        host,
        twice("domain", name=name, state="absent", remove_storage=True),
        twice("volume", name="b.qcow2", pool=pool, state="absent", wipe=True),
    )
    assert host.sh(f"ls {AREA}/{name}").split() == ["a.qcow2", "seed.iso"]


def test_virt_secret(host: Host, name: str) -> None:
    """Secrets are made for each use, found by it, described anew with a diff, set and removed."""
    uses = {"volume": f"/{name}", "ceph": name}
    described = {"type": "ceph", "name": uses["ceph"], "description": "another"}
    results = told(
        host,
        *(twice("secret", type=kind, name=use, description="one") for kind, use in uses.items()),
        [(only(secrets=["*"]), False), (only(secrets=[uses["ceph"]]), False), (only(secrets=["nobody"]), False)],
        twice("secret", **described),
        twice("secret", type="ceph", name=uses["ceph"], value="V4lue"),
        *(twice("secret", type=kind, name=use, state="absent") for kind, use in uses.items()),
    )
    every, one, none = (result.data["stack"]["secrets"] for result in results[4:7])
    assert {(item["type"], item["name"]) for item in every} >= set(uses.items())
    assert [item["type"] for item in one] == ["ceph"]
    assert none == []
    assert results[7].changes["description"] == ("one", "another")
    assert results[7].diff
    assert host.see().all["secrets"] == {}


def test_virt_interfaces(host: Host, name: str, net: str) -> None:
    """The MAC addresses that are told are those that libvirt has."""
    host.run("domain", name=name, **SMALL, interfaces=[{"network": net}, {"network": net}])
    (info,) = host.play(only(domains=[name]))
    (guest,) = info.data["stack"]["domains"]
    defined = ET.fromstring(host.virsh(f"dumpxml {name}")).iterfind("devices/interface/mac")
    assert [item["mac"] for item in guest["interfaces"]] == [mac.get("address") for mac in defined]
