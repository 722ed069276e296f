# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read a host: every name in a few calls, and in full only what is declared."""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Mapping
from typing import Any, Callable, NamedTuple

from .. import tree
from ..plan.current import STATES, Domain, Filter, Host, Network, Origin, Pool, Route, Secret, Snapshot, Volume
from ..plan.users import paths_in
from .connection import Connection, libvirt, with_flag
from .note import read_note
from .seed import mark_of

_MAC = re.compile(r"<mac address='([0-9a-f:]+)'")
_SEED = re.compile(r"<(?:source|entry) [^>]*(?:file|volume)='(?:[^']*/)?([^'/]+-(?:seed\.iso|ignition\.json))'")
_SOURCE = re.compile(r"<source [^>]*(?:file|volume)='(?:[^']*/)?([^'/]+)'")

# What of a pool and of a volume changes while guests write. How much a file takes is told where that is asked for.
_OF_POOL = ("capacity", "allocation", "available")
_OF_VOLUME = ("physical", "target/timestamps", "backingStore/timestamps")

_STANDS_ON = re.compile(r"<source [^>]*(?:file|dev|volume)='(?:[^']*/)?([^'/]+)'")


# How the devices begin that libvirt makes for guests.
_OF_GUESTS = ("vnet", "macvtap")


class Source(NamedTuple):
    """A declared checksum. plain: whether it is that of the volume's file itself, neither compressed nor converted."""

    checksum: str
    plain: bool


class Scope(NamedTuple):
    """What has to be read in full. domains: names. volumes: names, in whatever pool. everything: all guests and volumes.
    machines: whether names of machine types will be compared; guests that are not there yet need them in any case.
    macs: declared MAC addresses, whose other owners are read as well. sized: guests whose disks' volumes are looked at, since
    a size is declared. networks: names; the guests on them are read.
    refresh: names of pools that libvirt is to read anew. secrets: whether any is declared. values: of which the value is,
    as "type/name"; "none" stands for all that have no use. nwfilters: whether any is declared. checksums: the sources of
    volumes, by pool and name; who uses a volume is read as well when its source is another one by now. emptied: names of
    pools whose data is to go. former: names that declared guests may still have. snapshots: names of guests whose snapshots
    are read. disks: volumes by name, and files by path, that declared guests write to: all guests are read when one of them
    is there and is not yet a disk of a declared guest, as it may be another's. standing: volumes as (pool, name, guest) of which
    nothing has to be known if that guest's disk is their file already. sizes: declared ones of volumes, as (pool, name,
    bytes): all guests are read when one grows, as one may run on it. clones: volumes that are clones, as (pool, name): likewise when
    one is to be made.
    """

    domains: frozenset[str]
    volumes: frozenset[str]
    everything: bool
    machines: bool
    macs: frozenset[str] = frozenset()
    sized: frozenset[str] = frozenset()
    networks: frozenset[str] = frozenset()
    refresh: frozenset[str] = frozenset()
    secrets: bool = False
    values: frozenset[str] = frozenset()
    nwfilters: bool = False
    checksums: Mapping[tuple[str, str], Source] = {}
    emptied: frozenset[str] = frozenset()
    former: frozenset[str] = frozenset()
    snapshots: frozenset[str] = frozenset()
    disks: frozenset[str] = frozenset()
    standing: frozenset[tuple[str, str, str]] = frozenset()
    sizes: frozenset[tuple[str, str, int]] = frozenset()
    clones: frozenset[tuple[str, str]] = frozenset()


def read_host(connection: Connection, scope: Scope) -> Host:
    """The host as it is now."""
    conn = connection.open
    with connection.speaking_of("read the host"):
        driver = conn.getType()
        domains = _domains(conn, scope)
        new = any(name not in domains for name in scope.domains)
        machines, kvm, arch = _capabilities(conn) if scope.machines or new else ({}, False, "")
        scope = scope._replace(volumes=scope.volumes | _disk_names(domains, scope.sized) | _seed_names(domains))
        pools = _pools(conn, scope, domains, connection)
        if not scope.everything and (
            _is_outdated(pools, scope) or _may_be_anothers(domains, pools, scope) or _is_worked_on(pools, scope)
        ):
            scope = scope._replace(everything=True, refresh=frozenset())
            domains = _domains(conn, scope)
            pools = _pools(conn, scope, domains, connection)
        return Host(
            uri=connection.uri,
            identity=_identity(connection),
            domains=domains,
            networks=_listed(conn.listAllNetworks, lambda network: _network(network, scope)),
            pools=pools,
            machines=machines,
            kvm=kvm,
            arch=arch,
            driver=driver,
            secrets=_asked(scope, scope.secrets, conn.listAllSecrets, lambda secret: _secret(secret, scope)),
            nwfilters=_asked(scope, scope.nwfilters, conn.listAllNWFilters, _nwfilter),
            snapshots={name: _snapshots(conn, name) for name in sorted(scope.snapshots) if name in domains},
            version=conn.getLibVersion() if scope.snapshots else 0,
            routes=read_routes() if scope.networks and connection.is_local and driver == "QEMU" else (),
            links=_links(connection) if scope.networks and driver == "QEMU" else (),
            places=_places(domains, pools, scope) if scope.everything and connection.is_local else {},
        )


def _pools(conn: Any, scope: Scope, domains: Mapping[str, Domain], connection: Connection) -> dict[str, Pool]:
    guests: dict[tuple[str, str], list[str]] = {}
    for pool, volume, guest in scope.standing:
        guests.setdefault((pool, volume), []).append(domains[guest].inactive if guest in domains else "")
    return _listed(conn.listAllStoragePools, lambda pool: _pool(pool, scope, guests, connection))


def _is_outdated(pools: Mapping[str, Pool], scope: Scope) -> bool:
    """Whether a volume was made from another source than is declared now."""
    for (pool, name), source in scope.checksums.items():
        volume = pools[pool].volumes.get(name) if pool in pools else None
        if volume is not None and volume.origin and volume.origin.checksum != source.checksum.lower():
            return True
    return False


def _is_worked_on(pools: Mapping[str, Pool], scope: Scope) -> bool:
    """Whether a volume is to be larger than it is, or to be cloned."""
    if any(pool in pools and name not in pools[pool].volumes for pool, name in scope.clones):
        return True
    volumes = ((pools[pool].volumes.get(name), size) for pool, name, size in scope.sizes if pool in pools)
    return any(volume is not None and volume.capacity < size for volume, size in volumes)


def _may_be_anothers(domains: Mapping[str, Domain], pools: Mapping[str, Pool], scope: Scope) -> bool:
    """Whether a declared guest is to write to something that is there and that none of them has yet."""
    attached = {name for domain in domains.values() for name in _STANDS_ON.findall(domain.inactive)}
    free = {name for name in scope.disks if name.rpartition("/")[2] not in attached}
    if any("/" in name for name in free):
        return True
    return bool(free) and any(
        volume and name in free for pool in pools.values() for name, volume in pool.volumes.items()
    )


def _asked(
    scope: Scope, declared: bool, call: Callable[[int], list[Any]], read: Callable[[Any], Any]
) -> dict[str, Any]:
    """Objects of a kind that most runs do not declare, by name, if this one does or everything is wanted."""
    if not declared and not scope.everything:
        return {}
    try:
        found = [_unless_gone(read, item) for item in call(0)]
    except libvirt.libvirtError as error:
        if declared or error.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT:
            raise
        return {}
    return {item.name: item for item in found if item is not None}


def _snapshots(conn: Any, guest: str) -> dict[str, Snapshot]:
    found = {}
    try:
        items = conn.lookupByName(guest).listAllSnapshots(0)
    except libvirt.libvirtError as error:
        # A driver without snapshots.
        if error.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT:
            raise
        items = []
    for item in items:
        xml = item.getXMLDesc(0)
        name, parent = item.getName(), tree.get(tree.parse(xml), "parent/name")
        found[name] = Snapshot(name, xml, parent, bool(item.isCurrent(0)))
    return found


def _nwfilter(found: Any) -> Filter:
    return Filter(found.name(), found.XMLDesc(0))


def _secret(secret: Any, scope: Scope) -> Secret:
    """One secret. Its value is read only where one is declared."""
    xml = secret.XMLDesc(0)
    root = tree.parse(xml)
    kind, uuid = tree.get(root, "usage/@type") or "none", secret.UUIDString()
    name = f"{kind}/{secret.usageID() if kind != 'none' else uuid}"
    value = None
    if root.get("private") != "yes" and (name in scope.values or kind in scope.values):
        try:
            value = secret.value(0)
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_NO_SECRET:
                raise
    return Secret(name, uuid, xml, value)


def _disk_names(domains: Mapping[str, Domain], sized: frozenset[str]) -> frozenset[str]:
    """Names of the files that these guests stand on: the size of a disk is its volume's."""
    return frozenset(name for guest in sized if guest in domains for name in _SOURCE.findall(domains[guest].inactive))


def _seed_names(domains: Mapping[str, Domain]) -> frozenset[str]:
    """Names of the seeds and configs that guests have: one that was renamed keeps that of its former name."""
    return frozenset(name for guest in domains.values() for name in _SEED.findall(guest.inactive))


def _identity(connection: Connection) -> str:
    """What lasts on this host: its machine id and name. libvirt's host UUID is random where there is no SMBIOS."""
    name = connection.open.getHostname()
    if not connection.is_local:
        return str(name)
    try:
        with open("/etc/machine-id", encoding="ascii") as file:
            return f"{file.read().strip()}/{name}"
    except OSError:
        return str(name)


def _capabilities(conn: Any) -> tuple[dict[tuple[str, str], str], bool, str]:
    root = tree.parse(conn.getCapabilities())
    machines = {}
    kvm = False
    for arch in root.iterfind("guest/arch"):
        kvm = kvm or any(domain.get("type") == "kvm" for domain in arch.iterfind("domain"))
        for machine in arch.iterfind(".//machine"):
            name = (machine.text or "").strip()
            machines[(arch.get("name"), name)] = machine.get("canonical") or name
    return machines, kvm, tree.get(root, "host/cpu/arch") or ""


def _listed(call: Callable[[int], list[Any]], read: Callable[[Any], Any]) -> dict[str, Any]:
    found = {}
    for item in call(0):
        value = _unless_gone(read, item)
        if value is not None:
            found[item.name()] = value
    return found


# An object may go between the list and the read of it; then it is simply not there.
_GONE = (
    "VIR_ERR_NO_DOMAIN",
    "VIR_ERR_NO_NETWORK",
    "VIR_ERR_NO_NWFILTER",
    "VIR_ERR_NO_STORAGE_POOL",
    "VIR_ERR_NO_STORAGE_VOL",
    "VIR_ERR_NO_SECRET",
)


def _unless_gone(read: Callable[[Any], Any], item: Any) -> Any:
    try:
        return read(item)
    except libvirt.libvirtError as error:
        if error.get_error_code() in [getattr(libvirt, name) for name in _GONE]:
            return None
        raise


def _network(network: Any, scope: Scope) -> Network:
    active, persistent = bool(network.isActive()), bool(network.isPersistent())
    live = network.XMLDesc(0) if active else None
    inactive = _network_definition(network) if persistent else live
    name = network.name()
    attached = _attached(network) if active and name in scope.networks else ()
    return Network(name, inactive, live, bool(persistent and network.autostart()), persistent, attached)


def _attached(network: Any) -> tuple[str, ...]:
    """The guests that are on a network. The number of connections in its definition is lost with each update of it."""
    try:
        ports = [tree.parse(port.XMLDesc(0)) for port in network.listAllPorts(0)]
    except libvirt.libvirtError as error:
        # A driver without ports, or one that went with its guest.
        if error.get_error_code() not in (libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_ERR_NO_NETWORK_PORT):
            raise
        return ()
    return tuple(sorted({tree.get(port, "owner/name") or "" for port in ports}))


_FLAGS = (1, 4, 1024, 256)  # VIR_CONNECT_LIST_DOMAINS_ACTIVE, _PERSISTENT, _AUTOSTART, _MANAGEDSAVE


def _domains(conn: Any, scope: Scope) -> dict[str, Domain]:
    """The guests. Which of them run, last and start with the host is asked once for all of them."""
    told = {flag: {domain.name() for domain in conn.listAllDomains(flag)} for flag in _FLAGS}
    found = {}
    for domain in conn.listAllDomains(0):
        name = domain.name()
        if (
            scope.everything
            or name in scope.domains
            or name in scope.former
            or (scope.macs and _has_any(domain, scope.macs))
        ):
            active, persistent, autostart, saved = (name in told[flag] for flag in _FLAGS)
            value = _unless_gone(lambda item: _domain(item, active, persistent, autostart, saved), domain)  # noqa: B023 - called at once
            if value is not None:
                found[name] = value
    return found


def _has_any(domain: Any, macs: frozenset[str]) -> bool:
    """Whether a guest has one of these MAC addresses; without a parse, as every guest of the host is asked."""
    text = _unless_gone(lambda item: item.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE), domain) or ""
    return not macs.isdisjoint(_MAC.findall(text.lower()))


def _domain(domain: Any, active: bool, persistent: bool, autostart: bool, saved: bool) -> Domain:
    """One guest in full, with its secrets: comparing a password needs it."""
    live = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_SECURE) if active else None
    inactive = _domain_definition(domain) if persistent or live is None else live
    state = _state(domain) if active else "saved" if saved else "stopped"
    image = domain.managedSaveGetXMLDesc(libvirt.VIR_DOMAIN_SAVE_IMAGE_XML_SECURE) if state == "saved" else None
    return Domain(domain.name(), inactive, live, state, autostart, persistent, image)


def _pool(pool: Any, scope: Scope, guests: Mapping[tuple[str, str], list[str]], connection: Connection) -> Pool:
    """One pool. guests: the definitions of those that are to stand on a volume, by pool and volume."""
    active, persistent = bool(pool.isActive()), bool(pool.isPersistent())
    if active and pool.name() in scope.refresh:
        pool.refresh(0)
    live = _lasting(tree.parse(pool.XMLDesc(0)), _OF_POOL) if active else None
    inactive = live
    if persistent:
        inactive = _pool_definition(pool)
    directory = tree.get(tree.only_read(live), "target/path") if live else None
    volumes: dict[str, Volume | None] = {}
    for volume in pool.listAllVolumes(0) if active else []:
        name = volume.name()
        full = scope.everything or name in scope.volumes
        if (pool.name(), name) in guests and not full:
            full = any(f"<source file='{directory}/{name}'" not in text for text in guests[(pool.name(), name)])
        volumes[name] = (
            _unless_gone(lambda item: _volume(item, pool.name(), scope, connection), volume) if full else None
        )
    others = _strangers(pool, live, connection) if live and pool.name() in scope.emptied else None
    return Pool(pool.name(), inactive, live, bool(persistent and pool.autostart()), volumes, persistent, others)


def _state(domain: Any) -> str:
    """The state of a guest that is on. One that somebody is starting stands still until its QEMU is set up."""
    number, reason = domain.state()
    begins = (number, reason) == (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_STARTING_UP)
    return "running" if begins else STATES.get(number, "stopped")


def _domain_definition(domain: Any) -> str:
    return str(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_SECURE | libvirt.VIR_DOMAIN_XML_INACTIVE))


def _network_definition(network: Any) -> str:
    return str(with_flag(network.XMLDesc, libvirt.VIR_NETWORK_XML_INACTIVE))


def _pool_definition(pool: Any) -> str:
    return _lasting(tree.parse(with_flag(pool.XMLDesc, libvirt.VIR_STORAGE_XML_INACTIVE)), _OF_POOL)


def read_definition(connection: Connection, kind: str, name: str) -> str | None:
    """The persistent definition of an object as read_host reads it, None when it is not there."""
    conn = connection.open
    look_up, read = {
        "domain": (conn.lookupByName, _domain_definition),
        "network": (conn.networkLookupByName, _network_definition),
        "nwfilter": (conn.nwfilterLookupByName, lambda found: found.XMLDesc(0)),
        "pool": (conn.storagePoolLookupByName, _pool_definition),
    }[kind]
    return _unless_gone(lambda called: read(look_up(called)), name)


def _lasting(root: tree.Element, passing: tuple[str, ...]) -> str:
    """A document without what changes by itself, so that a host of which nothing else changed reads the same (unchanged.py)."""
    for path in passing:
        tree.erase(root, path)
    return tree.text_of(root)


def _strangers(pool: Any, live: str, connection: Connection) -> tuple[str, ...] | None:
    """What is in a pool's directory beside its volumes, None where it has none that can be looked into."""
    from .act_pool import strangers  # noqa: PLC0415 - hardly ever needed

    root = tree.parse(live)
    if root.get("type") != "dir" or not connection.is_local:
        return None
    try:
        return strangers(pool, tree.get(root, "target/path") or "")
    except OSError:
        return None


def _volume(volume: Any, pool: str, scope: Scope, connection: Connection) -> Volume:
    root = tree.parse(volume.XMLDesc(0))
    path = tree.get(root, "target/path") or ""
    mark = mark_of(connection, volume, path)
    return Volume(
        volume.name(),
        pool,
        path,
        capacity=int(tree.get(root, "capacity") or 0),
        format=tree.get(root, "target/format/@type"),
        backing=tree.get(root, "backingStore/path"),
        digest=mark.digest,
        instance=mark.instance,
        made=mark.made,
        xml=_lasting(root, _OF_VOLUME if scope.everything else ("allocation", *_OF_VOLUME)),
        origin=_origin(path, scope.checksums.get((pool, volume.name())), connection),
    )


def _origin(path: str, source: Source | None, connection: Connection) -> Origin | None:
    """What a volume was made from, where that is asked. What we did not make is held against the checksum itself."""
    if source is None or not connection.is_local or not os.path.isfile(path):
        return None
    noted = read_note(path)
    if noted is not None and noted[0].get("checksum"):
        return Origin(noted[0]["checksum"], noted[1])
    if not source.plain:
        return None
    from .fetch import digest_of  # noqa: PLC0415 - hardly ever needed

    algorithm = source.checksum.partition(":")[0]
    with open(path, "rb") as file:
        return Origin(f"{algorithm}:{digest_of(file, algorithm)}", True, False)


def _links(connection: Connection) -> tuple[str, ...]:
    """The names of the host's network devices, without those of guests."""
    if connection.is_local:
        try:
            names = os.listdir("/sys/class/net")
        except OSError:
            return ()
        return tuple(sorted(name for name in names if not name.startswith(_OF_GUESTS)))
    try:
        devices = connection.open.listAllDevices(libvirt.VIR_CONNECT_LIST_NODE_DEVICES_CAP_NET)
    except libvirt.libvirtError:
        return ()  # A daemon without node devices.
    found = set()
    for device in devices:
        if not device.name().removeprefix("net_").startswith(_OF_GUESTS):
            try:
                found.add(tree.get(tree.only_read(device.XMLDesc(0)), "capability/interface") or "")
            except libvirt.libvirtError:
                continue  # It went in between.
    return tuple(sorted(found))


def _places(domains: Mapping[str, Domain], pools: Mapping[str, Pool], scope: Scope) -> dict[str, str]:
    """Where the files that guests, volumes and declared disks name really are, and their directories, where that differs."""
    texts = [text for domain in domains.values() for text in (domain.inactive, domain.live) if text]
    paths = {path for text in texts for path in paths_in(tree.only_read(text))}
    paths |= {path for path in scope.disks if path.startswith("/")}
    for pool in pools.values():
        known = [volume for volume in pool.volumes.values() if volume is not None]
        paths |= {path for volume in known for path in (volume.path, volume.backing) if path}
        paths.add((tree.get(tree.only_read(pool.inactive), "target/path") or "").rstrip("/") + "/")
    names = paths | {path.rpartition("/")[0] for path in paths}
    return {name: real for name in sorted(names) if name and (real := os.path.realpath(name)) != name}


def read_routes(path: str = "/proc/net/route") -> tuple[Route, ...]:
    """The IPv4 routes of this machine, none where they cannot be read."""
    try:
        with open(path, encoding="ascii") as file:
            rows = [line.split() for line in file.readlines()[1:]]
    except OSError:
        return ()
    # Device, destination, gateway, ..., mask (Linux, fib_route_seq_show).
    return tuple(
        Route(row[0], f"{_address(row[1])}/{bin(int(row[7], 16)).count('1')}", _gateway(row[2])) for row in rows
    )


def _address(word: str) -> str:
    """An address as the kernel writes it there: its four bytes as one number of this machine."""
    return socket.inet_ntoa(int(word, 16).to_bytes(4, sys.byteorder))


def _gateway(word: str) -> str:
    return "" if int(word, 16) == 0 else _address(word)


class Lease(NamedTuple):
    """An address that a network's DHCP server gave out. expiry: when it ends, in seconds since the epoch."""

    mac: str
    address: str
    expiry: int


def read_leases(connection: Connection) -> list[Lease]:
    """The leases of all active networks."""
    found = []
    with connection.speaking_of("read the leases of the networks"):
        networks = connection.open.listAllNetworks(libvirt.VIR_CONNECT_LIST_NETWORKS_ACTIVE)
    for network in networks:
        try:
            leases = network.DHCPLeases()
        except libvirt.libvirtError:
            continue  # Drivers without leases, and networks without DHCP, have none to tell.
        found += [Lease(item["mac"].lower(), item["ipaddr"], item["expirytime"]) for item in leases if item.get("mac")]
    return found
