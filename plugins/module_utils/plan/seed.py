# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a guest configures itself by: a seed for cloud-init, a config for Ignition. Each is a volume beside the disks.

What is told to a guest may change later. No disk is made anew for that: the volume is written again for the guest's next
start, unless it is not wanted, and a new instance-id makes cloud-init run once more.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, Union

from .. import tree
from .current import Volume
from .identity import derived_uuid
from .ownership import NOTHING, Owned, read
from .plan import Change
from .problem import Problems
from .rename import seed_name
from .site import Declared, Site

# The files of a NoCloud seed, by option.
FILES = {
    "user_data": "user-data",
    "meta_data": "meta-data",
    "network_config": "network-config",
    "vendor_data": "vendor-data",
}
LABEL = "cidata"
# Where Ignition looks (https://coreos.github.io/ignition/supported-platforms, "qemu").
ENTRY = "opt/com.coreos/config"
IGNITION = "-ignition.json"
_INSTANCE = re.compile(r"^[{\s]*[\"']?instance-id[\"']?\s*:", re.MULTILINE)

Content = Union[str, Mapping[str, str]]


def with_seed(declared: Declared, root: tree.Element | None, where: str, site: Site) -> Declared:
    """The declaration with the cdrom of its cloud-init seed, whose volume is added to the site."""
    cloud_init = declared["cloud_init"]
    pool, name = cloud_init.get("pool") or "default", seed_name(declared["name"], root)
    if not site.knows("pool", pool):
        site.problems.add(where + ": cloud_init.pool", f"pool {pool} is neither there nor declared")
    uuid = declared.get("uuid") or (root is not None and tree.get(root, "uuid")) or None
    instance = uuid or derived_uuid(site.host.identity, "domain", declared["name"])
    _check_content(cloud_init, where, site.problems)
    owned = NOTHING if root is None else read(root)
    seed = _seed(cloud_init, declared["name"], instance, site.volume(pool, name), owned)
    # What stays as it is has no content.
    site.imply({"name": name, "pool": pool, **(seed if seed["content"] else {})})
    path = site.volume_path(pool, name)
    source = {"file": path} if path else {"volume": name, "pool": pool}
    present = (
        {} if root is None else {tree.get(node, "target/@dev"): node for node in tree.find_all(root, "devices/disk")}
    )
    item: Declared = dict({"target": _target(declared, present, path)}, **source)
    if item["target"] not in present:
        item.update({"device": "cdrom", "bus": _bus(declared, root), "format": "raw", "readonly": True})
    told = "devices/disk[{}]".format(item["target"])
    disks, seeds = [*(declared.get("disks") or []), item], (*declared.get("seeds", ()), told)
    return dict(declared, disks=disks, seeds=seeds, seed={key: seed[key] for key in ("instance", "made")})


def _seed(cloud_init: Mapping[str, Any], guest: str, uuid: str, current: Volume | None, owned: Owned) -> dict[str, Any]:
    """What the seed's volume has to hold: content, its digest, the instance that it is for, and how often it was made anew.

    The digest is of the content for a guest's first instance, so that what makes another instance is no other content.
    A seed that was lost is made as the one it was: what the guest's own metadata says.
    """
    digest = seed_digest(seed_files(cloud_init, guest, uuid))
    instance, made = (current.instance, current.made) if current else (owned.instance, owned.made)
    policy = cloud_init.get("on_change") or "rebuild"
    if current is not None and policy == "ignore":
        return {"content": None, "instance": instance, "made": made}
    if current is not None and current.digest != digest:
        made += 1
        if policy == "new_instance":
            # A chain: an instance that was there before would find its work done, even with the content of then.
            instance = hashlib.sha256(f"{instance}\n{digest}".encode()).hexdigest()[:8]
    files = seed_files(cloud_init, guest, f"{uuid}-{instance}" if instance else uuid)
    return {"content": files, "digest": digest, "instance": instance, "made": made, "label": LABEL}


def seed_waits(declared: Declared, owned: Owned) -> tuple[Change, ...]:
    """What a guest's definition does not say of its seed yet, or what one that runs was not started with. Changes that are made
    while it runs do not reach it: QEMU opens the seed when it starts.
    """
    seed = declared.get("seed") or {}
    if seed.get("made", owned.made) == owned.made:
        return ()
    return (Change("cloud_init", "another seed", "the declared seed", "restart"),)


def _bus(declared: Declared, root: tree.Element | None) -> str:
    """The bus of a new seed: virtio-scsi where the guest has it or is new, as the cloud kernels of Debian know no SATA."""
    if root is None:
        return "sata" if declared.get("xml") else "scsi"
    models = {node.get("model") for node in tree.find_all(root, "devices/controller[@type='scsi']")}
    return "scsi" if "virtio-scsi" in models else "sata"


def _check_content(cloud_init: Mapping[str, Any], where: str, problems: Problems) -> None:
    """Note what cannot be written into a seed."""
    for option in FILES:
        _check_kind(cloud_init.get(option), f"{where}: cloud_init.{option}", problems)
    meta = cloud_init.get("meta_data")
    if isinstance(meta, str) and not _INSTANCE.search(meta):
        problems.add(where + ": cloud_init.meta_data", "as a text needs an instance-id; a mapping gets one")
    has_instance = isinstance(meta, str) or (isinstance(meta, Mapping) and "instance-id" in meta)
    if cloud_init.get("on_change") == "new_instance" and has_instance:
        words = "new_instance gives a new instance-id, but meta_data says it; leave it out there"
        problems.add(where + ": cloud_init.on_change", words)


def _check_kind(value: Any, where: str, problems: Problems) -> bool:
    if value is not None and not isinstance(value, (str, Mapping)):
        problems.add(where, "must be a mapping or a text")
        return False
    return True


def _target(declared: Declared, present: Mapping[str | None, tree.Element], path: str | None) -> str:
    """The target of the seed's cdrom: the one it has, or the first free one."""
    for target, node in present.items():
        if path and tree.get(node, "source/@file") == path:
            return str(target)
    taken = set(present) | {item["target"] for item in declared.get("disks") or []}
    letters = "abcdefghijklmnopqrstuvwxyz"
    names = [*letters, *(first + second for first in letters for second in letters)]
    free: str = next("sd" + name for name in names if "sd" + name not in taken)
    return free


def seed_files(cloud_init: Mapping[str, Any], name: str, instance: str) -> dict[str, str]:
    """The files of a NoCloud seed (https://docs.cloud-init.io/en/latest/reference/datasources/nocloud.html)."""
    meta = cloud_init.get("meta_data") or {}
    if isinstance(meta, Mapping):
        meta = {"instance-id": instance, "local-hostname": name, **meta}
    files = {
        "meta-data": as_text(meta),
        "user-data": _cloud_config({} if cloud_init.get("user_data") is None else cloud_init["user_data"]),
    }
    if cloud_init.get("network_config") is not None:
        files["network-config"] = as_text(cloud_init["network_config"])
    if cloud_init.get("vendor_data") is not None:
        files["vendor-data"] = _cloud_config(cloud_init["vendor_data"])
    return files


def _cloud_config(value: Any) -> str:
    return value if isinstance(value, str) else "#cloud-config\n" + as_text(value)


def as_text(value: Any) -> str:
    """A text as it is. JSON is YAML, and needs no library on the host."""
    return value if isinstance(value, str) else json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def seed_digest(content: Content) -> str:
    """A digest of a volume's content: of a text itself, or of a seed's files. It is written into the seed, so that reading
    2 KiB tells what is in it.
    """
    text = content if isinstance(content, str) else json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def with_ignition(declared: Declared, root: tree.Element | None, where: str, site: Site) -> Declared:
    """The declaration with the fw_cfg entry of its Ignition config, whose volume is added to the site."""
    where += ": ignition"
    ignition = declared["ignition"]
    pool, name = ignition.get("pool") or "default", ignition_name(declared["name"], root)
    if not site.knows("pool", pool):
        site.problems.add(where + ".pool", f"pool {pool} is neither there nor declared")
    elif site.pool_directory(pool) is None:
        site.problems.add(where + ".pool", f"pool {pool} is no directory; QEMU reads the config from a file")
    config = ignition.get("config")
    _check_config(config, where + ".config", site.problems)
    volume: Declared = {"name": name, "pool": pool}
    if site.volume(pool, name) is None or ignition.get("on_change") != "ignore":
        text = as_text(config)
        volume.update({"content": text, "digest": seed_digest(text)})
    site.imply(volume)
    entry = {"name": ENTRY, "file": site.volume_path(pool, name)}
    told = f"sysinfo[fwcfg]/entry[{ENTRY}]"
    return dict(declared, fwcfg=[*(declared.get("fwcfg") or []), entry], seeds=(*declared.get("seeds", ()), told))


def _check_config(config: Any, where: str, problems: Problems) -> None:
    """Note what no Ignition can read: it would leave the guest in its emergency shell. The text itself is not told."""
    if not _check_kind(config, where, problems):
        return
    if isinstance(config, str):
        try:
            config = json.loads(config)
        except ValueError:
            problems.add(where, "is no JSON; Butane's YAML has to be translated by butane first")
            return
    told = config.get("ignition") if isinstance(config, Mapping) else None
    if not isinstance(told, Mapping) or not isinstance(told.get("version"), str):
        problems.add(where, "needs ignition.version, such as {ignition: {version: 3.4.0}}")


def ignition_name(guest: str, root: tree.Element | None) -> str:
    """The name of a guest's Ignition config: of the one that it has, which it keeps when it is renamed, or of a new one."""
    for node in () if root is None else tree.find_all(root, "sysinfo/entry"):
        file = (node.get("file") or "").rpartition("/")[2]
        if node.get("name") == ENTRY and file.endswith(IGNITION):
            return file
    return guest + IGNITION


def seed_args(volume: Declared) -> dict[str, Any]:
    """The arguments of the step that writes a volume's content."""
    return {name: volume[name] for name in ("content", "digest", "instance", "made", "label") if volume.get(name)}


def content_told(volume: Declared, current: Volume) -> Change:
    """The change of a volume's content, without what stands in it."""
    if volume.get("iso") is not None:
        return Change("iso.files", "other files", sorted(volume["content"]), "restart")
    if isinstance(volume["content"], str):
        return Change("content", "another config", "the declared config", "restart")
    again = " as a new instance" if volume.get("instance", "") != current.instance else ""
    return Change("content", "another seed", "the declared seed" + again, "restart")
