# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hypervisors as the control node reaches them: URIs, a shared ssh connection, and the agents of their guests."""

from __future__ import annotations

import contextlib
import hashlib
import os
import queue
import re
import shlex
import sys
import threading
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, quote, urlsplit

from ansible_collections.kvmfleet.libvirt.plugins.module_utils.agent import Unreachable
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.host.agent import GuestAgent

try:
    import libvirt
except ImportError as error:
    libvirt = None
    LIBVIRT_ERROR: str | None = str(error)
else:
    LIBVIRT_ERROR = None


class MissingLibrary(Exception):
    """libvirt's Python bindings are missing on the control node. The message says for which interpreter."""


def require_libvirt() -> None:
    """Raise MissingLibrary when libvirt's Python bindings cannot be imported."""
    if libvirt is None:
        raise MissingLibrary(
            f"the Python library libvirt is missing on the control node for {sys.executable}: {LIBVIRT_ERROR}. Install "
            "libvirt-python there (packages python3-libvirt or python3-libvirt-python)"
        )


class Remote(NamedTuple):
    """Where a URI leads by ssh. command: the ssh program, empty for the usual one."""

    host: str
    user: str
    port: int | None
    keyfile: str
    command: str


def remote(uri: str) -> Remote | None:
    """Where a URI leads by ssh; None for a local one, and for other transports."""
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        return None  # No URI: libvirt says so when it is opened.
    if not parts.scheme.endswith("+ssh") or not parts.hostname:
        return None
    found = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    return Remote(parts.hostname, parts.username or "", port, found.get("keyfile", ""), found.get("command", ""))


def jump(uri: str) -> str | None:
    """The option for ssh that reaches a guest through its hypervisor; None where no ssh leads there."""
    to = remote(uri)
    if to is None:
        return None
    where = (f"{to.user}@" if to.user else "") + (f"[{to.host}]" if ":" in to.host else to.host)
    if not to.keyfile and not to.command:
        return "-o ProxyJump=" + shlex.quote(where + (f":{to.port}" if to.port else ""))
    words = [
        to.command or "ssh",
        *(["-i", to.keyfile] if to.keyfile else []),
        *(["-p", str(to.port)] if to.port else []),
    ]
    words += ["-W", "%h:%p", (f"{to.user}@" if to.user else "") + to.host]
    return "-o " + shlex.quote("ProxyCommand=" + " ".join(shlex.quote(word) for word in words))


def host_name(uri: str) -> str:
    """The host that a URI names, empty for a local one, and for what is no URI."""
    try:
        return urlsplit(uri).hostname or ""
    except ValueError:
        return ""


def shared(uri: str, persist: int, timeout: int, scripts: str, sockets: str) -> str:
    """The URI, with an ssh program of its own that keeps the connection to the hypervisor open for the next task.

    libvirt takes no options for ssh, but the name of the program. persist: in seconds. A URI that is not ssh's, or that
    names a program already, is returned as it is. scripts, sockets: folders that only this user may write.
    """
    to = remote(uri)
    if to is None or to.command or persist <= 0:
        return uri
    words = ["ssh", "-o", "ControlMaster=auto", "-o", f"ControlPersist={persist}s", "-o", f"ConnectTimeout={timeout}"]
    words += ["-o", f"ControlPath={sockets}/kvmfleet-%C"]
    text = "#!/bin/sh\nexec " + " ".join(shlex.quote(word) for word in words) + ' "$@"\n'
    path = Path(scripts, "kvmfleet-ssh-" + hashlib.sha256(text.encode()).hexdigest()[:12])
    if not path.exists():
        Path(sockets).mkdir(mode=0o700, parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.{os.getpid()}")
        part.write_text(text, encoding="utf-8")
        part.chmod(0o700)
        part.replace(path)
    return uri + ("&" if urlsplit(uri).query else "?") + "command=" + quote(str(path))


class Guest(GuestAgent):
    """The agent of a guest on a connection of its own."""

    def __init__(self, opened: Any, domain: Any, timeout: int) -> None:
        super().__init__(domain, timeout)
        self._opened = opened

    def close(self) -> None:
        """Close the connection; nothing can go wrong that a user should hear of."""
        try:
            self._opened.close()
        except libvirt.libvirtError:
            return


def open_guest(uri: str, name: str, timeout: int) -> Guest:
    """A guest by its name or UUID. Raises MissingLibrary and Unreachable."""
    require_libvirt()
    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    _listen()
    opened = _opened(uri, timeout)
    try:
        # A hypervisor that went away, or a daemon that hangs, is noticed: without this, a call to it would wait for ever.
        with contextlib.suppress(libvirt.libvirtError):
            opened.setKeepAlive(max(1, timeout // 2), 2)
        is_uuid = re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", name)
        domain = (opened.lookupByUUIDString if is_uuid else opened.lookupByName)(name)
    except libvirt.libvirtError as error:
        opened.close()
        raise Unreachable(str(error.get_error_message() or error)) from error
    return Guest(opened, domain, timeout)


def _opened(uri: str, timeout: int) -> Any:
    """A connection. Raises Unreachable; a daemon that hangs would be waited for for ever, as nothing is kept alive yet."""
    found: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def begin() -> None:
        try:
            found.put(libvirt.open(uri))
        except libvirt.libvirtError as error:
            found.put(error)

    threading.Thread(target=begin, daemon=True).start()
    try:
        opened = found.get(timeout=timeout)
    except queue.Empty:
        raise Unreachable(f"libvirt did not answer within {timeout} s") from None
    if isinstance(opened, libvirt.libvirtError):
        raise Unreachable(str(opened.get_error_message() or opened)) from opened
    return opened


_LOOPS: list[int] = []


def _listen() -> None:
    """Let libvirt's own messages arrive, in this process. A process that was forked has no threads of its parent."""
    if os.getpid() in _LOOPS:
        return
    _LOOPS.append(os.getpid())
    libvirt.virEventRegisterDefaultImpl()
    threading.Thread(target=_deliver, name="libvirt-events", daemon=True).start()


def _deliver() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()
