# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts of a guest that have to fit each other: processors, their topology and NUMA nodes, memory, I/O threads, firmware.

libvirt refuses what does not fit only when the guest is defined, or writes something else without a word.
"""

from __future__ import annotations

from collections.abc import Iterator

from .. import tree
from . import values
from .objects import Wanted
from .overlay import ABSENT, Edit
from .problem import Problems
from .rules import name_iothreads
from .values import size_at

_LEVELS = ("sockets", "dies", "clusters", "cores", "threads")

# Where a document names virtual CPUs: libvirt drops those that the guest has not, or refuses them (conf/domain_conf.c).
_NAMES_CPUS = (
    ("cputune/vcpupin/@vcpu", "cputune.vcpupin"),
    ("cputune/vcpusched/@vcpus", "cputune.vcpusched"),
    ("cputune/cachetune/@vcpus", "cputune.cachetune"),
    ("cputune/memorytune/@vcpus", "cputune.memorytune"),
    ("vcpus/vcpu/@id", "vcpu_states"),
    ("cpu/numa/cell/@cpus", "cpu.numa.cells"),
)


# What has to say that it is on when something else is said of it.
_STATED = ("features/smm", "features/kvm/dirty-ring", "features/xen/passthrough", "features/hyperv/spinlocks")

# What libvirt's schema wants entries in; without any it is to go.
_HOLLOW = " | ".join(
    path + "[not(*)]"
    for path in (
        "sysinfo/bios",
        "sysinfo/system",
        "sysinfo/baseBoard",
        "sysinfo/chassis",
        "sysinfo/oemStrings",
        "os/firmware",
        "perf",
        "keywrap",
        "cpu/numa/cell/distances",
        "cpu/numa",
        "cputune/cachetune",
        "cputune/memorytune",
    )
)


def fill_parts(want: Wanted, root: tree.Element) -> None:
    """Fill in what follows from the declared parts, before they are laid over the guest's document."""
    document = want.document
    tree.erase(document, _HOLLOW.replace("not(*)", "not(*) and not(@*)"))  # The mark of an empty list is an attribute.
    if tree.find(document, "iothreadids") is not None:
        name_iothreads(root)
    _fill_processor(document, root)
    _fill_features(document, root)
    _fill_boot(document, root)
    most = tree.find(document, "maxMemory")
    if most is not None and most.get("slots") is None and tree.find(root, "maxMemory") is None:
        most.set("slots", "16")
    clock = tree.find(document, "clock[@adjustment]")
    if clock is not None and clock.get("offset") in ("utc", "localtime") and clock.get("adjustment") != "reset":
        # virDomainClockDefParseXML, conf/domain_conf.c.
        clock.set("basis", clock.get("offset"))
        clock.set("offset", "variable")


def _fill_boot(document: tree.Element, root: tree.Element) -> None:
    if tree.find(document, "os/boot") is not None and document.find("os/boot").get(ABSENT):
        tree.erase(document, "os/boot")  # libvirt writes an order where there is none.
    menu = tree.find(document, "os/bootmenu[@timeout]")
    if menu is not None and menu.get("enable") is None and tree.find(root, "os/bootmenu") is None:
        menu.set("enable", "yes")


def _fill_processor(document: tree.Element, root: tree.Element) -> None:
    there = {node.get("name") for node in tree.find_all(root, "cpu/feature")}
    for node in tree.find_all(document, "cpu/feature"):
        if node.get("policy") is None and node.get("name") not in there:
            node.set("policy", "require")
    count = _number(tree.get(document, "vcpu") or tree.get(root, "vcpu") or "1")
    topology = tree.find(document, "cpu/topology")
    if topology is not None and tree.find(root, "cpu/topology") is None:
        _fill_topology(topology, count)
    _fill_states(document, root, count)
    vcpu = tree.find(document, "vcpu")
    if vcpu is None:
        return
    if not vcpu.text and not tree.get(root, "vcpu"):
        vcpu.text = "1"
    # Fewer than are in use: no more than there are can be. libvirt refuses it otherwise.
    if vcpu.text and vcpu.get("current") is None and _number(tree.get(root, "vcpu/@current") or "0") > count:
        vcpu.set("current", str(count))


def _fill_states(document: tree.Element, root: tree.Element, count: int) -> None:
    """The states of the processors in use that none is declared of: libvirt takes out of use what is not listed."""
    listed = {node.get("id") for node in tree.find_all(document, "vcpus/vcpu[@id]")}
    if not listed or tree.find(root, "vcpus") is not None:
        return
    current = _number(tree.get(document, "vcpu/@current") or tree.get(root, "vcpu/@current") or str(count))
    # All of those in use have a place in the order, or none.
    places = [_number(node.get("order")) for node in tree.find_all(document, "vcpus/vcpu[@order]")]
    for number in range(min(current, values.MOST)):
        if str(number) not in listed:
            node = tree.element("vcpu", id=str(number), enabled="yes")
            if places:
                places.append(max(places) + 1)
                node.set("order", str(places[-1]))
            tree.make(root, "vcpus").append(node)


def _fill_features(document: tree.Element, root: tree.Element) -> None:
    for path in _STATED:
        node = tree.find(document, path)
        if node is not None and node.get("state") is None and tree.find(root, path) is None:
            node.set("state", "on")
    spinlocks = tree.find(document, "features/hyperv/spinlocks[@state='on']")
    if spinlocks is not None and tree.get(root, "features/hyperv/spinlocks/@retries") is None:
        spinlocks.set("retries", spinlocks.get("retries", "8191"))


def _fill_topology(node: tree.Element, count: int) -> None:
    for level in ("cores", "threads"):
        node.set(level, node.get(level, "1"))
    inner = _product(node, _LEVELS[1:])
    if node.get("sockets") is None:
        node.set("sockets", str(count // inner if inner and count % inner == 0 else 1))


def _product(node: tree.Element, levels: tuple[str, ...]) -> int:
    product = 1
    for level in levels:
        product *= _number(node.get(level, "1"))
    return product


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0


# What a NUMA node that is alone follows.
_SIZES = ("memory", "maxMemory", "vcpu", "devices/memory")


def settle_parts(want: Wanted, root: tree.Element, edits: list[Edit]) -> list[Edit]:
    """Edits that follow from those that were made. root: the document with the declaration in it."""
    if not edits:
        return []
    tree.erase(root, _HOLLOW)
    _drop_iothreads(want, root, edits)
    found = _settle_firmware(want, root, edits)
    if tree.find(want.document, "cpu/numa/cell") is None and any(edit.path.startswith(_SIZES) for edit in edits):
        _settle_single_node(root)
    total = _numa_memory(root)
    memory = tree.find(root, "memory")
    if not total or tree.get(want.document, "memory"):
        return found
    before = None if memory is None else size_at(memory, "KiB")
    if before != total:
        _write_size(tree.make(root, "memory"), "text", total)
        found.append(Edit("memory", None if before is None else str(before), str(total), ()))
    return found


def _write_size(node: tree.Element, where: str, count: int) -> None:
    """Write bytes as KiB into an element's text or an attribute of it."""
    tree.put(node, "." if where == "text" else where, str(count // 1024))
    node.set("unit", "KiB")


def _settle_single_node(root: tree.Element) -> None:
    """A guest that can grow has one NUMA node where none is said; libvirt makes it by itself from 10.1 on, and asks for it
    before. One that is alone has all processors and all memory of the guest.
    """
    memory = tree.find(root, "memory")
    size = None if memory is None else size_at(memory, "KiB")
    cells = tree.find_all(root, "cpu/numa/cell")
    if size is None or len(cells) > 1 or (not cells and tree.find(root, "maxMemory") is None):
        return
    cell = tree.make(root, "cpu/numa/cell")
    if cell.get("id") is None:
        cell.set("id", "0")
    count = _number(tree.get(root, "vcpu") or "1")
    if count <= values.MOST and _cpus_at(root, "cpu/numa/cell/@cpus") != frozenset(range(count)):
        cell.set("cpus", f"0-{count - 1}")
    size -= sum(_device_sizes(root))
    if size > 0 and size_at(cell, "KiB", "memory") != size:
        _write_size(cell, "@memory", size)


def _settle_firmware(want: Wanted, root: tree.Element, edits: list[Edit]) -> list[Edit]:
    """Firmware is chosen by libvirt or named. What libvirt noted of its choice stands in the way of another one."""
    system = root.find("os")
    asked = any(edit.path == "os/@firmware" or edit.path.startswith("os/firmware/") for edit in edits)
    named = tree.get(want.document, "os/loader") and any(edit.path.startswith("os/loader") for edit in edits)
    if asked and not named:
        for node in tree.find_all(system, "loader"):
            node.text = None
        if tree.find(want.document, "os/loader") is None:
            tree.erase(system, "loader")
        if tree.find(want.document, "os/nvram") is None:
            for name in ("template", "templateFormat", "format"):
                tree.erase(system, "nvram/@" + name)
    if not named or system.get("firmware") is None or want.document.find("os").get("firmware"):
        return []
    tree.erase(system, "firmware")
    return [Edit("os/@firmware", system.attrib.pop("firmware"), None, ())]


def _numa_memory(root: tree.Element) -> int:
    """The memory of a guest with NUMA nodes, in bytes: libvirt counts it itself (virDomainDefPostParseMemory); 0 without."""
    cells = tree.find_all(root, "cpu/numa/cell")
    sizes = [size_at(node, "KiB", "memory") for node in cells]
    return 0 if not cells or None in sizes else sum(size or 0 for size in sizes) + sum(_device_sizes(root))


def _device_sizes(root: tree.Element) -> list[int]:
    return [size_at(node, "KiB") or 0 for node in tree.find_all(root, "devices/memory/target/size")]


def _drop_iothreads(want: Wanted, root: tree.Element, edits: list[Edit]) -> None:
    """Keep the number of I/O threads and their list together: libvirt takes the larger one (virDomainDefParseIOThreads)."""
    count, listed = tree.find(root, "iothreads"), tree.find_all(root, "iothreadids/iothread")
    if count is None or not listed:
        return
    if tree.find(want.document, "iothreads") is None:
        if any(edit.path == "iothreadids/iothread" and edit.after is None for edit in edits):
            count.text = str(len(listed))
    elif tree.find(want.document, "iothreadids") is None:
        listed.sort(key=lambda node: _number(node.get("id") or ""))
        for node in listed[_number(count.text or "") :]:
            tree.remove(node)


def check_parts(want: Wanted, root: tree.Element, known_texts: list[str], problems: Problems) -> None:
    """A problem for each two parts that do not fit. root: the document with the declaration in it; known_texts: the
    definition until now, and the user's own XML. What does not fit in one of them either is left to libvirt, which lives
    with it or has words of its own.
    """
    found = list(_misfits(want.document, root))
    others = [tree.parse(text) for text in known_texts] if found else []
    known = [misfit for other in others for misfit in _misfits(other, other)]
    for option, sentence in found:
        if (option, sentence) not in known:
            problems.add(f"{want.where}: {option}", sentence)


def _misfits(document: tree.Element, root: tree.Element) -> Iterator[tuple[str, str]]:
    text = tree.get(root, "vcpu") or "1"
    count = _number(text)
    if count < 1:
        yield "vcpus", f"is {text}; a guest needs one at the least"
        return
    if count > values.MOST:
        yield "vcpus", f"is {text}; libvirt counts {values.MOST} at the most"
        return
    current = _number(tree.get(root, "vcpu/@current") or text)
    if not 0 < current <= count:
        yield "vcpu_current", f"is {current}, but vcpus is {count}"
    topology = tree.find(root, "cpu/topology")
    if topology is not None:
        product = _product(topology, _LEVELS)
        if product != count:
            words = " by ".join(f"{topology.get(level)} {level}" for level in _LEVELS if topology.get(level))
            yield "cpu.topology", f"{words} are {product} CPUs, but vcpus is {count}"
    for path, option in _NAMES_CPUS:
        beyond = _cpus_at(root, path) - frozenset(range(count))
        if beyond:
            yield option, f"names virtual CPU {min(beyond)}, but vcpus is {count}"
    inside = _cpus_at(root, "cpu/numa/cell/@cpus")
    missing = frozenset(range(count)) - inside
    if inside and missing:
        # libvirt puts them into the first node (qemuDomainDefNumaCPUsRectify).
        yield "cpu.numa.cells", f"have no virtual CPU {min(missing)}, but vcpus is {count}"
    yield from _memory_misfits(document, root)
    yield from _iothread_misfits(document)
    yield from _firmware_misfits(root)


def _iothread_misfits(document: tree.Element) -> Iterator[tuple[str, str]]:
    listed = len(tree.find_all(document, "iothreadids/iothread[@id]"))
    threads = tree.get(document, "iothreads")
    if threads and _number(threads) > values.MOST:
        yield "iothreads", f"is {threads}; no guest has more than {values.MOST}"
    elif threads and listed > _number(threads):
        yield "iothreads", f"is {threads}, but iothread_ids lists {listed}"


def _cpus_at(root: tree.Element, path: str) -> frozenset[int]:
    where, attribute = tree.split(path)
    found: frozenset[int] = frozenset()
    for node in tree.find_all(root, where):
        numbers = values.VALUES["cpuset"].same(node.get(attribute) or "")
        found = found.union(numbers) if isinstance(numbers, frozenset) else found
    return found


def _memory_misfits(document: tree.Element, root: tree.Element) -> Iterator[tuple[str, str]]:
    total, memory = _numa_memory(root), tree.find(root, "memory")
    size = None if memory is None else size_at(memory, "KiB")
    if size == 0 and document.find("memory") is not None:
        yield "memory", "is nothing; a guest needs some"
    if total and size is not None and size != total:
        yield (
            "memory",
            f"is {values.size_text(size)}, but the NUMA nodes and memory devices have {values.size_text(total)}",
        )
    most = tree.find(root, "maxMemory")
    limit = None if most is None else size_at(most, "KiB")
    if limit is not None and size is not None and limit < size:
        yield "max_memory", f"is {values.size_text(limit)}, but memory is {values.size_text(size)}"
    balloon = tree.find(root, "currentMemory")
    now = None if balloon is None else size_at(balloon, "KiB")
    if now is not None and size is not None and now > size and tree.find(document, "currentMemory") is not None:
        yield "current_memory", f"is {values.size_text(now)}, but memory is {values.size_text(size)}"


def _firmware_misfits(root: tree.Element) -> Iterator[tuple[str, str]]:
    if tree.get(root, "os/bootmenu/@timeout") and tree.get(root, "os/bootmenu/@enable") != "yes":
        yield "bootmenu.timeout", "goes with bootmenu.enable; libvirt forgets it otherwise"
    if tree.get(root, "os/loader/@secure") and not tree.get(root, "os/loader"):
        yield "loader.secure", "goes with loader.path; where libvirt chooses, say firmware_features"
    features = {node.get("name"): node.get("enabled") for node in tree.find_all(root, "os/firmware/feature")}
    if features.get("secure-boot") != "yes" and tree.get(root, "os/loader/@secure") != "yes":
        return
    kind = root.find("os/type")
    if kind.get("arch", "x86_64") == "x86_64" and "q35" not in kind.get("machine", "q35"):
        yield "machine", "is {}; secure boot needs q35".format(kind.get("machine"))
    if tree.get(root, "features/smm/@state") == "off":
        yield "features.smm", "is off; secure boot needs it"
