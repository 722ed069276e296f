# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan carried out on a host that is a value: what libvirt would do, as far as documents tell."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Callable

from ansible_collections.kvmfleet.libvirt.plugins.module_utils import tree
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan import ownership
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.current import (
    Domain,
    Filter,
    Host,
    Network,
    Origin,
    Pool,
    Secret,
    Snapshot,
    Volume,
)
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.plan import ObjectPlan, Plan
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.rules import for_kind, keys_among, name_iothreads
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.tune import (
    ACTIONS,
    EVENTS,
    IOTHREAD_PARAMETERS,
    PARAMETERS,
)
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.values import size_at
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.spec.kinds import KIND
from ansible_collections.kvmfleet.libvirt.tests.unit.support.hosts import secret_of

Args = Mapping[str, Any]
SECTIONS = {
    4: "dhcp/host",
    5: "dhcp/range",
    7: "forward/interface",
    9: "portgroup",
    10: "dns/host",
    11: "dns/txt",
    12: "dns/srv",
}
# What makes two entries the same one to libvirt.
SAME: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "dhcp/host": (("mac",), ("ip",), ("name",)),
    "dhcp/range": (("start",),),
    "forward/interface": (("dev",),),
    "portgroup": (("name",),),
    "dns/host": (("ip",),),
    "dns/txt": (("name",),),
    "dns/srv": (("service", "protocol", "domain", "target", "port"),),
}


def applied(host: Host, plan: Plan) -> Host:
    """The host after every step of the plan was carried out."""
    pools, networks, domains = dict(host.pools), dict(host.networks), dict(host.domains)
    things: dict[str, dict[str, Any]] = {"pool": pools, "network": networks, "domain": domains}
    secrets, nwfilters = dict(host.secrets), dict(host.nwfilters)
    snapshots = {guest: dict(items) for guest, items in host.snapshots.items()}
    for item in in_order(plan):
        for step in item.steps:
            if item.kind == "secret":
                _keep(secrets, step.verb, step.args)
            elif item.kind == "nwfilter":
                nwfilters.pop(item.name, None)
                if step.verb == "define":
                    nwfilters[item.name] = Filter(item.name, step.args["xml"])
            elif item.kind == "snapshot":
                _take(snapshots, item.name, step.verb, step.args)
            elif item.kind == "volume":
                pool, _slash, name = item.name.partition("/")
                pools[pool] = _with_volume(pools, pool, name, step.verb, step.args)
            elif step.verb == "rename":
                domains[step.args["to"]] = _renamed(domains.pop(step.args["called"]), step.args)
            else:
                name = step.args.get("called", item.name)
                after = STEPS[item.kind](name, things[item.kind].get(name), step.verb, step.args)
                things[item.kind].pop(name, None)
                if after is not None:
                    things[item.kind][name] = after
    return host._replace(
        pools=pools, networks=networks, domains=domains, secrets=secrets, nwfilters=nwfilters, snapshots=snapshots
    )


def _renamed(domain: Domain, args: Args) -> Domain:
    """A guest after virDomainRename, and with its NVRAM taken along."""
    assert (domain.live, domain.persistent) == (None, True), "libvirt renames only guests that are off, and last"
    assert domain.state != "saved", "libvirt renames no guest with a managed saved state"
    root = tree.parse(domain.inactive)
    tree.put(root, "name", args["to"])
    if tree.get(root, "os/nvram") and "nvram" in args:
        assert tree.get(root, "os/nvram") == args["nvram"]
        root.find("os/nvram").text = args["nvram_to"]
    return domain._replace(name=args["to"], inactive=tree.text_of(root))


def in_order(plan: Plan) -> list[ObjectPlan]:
    """The objects of a plan, each after what it needs; needs that go round in circles are an error."""
    order: list[ObjectPlan] = []
    left = list(plan.objects)
    while left:
        done = {item.id for item in order}
        ready = [item for item in left if item.needs <= done]
        assert ready, f"these need each other: {[item.id for item in left]}"
        order += ready
        left = [item for item in left if item not in ready]
    return order


def _take(snapshots: dict[str, dict[str, Snapshot]], name: str, verb: str, args: Args) -> None:
    """Do a step to a snapshot. What a guest is put back to is not in its definition."""
    guest, _slash, snapshot = name.partition("/")
    items = snapshots.setdefault(guest, {})
    if verb == "create":
        assert snapshot not in items
        items[snapshot] = Snapshot(snapshot, args["xml"])
    if verb == "delete":
        del items[snapshot]


def _keep(secrets: dict[str, Secret], verb: str, args: Args) -> None:
    """Do a step to a secret; the value of a private one cannot be read afterwards."""
    before = next((secret for secret in secrets.values() if secret.uuid == args["uuid"]), None)
    if verb == "undefine":
        assert before is not None
        del secrets[before.name]
        return
    xml = args["xml"] if verb == "define" else before.inactive if before else ""
    after = secret_of({"xml": xml})
    value = base64.b64decode(args["value"]) if args["value"] is not None else before.value if before else None
    secrets[after.name] = after._replace(value=None if tree.parse(xml).get("private") == "yes" else value)


def _with_volume(pools: Mapping[str, Pool], pool: str, name: str, verb: str, args: Args) -> Pool:
    volumes = dict(pools[pool].volumes)
    directory = tree.get(tree.parse(pools[pool].inactive), "target/path")
    before = volumes.get(name)
    if verb == "delete":
        del volumes[name]
    elif verb == "resize":
        assert before is not None
        volumes[name] = before._replace(capacity=args["size"])
    elif verb == "wipe":
        assert before is not None
    elif verb == "permit":
        assert before is not None
        volumes[name] = before._replace(xml=_permitted(before.xml, args))
    elif verb == "seed":
        mark = {key: args[key] for key in ("digest", "instance", "made") if key in args}
        volumes[name] = Volume(name, pool, f"{directory}/{name}", 380928, "raw", **mark)
    elif verb == "fetch":
        form = args["format"] or args["expected"] or "qcow2"
        checksum = args["source"].get("checksum")
        made = Volume(name, pool, f"{directory}/{name}", args["size"] or 3 << 30, form)
        volumes[name] = made._replace(origin=Origin(checksum.lower()) if checksum else None)
    else:
        volumes[name] = _created(pools, Volume(name, pool, f"{directory}/{name}"), verb, args)
    return pools[pool]._replace(volumes=volumes)


def _created(pools: Mapping[str, Pool], volume: Volume, verb: str, args: Args) -> Volume:
    root = tree.parse(args["xml"])
    assert root.tag == "volume"
    origin = pools[args["from_pool"]].volumes[args["from_name"]] if args.get("from_name") else None
    node = root.find("capacity")
    size = None if node is None else size_at(node, "bytes")
    return volume._replace(
        capacity=size or (origin.capacity if origin else 0),
        format=tree.get(root, "target/format/@type") or (origin.format if origin else "raw"),
        backing=origin.path if origin and verb == "create" else None,
        xml=args["xml"],
    )


def _permitted(xml: str, args: Args) -> str:
    root = tree.parse(xml)
    for key in ("mode", "owner", "group"):
        if key in args:
            tree.put(root, f"target/permissions/{key}", args[key])
    return tree.text_of(root)


def _pool(name: str, pool: Pool | None, verb: str, args: Args) -> Pool | None:
    if verb == "define":
        _expect(args["xml"], "pool", name)
        return (
            pool._replace(inactive=args["xml"], persistent=True) if pool else Pool(name, args["xml"], None, False, {})
        )
    assert pool is not None
    if verb == "permit":
        return pool._replace(live=_permitted(pool.live or "", args))
    if verb == "erase":
        assert sorted(pool.volumes) == args["volumes"]
        return pool._replace(volumes={})
    found: Pool | None = _common(pool, verb, args)
    return found


def _network(name: str, network: Network | None, verb: str, args: Args) -> Network | None:
    if verb == "define":
        _expect(args["xml"], "network", name)
        if network is None:
            return Network(name, args["xml"], None, False)
        return network._replace(inactive=args["xml"], persistent=True)
    assert network is not None
    if verb == "fingerprint":
        return network._replace(inactive=_fingerprinted("network", network.inactive, args["raw"]))
    if verb == "update":
        assert network.live is not None
        return network._replace(live=_updated(network.live, args))
    if verb == "describe":
        assert network.live is not None
        return network._replace(live=_plugged(network.live, verb, args))
    if verb == "restart":
        assert network.live is not None
        return network._replace(live=network.inactive)
    found: Network | None = _common(network, verb, args)
    return found


def _common(thing: Any, verb: str, args: Args) -> Any:
    after: dict[str, Callable[[], Any]] = {
        "start": lambda: thing._replace(live=thing.inactive),
        "stop": lambda: thing._replace(live=None) if thing.persistent else None,
        "autostart": lambda: thing._replace(autostart=args["on"]),
        "undefine": lambda: thing._replace(persistent=False) if thing.live else None,
    }
    return after[verb]()


def _updated(xml: str, args: Args) -> str:
    """virNetworkUpdate on a document."""
    root = tree.parse(xml)
    entry = tree.parse(args["xml"])
    where = SECTIONS[args["section"]]
    above = where.rpartition("/")[0] or "."
    parent = root.findall("ip")[args["parent"]] if above == "dhcp" else root
    same = [node for node in parent.findall(where) if any(_alike(entry, node, names) for names in SAME[where])]
    if args["command"] == 3:
        assert not same, "libvirt refuses an entry that is there already"
        tree.make(parent, above).append(entry)
    else:
        assert len(same) == 1, "libvirt finds no entry to change"
        if args["command"] == 1:
            same[0].getparent().replace(same[0], entry)
        else:
            tree.remove(same[0])
    return tree.text_of(root)


def _alike(entry: Any, node: Any, names: tuple[str, ...]) -> bool:
    return any(entry.get(name) for name in names) and all(entry.get(name) == node.get(name) for name in names)


def _domain(name: str, domain: Domain | None, verb: str, args: Args) -> Domain | None:
    if verb == "define":
        _expect(args["xml"], "domain", name)
        if domain is None:
            return Domain(name, args["xml"], None, "stopped", False)
        return domain._replace(inactive=args["xml"], persistent=True)
    assert domain is not None
    if verb in ("attach", "detach", "update_device", "metadata", *SETTINGS):
        assert domain.live is not None
        return domain._replace(live=_plugged(domain.live, verb, args))
    return _POWER[verb](domain, args)


_POWER: dict[str, Callable[[Domain, Args], Domain | None]] = {
    "fingerprint": lambda domain, args: domain._replace(
        inactive=_fingerprinted("domain", domain.inactive, args["raw"])
    ),
    "autostart": lambda domain, args: domain._replace(autostart=args["on"]),
    "start": lambda domain, args: domain._replace(
        live=domain.image or domain.inactive, state="paused" if args.get("paused") else "running", image=None
    ),
    "save": lambda domain, _args: domain._replace(live=None, state="saved", image=domain.live),
    "shutdown": lambda domain, _args: domain._replace(live=None, state="stopped") if domain.persistent else None,
    "suspend": lambda domain, _args: domain._replace(state="paused"),
    "resume": lambda domain, _args: domain._replace(state="running"),
    "wakeup": lambda domain, _args: domain._replace(state="running"),
    "reset": lambda domain, _args: domain,
    "undefine": lambda domain, _args: domain._replace(persistent=False) if domain.live else None,
}


def _balloon(root: tree.Element, args: Args) -> None:
    tree.put(root, "currentMemory", str(args["kib"]))
    root.find("currentMemory").attrib.pop("unit", None)


def _describe(root: tree.Element, args: Args) -> None:
    if args["text"] is not None:
        tree.put(root, args["what"], args["text"])
    elif root.find(args["what"]) is not None:
        tree.remove(root.find(args["what"]))


def _tune(root: tree.Element, args: Args) -> None:
    paths = {parameter: path for path, parameter in PARAMETERS.items()}
    for name, value in args["values"].items():
        if (args["what"], name) in paths:
            path = paths[(args["what"], name)]
            tree.put(root, path, str(value))
            tree.make(root, tree.split(path)[0]).attrib.pop("unit", None)
            continue
        words = value.split(",")
        for device, number in zip(words[::2], words[1::2]):
            parent = tree.make(root, "blkiotune")
            node = next((one for one in parent.findall("device") if tree.get(one, "path") == device), None)
            if node is None:
                node = tree.element("device")
                tree.put(node, "path", device)
                parent.append(node)
            tree.put(node, name.removeprefix("device_"), number)
    # virMemoryLimitIsSet: no limit is not written.
    tree.erase(root, "memtune/*[.='9007199254740991']")
    # virDomainDefFormatBlkiotune writes no zeros, and no device that has nothing else.
    tree.erase(root, "blkiotune/device/*[.='0']")
    tree.erase(root, "blkiotune/device[not(*[name()!='path'])]")


def _limit(root: tree.Element, args: Args) -> None:
    disk = next(node for node in root.iterfind("devices/disk") if tree.get(node, "target/@dev") == args["target"])
    for name, value in args["values"].items():
        if value:
            tree.put(disk, f"iotune/{name}", str(value))
        else:
            tree.erase(disk, f"iotune/{name}")


def _pin(root: tree.Element, args: Args) -> None:
    attribute, path = {"vcpu": ("vcpu", "vcpupin"), "iothread": ("iothread", "iothreadpin")}.get(
        args["what"], (None, "emulatorpin")
    )
    parent = tree.make(root, "cputune")
    found = [one for one in parent.findall(path) if attribute is None or one.get(attribute) == str(args["id"])]
    node = found[0] if found else tree.element(path)
    node.set("cpuset", args["cpus"])
    if attribute:
        node.set(attribute, str(args["id"]))
    if not found:
        parent.append(node)


def _iothread(root: tree.Element, args: Args) -> None:
    name_iothreads(root)
    parent = tree.make(root, "iothreadids")
    if args["act"] == "remove":
        tree.erase(parent, f"iothread[@id='{args['id']}']")
        tree.put(root, "iothreads", str(len(parent)))
        return
    if args["act"] == "add":
        parent.append(tree.element("iothread", id=str(args["id"])))
        tree.put(root, "iothreads", str(len(parent)))
    (node,) = (one for one in parent.findall("iothread") if one.get("id") == str(args["id"]))
    paths = {name: path for path, name in IOTHREAD_PARAMETERS.items()}
    for name, value in args["values"].items():
        tree.put(node, paths[name], str(value))


def _perf(root: tree.Element, args: Args) -> None:
    tree.erase(root, f"perf/event[@name='{args['name']}']")
    event = tree.element("event", name=args["name"], enabled="yes" if args["on"] else "no")
    tree.make(root, "perf").append(event)


def _fragment(root: tree.Element, args: Args) -> None:
    parent = tree.make(root, "metadata")
    for node in parent.findall(f"{{{args['namespace']}}}*"):
        parent.remove(node)
    if args["xml"]:
        parent.append(tree.parse(args["xml"]))


SETTINGS: dict[str, Callable[[tree.Element, Args], None]] = {
    "balloon": _balloon,
    "describe": _describe,
    "tune": _tune,
    "limit": _limit,
    "pin": _pin,
    "iothread": _iothread,
    "perf": _perf,
    "fragment": _fragment,
    "vcpus": lambda root, args: tree.put(root, "vcpu/@current", str(args["count"])),
    "lifecycle": lambda root, args: tree.put(
        root, next(path for path, event in EVENTS.items() if event == args["event"]), ACTIONS[args["action"]]
    ),
    "stats": lambda root, args: tree.put(root, "devices/memballoon/stats/@period", str(args["period"])),
}


def _plugged(xml: str, verb: str, args: Args) -> str:
    """The running guest's document after a call that changes it."""
    root = tree.parse(xml)
    if verb in SETTINGS:
        SETTINGS[verb](root, args)
    elif verb == "metadata":
        node = tree.parse(args["xml"])
        keys = frozenset((key.text or "").strip() for key in node)
        ownership.write(root, ownership.Owned(keys, None, None))
    else:
        _plug(root, verb, args)
    return tree.text_of(root)


def _plug(root: Any, verb: str, args: Args) -> None:
    rules = for_kind(KIND["domain"])
    device = tree.parse(args["xml"])
    path = f"devices/{device.tag}"
    wanted = args.get("key") or (keys_among(rules, path, [device]) or [""])[0]
    nodes = dict(zip(keys_among(rules, path, root.findall(path)) or [], root.findall(path)))
    if verb == "attach":
        assert wanted not in nodes, "libvirt refuses a device that is there already"
        root.find("devices").append(device)
    elif verb == "detach":
        tree.remove(nodes[wanted])
    else:
        nodes[wanted].getparent().replace(nodes[wanted], device)


def _fingerprinted(kind: str, xml: str, raw: str) -> str:
    root = tree.parse(xml)
    definition = ownership.fingerprint(root, for_kind(KIND[kind]))
    ownership.write(root, ownership.read(root)._replace(declared=raw, definition=definition))
    return tree.text_of(root)


def _expect(xml: str, tag: str, name: str) -> None:
    root = tree.parse(xml)
    assert root.tag == tag
    assert root.findtext("name") == name


STEPS: dict[str, Callable[[str, Any, str, Args], Any]] = {"pool": _pool, "network": _network, "domain": _domain}
