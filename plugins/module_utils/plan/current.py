# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is on a host now, as values. Documents are texts: whoever plans parses his own copy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

DIRECTORY_POOLS = frozenset(("dir", "fs", "netfs"))

# virDomainState in the words that the modules use: a guest that is being shut down still runs.
STATES = {
    0: "running",
    1: "running",
    2: "running",
    3: "paused",
    4: "running",
    5: "stopped",
    6: "crashed",
    7: "pmsuspended",
}


# The channel that a guest's agent listens at, by its name in the guest.
CHANNEL = "org.qemu.guest_agent.0"


class Origin(NamedTuple):
    """What a volume's content was made from. checksum: of its source, "algorithm:hex"; intact: whether the content is as it
    was made; noted: whether it was we who made it, and noted that; else the checksum is that of the file as it is.
    """

    checksum: str
    intact: bool = True
    noted: bool = True


class Volume(NamedTuple):
    """A storage volume. capacity in bytes; backing: path of its backing file; digest: of the content of a cloud-init seed or an
    Ignition config; instance: what sets the seed's instance-id apart from that of the guest's first instance; made: how often the
    seed was made anew;
    xml: what libvirt tells of it, without what changes by itself; empty when that was not read. origin: of its content, None when that is not known.
    """

    name: str
    pool: str
    path: str
    capacity: int = 0
    format: str | None = None
    backing: str | None = None
    digest: str | None = None
    xml: str = ""
    origin: Origin | None = None
    instance: str = ""
    made: int = 0


class Pool(NamedTuple):
    """A storage pool with its volumes by name; None for a volume that was not read in full.
    inactive: the persistent definition; live: the running one, None when inactive. strangers: what its directory holds beside
    its volumes; None when that was not looked at.
    """

    name: str
    inactive: str
    live: str | None
    autostart: bool
    volumes: Mapping[str, Volume | None]
    persistent: bool = True
    strangers: tuple[str, ...] | None = None


class Network(NamedTuple):
    """A network. inactive: the persistent definition; live: the running one, None when inactive. attached: the guests that
    are on it now, as far as it is declared.
    """

    name: str
    inactive: str
    live: str | None
    autostart: bool
    persistent: bool = True
    attached: tuple[str, ...] = ()


class Domain(NamedTuple):
    """A guest. inactive: the persistent definition with secrets; live: the running one, None when it is off.
    state: running, paused, stopped, saved, crashed, pmsuspended. image: the definition that a saved guest was saved with,
    and is restored with.
    """

    name: str
    inactive: str
    live: str | None
    state: str
    autostart: bool
    persistent: bool = True
    image: str | None = None


class Snapshot(NamedTuple):
    """A snapshot of a guest. parent: the one it was made after on its branch; None for the first. current: whether the guest
    goes on from it.
    """

    name: str
    xml: str
    parent: str | None = None
    current: bool = False

    @property
    def external(self) -> bool:
        """Whether it left files behind that the guest's disks stand on."""
        return "snapshot='external'" in self.xml or 'snapshot="external"' in self.xml


class Secret(NamedTuple):
    """A secret. name: its use, "ceph/client.admin", or "none/" and its UUID. inactive: its definition, which tells no value.
    value: what it holds, None when it holds nothing, is private or was not read.
    """

    name: str
    uuid: str
    inactive: str
    value: bytes | None = None


class Filter(NamedTuple):
    """A network filter and its definition, which is true at once for guests that run."""

    name: str
    inactive: str


class Route(NamedTuple):
    """An IPv4 route of the host. subnet: as "10.0.0.0/24"; gateway: address of the next hop, empty for what is on the link."""

    device: str
    subnet: str
    gateway: str


class Host(NamedTuple):
    """A host as far as it was read.

    identity: what names derived for this host start from. machines: (arch, machine type or alias) → canonical machine type.
    kvm: whether libvirt offers KVM. arch: the host's architecture. snapshots: by guest and name, of those guests whose snapshots are declared.
    version: libvirt's, as a number, where that matters; 0 where it was not asked. routes, and links by their names:
    where networks are declared. places: where files and directories really are, of those that somebody names by way of a symbolic
    link; read together with all guests.
    """

    uri: str
    identity: str
    domains: Mapping[str, Domain]
    networks: Mapping[str, Network]
    pools: Mapping[str, Pool]
    machines: Mapping[tuple[str, str], str]
    kvm: bool
    arch: str
    driver: str
    secrets: Mapping[str, Secret] = {}
    nwfilters: Mapping[str, Filter] = {}
    snapshots: Mapping[str, Mapping[str, Snapshot]] = {}
    version: int = 0
    routes: tuple[Route, ...] = ()
    links: tuple[str, ...] = ()
    places: Mapping[str, str] = {}

    def place(self, path: str) -> str:
        """Where a file really is, so that it is known by whatever name it is given."""
        folder, slash, name = path.rpartition("/")
        return self.places.get(path) or self.places.get(folder, folder) + slash + name
