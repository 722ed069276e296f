# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way back: what is in a volume, its data without its holes, for whoever wants a copy."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, NamedTuple

from .. import tree
from .connection import Connection, libvirt
from .fetch import CHUNK, BadContent, data_ranges

PIECE = 256 << 20
"""How many bytes of data are handed over at once: what they need on the host for that moment, too."""
# Holes that are not worth a range of their own.
_SMALL = 64 << 10


class Piece(NamedTuple):
    """A part of a volume. ranges: where each of them begins, and its length, in bytes; end: where the next piece begins."""

    ranges: list[tuple[int, int]]
    end: int


class Looked(NamedTuple):
    """A volume as a whole. length: in bytes; checksum: as "sha256:hex"; writers: running guests that write to it."""

    length: int
    checksum: str
    writers: list[str]


def look_at(connection: Connection, pool: str, name: str) -> Looked:
    """What there is to copy. Raises HypervisorError or BadContent."""
    with connection.speaking_of(f"volume {pool}/{name}"):
        volume = connection.open.storagePoolLookupByName(pool).storageVolLookupByName(name)
        writers = _writers(connection, volume.path())
        if writers:
            return Looked(0, "", writers)
        with _opened(connection, volume) as file:
            length = file.seek(0, os.SEEK_END)
            return Looked(length, f"sha256:{_digest(file, length)}", [])


def write_piece(connection: Connection, pool: str, name: str, begin: int, path: str) -> Piece:
    """Write data of a volume from this byte on into a file of this machine, one range after the other."""
    with connection.speaking_of(f"volume {pool}/{name}"):
        volume = connection.open.storagePoolLookupByName(pool).storageVolLookupByName(name)
        with _opened(connection, volume) as file, _private(path) as target:
            length = file.seek(0, os.SEEK_END)
            return _copy_data(file, target, begin, length)


def _copy_data(file: IO[bytes], target: IO[bytes], begin: int, length: int) -> Piece:
    ranges: list[tuple[int, int]] = []
    left = PIECE
    for start, end in _joined(data_ranges(file.fileno(), length, begin)):
        count = min(end - start, left)
        for chunk in _chunks(file, start, start + count):
            target.write(chunk)
        ranges.append((start, count))
        left -= count
        if not left:
            return Piece(ranges, start + count)
    return Piece(ranges, length)


def _joined(ranges: Iterator[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Ranges of data, those as one that are next to each other."""
    last: tuple[int, int] | None = None
    for begin, end in ranges:
        if last is not None and begin - last[1] < _SMALL:
            last = (last[0], end)
            continue
        if last is not None:
            yield last
        last = (begin, end)
    if last is not None:
        yield last


def _digest(file: IO[bytes], length: int) -> str:
    """The digest of a whole file. Its holes are not read."""
    digest, at, zeros = hashlib.sha256(), 0, bytes(CHUNK)
    for begin, end in (*data_ranges(file.fileno(), length), (length, length)):
        while at < begin:
            digest.update(memoryview(zeros)[: begin - at])
            at += min(CHUNK, begin - at)
        for chunk in _chunks(file, begin, end):
            digest.update(chunk)
        at = end
    return digest.hexdigest()


def _chunks(file: IO[bytes], at: int, end: int) -> Iterator[bytes]:
    """What is in a part of a file. Raises BadContent where the file ends before."""
    file.seek(at)
    while at < end:
        chunk = file.read(min(CHUNK, end - at))
        if not chunk:
            raise BadContent("the volume became shorter while it was read")
        yield chunk
        at += len(chunk)


def _writers(connection: Connection, path: str) -> list[str]:
    """The running guests that write to this file."""
    found = []
    for domain in connection.open.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
        for disk in tree.parse(domain.XMLDesc(0)).iterfind("devices/disk"):
            own = (tree.get(disk, "source/@file"), tree.get(disk, "source/@dev"))
            if path in own and disk.find("readonly") is None:
                found.append(domain.name())
    return sorted(set(found))


@contextmanager
def _opened(connection: Connection, volume: Any) -> Iterator[IO[bytes]]:
    """A volume as a file: itself where it is on this machine, else a copy that libvirt's stream has filled."""
    path = volume.path()
    if connection.is_local and os.path.isabs(path) and os.path.exists(path):
        try:
            with open(path, "rb") as file:
                yield file
        except OSError as error:
            raise BadContent(f"{error.filename or path}: {error.strerror or error}") from error
        return
    with tempfile.TemporaryFile() as file:
        stream = connection.open.newStream(0)
        volume.download(stream, 0, 0, libvirt.VIR_STORAGE_VOL_DOWNLOAD_SPARSE_STREAM)
        stream.sparseRecvAll(lambda _stream, data, to: to.write(data), _leave_hole, file)
        stream.finish()
        file.truncate(file.tell())
        file.flush()
        yield file


def _leave_hole(_stream: Any, length: int, file: IO[bytes]) -> int:
    return file.seek(length, os.SEEK_CUR)


@contextmanager
def _private(path: str) -> Iterator[IO[bytes]]:
    """A file for its folder's owner alone, who is whom Ansible reaches this machine as."""
    folder = os.stat(os.path.dirname(path))
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with open(fd, "wb") as file:
            if os.fstat(fd).st_uid != folder.st_uid and stat.S_ISDIR(folder.st_mode):
                os.fchown(fd, folder.st_uid, folder.st_gid)
            yield file
    except OSError as error:
        raise BadContent(f"{error.filename or path}: {error.strerror or error}") from error
