# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking many at once, some of whom hang."""

from __future__ import annotations

import threading
import time

from ansible_collections.kvmfleet.libvirt.plugins.plugin_utils.asking import (
    AT_ONCE,
    CONNECTIONS,
    Ask,
    Told,
    told_by_each,
)


class NoAnswer(Exception):
    """Somebody who is asked does not tell."""


def connection(ends: threading.Event) -> Ask:
    """One that carries some questions at once, as libvirt's do. Who is called h... hangs, n... says no."""
    free = threading.Semaphore(AT_ONCE)

    def ask(name: str) -> str:
        with free:
            if name.startswith("h"):
                ends.wait()
            if name.startswith("n"):
                raise NoAnswer("no")
            return name * 2

    return ask


def asked(hanging: int) -> tuple[Told, float]:
    names = [*(f"h{number}" for number in range(hanging)), "n", *(f"g{number}" for number in range(100))]
    ends = threading.Event()
    began = time.monotonic()
    try:
        told = told_by_each(names, connection(ends), lambda: connection(ends), 2, (NoAnswer,))
    finally:
        ends.set()
    return told, time.monotonic() - began


def test_all_that_answer_are_heard_though_others_hang() -> None:
    for hanging in (0, AT_ONCE, AT_ONCE * CONNECTIONS - 1):
        told, took = asked(hanging)
        assert told.answers == {f"g{number}": f"g{number}" * 2 for number in range(100)}
        assert told.reasons == {"n": "no", **{f"h{number}": "no answer within 2 s" for number in range(hanging)}}
        assert took < (1 if not hanging else 4)


def test_where_too_many_hang_nobody_waits_longer() -> None:
    told, took = asked(AT_ONCE * CONNECTIONS)
    assert told.answers == {}
    assert set(told.reasons.values()) == {"no answer within 2 s"}
    assert took < 4
