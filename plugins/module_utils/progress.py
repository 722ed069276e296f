# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a long run is at, told in a file that the controller reads meanwhile.

A module answers once, at its end. Where somebody watches, the action plugin names a file; nothing is written otherwise,
and nothing that fails here is a reason for the run to fail.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from typing import Callable

_FILE: list[str] = []
# What is being done, and of contents on their way how far each is.
_SENTENCE = [""]
_CONTENTS: dict[str, str] = {}
_LOCK = threading.Lock()


@contextlib.contextmanager
def told_in(path: str | None) -> Iterator[None]:
    """Tell in this file, as long as this lasts; None for nobody."""
    if path is not None:
        _FILE.append(path)
    try:
        yield
    finally:
        if _FILE:
            with contextlib.suppress(OSError):
                os.unlink(_FILE.pop())


def tell(sentence: str) -> None:
    """Put one sentence in place of the one before."""
    _SENTENCE[0] = sentence
    _write()


@contextlib.contextmanager
def metered(what: str, whole: int | None) -> Iterator[Callable[[int], None]]:
    """Tell beside the sentence how much of a content is through. whole: its bytes, None if nobody knows. Gives what is to be
    called with the bytes that are through so far; it tells them once a second at the most.
    """
    last = time.monotonic()

    def through(count: int) -> None:
        nonlocal last
        if _FILE and time.monotonic() - last >= 1:
            last = time.monotonic()
            _CONTENTS[what] = f"{what}: {count >> 20}" + (f" of {whole >> 20} MiB" if whole else " MiB")
            _write()

    try:
        yield through
    finally:
        _CONTENTS.pop(what, None)


def _write() -> None:
    if not _FILE:
        return
    with contextlib.suppress(OSError), _LOCK:
        with open(_FILE[0] + ".new", "w", encoding="utf-8", opener=_private) as file:
            file.write("; ".join([_SENTENCE[0], *_CONTENTS.values()]))
        os.rename(_FILE[0] + ".new", _FILE[0])


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
