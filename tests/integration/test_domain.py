# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests that run nothing: QEMU with its firmware. What needs a guest that answers is in test_guest.py."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fleet import AREA, Host, Task

SMALL: dict[str, Any] = {"memory": "64 MiB", "vcpus": 1, "virt_type": "qemu"}
FORCED: dict[str, Any] = {"timeout": 1, "force": True}


@pytest.mark.both
def test_a_guest_from_nothing_to_nothing(host: Host, name: str) -> None:
    made = host.converge("domain", name=name, title="first", **SMALL)
    assert made.run.only["state"] == "stopped"
    assert made.run.changes["state"] == ("absent", "stopped")
    assert made.after.domain(name, "uuid") == made.run.only["uuid"]
    assert made.after.domain(name, "currentMemory") == "65536"
    assert made.after.domain(name, "os/type/@machine").startswith("pc-q35")  # type: ignore[union-attr]

    fields = {**SMALL, "memory": "96 MiB", "vcpus": 2, "title": "second", "machine": "q35", "autostart": True}
    changed = host.converge("domain", name=name, **fields)
    assert changed.run.changes == {
        "memory": ("64 MiB", "96 MiB"),
        "current_memory": ("64 MiB", "96 MiB"),
        "vcpus": (1, 2),
        "title": ("first", "second"),
        "autostart": (False, True),
    }
    assert changed.after.domain(name, "memory") == "98304"
    assert changed.after.all["domains"][name]["autostart"]

    begun = host.converge("domain", name=name, state="running")
    assert begun.run.changes == {"state": ("stopped", "running")}
    assert begun.after.state(name) == "running"
    paused = host.converge("domain", name=name, state="paused")
    assert paused.after.state(name) == "paused"
    host.converge("domain", name=name, state="running")

    gone = host.converge("domain", name=name, state="absent", **FORCED)
    assert gone.run.only["state"] == "absent"
    assert name not in gone.after.all["domains"]


def test_a_name_alone_changes_nothing_whatever_the_guest_looks_like(host: Host, name: str) -> None:
    host.run("domain", name=name, state="running", **SMALL)
    host.virsh(f"memtune {name} --hard-limit 900000 --config")
    host.converge("domain", changed=False, name=name)
    host.virsh(f"suspend {name}")
    done = host.converge("domain", changed=False, name=name)
    assert done.run.only["state"] == "paused"


def test_drift_is_repaired(host: Host, name: str) -> None:
    host.run("domain", name=name, **SMALL)
    host.virsh(f"setmaxmem {name} 128M --config")
    host.virsh(f"setmem {name} 128M --config")
    done = host.converge("domain", name=name, **SMALL)
    assert done.after.domain(name, "memory") == "65536"


def test_units_mean_what_they_say(host: Host, name: str) -> None:
    host.run("domain", name=name, **SMALL)
    same = ("65536 KiB", "67108864 bytes", "0.0625 GiB")
    for size, result in zip(same, host.play(*(Task("domain", {"name": name, "memory": size}) for size in same))):
        assert (result.failed, result.changed) == (False, False), (size, result.data)


def test_a_guest_that_does_not_listen_is_stopped_only_by_force(host: Host, name: str) -> None:
    host.run("domain", name=name, state="running", **SMALL)
    (asked,) = host.play(Task("domain", {"name": name, "state": "stopped", "timeout": 2}))
    assert asked.failed
    assert "2 s" in asked.msg
    assert "force" in asked.msg
    seen = host.see()
    assert seen.state(name) == "running"
    before = seen.all["domains"][name]["id"]
    done = host.converge("domain", name=name, state="stopped", **FORCED)
    assert done.after.state(name) == "shut off"
    assert before is not None


def test_acts_are_done_on_every_run(host: Host, name: str) -> None:
    host.run("domain", name=name, state="running", **SMALL)
    before = host.see().all["domains"][name]["id"]
    for _twice in range(2):
        check, run = host.play(
            Task("domain", {"name": name, "state": "restarted", **FORCED}, check=True),
            Task("domain", {"name": name, "state": "restarted", **FORCED}),
        )
        assert not run.failed, run.data
        assert check.changed
        assert run.changed
        after = host.see()
        assert after.state(name) == "running"
        assert after.all["domains"][name]["id"] != before
        before = after.all["domains"][name]["id"]
    reset = host.run("domain", name=name, state="reset")
    assert reset.changed
    assert host.see().all["domains"][name]["id"] == before


def test_reset_of_a_guest_that_is_off_is_refused(host: Host, name: str) -> None:
    host.run("domain", name=name, **SMALL)
    assert "not running" in host.refused("domain", name=name, state="reset")


def test_what_needs_a_restart_waits_until_it_may(host: Host, name: str) -> None:
    host.run("domain", name=name, state="running", **SMALL)
    task = Task("domain", {"name": name, "vcpus": 2, "cpu": {"mode": "custom", "model": "qemu64"}})
    changed, again = host.play(task, task)
    assert changed.changed
    assert not again.changed
    assert {"vcpus", "cpu.model"} <= changed.pending
    assert changed.pending == again.pending
    assert changed.only["restart_required"]
    assert "vcpus" in changed.msg
    seen = host.see()
    assert seen.domain(name, "vcpu") == "2"
    assert seen.domain(name, "vcpu", "live") == "1"
    options = {**task.options, "restart": "if_needed", **FORCED}
    done = host.converge("domain", **options)
    assert done.run.pending == set()
    assert done.after.domain(name, "vcpu", "live") == "2"
    host.converge("domain", changed=False, **options)


def test_starting_a_guest_makes_what_waited_true(host: Host, name: str) -> None:
    host.run("domain", name=name, state="running", **SMALL)
    host.run("domain", name=name, vcpus=2)
    host.virsh(f"destroy {name}")
    done = host.converge("domain", name=name, vcpus=2, state="running")
    assert done.run.pending == set()
    assert done.after.domain(name, "vcpu", "live") == "2"


@pytest.mark.both
def test_disks_of_every_origin(host: Host, name: str, pool: str) -> None:
    """An overlay on an image, an empty disk, a declared volume and a cdrom; then one grows, and the guest goes."""
    area = f"{AREA}/{name}"
    host.virsh(f"vol-create-as {pool} image.qcow2 8M --format qcow2")
    host.virsh(f"vol-create-as {pool} own.raw 1M --format raw")
    host.virsh(f"vol-create-as {pool} shared.iso 1M --format raw")
    host.sh(f"truncate -s 1M {AREA}/{name}-foreign.raw")
    fields: dict[str, Any] = {
        **SMALL,
        "disks": [
            {"target": "vda", "image": "image.qcow2", "pool": pool, "size": "16 MiB"},
            {"target": "vdb", "pool": pool, "size": "4 MiB"},
            {"target": "vdc", "volume": "own.raw", "pool": pool},
            {"target": "sda", "volume": "shared.iso", "pool": pool, "device": "cdrom"},
            {"target": "vdd", "file": f"{AREA}/{name}-foreign.raw"},
        ],
    }
    made = host.converge("domain", name=name, **fields)
    sources = {
        disk.find("target").get("dev"): disk.find("source").get("file")  # type: ignore[union-attr]
        for disk in made.after.xml("domains", name).iterfind("devices/disk")
    }
    assert sources == {
        "vda": f"{area}/{name}-vda.qcow2",
        "vdb": f"{area}/{name}-vdb.qcow2",
        "vdc": f"{area}/own.raw",
        "sda": f"{area}/shared.iso",
        "vdd": f"{AREA}/{name}-foreign.raw",
    }
    about = json.loads(host.sh(f"qemu-img info --output=json {area}/{name}-vda.qcow2"))
    assert (about["virtual-size"], about["backing-filename"]) == (16 << 20, f"{area}/image.qcow2")
    assert made.after.domain(name, "devices/disk/driver/@type") == "qcow2"

    host.converge("domain", name=name, state="running")
    fields["disks"][0]["size"] = "32 MiB"
    grown = host.converge("domain", name=name, **fields)
    assert grown.run.changes == {f"{pool}/{name}-vda.qcow2: size": ("16 MiB", "32 MiB")} or grown.run.changed
    assert str(32 << 20) in host.virsh(f"domblkinfo {name} vda")

    kept = host.converge("domain", name=name, state="absent", **FORCED)
    assert len(kept.after.all["volumes"]) == 5, "absent keeps the disks"
    host.converge("domain", name=name, **fields)
    host.converge("domain", name=name, state="absent", remove_storage=True)
    assert sorted(host.sh(f"ls {area}").split()) == ["image.qcow2", "shared.iso"]
    assert host.sh(f"ls {AREA}/{name}-foreign.raw").strip()


def test_storage_that_others_use_is_never_removed(host: Host, name: str, pool: str) -> None:
    for volume in ("shared.qcow2", "base.qcow2"):
        host.virsh(f"vol-create-as {pool} {volume} 4M --format qcow2")
    disks = [
        {"target": "vda", "volume": "shared.qcow2", "pool": pool},
        {"target": "vdb", "volume": "base.qcow2", "pool": pool},
    ]
    host.run("domain", name=f"{name}a", disks=disks, **SMALL)
    host.run("domain", name=f"{name}b", disks=[{**disks[0], "readonly": True}], **SMALL)
    host.virsh(f"vol-create-as {pool} over.qcow2 4M --format qcow2 --backing-vol base.qcow2 --backing-vol-format qcow2")
    gone = host.converge("domain", name=f"{name}a", state="absent", remove_storage=True)
    assert {f"{pool}/shared.qcow2", f"{pool}/base.qcow2", f"{pool}/over.qcow2"} == set(gone.after.all["volumes"])


@pytest.mark.both
def test_guests_with_more_than_a_definition_go(host: Host, name: str, pool: str) -> None:
    """EFI variables, a TPM's state, a managed save, snapshots and checkpoints."""
    fields = {
        **SMALL,
        "firmware": "efi",
        "tpm": {"model": "tpm-crb"},
        "disks": [{"target": "vda", "size": "4 MiB", "pool": pool}],
    }
    made = host.converge("domain", name=name, **fields)
    assert made.after.domain(name, "os/@firmware") == "efi"
    assert made.after.domain(name, "devices/tpm/backend/@type") == "emulator"
    uuid = made.run.objects[f"domain {name}"]["uuid"]
    host.converge("domain", name=name, state="running")
    host.converge("domain", changed=False, name=name, **fields)
    nvram = host.see().domain(name, "os/nvram", "live")
    assert host.sh(f"ls {nvram}").strip() == nvram
    updated = host.converge("domain", name=name, description="kept its variables")
    assert updated.after.domain(name, "os/nvram", "live") == nvram
    host.converge("domain", name=name, state="absent", **FORCED)
    assert host.sh(f"ls {nvram} /var/lib/libvirt/swtpm/{uuid} 2>/dev/null", check=False).strip() == ""

    other = f"{name}s"
    disks = [{"target": "vda", "volume": f"{name}-vda.qcow2", "pool": pool}]
    host.run("domain", name=other, disks=disks, state="running", **SMALL)
    host.virsh(f"snapshot-create-as {other} one")
    host.virsh(f"checkpoint-create-as {other} two")
    host.virsh(f"managedsave {other}")
    host.converge("domain", name=other, state="absent")


def test_raw_xml_twice_with_a_change_in_between(host: Host, name: str) -> None:
    text = f"""<domain type='qemu'><name>{name}</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>
      <os><type>hvm</type></os><features><acpi/></features>
      <devices><controller type='usb' model='none'/><input type='tablet' bus='virtio'/><memballoon model='none'/>
      <graphics type='vnc' port='-1'/><watchdog model='i6300esb'/></devices></domain>"""
    host.converge("domain", name=name, xml=text)
    host.converge("domain", name=name, state="running")
    host.converge("domain", changed=False, name=name, xml=text)
    (changed, again) = host.play(*[Task("domain", {"name": name, "xml": text.replace("<vcpu>1", "<vcpu>2")})] * 2)
    assert changed.changed
    assert not again.changed
    assert changed.pending == again.pending == {"vcpus"}
    assert host.see().domain(name, "vcpu") == "2"
    without = text.replace("<watchdog model='i6300esb'/>", "")
    host.run("domain", name=name, xml=without)
    assert host.see().domain(name, "devices/watchdog/@model") is None


def test_fields_win_over_raw_xml(host: Host, name: str) -> None:
    text = "<domain type='qemu'><name>other</name><memory unit='MiB'>64</memory><os><type>hvm</type></os></domain>"
    made = host.converge("domain", name=name, xml=text, memory="80 MiB", vcpus=3)
    assert made.after.domain(name, "memory") == "81920"
    assert made.after.domain(name, "vcpu") == "3"
    assert "other" not in made.after.all["domains"]


@pytest.mark.both
def test_a_guest_of_virt_install_is_adopted_as_it_is(host: Host, name: str, pool: str, net: str) -> None:
    """--import, with what a person types; then with its own values declared, and stays unwritten."""
    host.virsh(f"vol-create-as {pool} disk.qcow2 8M --format qcow2")
    host.sh(
        f"virt-install --import --name {name} --memory 128 --vcpus 2 --osinfo generic --machine q35 --virt-type qemu"
        f" --noautoconsole --disk vol={pool}/disk.qcow2,bus=virtio --network network={net},model=virtio --graphics vnc"
    )
    seen = host.see()
    mac = seen.domain(name, "devices/interface/mac/@address")
    host.converge("domain", changed=False, name=name)
    fields = {
        "memory": "128 MiB",
        "vcpus": 2,
        "machine": "q35",
        "arch": "x86_64",
        "virt_type": "auto",
        "boot": ["hd"],
        "disks": [{"target": "vda", "volume": "disk.qcow2", "pool": pool, "bus": "virtio", "format": "qcow2"}],
        "interfaces": [{"network": net, "model": "virtio"}],
        "graphics": [{"type": "vnc", "port": -1}],
        "state": "running",
    }
    done = host.converge("domain", changed=False, name=name, **fields)
    assert done.run.pending == set(), done.run.data
    host.converge("domain", changed=False, name=name, interfaces=[{"mac": mac, "network": net}])


def test_a_new_interface_leaves_the_others_as_they_are(host: Host, name: str, net: str) -> None:
    host.run("domain", name=name, interfaces=[{"network": net}], **SMALL)
    before = host.see().xml("domains", name).findall("devices/interface")
    done = host.converge("domain", name=name, interfaces=[{"network": net}, {"network": net}])
    after = done.after.xml("domains", name).findall("devices/interface")
    assert len(after) == 2
    for path, attribute in (("mac", "address"), ("address", "bus")):
        assert after[0].find(path).get(attribute) == before[0].find(path).get(attribute)  # type: ignore[union-attr]
    gone = host.converge("domain", name=name, interfaces=[{"network": net}])
    assert len(gone.after.xml("domains", name).findall("devices/interface")) == 1


def test_what_others_added_is_left_and_told(host: Host, name: str, pool: str, net: str) -> None:
    disk = {"target": "vda", "size": "1 MiB", "pool": pool}
    host.run("domain", name=name, disks=[disk], interfaces=[{"network": net}], **SMALL)
    host.virsh(f"vol-create-as {pool} extra.raw 1M")
    host.virsh(f"attach-disk {name} {AREA}/{name}/extra.raw vdb --config")
    done = host.converge("domain", changed=False, name=name, disks=[disk])
    assert done.run.objects[f"domain {name}"]["undeclared"] == ["disks[vdb]"]


def test_an_address_comes_changes_and_goes(host: Host, name: str, net: str, subnet: str) -> None:
    """The reservation follows the declaration, on the running network and in its definition."""

    def reserved(seen: Any) -> list[list[tuple[str | None, str | None]]]:
        return [
            [(node.get("ip"), node.get("mac")) for node in seen.xml("networks", net, view).iterfind("ip/dhcp/host")]
            for view in ("live", "inactive")
        ]

    made = host.converge("domain", name=name, interfaces=[{"network": net, "address": f"{subnet}.10"}], **SMALL)
    mac = made.after.domain(name, "devices/interface/mac/@address")
    assert reserved(made.after) == [[(f"{subnet}.10", mac)]] * 2
    links = made.after.all["links"]
    moved = host.converge("domain", name=name, interfaces=[{"network": net, "address": f"{subnet}.11"}])
    assert reserved(moved.after) == [[(f"{subnet}.11", mac)]] * 2
    assert moved.after.all["links"] == links
    host.converge("domain", changed=False, name=name)
    host.refuses(
        "domain",
        [
            (
                {"name": f"{name}b", "interfaces": [{"network": net, "address": f"{subnet}.11"}], **SMALL},
                f"{subnet}.11",
            ),
            ({"name": f"{name}b", "interfaces": [{"network": net, "address": "10.1.1.1"}], **SMALL}, "10.1.1.1"),
            ({"name": f"{name}b", "interfaces": [{"network": net, "address": f"{subnet}.1"}], **SMALL}, f"{subnet}.1"),
            ({"name": f"{name}b", "interfaces": [{"network": net, "mac": mac}], **SMALL}, str(mac)),
        ],
    )
    gone = host.converge("domain", name=name, state="absent")
    assert reserved(gone.after) == [[], []]


NONSENSE = "<domain type='qemu'><os><type>hvm</type></os><devices><nonsense/></devices></domain>"

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({}, "memory"),
    ({"memory": "lots"}, "lots"),
    ({"memory": "64"}, "unit"),
    ({"memory": "64 MiB", "vcpus": "many"}, "vcpus"),
    ({"memory": "64 MiB", "vcpu": 2}, "vcpu"),
    ({"memory": "64 MiB", "state": "running", "interfaces": [{"network": "nowhere"}]}, "nowhere"),
    ({"memory": "64 MiB", "disks": [{"target": "vda", "size": "1 MiB", "pool": "nowhere"}]}, "nowhere"),
    ({"memory": "64 MiB", "disks": [{"target": "vda", "volume": "nothing", "pool": "POOL"}]}, "nothing"),
    ({"memory": "64 MiB", "disks": [{"target": "vda", "image": "nothing", "pool": "POOL"}]}, "nothing"),
    (
        {"memory": "64 MiB", "disks": [{"target": "vda", "image": "image.raw", "size": "1 MiB", "pool": "POOL"}]},
        "smaller",
    ),
    ({"memory": "64 MiB", "disks": [{"target": "vda", "size": "1 MiB", "pool": "POOL"}] * 2}, "vda"),
    ({"memory": "64 MiB", "disks": [{"target": "vda"}]}, "vda"),
    ({"memory": "64 MiB", "interfaces": [{"network": "NET", "mac": "52:54:00:00:00:01"}] * 2}, "52:54:00:00:00:01"),
    ({"memory": "64 MiB", "interfaces": [{"network": "NET", "mac": "52:54"}]}, "52:54"),
    ({"memory": "64 MiB", "interfaces": [{"network": "NET", "bridge": "br0"}]}, "exclude"),
    ({"memory": "64 MiB", "machine": "pdp-11"}, "pdp-11"),
    ({"memory": "64 MiB", "xml": "<domain><devices>"}, "xml"),
    ({"xml": "<!DOCTYPE d [<!ENTITY e 'x'>]><domain type='qemu'><name>&e;</name></domain>"}, "xml"),
    (
        {
            "memory": "64 MiB",
            "xml": NONSENSE,
        },
        "nonsense",
    ),
    ({"name": "a/b", "memory": "64 MiB"}, "name"),
    ({"name": "..", "memory": "64 MiB"}, "name"),
    ({"memory": "64 MiB", "uri": "nonsense:///nowhere"}, "nonsense:///nowhere"),
]


@pytest.mark.both
def test_what_cannot_be_is_refused(host: Host, name: str, pool: str, net: str) -> None:
    host.virsh(f"vol-create-as {pool} image.raw 4M --format raw")
    cases = [
        (
            json.loads(
                json.dumps({"name": name, "virt_type": "qemu", **options}).replace("POOL", pool).replace("NET", net)
            ),
            part,
        )
        for options, part in REFUSED
    ]
    host.refuses("domain", cases)


def test_a_uuid_is_never_changed(host: Host, name: str) -> None:
    host.run("domain", name=name, **SMALL)
    other = "11111111-2222-3333-4444-555555555555"
    assert other in host.refused("domain", name=name, uuid=other)


def test_module_defaults_of_the_action_group(host: Host, name: str) -> None:
    """A uri set once for all modules; the test driver shows that it was heard."""
    defaults = {"group/kvmfleet.libvirt.libvirt": {"uri": "test:///default"}}
    (result,) = host.play(Task("domain", {"name": "test"}), module_defaults=defaults)
    assert (result.failed, result.changed) == (False, False), result.data
    assert result.only["state"] == "running"


@pytest.mark.both
def test_a_guest_gets_another_name_and_keeps_all_else(host: Host, name: str) -> None:
    """With its NVRAM, snapshots and autostart; while it runs it waits, or is restarted if it may be."""
    new, last = f"{name}-new", f"{name}-last"
    nvram = "/var/lib/libvirt/qemu/nvram/{}_VARS.fd"
    host.run("domain", name=name, firmware="efi", autostart=True, state="running", **SMALL)
    file = host.sh(f"stat -c %i {nvram.format(name)}")
    try:
        waiting = host.converge("domain", changed=False, name=new, renamed_from=name, title="second")
        assert waiting.run.pending >= {"name", "title"}
        assert waiting.after.domain(name, "title") is None
        done = host.converge("domain", name=new, renamed_from=name, title="second", restart="if_needed", **FORCED)
        assert done.run.changes["name"] == (name, new)
        assert done.run.changes["state"] == ("running", "running anew")
        assert (done.after.state(new), done.after.domain(new, "title")) == ("running", "second")
        assert name not in done.after.all["domains"]
        assert done.after.all["domains"][new]["autostart"]
        assert host.sh(f"stat -c %i {nvram.format(new)}") == file
        assert done.after.domain(new, "os/nvram", "live") == nvram.format(new)
        host.run("domain", name=new, state="stopped", **FORCED)
        off = host.converge("domain", name=last, renamed_from=new)
        assert off.run.changes == {"name": (new, last)}
        assert host.sh(f"ls {nvram.format(last)}; ls {nvram.format(new)} 2>/dev/null || true").split() == [
            nvram.format(last)
        ]
    finally:
        host.sh(f"for n in {name} {new} {last}; do virsh destroy $n; virsh undefine --nvram $n; done", check=False)


def test_a_guest_whose_new_name_fails_runs_on_as_it_was(host: Host, name: str) -> None:
    """Where it cannot be renamed, under its old name; where it cannot be started then, with its old definition."""
    new = f"{name}-new"
    taken = f"/var/lib/libvirt/qemu/nvram/{new}_VARS.fd"
    host.run("domain", name=name, firmware="efi", state="running", title="first", **SMALL)
    renamed: dict[str, Any] = {"name": new, "renamed_from": name, "restart": "if_needed", **FORCED}
    try:
        host.sh(f"echo of another guest > {taken}")
        (failed,) = host.play(Task("domain", {**renamed, "title": "second"}))
        assert failed.failed
        assert "NVRAM cannot be kept" in failed.msg
        assert "was started again" in failed.msg
        seen = host.see()
        assert (seen.state(name), seen.state(new), seen.domain(name, "title")) == ("running", None, "first")
        assert host.sh(f"cat {taken}").strip() == "of another guest"
        host.sh(f"rm {taken}")

        # That it is there is seen beforehand; that it is none, by QEMU alone.
        host.put(f"{AREA}/{name}.qcow2", b"no image")
        broken = {"target": "vda", "file": f"{AREA}/{name}.qcow2", "format": "qcow2"}
        (failed,) = host.play(Task("domain", {**renamed, "title": "second", "disks": [broken]}))
        assert failed.failed
        assert "previous definition was put back, and the domain started with it" in failed.msg
        seen = host.see()
        assert (seen.state(name), seen.state(new), seen.domain(new, "title")) == (None, "running", "first")
        assert seen.xml("domains", new).findall("devices/disk") == []
        done = host.converge("domain", name=new, renamed_from=name, title="second")
        assert (done.after.state(new), done.after.domain(new, "title", "live")) == ("running", "second")
    finally:
        host.sh(
            f"for n in {name} {new}; do virsh destroy $n; virsh undefine --nvram $n; done; rm -f {taken}", check=False
        )


@pytest.mark.newer
def test_options_are_unset_while_the_guest_runs(host: Host, name: str, pool: str, net: str) -> None:
    """What is named is gone, at once where libvirt can; what stands beside it stays."""
    medium = f"{AREA}/{name}/one.iso"
    host.sh(f"truncate -s 1M {medium}")
    data = {"target": "vda", "size": "1 MiB", "pool": pool}
    drive = {"target": "sda", "device": "cdrom"}
    link = {"network": net, "name": "one"}
    limits = {"read_bytes_sec": 1 << 20, "write_bytes_sec": 1 << 20}
    more: dict[str, Any] = {"cache": "none", "alias": "ua-data", "iotune": limits, "queues": 2}
    more["iothreads"] = [{"id": 1, "queues": [0]}, {"id": 2, "queues": [1]}]
    made = host.converge(
        "domain",
        name=name,
        title="first",
        iothreads=2,
        disks=[{**data, **more}, {**drive, "file": medium}],
        interfaces=[{**link, "link": "down", "alias": "ua-one"}],
        state="running",
        **SMALL,
    )
    assert made.after.domain(name, "devices/disk/alias/@name", "live") == "ua-data"
    assert len(made.after.xml("domains", name, "live").findall("devices/disk/driver/iothreads/iothread/queue")) == 2
    done = host.converge(
        "domain",
        name=name,
        unset=["title"],
        disks=[{**data, "unset": ["iotune.read_bytes_sec"]}, {**drive, "unset": ["file"]}],
        interfaces=[{**link, "unset": ["link"]}],
    )
    assert done.run.pending == set()
    for view in ("inactive", "live"):
        for gone in ("title", "devices/disk/iotune/read_bytes_sec", "devices/interface/link"):
            assert done.after.domain(name, gone, view) is None, (view, gone)
        assert done.after.domain(name, "devices/disk/iotune/write_bytes_sec", view) == str(1 << 20)
        # A drive that is emptied while it runs keeps an empty source.
        assert done.after.xml("domains", name, view).find("devices/disk[@device='cdrom']/source[@file]") is None
    waits = host.converge("domain", name=name, disks=[{**data, "unset": ["cache"]}, drive])
    assert waits.run.pending == {"disks[vda].cache"}
    assert "declare it empty" in host.refused("domain", name=name, disks=[{**data, "unset": ["iothreads"]}])
