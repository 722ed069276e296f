# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""cloud-init seeds: an ISO image whose bytes depend on its content alone, and which says what is in it."""

from __future__ import annotations

import io
import re
import threading
import time
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from .connection import Connection, MissingLibrary, libvirt, missing

# The application use field of the primary volume descriptor (ECMA-119 8.4.32) holds the digest of the files.
_DESCRIPTOR, _LENGTH = 16 * 2048, 2048
_MARK = "kvmfleet seed sha256:"
_FOUND = re.compile(_MARK.encode() + b"([0-9a-f]{64})")

# pycdlib stamps entries with the present; a clock that stands still makes the same bytes of the same files.
_CLOCK = SimpleNamespace(time=lambda: 1.0, localtime=time.gmtime, gmtime=time.gmtime, strftime=time.strftime)
_LOCK = threading.Lock()


def build_seed(files: Mapping[str, str], digest: str) -> bytes:
    """A NoCloud seed (volume label CIDATA, with Rock Ridge and Joliet names) of these files.

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
            image = pycdlib.PyCdlib()
            image.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident="cidata", app_use=_MARK + digest)
            for number, name in enumerate(sorted(files)):
                _add(image, number, name, files[name])
            target = io.BytesIO()
            image.write_fp(target)
            image.close()
        finally:
            for module, clock in zip(clocked, clocks):
                module.time = clock
    return target.getvalue()


def _add(image: Any, number: int, name: str, text: str) -> None:
    data = text.encode("utf-8")
    image.add_fp(io.BytesIO(data), len(data), f"/FILE{number}.;1", rr_name=name, joliet_path="/" + name)


def digest_of_seed(connection: Connection, volume: Any, path: str) -> str | None:
    """The digest that a seed carries, None when it is not one of ours or cannot be read."""
    descriptor = _read_local(path) if connection.is_local else _read_stream(connection, volume)
    found = _FOUND.search(descriptor)
    return found.group(1).decode() if found else None


def _read_local(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            file.seek(_DESCRIPTOR)
            return file.read(_LENGTH)
    except OSError:
        return b""


def _read_stream(connection: Connection, volume: Any) -> bytes:
    stream = connection.open.newStream(0)
    try:
        volume.download(stream, _DESCRIPTOR, _LENGTH, 0)
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
