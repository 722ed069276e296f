"""The guests that the benchmarks declare, and the tasks that do."""

from __future__ import annotations

from typing import Any

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
