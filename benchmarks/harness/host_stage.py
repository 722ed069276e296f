"""The table about payloads and processes on the host."""

from __future__ import annotations

from statistics import median
from typing import Any

from guests import guests, names
from payload import Payload, Process, import_ms, keep_library, library_payload, payload_of, race_on_host
from ratio import ratio_of, within

# What each module is asked: something that is true already.
ASKED: dict[str, dict[str, Any]] = {
    "stack": {"domains": []},
    "domain": {"name": "bench-0001"},
    "network": {"name": "default"},
    "pool": {"name": "bench"},
    "volume": {"name": "bench-0001.qcow2", "pool": "bench"},
    "stack_info": {},
}
NO_SECRET = {"type": "none", "name": "6c1e8f0a-6d6c-4c3e-9a51-000000000000", "state": "absent"}
KIB_TARGET = 80.0
MIB_TARGET = 200.0

Row = tuple[str, ...]


def modules_on_host(rounds: int) -> list[Row]:
    """Of each module: size and files above ping's, the first time on a host and after it; import time where it differs;
    processor time of a run against ping's.
    """
    first = keep_library()
    ping = payload_of("ansible.builtin.ping", {})
    payloads = {name: library_payload(name, asked) for name, asked in ASKED.items()}
    runs = race_on_host({"ping": ping, **payloads}, rounds)
    imports = import_ms(rounds)
    rows: list[Row] = [
        ("module", "KiB above ping", "target", "", "files", "import, processor ms", "processor of a run, x ping"),
        ("any, the first time on a host", f"{_kib_above(first, ping):.0f}", "", "", "", "", ""),
    ]
    for name, payload in payloads.items():
        size = _kib_above(payload, ping)
        rows.append(
            (
                name,
                f"{size:.0f}",
                f"<= {KIB_TARGET:g}",
                within(size, KIB_TARGET),
                str(len(payload.files - ping.files)),
                f"{imports[name]:.0f}" if name in imports else "",
                str(_ratio(runs, name, "ping")),
            )
        )
    return rows


def _kib_above(payload: Payload, other: Payload) -> float:
    return (len(payload.program) - len(other.program)) / 1024


def work_on_host(counts: list[int], rounds: int) -> list[Row]:
    """Of stack with unchanged guests, like the run before and planned anew: processor time against the bare script that
    reads, what one guest more costs beyond the bare read of it, and peak memory. The guests of the largest count are on
    the host.
    """
    payloads: dict[str, Payload] = {}
    for count in counts:
        payloads[f"stack-{count}"] = library_payload("stack", {"domains": guests(count)})
        # With a secret, no plan is kept.
        payloads[f"planned-{count}"] = library_payload("stack", {"domains": guests(count), "secrets": [NO_SECRET]})
        payloads[f"read-{count}"] = payload_of("bench_bare", {"action": "read", "names": names(count)})
    runs = race_on_host(payloads, rounds)
    rows: list[Row] = [
        (
            "on the host, without Ansible",
            "processor x bare read",
            "seconds",
            "MiB",
            "target",
            "",
            "ms a guest beyond read",
        )
    ]
    for what, words in (("stack", "unchanged"), ("planned", "unchanged, planned anew")):
        for place, count in enumerate(counts):
            found = runs[f"{what}-{count}"]
            memory = max(run.memory for run in found)
            slope = f"{_slope(runs, what, counts[place - 1], count):.2f}" if place else ""
            seconds = f"{median(run.seconds for run in found):.2f}"
            target = (f"<= {MIB_TARGET:g}", within(memory, MIB_TARGET)) if count >= 1000 else ("", "")
            ratio = str(_ratio(runs, f"{what}-{count}", f"read-{count}"))
            rows.append((f"stack, {count} {words}", ratio, seconds, f"{memory:.0f}", *target, slope))
    return rows


def _slope(runs: dict[str, list[Process]], what: str, few: int, many: int) -> float:
    """Milliseconds of processor time that a guest more costs the module, less what it costs the bare script."""

    def spent(name: str) -> float:
        return median(run.processor for run in runs[name])

    module = spent(f"{what}-{many}") - spent(f"{what}-{few}")
    script = spent(f"read-{many}") - spent(f"read-{few}")
    return (module - script) / (many - few) * 1000


def _ratio(runs: dict[str, list[Process]], name: str, other: str) -> Any:
    return ratio_of([run.processor for run in runs[name]], [run.processor for run in runs[other]])
