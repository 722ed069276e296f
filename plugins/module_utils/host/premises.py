# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether what a plan builds on is there: files, devices, filters, secrets, ports, and what this host's QEMU can do."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from typing import Any, Callable

from .. import tree
from ..plan.plan import Id, ObjectPlan, Plan, Premise
from ..plan.values import VALUES, size_text
from .connection import Connection, libvirt

# Where a guest's document names what a driver can do or not, where virConnectGetDomainCapabilities says what it can, and
# the option. libvirt refuses the first ones when a guest is defined, as it holds them against these lists itself
# (qemu_validate.c), and the others when it is started. Words that stand for the driver's own choice are never wrong.
_TO_DEFINE = (
    ("devices/graphics/@type", "devices/graphics/enum[@name='type']/value", "graphics"),
    ("devices/video/model/@type", "devices/video/enum[@name='modelType']/value", "videos"),
    ("devices/tpm/@model", "devices/tpm/enum[@name='model']/value", "tpm"),
    ("devices/tpm/backend/@type", "devices/tpm/enum[@name='backendModel']/value", "tpm"),
    ("devices/rng/@model", "devices/rng/enum[@name='model']/value", "rngs"),
)
_TO_START = (
    ("os/@firmware", "os/enum[@name='firmware']/value", "firmware"),
    ("cpu[@mode='custom']/model", "cpu/mode[@name='custom']/model", "cpu.model"),
)
_ANY = frozenset(("default", "none"))
_BY_UUID = {
    "domain": "lookupByUUIDString",
    "network": "networkLookupByUUIDString",
    "nwfilter": "nwfilterLookupByUUIDString",
    "pool": "storagePoolLookupByUUIDString",
}
# Where an administrator puts what libvirtd runs before a guest starts, and what that may bring about: pages, mounts, bridges.
_HOOKS = "/etc/libvirt/hooks"
_BY_HOOKS = frozenset(("file", "link", "pages", "pci", "port"))
_EVERYWHERE = frozenset(("0.0.0.0", "::"))  # noqa: S104 - told apart, not listened at
_LISTENS = "0A"
"""The state of a socket that listens, in /proc/net/tcp."""

Complaint = tuple[str, str]


def missing(connection: Connection, plan: Plan, before: Mapping[Id, str | None]) -> Iterator[Complaint]:
    """What a plan builds on that is not there: (where, sentence). before: the definitions as they are, None of what is new."""
    yield from _named_twice(plan)
    if connection.open.getType() != "QEMU":
        return
    look = _Look(connection, plan)
    for item in plan.objects:
        # What has to wait, such as a guest for its new name, has no steps.
        for premise in item.premises if item.steps else ():
            sentence = look.why_not(premise)
            if sentence:
                yield premise.where, sentence
        for step in item.steps:
            if step.verb == "define" and item.kind in _BY_UUID:
                yield from look.taken(item, step.args["xml"], before.get(item.id))
        if item.kind == "domain":
            yield from look.not_offered(item, before.get(item.id))


def _named_twice(plan: Plan) -> Iterator[Complaint]:
    """UUIDs and ports that two objects of a plan are to have."""
    seen: dict[tuple[str, str], ObjectPlan] = {}
    for item in plan.objects:
        names = [
            (item.kind, tree.get(tree.only_read(step.args["xml"]), "uuid") or "")
            for step in item.steps
            if step.verb == "define" and item.kind in _BY_UUID
        ]
        names += [("port", premise.value.rpartition(" ")[2]) for premise in item.premises if premise.what == "port"]
        for what, name in names:
            other = seen.setdefault((what, name), item) if name else item
            if other is not item:
                word = "graphics port" if what == "port" else "UUID"
                yield "{} {}".format(*item.id), f"{word} {name} is also that of {other.kind} {other.name}"


class _Look:
    """What is there, looked at once for all that ask for it."""

    def __init__(self, connection: Connection, plan: Plan) -> None:
        self._connection = connection
        self._made = {item.id for item in plan.objects if item.state != "absent"}
        self._going = {item.id for item in plan.objects if item.state == "absent"}
        # What a guest that stops gives back is not known to be free yet.
        self._frees = any(
            step.verb in ("shutdown", "destroy")
            for item in plan.objects
            if item.kind == "domain"
            for step in item.steps
        )
        self._capabilities: dict[tuple[str | None, ...], Any] = {}
        self._found: dict[str, Any] = {}
        # Huge pages that guests of this plan will have taken, by their size in KiB.
        self._taken: dict[int, int] = {}

    def why_not(self, premise: Premise) -> str | None:
        """What is wrong with a premise; None when nothing is, or nobody can tell from here."""
        if premise.what in _BY_HOOKS and self._once("hooks", lambda: has_files(_HOOKS)):
            return None
        check: Callable[[str], str | None] = getattr(self, "_" + premise.what)
        return check(premise.value)

    def _file(self, path: str) -> str | None:
        if not self._connection.is_local or not path.startswith("/"):
            return None
        return f"{path} is not there on the host" if is_missing(path) else None

    def _folder(self, path: str) -> str | None:
        """A directory that is there or can be made."""
        place = in_the_way(path) if self._connection.is_local else None
        return None if place is None else f"{place} is no directory on the host"

    def _link(self, name: str) -> str | None:
        if not self._connection.is_local or not os.path.isdir("/sys/class/net"):
            return None
        return None if os.path.exists(f"/sys/class/net/{name}") else f"the host has no network device {name}"

    def _cpus(self, text: str) -> str | None:
        numbers = VALUES["cpuset"].same(text)
        count = self._once("cpus", lambda: self._connection.open.getCPUMap()[0])
        if not isinstance(numbers, frozenset) or count is None or not numbers or min(numbers) < count:
            return None
        return f"{text} names none of the host's CPUs, 0 to {count - 1}"

    def _nodes(self, text: str) -> str | None:
        numbers = VALUES["cpuset"].same(text)
        folder = "/sys/devices/system/node"
        if not isinstance(numbers, frozenset) or not self._connection.is_local or not os.path.isdir(folder):
            return None
        lacking = [number for number in sorted(numbers) if not os.path.isdir(f"{folder}/node{number}")]
        return f"the host has no NUMA node {lacking[0]}" if lacking else None

    def _pages(self, text: str) -> str | None:
        """Huge pages, which QEMU takes when it starts."""
        size, need = (int(word) for word in text.split())
        kib = size // 1024 or self._once("page", _default_page)
        free = kib and self._once(f"pages of {kib}", lambda: _free_pages(self._connection.open, kib))
        if free is None or self._frees or not self._connection.is_local or _makes_pages(kib):
            return None
        taken = self._taken[kib] = self._taken.get(kib, 0) + -(-need // (kib * 1024))
        if taken <= free:
            return None
        return f"{taken} pages of {kib} KiB are needed and {free} are free on the host"

    def _pci(self, address: str) -> str | None:
        there = os.path.exists(f"/sys/bus/pci/devices/{address}") if self._connection.is_local else True
        return None if there else f"the host has no PCI device {address}"

    def _room(self, text: str) -> str | None:
        """Space in a pool, which may not be there yet, or not be known while it is inactive."""
        pool, _space, size = text.rpartition(" ")
        free = self._once(f"room in {pool}", lambda: _room_in(self._connection.open.storagePoolLookupByName(pool)))
        if free is None or int(size) <= free:
            return None
        return f"{size_text(int(size))} are more than the {size_text(free)} that are free in pool {pool}"

    def _nwfilter(self, name: str) -> str | None:
        known = self._once("nwfilters", lambda: {item.name() for item in self._connection.open.listAllNWFilters(0)})
        there = ("nwfilter", name) in self._made or known is None or name in known
        gone = ("nwfilter", name) in self._going
        return None if there and not gone else f"network filter {name} is neither there nor declared"

    def _secret(self, name: str) -> str | None:
        """A secret by its use, or its UUID."""
        secrets = self._once("secrets", lambda: self._connection.open.listAllSecrets(0))
        by_uuid = "/" not in name
        if secrets is None or (by_uuid and any(kind == "secret" for kind, _name in self._made)):
            return None  # One that is declared may be it.
        kinds = {1: "volume", 2: "ceph", 3: "iscsi"}
        known = {
            item.UUIDString() if by_uuid else f"{kinds.get(item.usageType())}/{item.usageID()}" for item in secrets
        }
        there = name in known or ("secret", name) in self._made
        return None if there else f"secret {name} is neither there nor declared"

    def _port(self, name: str) -> str | None:
        if not self._connection.is_local or self._frees:
            return None
        address, _space, port = name.partition(" ")
        for other, number in self._once("ports", lambda: [*listening()]) or ():
            if number == int(port) and (other == address or {other, address} & _EVERYWHERE):
                return f"port {port} is in use on the host"
        return None

    def _backend(self, kind: str) -> str | None:
        """A kind of pool."""
        told = self._once("pools", lambda: tree.parse(self._connection.open.getStoragePoolCapabilities(0)))
        node = None if told is None else next((one for one in told.iterfind("pool") if one.get("type") == kind), None)
        lacks = node is not None and node.get("supported") == "no"
        return (
            f"this host's libvirt has no pools of type {kind}; its package for them may be missing" if lacks else None
        )

    def _once(self, what: str, ask: Callable[[], Any]) -> Any:
        """What is there of a kind, None where nobody can tell."""
        if what not in self._found:
            try:
                self._found[what] = ask()
            except (libvirt.libvirtError, OSError):
                self._found[what] = None
        return self._found[what]

    def taken(self, item: ObjectPlan, xml: str, before: str | None) -> Iterator[Complaint]:
        """Whether another object has the UUID of a new one."""
        uuid = tree.get(tree.only_read(xml), "uuid")
        if before is not None or not uuid or any(step.verb == "rename" for step in item.steps):
            return
        try:
            other = getattr(self._connection.open, _BY_UUID[item.kind])(uuid).name()
        except libvirt.libvirtError:
            return
        if other != item.name and (item.kind, other) not in self._going:
            yield "{} {}: uuid".format(*item.id), f"{uuid} is that of {item.kind} {other} already"

    def not_offered(self, item: ObjectPlan, before: str | None) -> Iterator[Complaint]:
        """What a guest asks for that this host's QEMU, or libvirt, cannot do, and that it did not ask for before."""
        where = f"domain {item.name}"
        xml = next((step.args["xml"] for step in item.steps if step.verb == "define"), None)
        if xml is not None:
            known = set(self._undefinable(before)) if before else set()
            found = [complaint for complaint in self._undefinable(xml) if complaint not in known]
            yield from ((where + option, sentence) for option, sentence in found)
        told = xml or before
        if told and any(step.verb == "start" for step in item.steps):
            yield from ((where + option, sentence) for option, sentence in self._unstartable(told))

    def _undefinable(self, xml: str) -> Iterator[Complaint]:
        root = tree.only_read(xml)
        told = self._told(root)
        if isinstance(told, str):
            yield "", told
        elif told is not None:
            count, most = tree.get(root, "vcpu") or "1", tree.get(told, "vcpu/@max") or ""
            if count.isdecimal() and most.isdecimal() and int(count) > int(most):
                yield ": vcpus", f"is {count}; this machine type has {most} at the most"
            yield from _strange(root, told, _TO_DEFINE)

    def _unstartable(self, xml: str) -> Iterator[Complaint]:
        root = tree.only_read(xml)
        told = self._told(root)
        if told is None or isinstance(told, str):
            return
        mode = tree.get(root, "cpu/@mode")
        node = None if mode is None else told.find(f"cpu/mode[@name='{mode}']")
        if node is not None and node.get("supported") == "no":
            yield ": cpu.mode", f"{mode} is not supported for guests of type {root.get('type')} on this host"
        yield from _strange(root, told, _TO_START)

    def _told(self, root: tree.Element) -> Any:
        """What libvirt says that guests of a definition's kind may have; a sentence where it can run none; None where it does not tell."""
        kind = root.find("os/type")
        if kind is None or root.get("type") not in ("kvm", "qemu"):
            return None
        key = (tree.get(root, "devices/emulator"), kind.get("arch"), kind.get("machine"), root.get("type"))
        if key not in self._capabilities:
            self._capabilities[key] = self._asked(key)
        return self._capabilities[key]

    def _asked(self, key: tuple[str | None, ...]) -> Any:
        try:
            return tree.parse(self._connection.open.getDomainCapabilities(*key, 0))
        except libvirt.libvirtError as error:
            # Others say nothing of what was asked.
            wrong = error.get_error_code() in (libvirt.VIR_ERR_INVALID_ARG, libvirt.VIR_ERR_CONFIG_UNSUPPORTED)
            absent = key[0] is not None and self._file(key[0])
            return absent or (f"libvirt: {error.get_error_message()}" if wrong else None)


def _strange(root: tree.Element, told: tree.Element, rows: tuple[tuple[str, str, str], ...]) -> Iterator[Complaint]:
    """Words of a definition that are not among those that are offered."""
    for path, place, option in rows:
        where, attribute = tree.split(path)
        offered = {(value.text or "").strip() for value in told.iterfind(place)}
        for node in root.iterfind(where):
            word = (node.get(attribute) if attribute else node.text) or ""
            if offered and word and word not in offered and word not in _ANY:
                some = ", ".join(sorted(offered)[:8])
                yield f": {option}", f"{word} is not offered by this host's QEMU and libvirt; they have {some}"


def is_missing(path: str) -> bool:
    """Whether there is nothing of this name; what we may not look at is let be."""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def has_files(folder: str) -> bool:
    """Whether there is any file in a directory or below it."""
    return any(files for _path, _folders, files in os.walk(folder))


def in_the_way(path: str) -> str | None:
    """What is no directory on the way to one and at its end, None where there is nothing of the kind."""
    place = path
    while place not in ("", "/") and not os.path.lexists(place):
        place = os.path.dirname(place)
    return place if os.path.exists(place) and not os.path.isdir(place) else None


def _room_in(pool: Any) -> int | None:
    return int(pool.info()[3]) if pool.isActive() else None


def _default_page() -> int | None:
    """The size of huge pages where none is said, in KiB."""
    with open("/proc/meminfo", encoding="ascii") as file:
        return next((int(line.split()[1]) for line in file if line.startswith("Hugepagesize:")), None)


def _makes_pages(kib: int) -> bool:
    """Whether the kernel makes huge pages of this size when they are asked for (vm.nr_overcommit_hugepages)."""
    with (
        contextlib.suppress(OSError),
        open(f"/sys/kernel/mm/hugepages/hugepages-{kib}kB/nr_overcommit_hugepages") as file,
    ):
        return int(file.read()) > 0
    return False


def _free_pages(conn: Any, kib: int) -> int:
    """How many pages of this size are free on the whole host, which has the number -1 there."""
    return sum(count for cell in conn.getFreePages([kib], -1, 1).values() for count in cell.values())


def listening() -> Iterator[tuple[str, int]]:
    """Addresses and ports at which something of this machine listens (Linux, tcp4_seq_show)."""
    for name, size in (("tcp", 8), ("tcp6", 32)):
        with open(f"/proc/net/{name}", encoding="ascii") as file:
            rows = [line.split() for line in file.readlines()[1:]]
        for row in rows:
            address, _colon, port = row[1].partition(":")
            if row[3] == _LISTENS and len(address) == size:
                words = [int(address[place : place + 8], 16).to_bytes(4, sys.byteorder) for place in range(0, size, 8)]
                family = socket.AF_INET if size == 8 else socket.AF_INET6
                yield socket.inet_ntop(family, b"".join(words)), int(port, 16)
