# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything on a host at once: the modules stack and stack_info."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fleet import AREA, LOOK, Host, Task

SMALL: dict[str, Any] = {"memory": "64 MiB", "vcpus": 1, "virt_type": "qemu"}


def stack(name: str, subnet: str, guests: int = 2, **guest: Any) -> dict[str, Any]:
    """A pool, a network, an image, and guests on them."""
    dhcp = {"ranges": [{"start": f"{subnet}.100", "end": f"{subnet}.150"}]}
    return {
        "pools": [{"name": f"{name}p", "type": "dir", "path": f"{AREA}/{name}", "state": "active", "autostart": True}],
        "networks": [{"name": f"{name}n", "ips": [{"address": f"{subnet}.1/24", "dhcp": dhcp}], "state": "active"}],
        "volumes": [{"name": "image.qcow2", "pool": f"{name}p", "size": "4 MiB"}],
        "domains": [
            {
                "name": f"{name}g{number}",
                **SMALL,
                "disks": [{"target": "vda", "image": "image.qcow2", "pool": f"{name}p", "size": "8 MiB"}],
                "interfaces": [{"network": f"{name}n", "address": f"{subnet}.{10 + number}"}],
                "cloud_init": {"user_data": {"hostname": f"g{number}"}, "pool": f"{name}p"},
                **guest,
            }
            for number in range(guests)
        ],
    }


def gone(declared: dict[str, Any]) -> dict[str, Any]:
    """The same objects, to be removed."""
    return {
        "domains": [
            {"name": item["name"], "state": "absent", "remove_storage": True, "timeout": 1, "force": True}
            for item in declared["domains"]
        ],
        "volumes": [{"name": item["name"], "pool": item["pool"], "state": "absent"} for item in declared["volumes"]],
        "networks": [{"name": item["name"], "state": "absent"} for item in declared["networks"]],
        "pools": [{"name": item["name"], "state": "absent"} for item in declared["pools"]],
    }


def test_two_runs_at_once_do_not_fail_each_other(host: Host, name: str, subnet: str) -> None:
    declared = stack(name, subnet, state="running")
    for stack_of_both in (declared, gone(declared)):
        runs = [host.begin(Task("stack", stack_of_both)) for _run in range(2)]
        for run in runs:
            output = run.communicate(timeout=300)[0].decode()
            assert "failed=0" in output, output[-6000:]
            assert "ignored=0" in output, output[-6000:]
        host.converge("stack", changed=False, **stack_of_both)


@pytest.mark.both
def test_a_stack_from_nothing_to_nothing(host: Host, name: str, subnet: str) -> None:
    declared = stack(name, subnet, state="running")
    made = host.converge("stack", **declared)
    seen = made.after
    assert {seen.state(f"{name}g{number}") for number in range(2)} == {"running"}
    assert set(seen.all["volumes"]) == {
        f"{name}p/{volume}"
        for volume in (
            "image.qcow2",
            *(f"{name}g{number}-{end}" for number in range(2) for end in ("vda.qcow2", "seed.iso")),
        )
    }
    addresses = {node.get("ip") for node in seen.xml("networks", f"{name}n", "live").iterfind("ip/dhcp/host")}
    assert addresses == {f"{subnet}.10", f"{subnet}.11"}
    # In check mode nothing of it was there, and still the whole was told: converge compares both.
    assert len(made.run.objects) == 3 + 2 + 4

    declared["domains"][0]["title"] = "the first"
    changed = host.converge("stack", **declared)
    assert [key for key, item in changed.run.objects.items() if item["changed"]] == [f"domain {name}g0"]
    assert "1 of 2 guests" in changed.run.msg

    removed = host.converge("stack", **gone(declared))
    assert not [key for key in removed.after.all["volumes"] if key.startswith(name)]
    assert host.sh(f"ls -A {AREA}/{name}").strip() == ""


@pytest.mark.both
def test_what_stack_info_tells_applied_changes_nothing(host: Host, name: str, subnet: str) -> None:
    host.run("stack", **stack(name, subnet, 1, graphics=[{"type": "vnc", "password": "Fir5tPw"}]))
    host.sh(
        f"virt-install --import --name {name}v --memory 64 --osinfo generic --virt-type qemu --noautoconsole --noreboot"
        f" --disk none --network network={name}n --print-xml > {AREA}/{name}.xml"
        f" && virsh -q define {AREA}/{name}.xml"
    )
    host.virsh(f"start {name}g0")
    before, info = host.play(LOOK, Task("stack_info", {}))
    assert not info.changed
    told = info.data["stack"]
    assert {item["name"] for item in told["domains"]} == {f"{name}g0", f"{name}v"}
    assert "Fir5tPw" not in str(told)
    cycle = host.converge("stack", changed=False, **told)
    assert cycle.after == before
    assert cycle.run.pending == set(), cycle.run.data
    (some,) = host.play(Task("stack_info", {"domains": [f"{name}g*"], "networks": [], "pools": ["none"]}))
    assert [item["name"] for item in some.data["stack"]["domains"]] == [f"{name}g0"]
    assert some.data["stack"]["networks"] == some.data["stack"]["pools"] == []


def test_a_mistake_in_one_object_writes_none(host: Host, name: str, subnet: str) -> None:
    declared = stack(name, subnet, 3)
    declared["domains"][2]["memory"] = "lots"
    declared["domains"][1]["interfaces"][0]["address"] = f"{subnet}.10"
    (message,) = host.refuses("stack", [(declared, "")])
    (result,) = host.play(Task("stack", declared))
    assert len(result.data["problems"]) >= 2, "every problem is told in one run"
    assert "nothing was changed" in message


def test_what_others_need_goes_only_with_them(host: Host, name: str, subnet: str) -> None:
    declared = stack(name, subnet, 1)
    host.run("stack", **declared)
    image = {"name": "image.qcow2", "pool": f"{name}p", "state": "absent"}
    assert f"{name}g0" in host.refused("stack", volumes=[image])
    host.converge("stack", **gone(declared))


def test_a_failure_stops_what_needs_it_and_tells_what_was_done(host: Host, name: str, subnet: str) -> None:
    """An image that cannot be fetched: its guest is not begun, and with on_error=continue the other one is made."""
    declared = stack(name, subnet, 2)
    declared["volumes"].append(
        {"name": "bad.qcow2", "pool": f"{name}p", "source": {"url": "http://127.0.0.1:1/x.qcow2"}}
    )
    declared["domains"][1]["disks"][0]["image"] = "bad.qcow2"
    (result,) = host.play(Task("stack", {**declared, "on_error": "continue"}))
    assert result.failed
    assert result.changed, "what was done is told, failed or not"
    assert "bad.qcow2" in result.msg
    assert any("not begun" in error for error in result.data["errors"])
    seen = host.see()
    assert seen.state(f"{name}g0") == "shut off"
    assert seen.state(f"{name}g1") is None
    del declared["volumes"][1]
    declared["domains"][1]["disks"][0]["image"] = "image.qcow2"
    host.converge("stack", **declared)


def test_seeds_follow_their_content(host: Host, name: str, subnet: str) -> None:
    declared = stack(name, subnet, 1)
    made = host.converge("stack", **declared)
    path = f"{AREA}/{name}/{name}g0-seed.iso"
    first = host.sh(f"sha256sum {path}")
    assert host.sh(f"grep -acE 'hostname.*g0' {path}").strip() != "0"
    declared["domains"][0]["cloud_init"]["user_data"] = "#cloud-config\nhostname: other\n"
    changed = host.converge("stack", **declared)
    assert host.sh(f"sha256sum {path}") != first
    assert [key for key, item in changed.run.objects.items() if item["changed"]] == [
        f"volume {name}p/{name}g0-seed.iso",
        f"domain {name}g0",
    ], "the guest notes which seed it has"
    second = host.sh(f"sha256sum {path}")
    host.sh(f"rm {path}")
    host.virsh(f"pool-refresh {name}p")
    host.converge("stack", **declared)
    assert host.sh(f"sha256sum {path}") == second, "a seed that was lost is made as the one it was"
    assert made.run.changed


def test_a_seed_that_is_made_anew_is_for_the_instance_that_is_wanted(host: Host, name: str, pool: str) -> None:
    def said(policy: str, word: str) -> tuple[Any, str]:
        cloud_init = {"user_data": f"#cloud-config\nhostname: {word}\n", "pool": pool, "on_change": policy}
        run = host.converge("domain", name=name, memory="64 MiB", virt_type="qemu", cloud_init=cloud_init).run
        return run, host.sh(f"grep -aE 'instance-id|hostname: ' {AREA}/{name}/{name}-seed.iso").strip()

    first = said("rebuild", "one")[1]
    second = said("rebuild", "two")[1]
    instance = first.splitlines()[0]
    assert second.splitlines()[0] == instance, "cloud-init runs once for an instance"
    third = said("new_instance", "three")[1]
    assert third.splitlines()[0].startswith(instance.rstrip('",')), "of the guest's UUID"
    assert third.splitlines()[0] != instance
    assert said("rebuild", "four")[1].splitlines()[0] == third.splitlines()[0]
    assert said("new_instance", "three")[1] != third, "what was there before is a new instance still"


def test_what_is_ignored_stays(host: Host, name: str, pool: str) -> None:
    path = f"{AREA}/{name}/{name}-seed.iso"
    options = {"name": name, "memory": "64 MiB", "virt_type": "qemu"}
    host.converge("domain", **options, cloud_init={"user_data": {"a": 1}, "pool": pool, "on_change": "ignore"})
    before = host.sh(f"sha256sum {path}")
    other = {"user_data": {"a": 2}, "pool": pool, "on_change": "ignore"}
    (result,) = host.play(Task("domain", {**options, "cloud_init": other}))
    assert (result.failed, result.changed) == (False, False)
    assert host.sh(f"sha256sum {path}") == before


def test_ignition_reads_its_config_by_fw_cfg(host: Host, name: str, pool: str) -> None:
    path = f"{AREA}/{name}/{name}-ignition.json"
    config: dict[str, Any] = {"ignition": {"version": "3.4.0"}, "passwd": {"users": [{"name": "core-s3cret"}]}}
    options: dict[str, Any] = {"name": name, "memory": "64 MiB", "virt_type": "qemu", "cpu": {"mode": "maximum"}}
    ignition = {"config": config, "pool": pool}
    host.converge("domain", **options, state="running", ignition=ignition)
    assert "s3cret" not in host.output
    assert json.loads(host.sh(f"cat {path}")) == config
    assert f"file={path}" in host.sh(f"tr '\\0' ' ' < /proc/$(cat /run/libvirt/qemu/{name}.pid)/cmdline")
    config["passwd"]["users"].append({"name": "ops"})
    changed = host.converge("domain", **options, ignition=ignition).run
    assert [key for key, item in changed.objects.items() if item["changed"]] == [f"volume {pool}/{name}-ignition.json"]
    assert json.loads(host.sh(f"cat {path}")) == config
    host.converge("domain", name=name, state="absent", force=True, remove_storage=True)
    assert host.sh(f"ls {AREA}/{name}").strip() == ""
