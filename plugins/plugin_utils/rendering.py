# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stack as libvirt's XML without a host: as it would be defined on one that has nothing but what the stack names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from xml.sax.saxutils import escape

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.errors import UnsupportedError

from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.current import Host, Network, Pool, Volume
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.problem import Declined
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.stack import plan_stack
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.spec.field import needed_spec
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.spec.kinds import KINDS, STACK

FOLDER = "/var/lib/libvirt/images"


class Wrong(Exception):
    """The stack cannot be carried out anywhere. The message lists what is wrong."""


def rendered(declared: Mapping[str, Any], arch: str = "x86_64", kvm: bool = True) -> dict[str, dict[str, str]]:
    """The definition of each object that a stack makes, by plural kind and name. Raises Wrong.

    arch, kvm: of the host that is thought of. Volumes are not among them: what they are made of is not all in their XML.
    """
    checked = ArgumentSpecValidator(needed_spec(STACK, [declared])).validate(dict(declared))
    if checked.error_messages:
        raise Wrong("; ".join(_said(error) for error in checked.errors))
    stack = {kind.plural: checked.validated_parameters.get(kind.plural) or [] for kind in KINDS}
    try:
        plan = plan_stack(stack, _host(stack, arch, kvm))
    except Declined as error:
        raise Wrong("; ".join(str(problem) for problem in error.problems)) from error
    plural = {kind.name: kind.plural for kind in KINDS}
    found: dict[str, dict[str, str]] = {}
    for item in plan.objects:
        # What is thought to be there gets no more than the addresses of guests.
        for step in item.steps if item.previous is None else ():
            if step.verb == "define":
                found.setdefault(plural[item.kind], {})[item.name] = step.args["xml"]
    return found


def _said(error: Exception) -> str:
    """An error of the validator; of options that are none, without the names of all there are."""
    text = str(error)
    return f"there is no option {text.partition('. Supported')[0]}" if isinstance(error, UnsupportedError) else text


def _host(stack: Mapping[str, Any], arch: str, kvm: bool) -> Host:
    """A host on which everything is that the stack refers to and does not declare."""
    pools: dict[str, dict[str, Volume | None]] = {}
    for pool, volume in _storage(stack):
        pools.setdefault(pool, {})
        if volume:
            pools[pool][volume] = Volume(volume, pool, f"{_folder(pool)}/{volume}", 0, "qcow2")
    own = {item["name"] for item in stack["pools"]}
    return Host(
        uri="",
        identity="",
        domains={},
        networks={name: Network(name, xml, xml, True) for name, xml in _networks(stack).items()},
        pools={
            name: Pool(name, xml, xml, True, volumes)
            for name, volumes in pools.items()
            if name not in own
            for xml in [
                f"<pool type='dir'><name>{escape(name)}</name><target><path>{escape(_folder(name))}</path></target></pool>"
            ]
        },
        machines={},
        kvm=kvm,
        arch=arch,
        driver="QEMU",
    )


def _folder(pool: str) -> str:
    return FOLDER if pool == "default" else f"{FOLDER}/{pool}"


def _storage(stack: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    """Pools, and the volumes in them, that a stack refers to; a volume that it makes itself is not among them."""
    made = {(item["pool"], item["name"]) for item in stack["volumes"]}
    yield "default", None
    for item in stack["volumes"]:
        yield item["pool"], None
        for pool, name in (
            (item.get("backing_pool") or item["pool"], item.get("backing")),
            (item["pool"], item.get("clone")),
        ):
            yield pool, name if (pool, name) not in made else None
    for guest in stack["domains"]:
        yield (guest.get("cloud_init") or {}).get("pool") or "default", None
        for disk in guest.get("disks") or []:
            pool = disk.get("pool") or "default"
            named = None if disk.get("size") and not disk.get("image") else disk.get("volume")
            for name in (disk.get("image"), named):
                yield pool, name if name and "/" not in name and (pool, name) not in made else None


def _networks(stack: Mapping[str, Any]) -> dict[str, str]:
    """Networks that guests are on and the stack does not declare, with blocks for the addresses that these guests are to have."""
    own = {item["name"] for item in stack["networks"]}
    blocks: dict[str, set[str]] = {}
    for guest in stack["domains"]:
        for interface in guest.get("interfaces") or []:
            if interface.get("network") and interface["network"] not in own:
                address = interface.get("address") or ""
                blocks.setdefault(interface["network"], set()).update(
                    [address.rpartition(".")[0]] if "." in address else []
                )
    return {
        name: f"<network><name>{escape(name)}</name>"
        + "".join(f"<ip address='{escape(block)}.0' prefix='24'/>" for block in sorted(found))
        + "</network>"
        for name, found in blocks.items()
    }
