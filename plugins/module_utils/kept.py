# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The library of the modules, compiled and kept on a host, so that it is sent and compiled once and not in each task.

It is one archive a version and a Python, in the cache of the account that the module runs as. Only what that account
wrote itself is loaded, and only whole: the archive's comment is the digest of all that stands before it.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import importlib.util
import io
import marshal
import os
import pwd
import stat
import sys
import tempfile
import time
import zipfile

# The package that the archive holds: our module_utils under a name that no archive of Ansible's has.
PACKAGE = "kvmfleet_libvirt"

# What the name of a file begins with in which a run tells what it is at.
PROGRESS = "progress-"

# Archives that no run has used for so long are cleared away.
FORGOTTEN_DAYS = 30

# Hexadecimal digits of the digest at an archive's end.
_DIGITS = 64


class Refused(Exception):
    """The library cannot be kept here: no home, somebody else's folder, a full disk. The message says which."""


def folder() -> str:
    """Where this account keeps its archives. sudo may leave another account's HOME: the account itself is asked."""
    try:
        home = pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError as error:
        raise Refused("the account has no home") from error
    return os.path.join(home, ".cache", "kvmfleet.libvirt")


def path_of(digest: str) -> str:
    """The archive of a library with this digest of its source, for this Python. Raises Refused."""
    return os.path.join(folder(), f"{digest}-{sys.implementation.cache_tag}.zip")


def is_kept(path: str) -> bool:
    """Whether there is a whole archive at this path that nobody else could have written."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    with open(fd, "rb") as archive:
        about = os.fstat(archive.fileno())
        if not _is_ours(about) or not _is_ours(os.stat(os.path.dirname(path))):
            return False
        data = archive.read()
    if _digest(data[:-_DIGITS]) != data[-_DIGITS:]:
        return False
    if time.time() - about.st_mtime > 86400:
        _touch(path)
    return True


def keep(path: str, source: str) -> None:
    """Compile a library's source and keep it at this path. source: a zip archive in base64. Raises Refused.

    It takes its name when it is whole: a run that is killed leaves a file that the next one clears away.
    """
    where = os.path.dirname(path)
    try:
        os.makedirs(where, mode=0o700, exist_ok=True)
        if not _is_ours(os.stat(where)):
            raise Refused(f"{where} is not this account's alone")
        _clear(where)
        fd, name = tempfile.mkstemp(prefix=".new-", dir=where)
        try:
            with open(fd, "wb") as file:
                file.write(compiled(base64.b64decode(source)))
                file.flush()
                os.fsync(file.fileno())
            os.rename(name, path)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        raise Refused(f"{where}: {error.strerror}") from error


def compiled(source: bytes) -> bytes:
    """An archive of source files as an archive of what they compile to, with its digest as its comment."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(source)) as files, zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as archive:
        for name in files.namelist():
            inside = f"{PACKAGE}/{name}"
            # Without docstrings, which nobody reads there; and without a time, as there is no source to compare with.
            code = compile(files.read(name), inside, "exec", dont_inherit=True, optimize=2)
            archive.writestr(
                zipfile.ZipInfo(inside + "c"), importlib.util.MAGIC_NUMBER + bytes(12) + marshal.dumps(code)
            )
        archive.comment = bytes(_DIGITS)
    data = made.getvalue()[:-_DIGITS]
    return data + _digest(data)


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).hexdigest().encode()


def _is_ours(about: os.stat_result) -> bool:
    """Whether a file or folder is this account's and nobody else may write to it."""
    return about.st_uid == os.geteuid() and not stat.S_IMODE(about.st_mode) & 0o022


def _touch(path: str) -> None:
    with contextlib.suppress(OSError):
        os.utime(path)


def _clear(where: str) -> None:
    """Take away the archives of other versions that no run has used for long, and what killed runs left."""
    for name in os.listdir(where):
        path = os.path.join(where, name)
        try:
            age = time.time() - os.lstat(path).st_mtime
            days = 1 if name.startswith((".new-", PROGRESS)) else FORGOTTEN_DAYS
            if age > days * 86400:
                os.unlink(path)
        except FileNotFoundError:
            # Another run finished its own, or cleared this away.
            continue
