# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be read of a host to plan a stack, and what of it again once that is carried out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .host.read import Scope, Source
from .plan.current import Host, Pool
from .plan.plan import Plan

if TYPE_CHECKING:
    from .plan.stack import Stack


def scope_of(stack: Stack) -> Scope:
    """What has to be read in full to plan a stack."""
    domains = stack.get("domains") or []
    volumes = [_with_raw(item) for item in stack.get("volumes") or []]
    emptied = frozenset(
        item["name"] for item in stack.get("pools") or [] if item["state"] == "absent" and item.get("remove_storage")
    )
    emptying = frozenset(item["name"] for item in domains if item["state"] == "absent" and item.get("remove_storage"))
    going = (
        bool(emptied)
        or any(_needs_users(item) for item in volumes)
        or bool(emptying)
        or any(item["state"] == "absent" for kind in ("secrets", "nwfilters") for item in stack.get(kind) or [])
    )
    taken = frozenset(item["domain"] for item in stack.get("snapshots") or [])
    return Scope(
        domains=frozenset(item["name"] for item in domains) | taken,
        former=frozenset(item["renamed_from"] for item in domains if item.get("renamed_from")),
        volumes=frozenset(_volume_names(domains, volumes)),
        standing=frozenset(_standing(domains)),
        everything=going,
        machines=any(item.get("machine") or item.get("xml") for item in domains),
        sized=frozenset(item["name"] for item in domains if any(disk.get("size") for disk in item.get("disks") or [])),
        macs=frozenset(
            str(interface["mac"]).lower()
            for item in domains
            for interface in item.get("interfaces") or []
            if interface.get("mac")
        ),
        networks=frozenset(item["name"] for item in stack.get("networks") or []),
        secrets=bool(stack.get("secrets")) or any(item.get("encryption") for item in volumes),
        nwfilters=bool(stack.get("nwfilters")),
        values=frozenset(_with_values(stack.get("secrets") or [])),
        checksums=_checksums(volumes),
        emptied=emptied,
        snapshots=taken | emptying,
        disks=frozenset(_written(domains)),
        sizes=frozenset(_sizes(domains, volumes)),
        clones=frozenset((item["pool"], item["name"]) for item in volumes if item.get("clone")),
        refresh=frozenset(item["name"] for item in stack.get("pools") or [] if item.get("refresh")),
    )


def _with_raw(volume: dict[str, Any]) -> dict[str, Any]:
    """A volume with what its raw XML says as options. What is wrong with that is told when it is planned."""
    if not volume.get("xml"):
        return volume
    # Imported here, as below: most runs declare nothing of the kind, and are spared what plans it.
    from .plan.problem import Problems  # noqa: PLC0415
    from .plan.raw_volume import with_raw  # noqa: PLC0415

    return with_raw(volume, "", Problems())


def _checksums(volumes: list[dict[str, Any]]) -> dict[tuple[str, str], Source]:
    """The checksums of the contents that are declared."""
    given = [item for item in volumes if item["state"] != "absent" and (item.get("source") or {}).get("checksum")]
    if not given:
        return {}
    from .plan.content import is_plain  # noqa: PLC0415

    return {(item["pool"], item["name"]): Source(item["source"]["checksum"], is_plain(item)) for item in given}


def _sizes(domains: list[dict[str, Any]], volumes: list[dict[str, Any]]) -> Iterator[tuple[str, str, int]]:
    """The sizes that volumes are to have. What is wrong with one is told when it is planned."""
    given = [(item["pool"], item["name"], item.get("size")) for item in volumes if item["state"] == "present"]
    for domain in domains:
        for disk in domain.get("disks") or []:
            name = disk.get("volume") or _own_volume(domain, disk)
            given.append((disk.get("pool") or "default", name, disk.get("size")))
    given = [item for item in given if item[2] is not None]
    if not given:
        return
    from .plan.values import size_bytes  # noqa: PLC0415

    for pool, name, size in given:
        with contextlib.suppress(ValueError):
            yield pool, name, size_bytes(str(size))


def _written(domains: list[dict[str, Any]]) -> Iterator[str]:
    """The volumes, by name, and files, by path, that guests write to alone."""
    for domain in domains:
        for disk in domain.get("disks") or [] if domain["state"] != "absent" else []:
            if disk.get("device") not in ("cdrom", "floppy") and not disk.get("readonly") and not disk.get("shareable"):
                yield disk.get("file") or disk.get("block") or disk.get("volume") or _own_volume(domain, disk)


def _own_volume(domain: dict[str, Any], disk: dict[str, Any]) -> str:
    return "{}-{}.{}".format(domain["name"], disk["target"], disk.get("format") or "qcow2")


def _needs_users(volume: dict[str, Any]) -> bool:
    """Whether a volume can only be planned when it is known who uses it."""
    owned = volume.get("permissions") or {}
    return bool(
        volume["state"] in ("absent", "wiped")
        or volume.get("allow_shrink")
        or owned.get("owner") is not None
        or owned.get("group") is not None
    )


def _with_values(secrets: list[dict[str, Any]]) -> list[str]:
    return [
        "none" if item["type"] == "none" else "{type}/{name}".format(**item)
        for item in secrets
        if item["state"] != "absent" and (item.get("value") is not None or item.get("value_base64") is not None)
    ]


def _volume_names(domains: list[dict[str, Any]], volumes: list[dict[str, Any]]) -> list[str]:
    names: list[str | None] = []
    for volume in volumes:
        names += [volume["name"], volume.get("backing"), volume.get("clone")]
    for domain in domains:
        names += ["{}-seed.iso".format(domain["name"]), "{}-ignition.json".format(domain["name"])]
        for disk in domain.get("disks") or []:
            if not _is_volume_alone(disk):
                names += [disk.get("volume"), disk.get("image"), (disk.get("file") or "").rpartition("/")[2]]
                names.append(_own_volume(domain, disk))
    return [name for name in names if name]


def _is_volume_alone(disk: dict[str, Any]) -> bool:
    """Whether a disk is a volume of which nothing else is declared."""
    return bool(disk.get("volume") and not disk.get("size") and not disk.get("image"))


def _standing(domains: list[dict[str, Any]]) -> Iterator[tuple[str, str, str]]:
    for domain in domains:
        for disk in domain.get("disks") or []:
            if _is_volume_alone(disk):
                yield disk.get("pool") or "default", disk["volume"], domain["name"]


def scope_after(stack: Stack, plan: Plan) -> Scope:
    """What a plan may have made otherwise, now that it is carried out: of guests and volumes, those that had something to do."""
    done = {item.id for item in plan.objects if item.changes or item.steps}
    domains = [item for item in stack.get("domains") or [] if ("domain", item["name"]) in done]
    volumes = {name.partition("/")[2] for kind, name in done if kind == "volume"}
    scope = scope_of(dict(stack, domains=domains))
    return scope._replace(volumes=scope.volumes | volumes)


def with_untouched(host: Host, before: Host, stack: Stack, scope: Scope) -> Host:
    """The host as it was read in this scope after a run, with the declared guests and the volumes that were read before it."""
    others = {item["name"] for item in stack.get("domains") or []} - scope.domains - scope.former
    kept = {name: domain for name, domain in before.domains.items() if name in others}
    pools = {name: _with_volumes(pool, before.pools.get(name)) for name, pool in host.pools.items()}
    return host._replace(domains={**kept, **host.domains}, pools=pools)


def _with_volumes(pool: Pool, before: Pool | None) -> Pool:
    read = {} if before is None else before.volumes
    return pool._replace(volumes={name: volume or read.get(name) for name, volume in pool.volumes.items()})
