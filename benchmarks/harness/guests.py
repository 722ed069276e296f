"""The guests that the benchmarks declare, and the tasks that do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from place import POOL

Guest = dict[str, Any]


def names(count: int) -> list[str]:
    """Names of guests: bench-0001 and so on."""
    return [f"bench-{number:04}" for number in range(1, count + 1)]


def guests(count: int) -> list[Guest]:
    """Declarations of ordinary guests: a disk on a volume of its own, an interface on the default network."""
    return [
        {
            "name": name,
            "description": f"Guest {name}",
            "memory": "256 MiB",
            "vcpus": 2,
            "disks": [{"target": "vda", "volume": f"{name}.qcow2", "pool": "bench"}],
            "interfaces": [{"network": "default"}],
        }
        for name in names(count)
    ]


def diskless(count: int, state: str) -> list[Guest]:
    """Declarations of guests that start and have nothing to run."""
    return [{"name": name, "memory": "32 MiB", "vcpus": 1, "state": state} for name in names(count)]


def absent(count: int) -> list[Guest]:
    """Declarations by which guests go."""
    return [{"name": name, "state": "absent"} for name in names(count)]


STACK = {"kvmfleet.libvirt.stack": {"domains": "{{ guests }}"}}
PING: dict[str, Any] = {"ansible.builtin.ping": {}}


def bare(action: str) -> dict[str, Any]:
    """The task of the bare script."""
    return {"bench_bare": {"action": action, "names": "{{ names }}", "template": "{{ template | default('') }}"}}


# How the peer's users write it: one XML document for each guest.
COMMUNITY = {
    "community.libvirt.virt": {"command": "define", "xml": "{{ template | replace('GUEST', item) }}"},
    "loop": "{{ names }}",
}


def tiny(count: int, state: str, image: Mapping[str, Any]) -> list[Guest]:
    """Declarations of guests that boot the tiny Linux and obey their power button. image: what lab.tiny_guest tells."""
    return [
        {
            "name": name,
            **image,
            "interfaces": [{"network": "default"}],
            "state": state,
            "timeout": 120,
            "wait_for": {"address": state == "running", "timeout": 300},
        }
        for name in names(count)
    ]


def from_image(count: int, image: Mapping[str, Any]) -> list[Guest]:
    """The same with a disk each, an overlay of the image that lab.make_image makes, and a seed."""
    return [
        {
            **guest,
            "disks": [{"target": "vda", "image": "bench-base.qcow2", "pool": "bench"}],
            "cloud_init": {"user_data": {"hostname": guest["name"]}, "pool": "bench"},
        }
        for guest in tiny(count, "running", image)
    ]


def virt_install(count: int, image: Mapping[str, Any]) -> str:
    """A shell script that makes such guests one after the other, as a tutorial has it, and waits for all addresses."""
    boot = f"kernel={image['kernel']},initrd={image['initrd']},kernel_args='{image['cmdline']}'"
    return f"""
set -e
cd {POOL}
printf '#cloud-config\\n' > user-data
for name in {" ".join(names(count))}; do
    qemu-img create -q -f qcow2 -b bench-base.qcow2 -F qcow2 $name-vda.qcow2
    virt-install --quiet --name $name --memory 256 --vcpus 1 --virt-type qemu --cpu mode=maximum --boot "{boot}" \\
        --import --disk {POOL}/$name-vda.qcow2,bus=virtio --network network=default,model=virtio \\
        --osinfo detect=on,require=off --cloud-init user-data=user-data --graphics none --noautoconsole
done
SECONDS=0
for name in {" ".join(names(count))}; do
    until virsh -q domifaddr $name | grep -q ipv4; do sleep 0.5; test $SECONDS -lt 300; done
done
"""
