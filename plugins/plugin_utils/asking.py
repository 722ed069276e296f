# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many that are asked the same by a few connections, where some may hang. Pure."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from typing import Any, Callable, NamedTuple

# libvirt's daemon works on five requests of a client at once (max_client_requests); one is left for others.
AT_ONCE = 4
# Connections at the most. libvirt gives an agent that hangs five seconds, whatever it is told; its daemon has twenty workers.
CONNECTIONS = 4

Ask = Callable[[str], Any]
"""Gives what somebody tells, by one connection."""


class Round(NamedTuple):
    """One round of questions. fails: the errors of somebody who does not tell. work: who is still to be asked.
    heard: who told something, that, and why there is nothing if there is nothing.
    """

    fails: tuple[type[Exception], ...]
    work: queue.SimpleQueue[str]
    heard: queue.SimpleQueue[tuple[str, Any, str]]


class Told(NamedTuple):
    """What came of it. answers: of those who told something; reasons: why the others did not."""

    answers: dict[str, Any]
    reasons: dict[str, str]


def told_by_each(
    names: list[str], first: Ask, begin: Callable[[], Ask], timeout: float, fails: tuple[type[Exception], ...]
) -> Told:
    """What each of these tells within so many seconds. first: asks by a connection that is there; begin: opens another one, which
    is done where answers do not come, so that some that hang keep nobody else waiting.
    """
    asked = Round(fails, queue.SimpleQueue(), queue.SimpleQueue())
    for name in names:
        asked.work.put(name)
    _start(asked, first)
    told = Told({}, {})
    began = time.monotonic()
    for share in range(1, CONNECTIONS + 1):
        _hear(asked, len(names), told, began + timeout * share / CONNECTIONS)
        if not asked.work.empty() and share < CONNECTIONS:
            threading.Thread(target=_start_another, args=(asked, begin), daemon=True).start()
    silent = dict.fromkeys(names, f"no answer within {timeout:g} s")
    return Told(
        told.answers, {name: told.reasons.get(name, text) for name, text in silent.items() if name not in told.answers}
    )


def _start(asked: Round, ask: Ask) -> None:
    for _number in range(AT_ONCE):
        threading.Thread(target=_serve, args=(asked, ask), daemon=True).start()


def _start_another(asked: Round, begin: Callable[[], Ask]) -> None:
    with contextlib.suppress(*asked.fails):
        _start(asked, begin())


def _serve(asked: Round, ask: Ask) -> None:
    with contextlib.suppress(queue.Empty):
        while True:
            name = asked.work.get_nowait()
            try:
                asked.heard.put((name, ask(name), ""))
            except asked.fails as error:
                asked.heard.put((name, None, str(error) or type(error).__name__))


def _hear(asked: Round, count: int, told: Told, end: float) -> None:
    """Take in what is told until then, or until all have been heard."""
    with contextlib.suppress(queue.Empty):
        while len(told.answers) + len(told.reasons) < count:
            name, answer, reason = asked.heard.get(timeout=max(0.0, end - time.monotonic()))
            if reason:
                told.reasons[name] = reason
            else:
                told.answers[name] = answer
