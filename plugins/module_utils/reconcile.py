# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read, plan, stop if this is a check, apply, verify: what every module that declares something does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from .host.connection import Connection
from .host.read import Scope, Source, read_host, read_leases
from .outcome import Outcome, outcome_of
from .plan.content import is_plain
from .plan.current import Host
from .plan.plan import Awaited, Plan
from .plan.problem import Problems
from .plan.stack import Earlier, Stack, plan_stack
from .spec.kinds import KIND

# What a guest can be waited for.
AWAITED = ("address", "agent", "ssh", "cloud_init", "host_keys")


class Run(NamedTuple):
    """How a stack is to be carried out."""

    uri: str
    check: bool
    parallel: int
    on_error: str


def reconcile(stack: Stack, run: Run) -> Outcome:
    """Make a stack true on a host and tell what was done, or what would be done.

    Raises Declined when the declaration is wrong, HypervisorError or MissingLibrary when the host cannot be read.
    """
    connection = Connection(run.uri)
    try:
        scope = scope_of(stack)
        host = read_host(connection, scope)
        plan = plan_stack(stack, host)
        awaited = guests_awaited(stack, plan)
        _judge(plan, host)
        if run.check:
            return outcome_of(plan, {}, {})
        if not any(item.steps for item in plan.objects) and not awaited:
            return outcome_of(plan, {}, _addresses(connection, plan))
        # Imported here: a run that changes nothing, which is most of them, is spared the source of all that acts.
        from .converge import converge  # noqa: PLC0415

        after, results, told = converge(
            connection, stack, scope, Earlier(plan, host), awaited, run.parallel, run.on_error == "stop"
        )
        if any(result.error for result in results.values()):
            # What failed is to be told, and it may be the daemon: nothing more is asked of it.
            return outcome_of(after, results, told)
        return outcome_of(after, results, dict(_addresses(connection, plan), **told))
    finally:
        connection.close()


def scope_of(stack: Stack) -> Scope:
    """What has to be read in full to plan a stack."""
    domains = stack.get("domains") or []
    volumes = stack.get("volumes") or []
    emptied = frozenset(
        item["name"] for item in stack.get("pools") or [] if item["state"] == "absent" and item.get("remove_storage")
    )
    going = (
        bool(emptied)
        or any(_needs_users(item) for item in volumes)
        or any(item["state"] == "absent" and item.get("remove_storage") for item in domains)
    )
    checksums = {
        (item["pool"], item["name"]): Source(item["source"]["checksum"], is_plain(item))
        for item in volumes
        if item["state"] != "absent" and (item.get("source") or {}).get("checksum")
    }
    snapshots = frozenset(item["domain"] for item in stack.get("snapshots") or [])
    return Scope(
        domains=frozenset(item["name"] for item in domains) | snapshots,
        former=frozenset(item["renamed_from"] for item in domains if item.get("renamed_from")),
        volumes=frozenset(_volume_names(domains, volumes)),
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
        checksums=checksums,
        emptied=emptied,
        snapshots=snapshots,
        disks=frozenset(_written(domains)),
        refresh=frozenset(item["name"] for item in stack.get("pools") or [] if item.get("refresh")),
    )


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
        volume["state"] == "absent"
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
            names += [disk.get("volume"), disk.get("image"), (disk.get("file") or "").rpartition("/")[2]]
            names.append(_own_volume(domain, disk))
    return [name for name in names if name]


def _judge(plan: Plan, host: Host) -> None:
    """Let libvirt judge every definition that would be written. Raises Declined."""
    defines = [(item, step.args["xml"]) for item in plan.objects for step in item.steps if step.verb == "define"]
    if not defines:
        return
    from .host.judge import judged  # noqa: PLC0415 - as above: nothing to write, nobody to ask

    problems = Problems()
    before = [getattr(host, KIND[item.kind].plural).get(item.name) for item, _xml in defines]
    asked = [(item.kind, xml, now.inactive if now else None) for (item, xml), now in zip(defines, before)]
    for (item, _xml), complaints in zip(defines, judged(asked)):
        for text in complaints:
            problems.add("{} {}".format(*item.id), text)
    problems.raise_any()


def guests_awaited(stack: Stack, plan: Plan) -> list[Awaited]:
    """The guests whose declaration asks to wait, and which will run."""
    plans = {item.name: item for item in plan.objects if item.kind == "domain"}
    found = []
    for item in stack.get("domains") or []:
        wish = item.get("wait_for") or {}
        # A guest that waits for its new name runs under the old one.
        guest = plans[item["name"]]
        what = frozenset(name for name in AWAITED if wish.get(name))
        if what and guest.state == "running" and "called" not in guest.facts:
            macs = tuple(guest.facts.get("macs", ()))
            found.append(Awaited(item["name"], macs, what, wish["timeout"], wish["ssh_port"]))
    return found


def _addresses(connection: Connection, plan: Plan) -> dict[str, dict[str, list[str]]]:
    """Addresses of the running guests of this plan by guest, as the networks' leases tell them."""
    running = [item for item in plan.objects if item.kind == "domain" and item.state == "running"]
    if not running:
        return {}
    leases = read_leases(connection)
    return {
        item.name: {"addresses": [lease.address for lease in leases if lease.mac in item.facts.get("macs", ())]}
        for item in running
    }
