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
from collections.abc import Iterator

_FILE: list[str] = []


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
    if not _FILE:
        return
    with contextlib.suppress(OSError):
        with open(_FILE[0] + ".new", "w", encoding="utf-8", opener=_private) as file:
            file.write(sentence)
        os.rename(_FILE[0] + ".new", _FILE[0])


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
