"""Running programs: output to a log file, a deadline, and nothing left behind when the suite is stopped."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Union

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Words = Sequence[Union[str, "Path"]]
"""A program and its arguments."""

HEARTBEAT = 60.0
"""Seconds after which a program that still runs is reported."""

_running: set[subprocess.Popen[bytes]] = set()
_stopped = threading.Event()


class StoppedError(Exception):
    """The suite was asked to end."""


class Finished(NamedTuple):
    """A program that has ended; a status of 124 says that its time was up."""

    status: int
    seconds: float
    log: Path

    def tail(self, lines: int = 60) -> str:
        """The end of what it printed, and where the rest is."""
        text = self.log.read_text(errors="replace").rstrip().splitlines()
        shown = text[-lines:]
        if len(text) > lines:
            shown.insert(0, f"[... {len(text) - lines} lines more in {self.log}]")
        return "\n".join(shown)


def run(
    command: Words,
    *,
    log: Path,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    timeout: float = 600,
    cleans_up: bool = False,
) -> Finished:
    """Run a program to its end or until `timeout` seconds are over, as a group that can be stopped as one.

    Once the suite is stopped, nothing starts any more but what `cleans_up`.
    """
    if _stopped.is_set() and not cleans_up:
        raise StoppedError
    started = time.monotonic()
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(word) for word in command],
            cwd=cwd,
            env=None if env is None else dict(env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        _running.add(process)
        try:
            status = _wait(process, log, started, timeout)
        finally:
            _stop(process)
            _running.discard(process)
    return Finished(status, time.monotonic() - started, log)


def stop_all() -> None:
    """Ask every program that is running to end, with its children; safe in a signal handler, for it never waits.

    Each is then waited for, and killed if need be, by the thread that runs it.
    """
    _stopped.set()
    for process in list(_running):
        _signal_group(process, signal.SIGTERM)


def _wait(process: subprocess.Popen[bytes], log: Path, started: float, timeout: float) -> int:
    """The exit status; while waiting, a line each minute tells that the suite is alive and where it is."""
    deadline = started + timeout
    while True:
        left = deadline - time.monotonic()
        try:
            return process.wait(timeout=max(0.0, min(HEARTBEAT, left)))
        except subprocess.TimeoutExpired:
            if time.monotonic() >= deadline:
                _stop(process)
                with log.open("ab") as output:
                    output.write(f"\nstopped: not done after {timeout:.0f} s\n".encode())
                return 124
            print(f"    {time.monotonic() - started:5.0f} s  {log.stem}: {_last_line(log)}", flush=True)


def _last_line(log: Path) -> str:
    """The last line with text that a program has printed so far, cut to the width of a terminal."""
    lines = [line.strip() for line in log.read_text(errors="replace")[-4000:].splitlines()]
    return next((line[:90] for line in reversed(lines) if line), "no output yet")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a program that still runs, and its group with it: asked first, then killed."""
    if process.poll() is None:
        _signal_group(process, signal.SIGTERM)
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            _signal_group(process, signal.SIGKILL)
            process.wait()


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
