# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that hold images: unpacked, looked at, converted."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import os
import re
import shutil
import subprocess
import zlib
from collections.abc import Generator, Mapping
from typing import IO, Any, Callable

from ..plan.values import size_text
from .fetch import CHUNK, BadContent, Look, write_sparse

_PACKED = {b"\xfd7zXZ\x00": "xz", b"\x1f\x8b": "gz", b"\x28\xb5\x2f\xfd": "zst", b"BZh": "bz2"}
_MAGIC = {b"QFI\xfb": "qcow2", b"KDMV": "vmdk", b"QED\0": "qed", b"vhdxfile": "vhdx", b"conectix": "vpc"}
_VDI = b"\x7f\x10\xda\xbe"
# Bytes at the beginning of an image that tell what it is.
_HEAD = 512
_PAGE = re.compile(rb"^\s*(<!doctype html|<html|<\?xml)", re.IGNORECASE)
# Bytes of memory that unpacking may take: xz -9 asks for 64 MiB, a file that means harm for 4 GiB. zstd has such a limit of its own.
_MEMORY = 512 << 20
_OPTIONS = ("compat", "cluster_size", "lazy_refcounts", "extended_l2")


def packing(file: IO[bytes]) -> str | None:
    """How a file is compressed, None when it is not."""
    file.seek(0)
    return _packing_of(file.read(8))


def _packing_of(head: bytes) -> str | None:
    return next((name for magic, name in _PACKED.items() if head.startswith(magic)), None)


def unpack(packed: IO[bytes], how: str, path: str, where: str, look: Look) -> None:
    """Decompress a file to this path, with holes for zeros. where: what a message calls its source; look: sees what has come
    of it, and raises BadContent for what is not wanted.
    """
    count = 0
    packed.seek(0)
    with open(path, "w+b") as file:
        os.chmod(path, 0o600)
        with contextlib.closing(_UNPACKED[how](packed, where)) as chunks:
            for chunk in chunks:
                write_sparse(file, chunk)
                count += len(chunk)
                look(file, count)
        file.truncate(count)


def _unbz2(packed: IO[bytes], where: str) -> Generator[bytes, None, None]:
    with bz2.open(packed) as stream:
        yield from _read(stream, "bz2", where)


def _ungz(packed: IO[bytes], where: str) -> Generator[bytes, None, None]:
    with gzip.open(packed) as stream:
        yield from _read(stream, "gz", where)


def _read(stream: Any, how: str, where: str) -> Generator[bytes, None, None]:
    while True:
        try:
            chunk = bytes(stream.read(CHUNK))
        except (OSError, EOFError, zlib.error) as error:
            raise _broken(where, how, error) from error
        if not chunk:
            return
        yield chunk


def _unxz(packed: IO[bytes], where: str) -> Generator[bytes, None, None]:
    """What is in an xz file: one stream after the other. Python's own files set no limit to the memory that it may ask for."""
    data = packed.read(CHUNK)
    while data:
        decoder = lzma.LZMADecompressor(memlimit=_MEMORY)
        while not decoder.eof:
            try:
                chunk = decoder.decompress(data, CHUNK)
            except lzma.LZMAError as error:
                raise _broken(where, "xz", error) from error
            yield chunk
            data = b""
            if decoder.needs_input and not decoder.eof:
                data = packed.read(CHUNK)
                if not data:
                    raise _broken(where, "xz", "it ends too early")
        data = decoder.unused_data.lstrip(b"\0") or packed.read(CHUNK).lstrip(b"\0")


def _broken(where: str, how: str, reason: object) -> BadContent:
    return BadContent(f"{where}: is no whole {how} file ({reason}); nothing was kept")


def _unzstd(packed: IO[bytes], where: str) -> Generator[bytes, None, None]:
    command = shutil.which("zstd")
    if command is None:
        raise BadContent(f"{where} is compressed with zstd: the package zstd is missing on this machine")
    packed.flush()
    # The command reads from where the descriptor stands.
    os.lseek(packed.fileno(), 0, os.SEEK_SET)
    with subprocess.Popen([command, "-dcq"], stdin=packed, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            while chunk := process.stdout.read(CHUNK):
                yield chunk
        except BaseException:
            process.kill()
            raise
        error = process.stderr.read().decode(errors="replace").strip()
    if process.returncode:
        raise _broken(where, "zst", error)


_UNPACKED: dict[str, Callable[[IO[bytes], str], Generator[bytes, None, None]]] = {
    "bz2": _unbz2,
    "gz": _ungz,
    "xz": _unxz,
    "zst": _unzstd,
}


def looked_at(file: IO[bytes], where: str) -> tuple[str, int | None]:
    """The format of an image, and its virtual size in bytes where a look tells it.

    Raises BadContent for what is no image, and for one that refers to other files: whoever made it chose their names, and
    libvirt or QEMU would give what is in them to the guest.
    """
    length = file.seek(0, os.SEEK_END)
    file.seek(0)
    return _told_by(file.read(_HEAD), length, where)


def check_growing(file: IO[bytes], count: int, size: int, name: str, where: str) -> None:
    """Raise BadContent as soon as what has come of an image, which is so many bytes, tells that it will not fit. size: what
    the volume is to have, in bytes; where: what a message calls the source.
    """
    file.flush()
    head = os.pread(file.fileno(), _HEAD, 0)
    if _packing_of(head):
        return
    found, virtual = _told_by(head, count, where)
    if found != "raw":
        check_fits(virtual, size, name)
    elif count > size:
        raise BadContent(
            f"the content of volume {name} has more than the declared size of {size_text(size)}; nothing was kept"
        )


def _told_by(head: bytes, length: int, where: str) -> tuple[str, int | None]:
    """What the first bytes of an image of this length tell: its format, and its virtual size."""
    if not head:
        raise BadContent(f"{where} is empty; nothing was kept")
    if _PAGE.match(head):
        raise BadContent(f"{where} is a web page and no image; nothing was kept")
    found = next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)
    if found is None:
        return ("vdi", None) if head[64:68] == _VDI else ("raw", length)
    if _refers(found, head):
        raise BadContent(f"{where} is a {found} image that refers to other files; nothing was kept")
    # The virtual size of a qcow2 image is in its header (QEMU's docs/interop/qcow2.txt).
    return found, int.from_bytes(head[24:32], "big") if found == "qcow2" else None


def _refers(form: str, head: bytes) -> bool:
    """Whether an image has a backing file, or keeps its data in another one (QEMU's docs/interop, VMware's VMDK 1.1)."""
    if form == "qcow2":
        version = int.from_bytes(head[4:8], "big")
        backing = int.from_bytes(head[8:16], "big")
        outside = version >= 3 and bool(int.from_bytes(head[72:80], "big") & 4)
        return bool(backing) or outside
    if form == "qed":
        return bool(int.from_bytes(head[16:24], "little") & 1)
    # A sparse extent without a capacity is a descriptor of others.
    return form == "vmdk" and not int.from_bytes(head[12:20], "little")


def convert(path: str, found: str, target: str, args: Mapping[str, Any]) -> None:
    """Write an image anew in another format, or with other options of qcow2."""
    form = args.get("format") or found
    options = [_option(name, args[name]) for name in _OPTIONS if args.get(name) is not None]
    more = ["-o", ",".join(options)] if options else []
    _qemu_img("convert", "-f", found, "-O", form, *more, path, target, where=args["name"])


def _option(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return f"{name}={'on' if value else 'off'}"
    return f"{name}={value}"


def grow(path: str, form: str, size: int, name: str) -> None:
    """Make the disk in an image larger. size: in bytes."""
    if form == "raw":
        os.truncate(path, size)
    else:
        _qemu_img("resize", "-q", "-f", form, path, str(size), where=name)


def _qemu_img(*words: str, where: str) -> None:
    command = shutil.which("qemu-img")
    if command is None:
        raise BadContent(f"volume {where}: qemu-img (package qemu-utils) is missing on this machine")
    done = subprocess.run([command, *words], capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip() or done.stdout.strip() or f"it ended with {done.returncode}").splitlines()[-1]
        raise BadContent(f"volume {where}: {reason}; nothing was kept")


def check_fits(virtual: int | None, size: int | None, name: str) -> None:
    """Raise BadContent if an image is larger than its volume is to be."""
    if virtual is not None and size and size < virtual:
        raise BadContent(
            f"the content of volume {name} has {size_text(virtual)}, more than the declared size of {size_text(size)};"
            " nothing was kept"
        )
