# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compiles the library of the modules and keeps it on a host, so that it is sent and compiled once and not in each task.

It is one archive a version and a Python, in the cache of the account that the module runs as; the module `library` says
where, and loads it. The archive's comment is the digest of all that stands before it.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import io
import marshal
import os
import re
import stat
import sys
import tempfile
import time
import zipfile
from collections.abc import Mapping

from ansible.module_utils.basic import AnsibleModule

# The package that the archive holds: our module_utils under a name that no archive of Ansible's has.
PACKAGE = "kvmfleet_libvirt"

# Archives that no run has used for so long are cleared away.
FORGOTTEN_DAYS = 30

# Hexadecimal digits of the digest at an archive's end.
_DIGITS = 64


class Refused(Exception):
    """The library cannot be kept here: somebody else's folder, a full disk. The message says which."""


def answer_request() -> None:
    """Keep the library that is sent, or say that it is "refused", with the reason."""
    spec = {"path": {"type": "path", "required": True}, "source": {"type": "str", "required": True}}
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    try:
        keep(module.params["path"], base64.b64decode(module.params["source"]), _of_ansible())
    except Refused as refused:
        module.exit_json(library="refused", msg=str(refused), invocation={})
    module.exit_json(library="kept", invocation={})


def _of_ansible() -> dict[str, bytes]:
    """Ansible's own files that a module needs: those that came with this one."""
    loader = getattr(sys.modules["ansible"].__spec__, "loader", None)
    if not hasattr(loader, "archive"):
        raise Refused("Ansible's part of it did not come in an archive")
    with zipfile.ZipFile(loader.archive) as files:
        return {name: files.read(name) for name in files.namelist() if re.fullmatch(r"ansible/.*\.py", name)}


def keep(path: str, source: bytes, others: Mapping[str, bytes]) -> None:
    """Compile a library's source and keep it at this path. source: a zip archive; others: further files, by name. Raises
    Refused.

    It takes its name when it is whole: a run that is killed leaves a file that the next one clears away.
    """
    where = os.path.dirname(path)
    try:
        os.makedirs(where, mode=0o700, exist_ok=True)
        about = os.stat(where)
        if about.st_uid != os.geteuid() or stat.S_IMODE(about.st_mode) & 0o022:
            raise Refused(f"{where} is not this account's alone")
        clear(where)
        fd, name = tempfile.mkstemp(prefix=".new-", dir=where)
        try:
            with open(fd, "wb") as file:
                file.write(compiled(source, others))
                file.flush()
                os.fsync(file.fileno())
            os.rename(name, path)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        raise Refused(f"{where}: {error.strerror}") from error


def compiled(source: bytes, others: Mapping[str, bytes]) -> bytes:
    """An archive of source files, and others, as an archive of what they compile to, with its digest as its comment."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(source)) as files, zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as archive:
        for name in files.namelist():
            # Without docstrings, which nobody reads there.
            _compile(archive, f"{PACKAGE}/{name}", files.read(name), 2)
        for name, text in others.items():
            _compile(archive, name, text, 0)
        archive.comment = bytes(_DIGITS)
    data = made.getvalue()[:-_DIGITS]
    return data + hashlib.sha256(data).hexdigest().encode()


def _compile(archive: zipfile.ZipFile, name: str, source: bytes, optimize: int) -> None:
    code = compile(source, name, "exec", dont_inherit=True, optimize=optimize)
    # Without a time, as there is no source to compare with.
    archive.writestr(zipfile.ZipInfo(name + "c"), importlib.util.MAGIC_NUMBER + bytes(12) + marshal.dumps(code))


def clear(where: str) -> None:
    """Take away the archives of other versions that no run has used for long, and of all else what is older than a day."""
    for name in os.listdir(where):
        path = os.path.join(where, name)
        try:
            age = time.time() - os.lstat(path).st_mtime
            days = FORGOTTEN_DAYS if name.endswith(".zip") else 1
            if age > days * 86400:
                os.unlink(path)
        except FileNotFoundError:
            # Another run finished its own, or cleared this away.
            continue
