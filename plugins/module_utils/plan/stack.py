# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All declarations of one host planned together: cross-references are checked, implied objects join, order is found."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

from .. import tree
from ..spec.kinds import KIND, KINDS
from .current import Host
from .domain import plan_absent, plan_domain
from .guest import concrete, macs
from .network import plan_network
from .nwfilter import check_loops, plan_nwfilter
from .objects import Wanted, by_name, list_paths, wanted
from .ownership import SEED
from .plan import Id, ObjectPlan, Plan
from .pool import plan_pool
from .problem import Problems
from .raw_guest import complete_raw
from .rename import declared_state, renamed_host, renames, with_rename
from .secret import plan_secret, secret_name
from .site import Declared, Reservation, Site
from .snapshot import plan_snapshot
from .users import overlays, paths_in
from .values import VALUES
from .volume import backing_order, plan_volume

# The rank of what is made first and goes last.
FIRST = 4

Stack = Mapping[str, list[Declared]]


class Earlier(NamedTuple):
    """A plan, and the host that it was made for."""

    plan: Plan
    host: Host

    def settled(self, host: Host) -> dict[str, ObjectPlan]:
        """The plans of guests that had nothing to do and are as they were: they need not be made again."""
        return {
            item.name: item
            for item in self.plan.objects
            if item.kind == "domain"
            and not (item.changes or item.steps)
            and self.host.domains.get(item.name) == host.domains.get(item.name)
        }


def plan_stack(stack: Stack, host: Host, earlier: Earlier | None = None) -> Plan:
    """The plan for everything that is declared on a host. stack: plural kind → declarations, as the argument spec gives
    them. earlier: what was planned for the same stack before it was carried out. Raises Declined with every problem that
    was found.
    """
    problems = Problems()
    named = {
        kind.name: by_name(stack.get(kind.plural) or [], kind, problems)
        for kind in KINDS
        if kind.name not in ("volume", "secret")
    }
    secrets = _secrets(stack.get("secrets") or [], problems)
    volumes = _volumes(stack.get("volumes") or [], problems)
    renaming = renames(named["domain"], host, problems)
    host = renamed_host(host, renaming)
    named["domain"] = {name: declared_state(item, renaming.get(name)) for name, item in named["domain"].items()}
    site = Site(host, named["pool"], named["network"], volumes, named["domain"], [], problems, {}, {}, secrets)
    _check_names(site, stack)
    problems.raise_any()
    lists = {
        (kind.name, item["name"]): list_paths(kind.fields, item)
        for kind in KINDS
        for item in stack.get(kind.plural) or []
    }
    guests = {name: concrete(item, site) for name, item in site.domains.items() if item["state"] != "absent"}
    site.files.update({path: key for key in site.volumes if (path := site.volume_path(*key))})
    _release(site)
    _check_shared(site, guests)
    settled = {} if earlier is None else earlier.settled(host)
    wants = _wants(site, {name: item for name, item in guests.items() if name not in settled}, lists)
    if problems.found:
        # The rest cannot be planned; what is wrong with volumes is told in the same run.
        for item in backing_order(site.volumes, problems):
            plan_volume(item, site)
    problems.raise_any()
    plans = [plan_secret(item, site) for item in secrets]
    nwfilters = [plan_nwfilter(item, site) for item in named["nwfilter"].values()]
    check_loops(nwfilters, site)
    plans += nwfilters
    plans += [plan_pool(wants[("pool", name)], item, site) for name, item in site.pools.items()]
    plans += _networks(site, wants)
    domains = [
        settled.get(name)
        or (plan_domain(wants[("domain", name)], guests[name], site) if name in guests else plan_absent(item, site))
        for name, item in site.domains.items()
    ]
    domains = [
        with_rename(item, site.domains[item.name], renaming[item.name], host.uri) if item.name in renaming else item
        for item in domains
    ]
    plans += [plan_volume(item, site) for item in backing_order(site.volumes, problems)]
    plans += [plan_snapshot(item, site) for item in stack.get("snapshots") or []]
    problems.raise_any()
    return Plan(tuple(_ordered(plans + domains)))


def _volumes(items: list[Declared], problems: Problems) -> dict[tuple[str, str], Declared]:
    found: dict[tuple[str, str], Declared] = {}
    for item in items:
        key = (item["pool"], item["name"])
        if key in found:
            problems.add("volume {}/{}".format(*key), "is declared twice")
        found[key] = item
    return found


def _secrets(items: list[Declared], problems: Problems) -> list[Declared]:
    """The secrets; two uses of different types may have one name."""
    names = [secret_name(item) for item in items]
    for name in sorted({name for name in names if names.count(name) > 1}):
        problems.add(f"secret {name}", "is declared twice")
    return items


def _check_names(site: Site, stack: Stack) -> None:
    """Names are checked first: everything else is said by name."""
    for kind in KIND.values():
        for item in stack.get(kind.plural) or []:
            try:
                # The use of a secret may be a path.
                VALUES["name"].encode(item["name"].replace("/", "-") if kind.name == "secret" else item["name"])
            except ValueError as error:
                site.problems.add("{} {}: name".format(kind.name, item["name"]), str(error))


def _release(site: Site) -> None:
    """Addresses reserved for guests that go, or for interfaces that lost their address, are given back."""
    kept = {(item.network, item.mac) for item in site.reservations}
    for name, declared in site.domains.items():
        current = site.host.domains.get(name)
        if current is None or (declared["state"] != "absent" and declared.get("interfaces") is None):
            continue
        root = tree.only_read(current.inactive)
        for node in tree.find_all(root, "devices/interface"):
            network, mac = tree.get(node, "source/@network"), (tree.get(node, "mac/@address") or "").lower()
            if network and network in site.host.networks and (network, mac) not in kept:
                site.reservations.append(Reservation(network, mac, "", name))


def _check_shared(site: Site, guests: Mapping[str, Declared]) -> None:
    """What no two guests may have: an address on one network, or a MAC address."""
    seen: dict[tuple[str, str], Reservation] = {}
    for item in site.reservations:
        other = seen.setdefault((item.network, item.address), item) if item.address else item
        if other is not item:
            whose = (
                "is declared for two of its interfaces"
                if other.guest == item.guest
                else f"is also declared for guest {other.guest}"
            )
            site.problems.add(f"domain {item.guest}", f"address {item.address} on network {item.network} {whose}")
    owners: dict[str, str] = {}
    for name, domain in site.host.domains.items():
        if name not in site.domains:
            owners.update(dict.fromkeys(macs(tree.only_read(domain.inactive)), name))
    for name, guest in guests.items():
        for item in guest.get("interfaces") or []:
            mac = (item.get("mac") or "").lower()
            # What two guests share already is not for this run to refuse: they may never run at once.
            if mac and owners.setdefault(mac, name) != name and not _has(site, name, mac):
                site.problems.add(f"domain {name}", f"MAC address {mac} is also that of guest {owners[mac]}")
    _check_disks(site, guests)


def _check_disks(site: Site, guests: Mapping[str, Declared]) -> None:
    """A disk that two guests write to is lost; where both have it already, that is their owner's affair."""
    owners: dict[tuple[str, str], str] = {}
    others = _used_elsewhere(site)
    for name, guest in guests.items():
        for item in guest.get("disks") or []:
            source = ("", item["file"]) if item.get("file") else ("", item["block"]) if item.get("block") else None
            if item.get("volume"):
                source = (item.get("pool") or "default", item["volume"])
            alone = (
                item.get("device") not in ("cdrom", "floppy") and not item.get("readonly") and not item.get("shareable")
            )
            if source is None or not alone:
                continue
            path = source[1] if not source[0] else site.volume_path(*source)
            user = others.get(site.host.place(path or ""))
            if user not in (None, f"guest {name}") and not _stands_on(site, name, source):
                words = f"{path} is in use by {user}; two that write destroy it: say shareable or readonly"
                site.problems.add("domain {}: disks[{}]".format(name, item["target"]), words)
            other = owners.setdefault(source if path is None else ("", site.host.place(path)), name)
            if other != name and not (_stands_on(site, name, source) and _stands_on(site, other, source)):
                words = (
                    f"{source[1]} is a disk of guest {other} too; two that write destroy it: say shareable or readonly"
                )
                site.problems.add("domain {}: disks[{}]".format(name, item["target"]), words)


def _used_elsewhere(site: Site) -> dict[str, str]:
    """Files and devices with who uses them: guests whose disks are not declared here, and volumes that have them as backing
    file. All of them, where something is to be written that nobody declared has yet; else those that were read.
    """
    place = site.host.place
    found = {place(backing): volume for backing, volume in overlays(site)}
    for name, domain in site.host.domains.items():
        declared = site.domains.get(name)
        if declared is None or (declared["state"] != "absent" and declared.get("disks") is None):
            for text in (domain.inactive, domain.live):
                paths = paths_in(tree.only_read(text)) if text else ()
                found.update((place(path), f"guest {name}") for path in paths)
    return found


def _stands_on(site: Site, name: str, source: tuple[str, str]) -> bool:
    """Whether a guest has this disk already."""
    current = site.host.domains.get(name)
    nodes = [] if current is None else tree.only_read(current.inactive).findall("devices/disk/source")
    return any(
        source in (("", node.get("file")), ("", node.get("dev")), (node.get("pool"), node.get("volume")))
        for node in nodes
    )


def _has(site: Site, guest: str, mac: str) -> bool:
    current = site.host.domains.get(guest)
    return current is not None and mac in macs(tree.only_read(current.inactive))


def _wants(site: Site, guests: Mapping[str, Declared], lists: Mapping[Id, Any]) -> dict[Id, Wanted]:
    found: dict[Id, Wanted] = {}
    for kind, items in (("pool", site.pools), ("network", site.networks), ("domain", guests)):
        for name, item in items.items():
            complete = partial(_complete, site, name) if kind == "domain" else None
            want = wanted(KIND[kind], item, lists.get((kind, name), frozenset()), site.problems, complete)
            seeds = want.keys & set(item.get("seeds", ()))
            want = want._replace(keys=want.keys - seeds | {SEED + seed for seed in seeds})
            found[(kind, name)] = want
    return found


def _complete(site: Site, guest: str, raw: tree.Element) -> None:
    current = site.host.domains.get(guest)
    complete_raw(raw, current.inactive if current else None, site.host.identity, guest)


def _networks(site: Site, wants: Mapping[Id, Wanted]) -> list[ObjectPlan]:
    """Networks that are declared, and those on which an address is reserved or given back."""
    plans = [plan_network(wants[("network", name)], item, site) for name, item in site.networks.items()]
    touched: set[str] = {item.network for item in site.reservations if item.network not in site.networks}
    for name in sorted(touched):
        bare: Declared = {"name": name, "state": "present"}
        plan = plan_network(wanted(KIND["network"], bare, frozenset(), site.problems), bare, site)
        if plan.changes:
            plans.append(plan)
    return plans


def _ordered(plans: list[ObjectPlan]) -> list[ObjectPlan]:
    """Each with the needs that are in this plan. What goes, goes first: guests, then volumes, then networks and pools, then
    secrets and filters; of what is made, these come first, as the others use them.
    """
    present = {plan.id for plan in plans}
    going = {plan.id for plan in plans if plan.state == "absent"}
    rank = {"snapshot": 0, "domain": 0, "volume": 1, "network": 2, "pool": 3, "secret": FIRST, "nwfilter": FIRST}
    before = {kind: {other for other in going if rank[other[0]] < rank[kind]} for kind in rank}
    guests_going = {other for other in going if other[0] == "domain"}
    first = {other for other in present - going if rank[other[0]] == FIRST}
    result = []
    for plan in plans:
        needs = {need for need in plan.needs if need in present and (need not in going or plan.kind == "nwfilter")}
        if plan.id in going:
            needs |= before[plan.kind]
        else:
            needs |= guests_going if rank[plan.kind] == FIRST else guests_going | first
        result.append(plan._replace(needs=frozenset(needs - {plan.id})))
    return result
