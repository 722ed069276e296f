# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The QEMU guest agent's commands for running programs and moving files, over whatever carries a question and an answer.

https://qemu.readthedocs.io/en/latest/interop/qemu-ga-ref.html
"""

from __future__ import annotations

import base64
import ipaddress
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO, Callable, NamedTuple

Ask = Callable[[str, Mapping[str, Any]], Any]
"""Puts a command with its arguments to the agent and returns what it returns. Raises Refused, or Unreachable."""

# What one answer may carry. libvirt has room for 4 MiB in a string (REMOTE_STRING_MAX), data is a third longer in base64,
# and an answer above 10 MiB would cost libvirt the agent of this guest until its next start (QEMU_AGENT_MAX_RESPONSE).
ANSWER = 1 << 20

# What one question may carry. libvirt 9.0 loses questions that do not fit into its socket's buffer at once: 175 KB pass,
# 267 KB do not (measured with Linux's usual buffer of 208 KiB), and the agent is deaf for some seconds then.
QUESTION = 96 << 10

# Pauses between two looks at a program that runs, in seconds. None is shorter than the look before: where that takes long, the
# guest is slow, and each look takes its processor away from the program.
FIRST_PAUSE = 0.005
LAST_PAUSE = 0.2


class Refused(Exception):
    """The agent answered that it cannot or may not do that. The message is the agent's."""


class Unreachable(Exception):
    """The agent cannot be asked, or the answer is lost. The message says why."""


class Forbidden(Unreachable):
    """The agent's own configuration forbids a command. The message says which, and where that is set."""


class Overdue(Exception):
    """A program still runs after the time that it had. pid: its number in the guest."""

    def __init__(self, pid: int, seconds: float) -> None:
        self.pid = pid
        super().__init__(f"still runs after {seconds:g} s")


class Ended(NamedTuple):
    """A program that ended. status: its exit status, 128 and the signal's number for one that a signal ended."""

    status: int
    out: bytes
    err: bytes


def run(ask: Ask, path: str, arguments: list[str], stdin: bytes | None = None, seconds: float = 0) -> Ended:
    """Run a program in the guest and wait for it. seconds: how long it may take, 0 for as long as it likes.

    Raises Refused, Unreachable, and Overdue.
    """
    question: dict[str, Any] = {"path": path, "arg": arguments, "capture-output": True}
    if stdin is not None:
        question["input-data"] = base64.b64encode(stdin).decode()
    pid = ask("guest-exec", question)["pid"]
    end = time.monotonic() + seconds if seconds else None
    pause = FIRST_PAUSE
    while True:
        asked = time.monotonic()
        try:
            told = ask("guest-exec-status", {"pid": pid})
        except Refused as error:
            # An agent that was started anew knows nothing of the programs of the one before.
            raise Unreachable(
                f"its agent was restarted while the command ran, and the result is lost ({error})"
            ) from error
        if told["exited"]:
            return _ended(told)
        if end is not None and time.monotonic() >= end:
            raise Overdue(pid, seconds)
        time.sleep(min(max(pause, time.monotonic() - asked), LAST_PAUSE))
        pause *= 1.5


def _ended(told: Mapping[str, Any]) -> Ended:
    if told.get("out-truncated") or told.get("err-truncated"):
        raise Unreachable("its agent cut off the output of the command, as it exceeds 16 MiB")
    out, err = (base64.b64decode(told.get(name) or "") for name in ("out-data", "err-data"))
    return Ended(told["exitcode"] if "exitcode" in told else 128 + told.get("signal", 0), out, err)


def own_addresses(told: Iterable[tuple[str, str]], macs: Collection[str] | None) -> list[tuple[str, str]]:
    """MAC and IP address of what others can reach of a guest, each once. told: what it says, which may be anything. macs: of its
    interfaces, in small letters, None where it may have others; a bridge that it made itself, as Docker does, has none of them.
    """
    found = []
    for mac, address in dict.fromkeys((mac.lower(), address) for mac, address in told):
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            continue
        is_for_others = not (parsed.is_loopback or parsed.is_link_local or parsed.is_unspecified)
        if is_for_others and (macs is None or mac in macs):
            found.append((mac, address))
    return found


@contextmanager
def _opened(ask: Ask, path: str, mode: str) -> Iterator[int]:
    """A file of the guest, open; it is closed whatever happens."""
    number = ask("guest-file-open", {"path": path, "mode": mode})
    try:
        yield number
    except BaseException:
        _close_after_failure(ask, number)
        raise
    # What could not be written is told at the close.
    ask("guest-file-close", {"handle": number})


def _close_after_failure(ask: Ask, number: int) -> None:
    try:
        ask("guest-file-close", {"handle": number})
    except (Refused, Unreachable):
        return  # What went wrong first is told.


def write(ask: Ask, path: str, source: BinaryIO, chunk: int) -> None:
    """Write all of a stream into a file of the guest, in chunks of so many bytes."""
    with _opened(ask, path, "wb") as number:
        while data := source.read(chunk):
            while data:
                told = ask("guest-file-write", {"handle": number, "buf-b64": base64.b64encode(data).decode()})
                data = data[told["count"] :]


def read(ask: Ask, path: str, target: BinaryIO) -> None:
    """Copy a file of the guest into a stream."""
    with _opened(ask, path, "rb") as number:
        while True:
            told = ask("guest-file-read", {"handle": number, "count": ANSWER})
            target.write(base64.b64decode(told["buf-b64"]))
            if told["eof"] or not told["count"]:
                return
