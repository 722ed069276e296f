# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One connection to libvirt for one task, and libvirt's errors in words that help."""

from __future__ import annotations

import locale
import os
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Callable

from .. import tree
from .language import says

try:
    import libvirt
except ImportError:
    libvirt = None
    LIBVIRT_ERROR: str | None = traceback.format_exc()
else:
    LIBVIRT_ERROR = None

# What usually helps, by libvirt's error code (https://libvirt.org/html/libvirt-virterror.html).
HINTS = {
    "VIR_ERR_NO_CONNECT": "is the libvirt daemon running on this host, and is the uri right?",
    "VIR_ERR_SYSTEM_ERROR": "is the libvirt daemon running on this host?",
    "VIR_ERR_AUTH_FAILED": "may this user speak to libvirt? Membership of the group libvirt, or become, gives that",
    "VIR_ERR_AUTH_UNAVAILABLE": "may this user speak to libvirt? Membership of the group libvirt, or become, gives that",
    "VIR_ERR_ACCESS_DENIED": "may this user do that? Membership of the group libvirt, or become, gives that",
    "VIR_ERR_NO_SUPPORT": "this driver or release of libvirt cannot do that",
    "VIR_ERR_XML_DETAIL": "the XML is not what libvirt expects at the place that its message names",
    "VIR_ERR_XML_ERROR": "the XML is not what libvirt expects at the place that its message names",
}
OVERTAKEN_HINT = "somebody else, such as another run, is changing it at the same time; run again when that has ended"
# What libvirt says when a job of somebody else's is in the way (virdomainjob.c; qemuDomainDiskBlockJobIsActive and
# qemuDomainHasBlockjob; virStoragePoolObjGetAsyncjobs): the codes alone mean other things as well.
_BUSY_HINT = "another job, such as a backup or a migration, is at work there; run again when it has ended"
_PASSING = {
    "asynchronous jobs running": _BUSY_HINT,
    "active block job": _BUSY_HINT,
    "is starting up": _BUSY_HINT,
    # QEMU's own words.
    "is in use by block job": _BUSY_HINT,
    # QEMU times a derivation of keys to choose its rounds (crypto/pbkdf.c).
    "Unable to get accurate CPU usage": "the host was too busy for QEMU to measure how fast it is; run again when it is less so",
}


class HypervisorError(Exception):
    """A call to libvirt failed. The message names the object, the URI, libvirt's code and what may help."""

    def __init__(self, what: str, uri: str, error: Any) -> None:
        self.code = code_name(error.get_error_code())
        self.object = what
        self.uri = uri
        # What it repeats of a command has a line of its own.
        reason = " ".join(str(error.get_error_message() or error).split())
        # A guest that does not let go of a virtual processor has the code of one that is held by a job.
        held = self.code == "VIR_ERR_OPERATION_TIMEOUT" and not says(self.code, reason, "unplug")
        hints = (hint for words, hint in _PASSING.items() if says(self.code, reason, words))
        passing = next(hints, _BUSY_HINT if held else None)
        self.is_passing = passing is not None
        self.reason = reason
        # A full disk is a system error as well.
        is_elsewhere = self.code == "VIR_ERR_SYSTEM_ERROR" and "onnect" not in reason
        hint = passing or (None if is_elsewhere else HINTS.get(self.code))
        super().__init__("{}: {} [{}, {}]{}".format(what, reason, self.code, uri, "; " + hint if hint else ""))


class Overtaken(Exception):
    """What is there is no longer what was planned for: somebody else was there first. The message says what it is."""


class MissingLibrary(Exception):
    """A Python library that this host needs is not there. The message names the package and the interpreter."""


_CODES: dict[int, str] = {}


def code_name(code: int | None) -> str:
    """The name of a libvirt error code: 42 → VIR_ERR_NO_DOMAIN."""
    if not _CODES:
        for name in dir(libvirt):
            if name.startswith("VIR_ERR_") and isinstance(getattr(libvirt, name), int):
                _CODES.setdefault(getattr(libvirt, name), name)
    return _CODES.get(code or 0, f"code {code}")


def require_libraries() -> None:
    """Raise MissingLibrary if libvirt's Python bindings or lxml cannot be imported."""
    if tree.LXML_ERROR is not None:
        raise MissingLibrary(missing("lxml", "python3-lxml", tree.LXML_ERROR))
    if libvirt is None:
        last = (LIBVIRT_ERROR or "").strip().splitlines()[-1]
        raise MissingLibrary(
            missing("libvirt", "python3-libvirt (Debian, Fedora, RHEL), python3-libvirt-python (openSUSE)", last)
        )


def missing(library: str, package: str, reason: str) -> str:
    """What to tell a user whose host lacks a Python library."""
    return (
        f"the Python library {library} is missing on this host for the interpreter {sys.executable}: {reason}. Install the package {package}, which the role "
        "kvmfleet.libvirt.kvm_host does, or set ansible_python_interpreter to an interpreter that has it"
    )


def with_flag(call: Callable[[int], Any], flag: int) -> Any:
    """Call with a flag, or without any where the driver knows none: the test driver refuses some that it could ignore."""
    try:
        return call(flag)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_INVALID_ARG:
            raise
        return call(0)


def session_folder(uri: str, folder: str | None, user: int, folders: str = "/run/user") -> str | None:
    """The folder by which a user's own daemon is found, where XDG_RUNTIME_DIR does not name it; else None.

    become and cron leave it unset, or have it name another user's. libvirt would start a second daemon then, elsewhere,
    which knows none of the user's guests.
    """
    if not (is_local(uri) and uri.partition("?")[0].endswith("/session")):
        return None
    own = os.path.join(folders, str(user))
    strays = not folder or not os.path.isdir(folder) or os.stat(folder).st_uid != user
    return own if strays and os.path.isdir(own) else None


def is_local(uri: str) -> bool:
    """Whether the hypervisor's files are this machine's files."""
    return "://" not in uri or uri.partition("://")[2].startswith("/")


_LOOPING = threading.Lock()


class Connection:
    """An open connection. open: the libvirt connection; uri: what it was opened with."""

    # libvirt has one loop for the events of all connections.
    _loop: threading.Thread | None = None

    def __init__(self, uri: str) -> None:
        require_libraries()
        self.uri = uri
        # Ansible takes over the language of whoever logs in, and libvirt's words are compared.
        locale.setlocale(locale.LC_MESSAGES, "C")
        libvirt.registerErrorHandler(lambda _context, _error: None, None)
        libvirt.virEventRegisterDefaultImpl()
        folder = session_folder(uri, os.environ.get("XDG_RUNTIME_DIR"), os.geteuid())
        if folder:
            os.environ["XDG_RUNTIME_DIR"] = folder
        with self.speaking_of("connect to the hypervisor"):
            self.open = libvirt.open(uri)

    @contextmanager
    def speaking_of(self, what: str) -> Iterator[None]:
        """Turn libvirt's errors in this block into a HypervisorError about this object or act."""
        try:
            yield
        except libvirt.libvirtError as error:
            raise HypervisorError(what, self.uri, error) from error

    def listen(self) -> None:
        """Let events arrive from now on, on a thread that ends with the process."""
        with _LOOPING:
            if Connection._loop is None:
                Connection._loop = threading.Thread(target=_deliver, name="libvirt-events", daemon=True)
                Connection._loop.start()

    @property
    def is_local(self) -> bool:
        """Whether the hypervisor's files are this machine's files."""
        return is_local(self.uri)

    def close(self) -> None:
        """Close the connection; nothing can go wrong that a user should hear of."""
        try:
            self.open.close()
        except libvirt.libvirtError:
            return


def _deliver() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()
