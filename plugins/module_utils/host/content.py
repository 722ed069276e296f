# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Content of volumes: fetched, verified, and only then given its name."""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import os
import tempfile
import time
import urllib.error
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any, Callable

from .. import tree
from ..plan.values import size_text
from ..plan.words import shown_url
from .connection import Connection, libvirt

CHUNK = 1 << 20
_MAGIC = {b"QFI\xfb": "qcow2", b"KDMV": "vmdk", b"QED\0": "qed"}


class BadContent(Exception):
    """The content of a volume could not be had as declared. Nothing carries the volume's name."""


def fetch(connection: Connection, pool: Any, args: Mapping[str, Any]) -> None:
    """Make a volume from a URL or a file. args: name, source {url, file, checksum}, format and size as declared."""
    source = args["source"]

    def write(part: IO[bytes]) -> None:
        _copy(source, part)
        _check_format(part, args)

    _place(connection, pool, args["name"], write, replace=False)
    if args.get("size"):
        volume = pool.storageVolLookupByName(args["name"])
        if volume.info()[1] < args["size"]:
            volume.resize(args["size"], 0)


def place_bytes(connection: Connection, pool: Any, name: str, data: bytes) -> None:
    """Make a volume of these bytes, or replace the one of this name."""

    def write(part: IO[bytes]) -> None:
        part.write(data)

    _place(connection, pool, name, write, replace=True)


def _place(connection: Connection, pool: Any, name: str, write: Callable[[IO[bytes]], None], replace: bool) -> None:
    """Write content under another name and give it the volume's name at the end, so that no partial file ever has it."""
    directory = _directory(pool)
    if connection.is_local and directory is not None:
        with _part(directory, name) as (part, path):
            write(part)
            part.flush()
            os.fsync(part.fileno())
            final = os.path.join(directory, name)
            if os.path.exists(final) and not replace:
                raise BadContent(f"{final} has come into being meanwhile and is left as it is")
            os.rename(path, final)
        refresh(pool)
    else:
        with _part(tempfile.gettempdir(), name) as (part, path):
            write(part)
            part.flush()
            _upload(connection, pool, name, part, replace)
            os.unlink(path)


def _directory(pool: Any) -> str | None:
    root = tree.parse(pool.XMLDesc(0))
    return tree.get(root, "target/path") if root.get("type") in ("dir", "fs", "netfs") else None


@contextmanager
def _part(directory: str, name: str) -> Iterator[Any]:
    """A file for content on its way, held by a lock: a run that was killed leaves one that the next run takes over."""
    path = os.path.join(directory, f".{name}.part")
    with _held(path) as part:
        part.truncate(0)
        try:
            yield part, path
        except OSError as error:
            _forget(path)
            raise BadContent(f"{path}: {error.strerror or error}") from error
        except BaseException:
            _forget(path)
            raise


def _held(path: str) -> IO[bytes]:
    """The file of this path, locked. Another run may have finished and renamed it while we waited for the lock: what we
    hold then is its volume, which is not to be touched, so the path is opened anew.
    """
    while True:
        try:
            part = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "r+b")
        except OSError as error:
            raise BadContent(f"{path}: {error.strerror or error}") from error
        fcntl.flock(part, fcntl.LOCK_EX)
        if os.path.exists(path) and os.path.samestat(os.fstat(part.fileno()), os.stat(path)):
            return part
        part.close()


def _forget(path: str) -> None:
    if os.path.exists(path):
        os.unlink(path)


def _copy(source: Mapping[str, Any], part: IO[bytes]) -> None:
    algorithm, _colon, expected = (source.get("checksum") or "sha256:").partition(":")
    digest = hashlib.new(algorithm)
    count = 0
    where = shown_url(source.get("url") or source.get("file"))
    with _opened(source) as (stream, length):
        while True:
            chunk = _read(stream, where, count)
            if not chunk:
                break
            digest.update(chunk)
            part.write(chunk)
            count += len(chunk)
    if length is not None and count != length:
        raise BadContent(f"{where} broke off after {count} of {length} bytes; nothing was kept")
    if expected and digest.hexdigest() != expected.lower():
        raise BadContent(
            f"{where} has the {algorithm} checksum {digest.hexdigest()}, declared is {expected.lower()}; nothing was kept"
        )


def _read(stream: Any, where: str, count: int) -> bytes:
    """The next chunk of a source; what goes wrong there is told apart from what goes wrong with the file written to."""
    try:
        return bytes(stream.read(CHUNK))
    except (OSError, http.client.HTTPException) as error:
        raise BadContent(f"{where} broke off after {count} bytes ({error}); nothing was kept") from error


@contextmanager
def _opened(source: Mapping[str, Any]) -> Iterator[Any]:
    """The content as a stream with its length in bytes, None when the server does not say."""
    if source.get("file"):
        try:
            file = os.fdopen(os.open(source["file"], os.O_RDONLY), "rb")
        except OSError as error:
            raise BadContent("{}: {}".format(source["file"], error.strerror or error)) from error
        with file as stream:
            yield stream, os.fstat(stream.fileno()).st_size
        return
    try:
        # Imported here: it costs each module that never fetches anything 20 ms.
        from ansible.module_utils.urls import open_url  # noqa: PLC0415

        with open_url(source["url"], timeout=60) as stream:
            length = stream.headers.get("Content-Length")
            yield stream, int(length) if length else None
    except urllib.error.HTTPError as error:
        error.close()
        where = shown_url(source["url"])
        raise BadContent(f"{where}: the server answered {error.code} {error.reason}") from error
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError, ValueError) as error:
        where = shown_url(source["url"])
        raise BadContent(f"{where}: {getattr(error, 'reason', error)}") from error


def _check_format(part: IO[bytes], args: Mapping[str, Any]) -> None:
    part.seek(0)
    header = part.read(32)
    found = _MAGIC.get(header[:4], "raw")
    length = part.seek(0, os.SEEK_END)
    if args.get("format") and args["format"] != found and "qcow2" in (args["format"], found):
        raise BadContent(
            "the content of volume {} is {}, not {}; nothing was kept".format(args["name"], found, args["format"])
        )
    # The virtual size of a qcow2 image is in its header (QEMU's docs/interop/qcow2.txt).
    virtual = int.from_bytes(header[24:32], "big") if found == "qcow2" else length
    if found in ("qcow2", "raw") and args.get("size") and args["size"] < virtual:
        raise BadContent(
            "the content of volume {} has {}, more than the declared size of {}; nothing was kept".format(
                args["name"], size_text(virtual), size_text(args["size"])
            )
        )


def _upload(connection: Connection, pool: Any, name: str, part: IO[bytes], replace: bool) -> None:
    part.seek(0, os.SEEK_END)
    length = part.tell()
    part.seek(0)
    root = tree.element("volume")
    root.append(tree.element("name", name))
    root.append(tree.element("capacity", str(length), unit="bytes"))
    tree.put(root, "target/format/@type", "raw")
    volume = _existing(pool, name) if replace else None
    if volume is not None and volume.info()[1] != length:
        volume.delete(0)
        volume = None
    volume = volume or pool.createXML(tree.text_of(root), 0)
    stream = connection.open.newStream(0)
    try:
        volume.upload(stream, 0, length, 0)
        stream.sendAll(lambda _stream, count, source: source.read(count), part)
        stream.finish()
    except BaseException:
        volume.delete(0)
        raise
    refresh(pool)


def _existing(pool: Any, name: str) -> Any:
    try:
        return pool.storageVolLookupByName(name)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_STORAGE_VOL:
            return None
        raise


def refresh(pool: Any, deadline: float = 120) -> None:
    """Let libvirt look at a pool anew. A pool on which volumes are being made refuses that, so it is asked again."""
    end = time.monotonic() + deadline
    while True:
        try:
            pool.refresh(0)
        except libvirt.libvirtError as error:
            if "asynchronous jobs" not in str(error) or time.monotonic() > end:
                raise
        else:
            return
        time.sleep(0.2)
