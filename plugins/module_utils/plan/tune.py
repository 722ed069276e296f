# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of a running guest that are no device: which call of libvirt makes an edit of its document true."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from .. import tree
from . import values
from .overlay import Edit
from .plan import Step
from .rules import Rules, name_iothreads
from .values import size_at

# Rule path → (whose parameters, name of the parameter), of virDomainSetSchedulerParametersFlags and its likes
# (include/libvirt/libvirt-domain.h). Sizes are in KiB there.
PARAMETERS: Mapping[str, tuple[str, str]] = {
    "cputune/shares": ("scheduler", "cpu_shares"),
    "cputune/period": ("scheduler", "vcpu_period"),
    "cputune/quota": ("scheduler", "vcpu_quota"),
    "cputune/global_period": ("scheduler", "global_period"),
    "cputune/global_quota": ("scheduler", "global_quota"),
    "cputune/emulator_period": ("scheduler", "emulator_period"),
    "cputune/emulator_quota": ("scheduler", "emulator_quota"),
    "cputune/iothread_period": ("scheduler", "iothread_period"),
    "cputune/iothread_quota": ("scheduler", "iothread_quota"),
    "memtune/hard_limit": ("memory", "hard_limit"),
    "memtune/soft_limit": ("memory", "soft_limit"),
    "memtune/swap_hard_limit": ("memory", "swap_hard_limit"),
    "blkiotune/weight": ("blkio", "weight"),
    "numatune/memory/@nodeset": ("numa", "numa_nodeset"),
}
# What means as much as none of them (VIR_DOMAIN_MEMORY_PARAM_UNLIMITED, and a quota below 0).
NO_LIMIT: Mapping[str, int] = {
    **{path: 9007199254740991 for path in PARAMETERS if path.startswith("memtune/")},
    **{path: -1 for path in PARAMETERS if path.endswith("quota")},
}
DEVICE_WEIGHT = "blkiotune/device"
# Rule path of a set of processors → whose it is; the key of the enclosing element says which one.
PINS: Mapping[str, str] = {
    "cputune/vcpupin": "vcpu",
    "cputune/emulatorpin": "emulator",
    "cputune/iothreadpin": "iothread",
}
# Rule path below an I/O thread → parameter of virDomainSetIOThreadParams.
IOTHREAD = "iothreadids/iothread"
IOTHREAD_PARAMETERS: Mapping[str, str] = {
    "@thread_pool_min": "thread_pool_min",
    "@thread_pool_max": "thread_pool_max",
    "poll/@max": "poll_max_ns",
    "poll/@grow": "poll_grow",
    "poll/@shrink": "poll_shrink",
}
PERF = "perf/event"
METADATA = "metadata/"
# virDomainLifecycle and virDomainLifecycleAction.
EVENTS: Mapping[str, int] = {"on_poweroff": 0, "on_reboot": 1, "on_crash": 2}
ACTIONS = ("destroy", "restart", "rename-restart", "preserve", "coredump-destroy", "coredump-restart")


class Limits(NamedTuple):
    """What a running guest was started with: its memory in bytes and its virtual processors, which it cannot exceed, and
    the numbers of its I/O threads.
    """

    memory: int
    vcpus: int
    iothreads: frozenset[int] = frozenset()


def limits(live: tree.Element) -> Limits:
    """The limits of a running guest. Its I/O threads are written one by one into its document."""
    memory = tree.find(live, "memory")
    name_iothreads(live)
    threads = frozenset(int(node.get("id")) for node in tree.find_all(live, "iothreadids/iothread"))
    most = size_at(memory, "KiB") or 0 if memory is not None else 0
    return Limits(most, int(tree.get(live, "vcpu") or 1), threads)


class Call(NamedTuple):
    """A call on a running guest, and the edits that it makes true."""

    step: Step
    edits: tuple[Edit, ...]


def tune_calls(edits: list[Edit], most: Limits, rules: Rules) -> tuple[list[Call], list[Edit]]:
    """The calls that make these edits of a running guest true, and the edits that wait."""
    fragments = [edit for edit in edits if edit.path.startswith(METADATA) and edit.trail]
    calls = [Call(_fragment(edit), (edit,)) for edit in fragments]
    listed = {
        int(edit.trail[-1].key) for edit in edits if edit.path == IOTHREAD and edit.trail and edit.after is not None
    }
    waiting: list[Edit] = []
    parameters: dict[str, dict[str, Any]] = {}
    tuned: dict[str, list[Edit]] = {}
    for edit in edits:
        if edit in fragments:
            continue
        if edit.path == "iothreads" and isinstance(edit.after, str) and int(edit.after) >= len(most.iothreads):
            calls += _more_iothreads(edit, int(edit.after) - len(listed), most.iothreads | listed)
            continue
        found = _parameters(edit, rules)
        step = None if found else _step(edit, most)
        for whose, name, value in found:
            told = parameters.setdefault(whose, {})
            told[name] = _joined(told.get(name), value)
            tuned.setdefault(whose, []).append(edit)
        if step is not None:
            calls.append(Call(step, (edit,)))
        elif not found:
            waiting.append(edit)
    for whose, values_of in parameters.items():
        words = ", ".join(f"{name} to {value}" for name, value in values_of.items())
        step = Step("tune", {"what": whose, "values": values_of}, f"set {words}", True)
        calls.append(Call(step, tuple(tuned[whose])))
    return calls, waiting


def _joined(before: Any, value: Any) -> Any:
    """Parameters of devices are one text for all of them: "/dev/sda,500,/dev/sdb,300"."""
    return f"{before},{value}" if isinstance(before, str) and isinstance(value, str) else value


def _parameters(edit: Edit, rules: Rules) -> list[tuple[str, str, Any]]:
    """(whose, parameter, value) of an edit that is a parameter of the guest; none when it is not, or what is taken away has no
    value that means as much.
    """
    lifted = _lifted(edit) if edit.after is None else ()
    if lifted and all(path in NO_LIMIT for path in lifted):
        return [(*PARAMETERS[path], NO_LIMIT[path]) for path in lifted]
    if edit.path in PARAMETERS and isinstance(edit.after, str):
        whose, name = PARAMETERS[edit.path]
        if edit.path in rules.units:
            return [(whose, name, int(edit.after) // 1024)]
        return [(whose, name, edit.after if name == "numa_nodeset" else int(edit.after))]
    if edit.path.startswith(DEVICE_WEIGHT) and edit.trail:
        device = edit.trail[-1].node
        name = edit.path[len(DEVICE_WEIGHT) + 1 :]
        tags = [tag for tag in ([name] if name else [child.tag for child in device]) if tag != "path"]
        path = tree.get(device, "path")
        gone = edit.after is None
        return [("blkio", f"device_{tag}", f"{path},{0 if gone else tree.get(device, tag)}") for tag in tags]
    return []


def _lifted(edit: Edit) -> tuple[str, ...]:
    """The paths of the limits that are taken away: one, or all that stand in an element."""
    before: Any = edit.before
    inside = () if before is None or isinstance(before, str) else tuple(f"{edit.path}/{child.tag}" for child in before)
    return inside or (edit.path,)


def _step(edit: Edit, most: Limits) -> Step | None:
    """The call for one edit, None if it has to wait."""
    after = edit.after if isinstance(edit.after, str) else None
    if edit.path in ("title", "description"):
        return Step("describe", {"what": edit.path, "text": after}, f"set the {edit.path}")
    if after is None:
        return _whole(edit)
    if edit.path == "currentMemory" and int(after) <= most.memory:
        size = values.size_text(int(after))
        return Step("balloon", {"kib": int(after) // 1024}, f"set the memory to {size}", True)
    if edit.path == "vcpu/@current" and int(after) <= most.vcpus:
        return Step("vcpus", {"count": int(after)}, f"set the virtual processors to {after}", True)
    if edit.path in EVENTS and after in ACTIONS:
        args = {"event": EVENTS[edit.path], "action": ACTIONS.index(after)}
        return Step("lifecycle", args, f"set {edit.path} to {after}", True)
    where, _at, attribute = edit.path.rpartition("/@")
    if where in PINS and attribute == "cpuset":
        return _pin(where, edit)
    return _perf(edit) or _iothread(edit)


def _whole(edit: Edit) -> Step | None:
    """The call for an element that came or went as a whole."""
    if edit.path in PINS and edit.after is not None:
        return _pin(edit.path, edit)
    return _perf(edit) or _iothread(edit)


def _perf(edit: Edit) -> Step | None:
    if not edit.path.startswith(PERF) or not edit.trail:
        return None
    name, on = edit.trail[-1].key, edit.after is not None and edit.trail[-1].node.get("enabled") == "yes"
    return Step("perf", {"name": name, "on": on}, f"{'count' if on else 'stop counting'} {name}", True)


def _iothread(edit: Edit) -> Step | None:
    """An I/O thread that comes, goes, or changes a parameter; all of them are said, as some go together."""
    if not edit.path.startswith(IOTHREAD) or not edit.trail:
        return None
    number, node = edit.trail[-1].key, edit.trail[-1].node
    act = "change" if edit.path != IOTHREAD else "remove" if edit.after is None else "add"
    if act == "change" and (edit.after is None or edit.path[len(IOTHREAD) + 1 :] not in IOTHREAD_PARAMETERS):
        return None
    found = {name: tree.get(node, path) for path, name in IOTHREAD_PARAMETERS.items()}
    told = {name: int(text) for name, text in found.items() if text is not None}
    return Step("iothread", {"id": int(number), "act": act, "values": told}, f"{act} I/O thread {number}", True)


def _more_iothreads(edit: Edit, count: int, there: frozenset[int]) -> list[Call]:
    """The calls that add I/O threads of the lowest free numbers, as libvirt gives them, up to this count. They make the
    edit true together, as does none at all when those that are listed are enough.
    """
    free = (number for number in range(1, 1 << 16) if number not in there)
    new = [next(free) for _missing in range(min(count, values.MOST) - len(there))]
    steps = [
        Step("iothread", {"id": number, "act": "add", "values": {}}, f"add I/O thread {number}", True) for number in new
    ]
    return [Call(step, (edit,)) for step in steps]


def _fragment(edit: Edit) -> Step:
    """The call for an element of the user's own in the metadata: it is replaced as a whole."""
    namespace = edit.trail[0].key[1:].partition("}")[0]
    args = {"namespace": namespace, "xml": None if edit.after is None else tree.text_of(edit.after)}
    return Step("fragment", args, f"{'remove' if edit.after is None else 'set'} the metadata of {namespace}")


def _pin(where: str, edit: Edit) -> Step:
    whose = PINS[where]
    cpus = edit.after if isinstance(edit.after, str) else edit.trail[-1].node.get("cpuset")
    number = None if whose == "emulator" else int(edit.trail[-1].key)
    name = whose if number is None else f"{whose} {number}"
    return Step("pin", {"what": whose, "id": number, "cpus": cpus}, f"pin {name} to {cpus}", True)
