"""The test suite as stages: runs them all, whatever fails, and ends with one line that counts every test."""

from __future__ import annotations

import argparse
import itertools
import signal
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NoReturn

import command
import lab
from outcome import Outcome, count, failed, total
from place import Run, new_run
from stages import STAGES, Stage

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

SHOWN_LINES = 60
"""How much of one failure is printed; its log has the rest."""


def main(arguments: Sequence[str]) -> int:
    """Run what the command line names; 0 if all of it passed."""
    options = _options(arguments)
    stages = [stage for stage in STAGES if stage.name in options.stages]
    if any(stage.needs_lab for stage in stages) and (obstacle := lab.obstacle()):
        print(f"tests: {obstacle}", file=sys.stderr)
        return 1
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    run = new_run()
    outcomes: list[Outcome] = []
    try:
        for together in _batches(stages):
            with ThreadPoolExecutor(max_workers=len(together)) as pool:
                for found in pool.map(lambda stage: run_stage(stage, run), together):
                    outcomes += found
    except command.StoppedError as stopped:
        outcomes.append(failed("suite", str(stopped)))
        print(f"FAILED suite: {stopped}")
    finally:
        _ignore_signals()
        if any(stage.needs_lab for stage in stages) and not options.keep_lab:
            outcomes += _take_lab_down(run)
    _print_skips(outcomes)
    print(f"logs: {run.folder}")
    print(total(outcomes), flush=True)
    return 1 if count(outcomes, "failed") else 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    names = [stage.name for stage in STAGES]
    parser = argparse.ArgumentParser(prog="tests/run", description=__doc__)
    parser.add_argument(
        "--stages",
        type=lambda text: _known(text.split(","), names),
        default=[stage.name for stage in STAGES if stage.by_default],
        help=f"some of {','.join(names)} (default: all but whole-corpus, matrix and docs)",
    )
    parser.add_argument("--keep-lab", action="store_true", help="leave the lab hosts running at the end")
    return parser.parse_args(arguments)


def _known(chosen: list[str], names: list[str]) -> list[str]:
    unknown = set(chosen) - set(names)
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown stage {', '.join(sorted(unknown))}")
    return chosen


def _batches(stages: Sequence[Stage]) -> list[list[Stage]]:
    """The stages in their order, those that may run at the same time together."""
    grouped = itertools.groupby(stages, key=lambda stage: stage.beside or stage.name)
    return [list(batch) for _name, batch in grouped]


def run_stage(stage: Stage, run: Run) -> list[Outcome]:
    """A stage's outcomes, printed; never none, for a stage that tests nothing proves nothing."""
    print(f"{stage.name} ...", flush=True)
    started = time.monotonic()
    try:
        outcomes = stage.outcomes(run)
    except command.StoppedError:
        raise
    except Exception:  # noqa: BLE001 - whatever is wrong with one stage, the others run and the total is told
        outcomes = [failed(stage.name, traceback.format_exc())]
    if not count(outcomes, "passed") and not count(outcomes, "failed"):
        outcomes.append(failed(stage.name, "no test ran"))
    for outcome in outcomes:
        if outcome.verdict == "failed":
            _print_failure(stage.name, outcome)
    print(f"{stage.name}: {total(outcomes)} in {time.monotonic() - started:.1f} s", flush=True)
    return outcomes


def _take_lab_down(run: Run) -> list[Outcome]:
    trouble = lab.down(run)
    if trouble:
        _print_failure("suite", trouble)
    return [trouble] if trouble else []


def _print_failure(stage: str, outcome: Outcome) -> None:
    lines = outcome.detail.splitlines()
    shown = lines[-SHOWN_LINES:]
    print(f"FAILED {stage}: {outcome.name}")
    if len(lines) > len(shown):
        print(f"    [... {len(lines) - len(shown)} lines]")
    print("\n".join(f"    {line}" for line in shown), flush=True)


def _print_skips(outcomes: Sequence[Outcome]) -> None:
    for outcome in outcomes:
        if outcome.verdict == "skipped":
            print(f"skipped {outcome.name}: {outcome.detail.splitlines()[0] if outcome.detail else 'no reason given'}")


def _stop(number: int, _frame: FrameType | None) -> NoReturn:
    command.stop_all()
    raise command.StoppedError(f"stopped by {signal.Signals(number).name}")


def _ignore_signals() -> None:
    """From here on there is only cleaning up, which a second signal must not cut short."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
