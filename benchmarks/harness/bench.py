"""The benchmarks: bring up a host, measure stage by stage, print a table, write it as JSON."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

from figure import Figure
from guests import PING
from lab import HostFailed, bring_up, remove_guests
from peers import fetch_community
from play import Play, WrongAnswer, run_play
from plot import write_plot
from report import NOTES, aligned, table, write_json
from stages import (
    from_one_image,
    in_a_guest,
    incumbent,
    inventory,
    made_and_deleted,
    many_hosts,
    on_host_alone,
    shut_down,
    started,
    unchanged,
    uploaded,
)

Stage = Callable[[int], list[Figure]]

# stage: what it measures, given the number of rounds. The quick ones end within six minutes.
QUICK: dict[str, Stage] = {
    "unchanged-10": lambda rounds: incumbent(10, rounds),
    "unchanged-100": lambda rounds: unchanged(100, rounds, 1.35),
    "define-100": lambda rounds: made_and_deleted(100, rounds),
    "start-20": lambda rounds: started(20, rounds),
}
FULL: dict[str, Stage] = {
    "incumbent-100": lambda rounds: incumbent(100, rounds, 25),
    "unchanged-1000": lambda rounds: unchanged(1000, rounds, 3.0),
    "shutdown-20": lambda rounds: shut_down(20, rounds),
    "image-10": lambda rounds: from_one_image(10, rounds),
    "inventory-500": lambda rounds: inventory(500, rounds),
    "upload": uploaded,
    "agent": in_a_guest,
    "hosts": lambda rounds: many_hosts((2, 4, 8), rounds),
}


def main(words: list[str]) -> int:
    """Run the benchmarks. Returns the exit status: 0 also when targets are missed, as the machine may be busy."""
    options = _options(words)
    chosen = options.only.split(",") if options.only else [*QUICK, *(FULL if options.full else ()), "host"]
    began = time.monotonic()
    try:
        bring_up()
        community = fetch_community()
        remove_guests()
        run_play(Play("warm-up", PING))
        figures = measure(chosen, options.rounds)
        counts = [10, 100, 1000] if options.full else [10, 100]
        tables = on_host_alone(counts, options.rounds) if "host" in chosen else []
        remove_guests()
    except (HostFailed, WrongAnswer) as error:
        print(f"bench: {error}")
        return 1
    texts = [table(figures)] * bool(figures) + [aligned(rows) for rows in tables]
    print("", *texts, NOTES.format(rounds=options.rounds), sep="\n\n")
    path = write_json(figures, tables, {"rounds": options.rounds, "community.libvirt": community})
    if figures:
        print(f"bench: {write_plot(figures, path.with_suffix('.svg'))}")
    print(f"bench: {path} ({time.monotonic() - began:.0f} s)")
    return 0


def measure(chosen: list[str], rounds: int) -> list[Figure]:
    """The figures of these stages, in the order of the table; told as they come, for who ends a long run early."""
    figures: list[Figure] = []
    for name, stage in {**QUICK, **FULL}.items():
        if name in chosen:
            began = time.monotonic()
            print(f"bench: {name} ...", end=" ", flush=True)
            found = stage(rounds)
            ratios = "; ".join(f"{item.what} {item.command} x {item.against}" for item in found)
            print(f"{time.monotonic() - began:.0f} s: {ratios}", flush=True)
            figures += found
    return figures


def _options(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks/run", description="Ratios of run times on a lab host.")
    parser.add_argument(
        "--full", action="store_true", help="also the long ones: 1,000 guests, the peer's loop, booting guests, 8 hosts"
    )
    parser.add_argument("--only", metavar="A,B", help=f"these stages alone, of {', '.join([*QUICK, *FULL])}, host")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each contestant (default 5)")
    options = parser.parse_args(words)
    if strange := set(options.only.split(",") if options.only else ()) - {*QUICK, *FULL, "host"}:
        parser.error(f"there is no stage {', '.join(sorted(strange))}")
    return options
