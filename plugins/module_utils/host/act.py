# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be done to objects: one function a verb of a plan's steps."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any, Callable

from .. import tree
from ..plan import ownership
from ..plan.live import agent_is_there
from ..plan.plan import ObjectPlan, Step
from ..plan.rules import for_kind, keys_among
from ..plan.values import VALUES, size_text
from ..spec.kinds import KIND
from . import act_network, act_pool, act_secret, act_snapshot
from .connection import OVERTAKEN_HINT, Connection, HypervisorError, Overtaken, libvirt
from .content import copied, fetch, place_bytes, place_made, refresh, see_newcomer
from .fetch import BadContent
from .fingerprints import fingerprinted
from .language import says
from .note import kept_note
from .read import read_definition
from .seed import Mark, build_iso
from .wait import until_awake, until_balloon, until_gone, until_off

# Verbs after which an object is active, or not.
_SWITCHES = {"start": True, "stop": False, "destroy": False}
# Verbs after which it is not there.
_ENDS_IT = frozenset(("undefine", "delete"))
# What libvirt says of an object that is not there, or of what it is in,
_NOT_THERE = {
    "domain": "VIR_ERR_NO_DOMAIN",
    "network": "VIR_ERR_NO_NETWORK",
    "nwfilter": "VIR_ERR_NO_NWFILTER",
    "pool": "VIR_ERR_NO_STORAGE_POOL",
    "secret": "VIR_ERR_NO_SECRET",
    "snapshot": "VIR_ERR_NO_DOMAIN_SNAPSHOT",
    "volume": "VIR_ERR_NO_STORAGE_VOL",
}
_IN = {"volume": "VIR_ERR_NO_STORAGE_POOL", "snapshot": "VIR_ERR_NO_DOMAIN"}
# and of one that is there: by codes, and by words where the code has many uses (virStoragePoolObjListAdd and the like;
# virNetworkDefUpdateIPDHCPHost).
_THERE = frozenset(("VIR_ERR_DOM_EXIST", "VIR_ERR_NETWORK_EXIST", "VIR_ERR_STORAGE_VOL_EXIST"))
_THERE_WORDS = ("already exists", "existing dhcp host entry")

Args = Mapping[str, Any]
Act = Callable[[Connection, Any, Args], Any]


def perform(connection: Connection, item: ObjectPlan, step: Step) -> str | None:
    """Carry out one step on an object. Returns why it has to wait for a restart, or None when it is done.

    What a job of somebody else's on the object prevents is tried again; libvirt by itself gives up on a guest after 30 s.

    Raises HypervisorError, Overtaken, BadContent or MissingLibrary.
    """
    end = time.monotonic() + item.patience
    verb = VERBS[(item.kind, step.verb)]
    while True:
        try:
            with connection.speaking_of(f"{item.kind} {item.name}: {step.words}"):
                thing = _look_up(connection, item.kind, step.args.get("called", item.name), step.verb)
                return verb(connection, thing, step.args)
        except HypervisorError as error:
            if _is_so_by_now(connection, item, step, error):
                return None
            if not error.is_passing or time.monotonic() > end:
                raise
        time.sleep(0.2)


def _is_so_by_now(connection: Connection, item: ObjectPlan, step: Step, error: HypervisorError) -> bool:
    """Whether a step failed because somebody else had done it by then."""
    if step.verb in _ENDS_IT:
        return error.code == _NOT_THERE[item.kind]
    if step.verb not in _SWITCHES or error.code not in ("VIR_ERR_OPERATION_INVALID", "VIR_ERR_INTERNAL_ERROR"):
        return False
    with connection.speaking_of(f"{item.kind} {item.name}: {step.words}"):
        thing = _look_up(connection, item.kind, step.args.get("called", item.name), step.verb)
        return bool(thing.isActive()) is _SWITCHES[step.verb]


def is_overtaken(kind: str, error: HypervisorError) -> bool:
    """Whether a call failed since somebody else has made meanwhile what was to be made, or taken away what was to be worked on."""
    return error.code in (*_THERE, _NOT_THERE[kind], _IN.get(kind)) or any(
        says(error.code, error.reason, words) for words in _THERE_WORDS
    )


def check_unchanged(connection: Connection, item: ObjectPlan, before: str | None) -> None:
    """Raise Overtaken if an object that is to be defined is not defined as it was when that was planned: what somebody else
    has made of it since would be lost. before: its definition then, None when it was not there.
    """
    with connection.speaking_of(f"{item.kind} {item.name}: look at it again"):
        now = read_definition(connection, item.kind, item.name)
    if now != before:
        what = "gone" if now is None else "there" if before is None else "another one"
        raise Overtaken(f"its definition is {what} by now: {OVERTAKEN_HINT}")


def _look_up(connection: Connection, kind: str, name: str, verb: str) -> Any:
    conn = connection.open
    if verb == "define" or kind == "secret":
        return None
    if kind == "snapshot":
        guest, _slash, snapshot = name.partition("/")
        return act_snapshot.Taken(conn.lookupByName(guest), snapshot)
    if kind == "volume":
        return conn.storagePoolLookupByName(name.partition("/")[0])
    return {
        "pool": conn.storagePoolLookupByName,
        "network": conn.networkLookupByName,
        "nwfilter": conn.nwfilterLookupByName,
        "domain": conn.lookupByName,
    }[kind](name)


def _define_nwfilter(connection: Connection, _filter: Any, args: Args) -> None:
    connection.open.nwfilterDefineXML(args["xml"])


def _autostart(_connection: Connection, thing: Any, args: Args) -> None:
    thing.setAutostart(1 if args["on"] else 0)


def _start(_connection: Connection, thing: Any, args: Args) -> None:
    if args.get("paused"):
        thing.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
    else:
        thing.create()


def _destroy(_connection: Connection, thing: Any, _args: Args) -> None:
    thing.destroy()


def _undefine(_connection: Connection, thing: Any, _args: Args) -> None:
    thing.undefine()


def _create_volume(connection: Connection, pool: Any, args: Args) -> None:
    root = tree.parse(args["xml"])
    origin = _origin(connection, args)
    if origin is not None:
        volume, path, form = origin
        capacity = volume.info()[1]
        if args.get("size") is not None and args["size"] < capacity:
            raise _too_small(args, capacity)
        tree.put(root, "backingStore/path", path)
        if form:
            tree.put(root, "backingStore/format/@type", form)
        _default_capacity(root, capacity)
    _default_compat(root)
    flags = _preallocation(root, args)
    see_newcomer(connection, pool, args["name"])
    _anew(pool, lambda: pool.createXML(tree.text_of(root), flags))


def _clone_volume(connection: Connection, pool: Any, args: Args) -> None:
    root = tree.parse(args["xml"])
    origin = _origin(connection, args)
    if origin is None:
        raise ValueError("a clone names what it is a clone of")
    volume, _path, form = origin
    capacity = volume.info()[1]
    _default_capacity(root, capacity)
    if form and root.find("target/format") is None:
        tree.put(root, "target/format/@type", form)
    _default_compat(root)
    flags = _preallocation(root, args)

    def make(name: str) -> None:
        root.find("name").text = name
        created = _anew(pool, lambda: copied(pool, root, volume, flags))
        if args.get("size") and args["size"] > created.info()[1]:
            created.resize(args["size"], 0)

    place_made(connection, pool, args["name"], make)


def _origin(connection: Connection, args: Args) -> tuple[Any, str, str | None] | None:
    """The volume that a new one is made from: itself, its path and its format."""
    if not args.get("from_name"):
        return None
    volume = connection.open.storagePoolLookupByName(args["from_pool"]).storageVolLookupByName(args["from_name"])
    return volume, volume.path(), tree.get(tree.parse(volume.XMLDesc(0)), "target/format/@type")


def _default_compat(root: tree.Element) -> None:
    """Older releases of libvirt (9.0 is one) make the qcow2 of QEMU before 1.1, which holds no dirty bitmaps: no checkpoints,
    no incremental backup.
    """
    if tree.get(root, "target/format/@type") == "qcow2" and root.find("target/compat") is None:
        tree.put(root, "target/compat", "1.1")


def _anew(pool: Any, make: Callable[[], Any]) -> Any:
    """Make a volume. libvirt still lists one whose file somebody took away: it looks at the pool anew then, and says so if
    the pool's whole directory is gone.
    """
    try:
        return make()
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_STORAGE_VOL_EXIST:
            raise
        refresh(pool)
        return make()


def _preallocation(root: tree.Element, args: Args) -> int:
    """The flags that give a new volume its space at once; libvirt fills what is allocated in full (storage_util.c)."""
    wish = args.get("preallocation") or "off"
    if wish == "falloc":
        tree.erase(root, "allocation")
        root.append(
            tree.element("allocation", tree.get(root, "capacity") or "0", unit=root.find("capacity").get("unit"))
        )
    tables = wish != "off" and tree.get(root, "target/format/@type") == "qcow2"
    return int(libvirt.VIR_STORAGE_VOL_CREATE_PREALLOC_METADATA) if tables else 0


def _default_capacity(root: tree.Element, capacity: int) -> None:
    if root.find("capacity") is None:
        root.append(tree.element("capacity", str(capacity), unit="bytes"))


def _too_small(args: Args, capacity: int) -> Exception:
    wish, has = size_text(args["size"]), size_text(capacity)
    return BadContent(f"size {wish} is smaller than volume {args['from_name']}, which has {has}")


def _seed(connection: Connection, pool: Any, args: Args) -> None:
    content = args["content"]
    if isinstance(content, str):
        data = content.encode()
    else:
        mark = Mark(args["digest"], args.get("instance", ""), args.get("made", 0))
        data = build_iso(content, mark, args.get("label", ""))
    place_bytes(connection, pool, args["name"], data, args.get("permissions"))


def _resize(connection: Connection, pool: Any, args: Args) -> None:
    """Resize a volume: grow it through the guest that is running on it, so that it sees the new size, else in the file."""
    for domain in connection.open.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
        for disk in tree.parse(domain.XMLDesc(0)).iterfind("devices/disk"):
            if args["path"] in (tree.get(disk, "source/@file"), tree.get(disk, "source/@dev")):
                if args.get("shrink"):
                    raise BadContent(f"guest {domain.name()} has been started on {args['path']}, which is not cut then")
                domain.blockResize(tree.get(disk, "target/@dev"), args["size"], libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES)
                pool.refresh(0)
                return
    flags = libvirt.VIR_STORAGE_VOL_RESIZE_SHRINK if args.get("shrink") else 0
    with kept_note(args["path"]):
        pool.storageVolLookupByName(args["name"]).resize(args["size"], flags)


def _delete_volume(_connection: Connection, pool: Any, args: Args) -> None:
    volume = pool.storageVolLookupByName(args["name"])
    if args.get("wipe"):
        volume.wipe(0)
    volume.delete(0)


def _wipe_volume(_connection: Connection, pool: Any, args: Args) -> None:
    """Overwrite what is in a volume. An image of a format is made anew then, as its tables went with its data."""
    volume = pool.storageVolLookupByName(args["name"])
    root = tree.parse(volume.XMLDesc(0))
    volume.wipe(0)
    if tree.get(root, "target/format/@type") in (None, "raw") and root.find("target/encryption") is None:
        return
    for path in ("key", "allocation", "physical", "target/path", "target/timestamps", "backingStore/timestamps"):
        tree.erase(root, path)
    volume.delete(0)
    pool.createXML(tree.text_of(root), 0)


def _define_domain(connection: Connection, _domain: Any, args: Args) -> None:
    connection.open.defineXML(args["xml"])


def _rename(connection: Connection, domain: Any, args: Args) -> None:
    """Rename a guest and take its NVRAM along. That has both names until everything else is done, so that nothing is lost
    wherever this ends.
    """
    old, new = (os.path.expanduser(args.get(name) or "") for name in ("nvram", "nvram_to"))
    moves = bool(old) and os.path.exists(old)
    if moves and not (os.path.exists(new) and os.path.samefile(old, new)):
        try:
            os.link(old, new)
        except OSError as error:
            raise BadContent(f"its NVRAM cannot be kept as {new}: {error.strerror}") from error
    try:
        domain.rename(args["to"], 0)
    except libvirt.libvirtError:
        if moves:
            os.unlink(new)
        raise
    renamed = connection.open.lookupByName(args["to"])
    root = tree.parse(renamed.XMLDesc(libvirt.VIR_DOMAIN_XML_SECURE | libvirt.VIR_DOMAIN_XML_INACTIVE))
    if old and tree.get(root, "os/nvram") == old:
        root.find("os/nvram").text = new
        connection.open.defineXML(tree.text_of(root))
    if moves:
        os.unlink(old)


def _shutdown(connection: Connection, domain: Any, args: Args) -> None:
    until_off(connection, domain, args["timeout"], args["force"])


def _save(_connection: Connection, domain: Any, _args: Args) -> None:
    domain.managedSave(0)


def _undefine_domain(_connection: Connection, domain: Any, _args: Args) -> None:
    """Undefine with all that libvirt keeps beside the definition; flags that an older release lacks are left out."""
    flags = libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    flags |= libvirt.VIR_DOMAIN_UNDEFINE_NVRAM | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
    flags |= getattr(libvirt, "VIR_DOMAIN_UNDEFINE_TPM", 0)
    try:
        domain.undefineFlags(flags)
    except libvirt.libvirtError as error:
        if error.get_error_code() not in (
            libvirt.VIR_ERR_INVALID_ARG,
            libvirt.VIR_ERR_NO_SUPPORT,
            libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED,
        ):
            raise
        domain.undefine()


def _attach(_connection: Connection, domain: Any, args: Args) -> None:
    """Attach a device to a running guest, at the address that it has in the definition if that is free: a guest names
    its interfaces by their PCI address, and they are to keep their names at the next start.
    """
    device = _defined_device(domain, args["path"], args["key"])
    address = None if device is None else device.find("address")
    if device is None or address is None:
        domain.attachDeviceFlags(args["xml"], libvirt.VIR_DOMAIN_AFFECT_LIVE)
        return
    try:
        domain.attachDeviceFlags(tree.text_of(device), libvirt.VIR_DOMAIN_AFFECT_LIVE)
    except libvirt.libvirtError:
        device.remove(address)
        domain.attachDeviceFlags(tree.text_of(device), libvirt.VIR_DOMAIN_AFFECT_LIVE)


def _defined_device(domain: Any, path: str, key: str) -> tree.Element | None:
    """A device in the persistent definition of a guest."""
    flags = libvirt.VIR_DOMAIN_XML_SECURE | libvirt.VIR_DOMAIN_XML_INACTIVE
    rules = for_kind(KIND["domain"])
    nodes = tree.parse(domain.XMLDesc(flags)).findall(path)
    return dict(zip(keys_among(rules, path, nodes) or [], nodes)).get(key)


def _detach(connection: Connection, domain: Any, args: Args) -> str | None:
    return until_gone(connection, domain, args["xml"], args["path"], args["key"])


def _update_device(_connection: Connection, domain: Any, args: Args) -> None:
    domain.updateDeviceFlags(args["xml"], libvirt.VIR_DOMAIN_AFFECT_LIVE)


def _balloon(connection: Connection, domain: Any, args: Args) -> str | None:
    return until_balloon(connection, domain, args["kib"])


def _stats(_connection: Connection, domain: Any, args: Args) -> None:
    domain.setMemoryStatsPeriod(args["period"], libvirt.VIR_DOMAIN_AFFECT_LIVE)


_TUNE = {
    "scheduler": "setSchedulerParametersFlags",
    "memory": "setMemoryParameters",
    "blkio": "setBlkioParameters",
    "numa": "setNumaParameters",
}


def _tune(_connection: Connection, domain: Any, args: Args) -> None:
    getattr(domain, _TUNE[args["what"]])(dict(args["values"]), libvirt.VIR_DOMAIN_AFFECT_LIVE)


def _limit(_connection: Connection, domain: Any, args: Args) -> None:
    domain.setBlockIoTune(args["target"], dict(args["values"]), libvirt.VIR_DOMAIN_AFFECT_LIVE)


def _vcpus(_connection: Connection, domain: Any, args: Args) -> None:
    domain.setVcpusFlags(args["count"], libvirt.VIR_DOMAIN_AFFECT_LIVE)


def _lifecycle(_connection: Connection, domain: Any, args: Args) -> None:
    domain.setLifecycleAction(args["event"], args["action"], libvirt.VIR_DOMAIN_AFFECT_LIVE)


def _iothread(_connection: Connection, domain: Any, args: Args) -> None:
    if args["act"] == "remove":
        domain.delIOThread(args["id"], libvirt.VIR_DOMAIN_AFFECT_LIVE)
        return
    if args["act"] == "add":
        domain.addIOThread(args["id"], libvirt.VIR_DOMAIN_AFFECT_LIVE)
    if args["values"]:
        domain.setIOThreadParams(args["id"], dict(args["values"]), libvirt.VIR_DOMAIN_AFFECT_LIVE)


def _perf(_connection: Connection, domain: Any, args: Args) -> None:
    domain.setPerfEvents({args["name"]: args["on"]}, libvirt.VIR_DOMAIN_AFFECT_LIVE)


def _fragment(_connection: Connection, domain: Any, args: Args) -> None:
    """Set an element of the metadata. libvirt binds its namespace to this prefix anew, and fails where it is bound already."""
    bound = tree.parse(args["xml"]).nsmap if args["xml"] else {}
    prefix = next(name for name in (f"ns{number}" for number in range(len(bound) + 1)) if name not in bound)
    where = (prefix, args["namespace"], libvirt.VIR_DOMAIN_AFFECT_LIVE)
    domain.setMetadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, args["xml"], *where)


def _pin(connection: Connection, domain: Any, args: Args) -> None:
    wanted = VALUES["cpuset"].same(args["cpus"])
    cpus = tuple(number in wanted for number in range(connection.open.getCPUMap()[0]))
    if args["what"] == "emulator":
        domain.pinEmulator(cpus, libvirt.VIR_DOMAIN_AFFECT_LIVE)
    else:
        call = domain.pinVcpuFlags if args["what"] == "vcpu" else domain.pinIOThread
        call(args["id"], cpus, libvirt.VIR_DOMAIN_AFFECT_LIVE)


def _describe(_connection: Connection, domain: Any, args: Args) -> None:
    what = libvirt.VIR_DOMAIN_METADATA_TITLE if args["what"] == "title" else libvirt.VIR_DOMAIN_METADATA_DESCRIPTION
    domain.setMetadata(what, args["text"], None, None, libvirt.VIR_DOMAIN_AFFECT_LIVE)


def _metadata(_connection: Connection, domain: Any, args: Args) -> None:
    domain.setMetadata(
        libvirt.VIR_DOMAIN_METADATA_ELEMENT,
        args["xml"],
        ownership.PREFIX,
        ownership.NAMESPACE,
        libvirt.VIR_DOMAIN_AFFECT_LIVE,
    )


def _decline(_connection: Connection, domain: Any, args: Args) -> None:
    """Note steps that a running guest declined, with the reasons, beside what it declined before."""
    if not domain.isActive():
        return
    live = tree.parse(domain.XMLDesc(0))
    owned = ownership.read(live)
    plain = {step: "".join(char for char in reason if char.isprintable()) for step, reason in args["reasons"].items()}
    early = owned.early - plain.keys() if agent_is_there(live) else owned.early | plain.keys()
    text = ownership.as_text(owned._replace(declined={**owned.declined, **plain}, early=frozenset(early)))
    where = (ownership.PREFIX, ownership.NAMESPACE, libvirt.VIR_DOMAIN_AFFECT_LIVE)
    domain.setMetadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, text, *where)


def _fingerprint_domain(_connection: Connection, domain: Any, args: Args) -> None:
    xml = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_SECURE | libvirt.VIR_DOMAIN_XML_INACTIVE)
    _root, owned = fingerprinted("domain", xml, args["raw"])
    text = ownership.as_text(owned)
    where = (ownership.PREFIX, ownership.NAMESPACE, libvirt.VIR_DOMAIN_AFFECT_CONFIG)
    domain.setMetadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, text, *where)


VERBS: dict[tuple[str, str], Act] = {
    ("nwfilter", "define"): _define_nwfilter,
    ("nwfilter", "undefine"): _undefine,
    **act_network.VERBS,
    **act_pool.VERBS,
    **act_secret.VERBS,
    **act_snapshot.VERBS,
    ("pool", "stop"): _destroy,
    ("pool", "undefine"): _undefine,
    ("pool", "autostart"): _autostart,
    ("network", "stop"): _destroy,
    ("network", "undefine"): _undefine,
    ("network", "autostart"): _autostart,
    ("volume", "create"): _create_volume,
    ("volume", "clone"): _clone_volume,
    ("volume", "fetch"): fetch,
    ("volume", "seed"): _seed,
    ("volume", "resize"): _resize,
    ("volume", "wipe"): _wipe_volume,
    ("volume", "delete"): _delete_volume,
    ("domain", "define"): _define_domain,
    ("domain", "fingerprint"): _fingerprint_domain,
    ("domain", "start"): _start,
    ("domain", "rename"): _rename,
    ("domain", "shutdown"): _shutdown,
    ("domain", "destroy"): _destroy,
    ("domain", "resume"): lambda _connection, domain, _args: domain.resume(),
    ("domain", "suspend"): lambda _connection, domain, _args: domain.suspend(),
    ("domain", "wakeup"): lambda connection, domain, _args: until_awake(connection, domain),
    ("domain", "save"): _save,
    ("domain", "reset"): lambda _connection, domain, _args: domain.reset(0),
    ("domain", "undefine"): _undefine_domain,
    ("domain", "autostart"): _autostart,
    ("domain", "attach"): _attach,
    ("domain", "detach"): _detach,
    ("domain", "update_device"): _update_device,
    ("domain", "balloon"): _balloon,
    ("domain", "vcpus"): _vcpus,
    ("domain", "tune"): _tune,
    ("domain", "limit"): _limit,
    ("domain", "pin"): _pin,
    ("domain", "lifecycle"): _lifecycle,
    ("domain", "iothread"): _iothread,
    ("domain", "perf"): _perf,
    ("domain", "fragment"): _fragment,
    ("domain", "stats"): _stats,
    ("domain", "describe"): _describe,
    ("domain", "metadata"): _metadata,
    ("domain", "decline"): _decline,
}
