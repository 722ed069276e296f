# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that hold images: unpacked, looked at, converted."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import re
import shutil
import subprocess
import zlib
from collections.abc import Mapping
from typing import IO, Any

from ..plan.values import size_text
from .fetch import CHUNK, BadContent, write_sparse

_PACKED = {b"\xfd7zXZ\x00": "xz", b"\x1f\x8b": "gz", b"\x28\xb5\x2f\xfd": "zst", b"BZh": "bz2"}
_MAGIC = {b"QFI\xfb": "qcow2", b"KDMV": "vmdk", b"QED\0": "qed", b"vhdxfile": "vhdx", b"conectix": "vpc"}
_VDI = b"\x7f\x10\xda\xbe"
_PAGE = re.compile(rb"^\s*(<!doctype html|<html|<\?xml)", re.IGNORECASE)
_OPTIONS = ("compat", "cluster_size", "lazy_refcounts", "extended_l2")


def packing(file: IO[bytes]) -> str | None:
    """How a file is compressed, None when it is not."""
    file.seek(0)
    head = file.read(8)
    return next((name for magic, name in _PACKED.items() if head.startswith(magic)), None)


def unpack(packed: IO[bytes], how: str, path: str, where: str) -> None:
    """Decompress a file to this path, with holes for zeros. where: what a message calls its source."""
    count = 0
    packed.seek(0)
    with open(path, "w+b") as file:
        os.chmod(path, 0o600)
        if how == "zst":
            count = _unzstd(packed, file, where)
        else:
            with {"xz": lzma.open, "gz": gzip.open, "bz2": bz2.open}[how](packed) as stream:
                while chunk := _unpacked(stream, how, where):
                    write_sparse(file, chunk)
                    count += len(chunk)
        file.truncate(count)


def _unpacked(stream: Any, how: str, where: str) -> bytes:
    try:
        return bytes(stream.read(CHUNK))
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise BadContent(f"{where}: is no whole {how} file ({error}); nothing was kept") from error


def _unzstd(packed: IO[bytes], file: IO[bytes], where: str) -> int:
    command = shutil.which("zstd")
    if command is None:
        raise BadContent(f"{where} is compressed with zstd: the package zstd is missing on this machine")
    count = 0
    packed.flush()
    # The command reads from where the descriptor stands.
    os.lseek(packed.fileno(), 0, os.SEEK_SET)
    with subprocess.Popen([command, "-dcq"], stdin=packed, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            while chunk := process.stdout.read(CHUNK):
                write_sparse(file, chunk)
                count += len(chunk)
        except BaseException:
            process.kill()
            raise
        error = process.stderr.read().decode(errors="replace").strip()
    if process.returncode:
        raise BadContent(f"{where}: is no whole zst file ({error}); nothing was kept")
    return count


def looked_at(file: IO[bytes], where: str) -> tuple[str, int | None]:
    """The format of an image, and its virtual size in bytes where a look tells it.

    Raises BadContent for what is no image, and for one that refers to other files: whoever made it chose their names, and
    libvirt or QEMU would give what is in them to the guest.
    """
    length = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(512)
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
