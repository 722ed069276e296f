# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What libvirt means by the part of a domain's document that is not below <devices>."""

from __future__ import annotations

from .. import tree
from . import values
from .known import Key, by_attribute, by_place, by_tag, by_text, by_texts


def _page(node: tree.Element, place: int) -> str:
    """Huge pages are known by their size, which libvirt writes in KiB (virDomainHugepagesFormat)."""
    try:
        return str(values.scaled(node.get("size") or "", node.get("unit") or "KiB"))
    except ValueError:
        return str(place)


def _set(*attributes: str) -> Key:
    """Key by sets of numbers, however they are written, and other attributes."""

    def key(node: tree.Element, _place: int) -> str:
        parts = []
        for name in attributes:
            numbers = values.VALUES["cpuset"].same(node.get(name) or "")
            parts.append(",".join(map(str, sorted(numbers))) if isinstance(numbers, frozenset) else str(numbers))
        return " ".join(parts)

    return key


KEYS: dict[str, Key] = {
    "cpu/feature": by_text("@name"),
    "cpu/numa/cell": by_attribute("@id"),
    "cpu/numa/cell/distances/sibling": by_text("@id"),
    "cpu/numa/cell/cache": by_text("@level"),
    "cpu/numa/interconnects/latency": by_texts("@initiator", "@target", "@cache", "@type"),
    "cpu/numa/interconnects/bandwidth": by_texts("@initiator", "@target", "@cache", "@type"),
    "memoryBacking/hugepages/page": _page,
    "clock/timer": by_text("@name"),
    "vcpus/vcpu": by_text("@id"),
    "os/firmware/feature": by_text("@name"),
    "os/initenv": by_text("@name"),
    "idmap/uid": by_text("@start"),
    "idmap/gid": by_text("@start"),
    "sysinfo": by_text("@type"),
    "sysinfo/bios/entry": by_text("@name"),
    "sysinfo/system/entry": by_text("@name"),
    "sysinfo/baseBoard": by_place,
    "sysinfo/baseBoard/entry": by_text("@name"),
    "sysinfo/chassis/entry": by_text("@name"),
    "sysinfo/entry": by_text("@name"),
    "cputune/vcpupin": by_text("@vcpu"),
    "cputune/iothreadpin": by_text("@iothread"),
    "cputune/cachetune": _set("vcpus"),
    "cputune/cachetune/cache": by_texts("@id", "@level", "@type"),
    "cputune/cachetune/monitor": _set("level", "vcpus"),
    "cputune/memorytune": _set("vcpus"),
    "cputune/memorytune/node": by_text("@id"),
    "cputune/memorytune/monitor": _set("vcpus"),
    "iothreadids/iothread": by_text("@id"),
    "numatune/memnode": by_text("@cellid"),
    "blkiotune/device": by_text("path"),
    "throttlegroups/throttlegroup": by_text("group_name"),
    "perf/event": by_text("@name"),
    "seclabel": by_text("@model"),
    "keywrap/cipher": by_text("@name"),
    "qemu:commandline/qemu:env": by_text("@name"),
    "qemu:override/qemu:device": by_text("@alias"),
    "qemu:override/qemu:device/qemu:frontend/qemu:property": by_text("@name"),
    "metadata/*": by_tag,
}

DROPS: dict[str, tuple[str, ...]] = {
    # Each of these belongs to one mode; libvirt refuses them with another (conf/cpu_conf.c).
    "cpu/@mode": ("@check", "@match", "@migratable"),
    # Each belongs to one offset (virDomainClockDefParseXML).
    "clock/@offset": ("@adjustment", "@basis", "@timezone", "@start"),
    "clock/timer/@tickpolicy": ("catchup",),
    # The host's own set has none that are said (virDomainFeaturesHyperVDefParse).
    "features/hyperv/@mode": ("*",),
    # The states of single processors win over the number in use, and none may be beyond the last (virDomainVcpuParse).
    "vcpu": ("../vcpus",),
    "vcpu/@current": ("../vcpus",),
    # numad says the nodes, or they are given (virDomainNumatuneParseXML).
    "numatune/memory/@placement": ("@nodeset",),
    "numatune/memory/@nodeset": ("@placement",),
}

OMITTED: dict[str, str] = {
    "cpu/model/@fallback": "allow",
    "cpu/topology/@dies": "1",
    "cpu/topology/@clusters": "1",
    "iothreads": "0",
    "vcpu/@placement": "static",
    "numatune/memory/@placement": "static",
    "features/hyperv/@mode": "custom",
    "blkiotune/weight": "0",
    **{
        "blkiotune/device/" + name: "0"
        for name in ("weight", "read_bytes_sec", "write_bytes_sec", "read_iops_sec", "write_iops_sec")
    },
    # VIR_DOMAIN_MEMORY_PARAM_UNLIMITED, in KiB.
    **{"memtune/" + name: "9007199254740991" for name in ("hard_limit", "soft_limit", "swap_hard_limit")},
    # It is said of every label but that of type none (virSecurityLabelDefFormat).
    "seclabel/@relabel": "no",
}

# By kind of scheduler and priority, each processor for itself (virDomainSchedulerFormat).
SPREAD = {"cputune/vcpusched": "vcpus", "cputune/iothreadsched": "iothreads"}

# A cache's part is named by the host when the guest starts.
TOLD = ("seclabel/imagelabel", "cputune/cachetune/@id")
