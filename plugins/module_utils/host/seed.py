# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ISO images whose bytes depend on their content alone, and which say what is in them: cloud-init seeds and others; Ignition configs."""

from __future__ import annotations

import hashlib
import io
import re
import threading
import time
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

from .connection import Connection, MissingLibrary, libvirt, missing

# The application use field of the primary volume descriptor (ECMA-119 8.4.32) holds the digest of the files.
_DESCRIPTOR, _LENGTH = 16 * 2048, 2048
_MARK = "kvmfleet seed sha256:"
_FOUND = re.compile(_MARK.encode() + b"([0-9a-f]{64})(?: instance:([0-9a-f]+))?(?: made:([0-9]+))?")
# An Ignition config is a few KiB, and read as a whole; what is larger is none of ours.
_LARGEST = 4 << 20

# pycdlib stamps entries with the present; a clock that stands still makes the same bytes of the same files.
_CLOCK = SimpleNamespace(time=lambda: 1.0, localtime=time.gmtime, gmtime=time.gmtime, strftime=time.strftime)
_LOCK = threading.Lock()


class Mark(NamedTuple):
    """What a volume says of its content. digest: None when it is not one of ours, or cannot be read; instance: of a seed,
    empty for a guest's first one; made: how often it was made anew.
    """

    digest: str | None = None
    instance: str = ""
    made: int = 0


def build_iso(files: Mapping[str, str], mark: Mark, label: str) -> bytes:
    """An ISO image of these files, with Rock Ridge and Joliet names; names may have folders in them.

    Raises MissingLibrary without pycdlib.
    """
    try:
        import pycdlib  # noqa: PLC0415 - only who makes a seed needs it
        from pycdlib import dates, headervd, utils  # noqa: PLC0415
        from pycdlib import pycdlib as inner  # noqa: PLC0415
    except ImportError as error:
        raise MissingLibrary(missing("pycdlib", "python3-pycdlib", str(error))) from error
    with _LOCK:
        clocked = [module for module in (dates, headervd, utils, inner) if hasattr(module, "time")]
        clocks = [module.time for module in clocked]
        for module in clocked:
            module.time = _CLOCK
        try:
            told = f"{_MARK}{mark.digest}" + (f" instance:{mark.instance}" if mark.instance else "")
            told += f" made:{mark.made}" if mark.made else ""
            image = pycdlib.PyCdlib()
            image.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident=label, app_use=told)
            folders = _add_folders(image, files)
            for number, name in enumerate(sorted(files)):
                _add(image, number, name, files[name], folders)
            target = io.BytesIO()
            image.write_fp(target)
            image.close()
        finally:
            for module, clock in zip(clocked, clocks):
                module.time = clock
    return target.getvalue()


def _add_folders(image: Any, files: Mapping[str, str]) -> dict[str, str]:
    """Make the folders of these files. Returns their paths in plain ISO 9660, which has no such names, by name."""
    parts = [name.split("/") for name in files]
    names = sorted({"/".join(some[:count]) for some in parts for count in range(1, len(some))})
    found = {"": ""}
    for number, name in enumerate(names):
        above, _slash, last = name.rpartition("/")
        found[name] = f"{found[above]}/DIR{number}"
        image.add_directory(found[name], rr_name=last, joliet_path="/" + name)
    return found


def _add(image: Any, number: int, name: str, text: str, folders: Mapping[str, str]) -> None:
    data = text.encode("utf-8")
    above, _slash, last = name.rpartition("/")
    place = f"{folders[above]}/FILE{number}.;1"
    image.add_fp(io.BytesIO(data), len(data), place, rr_name=last, joliet_path="/" + name)


def mark_of(connection: Connection, volume: Any, path: str) -> Mark:
    """What a volume says of its content, by its name an ISO image or an Ignition config; nothing for any other."""
    if path.endswith(".iso"):
        found = _FOUND.search(_read(connection, volume, path, _DESCRIPTOR, _LENGTH))
        if found is None:
            return Mark()
        return Mark(found.group(1).decode(), (found.group(2) or b"").decode(), int(found.group(3) or 0))
    if path.endswith("-ignition.json"):
        data = _read(connection, volume, path, 0, _LARGEST)
        return Mark(hashlib.sha256(data).hexdigest()) if data else Mark()
    return Mark()


def _read(connection: Connection, volume: Any, path: str, offset: int, length: int) -> bytes:
    """Part of a volume, as much of it as there is; nothing where it cannot be read."""
    return (
        _read_local(path, offset, length) if connection.is_local else _read_stream(connection, volume, offset, length)
    )


def _read_local(path: str, offset: int, length: int) -> bytes:
    try:
        with open(path, "rb") as file:
            file.seek(offset)
            return file.read(length)
    except OSError:
        return b""


def _read_stream(connection: Connection, volume: Any, offset: int, length: int) -> bytes:
    stream = connection.open.newStream(0)
    try:
        volume.download(stream, offset, length, 0)
        parts = []
        while True:
            part = stream.recv(_LENGTH)
            if not isinstance(part, bytes) or not part:
                break
            parts.append(part)
        stream.finish()
    except libvirt.libvirtError:
        return b""
    return b"".join(parts)
