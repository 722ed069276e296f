# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The source of module_utils, as the action plugin sends it to a host that has not got it yet."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from functools import cache
from pathlib import Path

from ansible.release import __version__

ROOT = Path(__file__).resolve().parent.parent / "module_utils"


@cache
def files() -> dict[str, bytes]:
    """The files below module_utils by their path there. The file beside this package's folders makes it one."""
    found = {path.relative_to(ROOT).as_posix(): path.read_bytes() for path in sorted(ROOT.rglob("*.py"))}
    found.setdefault("__init__.py", b"")
    return found


@cache
def digest() -> str:
    """What tells one version of the library from another: a digest of names and contents, and of the Ansible beside them."""
    whole = hashlib.sha256(__version__.encode())
    for name, content in files().items():
        whole.update(b"%s %d\n" % (name.encode(), len(content)))
        whole.update(content)
    return whole.hexdigest()


def archive() -> str:
    """The library as a zip archive in base64. Every package in it has an `__init__.py`, as zipimport wants it."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as out:
        for name, content in files().items():
            out.writestr(name, content)
    return base64.b64encode(made.getvalue()).decode()
