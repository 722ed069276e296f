# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a volume's file was made from, noted on the file itself: an extended attribute goes where the file goes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

NAME = "user.kvmfleet.source"


def write_note(path: str, source: Mapping[str, Any]) -> None:
    """Note a file's source, and how the file is now. Where the file system keeps no notes, there is none."""
    about = os.stat(path)
    note = {**source, "size": about.st_size, "mtime": about.st_mtime_ns}
    try:
        os.setxattr(path, NAME, json.dumps(note, sort_keys=True).encode())
    except OSError:
        return


def read_note(path: str) -> tuple[dict[str, Any], bool] | None:
    """A file's source, and whether the file is as it was made; None when nothing is noted."""
    try:
        note = json.loads(os.getxattr(path, NAME))
        about = os.stat(path)
    except (OSError, ValueError):
        return None
    return note, (note.get("size"), note.get("mtime")) == (about.st_size, about.st_mtime_ns)


@contextmanager
def kept_note(path: str) -> Iterator[None]:
    """What is done to the file in this block is ours, and no change of its content."""
    before = read_note(path)
    yield
    if before is not None and before[1]:
        write_note(path, before[0])
