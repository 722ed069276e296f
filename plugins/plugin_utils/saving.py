# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file of the control machine that is filled piece by piece, and takes its name when it is whole."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from typing import Any, NamedTuple

from .bringing import checksum_of

_CHUNK = 1 << 20


class Unsaved(Exception):
    """The copy could not be made; the message says why. What was there before is there."""


class Whole(NamedTuple):
    """What is to be copied. length: in bytes; checksum: as "sha256:hex"."""

    length: int
    checksum: str


class Piece(NamedTuple):
    """A part of it. path: of a file with its data; ranges: where it belongs, as begin and length; end: where the next begins."""

    path: str
    ranges: list[list[int]]
    end: int


def destination(dest: str, name: str) -> str:
    """The file that is meant: a folder gets one of this name."""
    return os.path.join(dest, name) if dest.endswith("/") or os.path.isdir(dest) else dest


def is_saved(path: str, whole: Whole) -> bool:
    """Whether the copy is there already."""
    try:
        return os.path.getsize(path) == whole.length and checksum_of(path) == whole.checksum
    except FileNotFoundError:
        return False


def save(path: str, whole: Whole, piece_from: Callable[[int], Piece]) -> None:
    """Make the copy. piece_from: gives the piece that begins at this byte. Raises Unsaved or OSError.

    What a run that broke off has left is gone on with: the checksum of the whole is in its name.
    """
    folder, name = os.path.split(path)
    os.makedirs(folder or ".", exist_ok=True)
    part = os.path.join(folder, f".{name}.{whole.checksum.rpartition(':')[2][:12]}.part")
    with os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if is_saved(path, whole):
            # Another host's volume was the same one, and was copied while we waited.
            _remove(part)
            return
        _fill(file, whole, piece_from)
        file.flush()
        os.fsync(file.fileno())
        if checksum_of(part) != whole.checksum:
            _remove(part)
            raise Unsaved("it was written to while it was copied; nothing was kept")
        os.fchmod(file.fileno(), 0o666 & ~_umask())
        os.rename(part, path)


def _fill(file: Any, whole: Whole, piece_from: Callable[[int], Piece]) -> None:
    begin = file.seek(0, os.SEEK_END)
    while begin < whole.length:
        piece = piece_from(begin)
        with open(piece.path, "rb") as data:
            for at, length in piece.ranges:
                file.seek(at)
                _copy(data, file, length)
        if not begin < piece.end <= whole.length:
            raise Unsaved("it has another length by now; nothing was kept")
        begin = piece.end
        # The length says how far it came.
        file.truncate(begin)


def _copy(data: Any, file: Any, length: int) -> None:
    while length:
        chunk = data.read(min(_CHUNK, length))
        if not chunk:
            raise Unsaved("a piece of it did not arrive as a whole; the next run goes on from there")
        file.write(chunk)
        length -= len(chunk)


def _remove(path: str) -> None:
    if os.path.exists(path):
        os.unlink(path)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
