# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The QEMU guest agent, as libvirt reaches it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from ..agent import Forbidden, Refused, Unreachable
from ..plan.current import CHANNEL, STATES

# Not by way of the connection, which needs lxml: on the control node, each task in a guest would load it.
try:
    import libvirt
    import libvirt_qemu
except ImportError:
    libvirt = libvirt_qemu = None

# What the agent says of a command that its configuration forbids (QEMU 5 and later), or that it does not know.
_FORBIDDEN = re.compile(r"has been disabled|not allowed|has not been found|CommandNotFound", re.IGNORECASE)


# A state and its reason: QEMU pauses a guest whose disk cannot be written, as where its file system is full.
_IO_ERROR = (3, 5)


class GuestAgent:
    """The agent of a guest. ask() is what its commands go through. timeout: seconds that an answer may take."""

    def __init__(self, domain: Any, timeout: int) -> None:
        self.timeout = timeout
        self._domain = domain

    def ask(self, command: str, arguments: Mapping[str, Any]) -> Any:
        """What the agent returns for a command. Raises Refused and Unreachable."""
        question = json.dumps({"execute": command, "arguments": arguments} if arguments else {"execute": command})
        try:
            answer = libvirt_qemu.qemuAgentCommand(self._domain, question, self.timeout, 0)
        except libvirt.libvirtError as error:
            message = str(error.get_error_message() or error)
            # "unable to execute QEMU agent command 'guest-exec': …", in the language of the daemon.
            _before, quoted, told = message.partition(f"'{command}'")
            if not quoted:
                raise Unreachable(self.reason(message)) from error
            if _FORBIDDEN.search(message):
                raise Forbidden(forbidden(command, message)) from error
            raise Refused(quoted + told) from error
        return json.loads(answer)["return"]

    def addresses(self) -> list[tuple[str, str]]:
        """MAC and IP addresses, in the guest's order, loopback and all. Raises Refused and Unreachable.

        virDomainInterfaceAddresses asks the same, but waits for an agent that hangs until the guest goes off, and takes one of the
        daemon's workers with it.
        """
        told = self.ask("guest-network-get-interfaces", {})
        return [
            (str(item.get("hardware-address", "")).lower(), str(part.get("ip-address", "")))
            for item in told
            for part in item.get("ip-addresses") or ()
        ]

    def reason(self, message: str) -> str:
        """Why the agent cannot be asked, in words that say what to do. message: libvirt's own."""
        try:
            halted = halted_by(self._domain)
            text = self._domain.XMLDesc(0)
        except libvirt.libvirtError:
            return message
        if halted:
            return halted
        channel = _channel(text)
        if channel is None:
            return f"it has no channel {CHANNEL} for its agent"
        if "state='connected'" not in channel:
            return "its agent is not connected; is qemu-guest-agent installed and running in the guest?"
        return "its agent does not answer" + (f" ({message})" if message else "")


def halted_by(domain: Any) -> str | None:
    """That a guest does not run, in words for a user; None while it does."""
    number, reason = domain.state()
    state = STATES.get(number, "stopped")
    if state == "running":
        return None
    cause = " after an I/O error of a disk" if (number, reason) == _IO_ERROR else ""
    return f"it is {state}{cause}, not running"


def has_channel(domain: Any) -> bool:
    """Whether a running guest has a channel for its agent."""
    return _channel(domain.XMLDesc(0)) is not None


def is_connected(domain: Any) -> bool:
    """Whether the guest opened its end of the agent's channel: asking one that did not costs a time-out."""
    if libvirt_qemu is None:
        return False
    channel = _channel(domain.XMLDesc(0))
    return channel is not None and "state='connected'" in channel


def _channel(text: str) -> str | None:
    found = re.search(rf"<target [^>]*name='{re.escape(CHANNEL)}'[^>]*>", text)
    return found.group() if found else None


def forbidden(command: str, message: str) -> str:
    """What to tell a user whose guest's agent does not carry out a command."""
    return (
        f"its agent does not allow {command}: {message.partition(': ')[2] or message}. Some distributions forbid it in the "
        "agent's own configuration: --block-rpcs, --blacklist or --allow-rpcs in /etc/sysconfig/qemu-ga or in qemu-ga.conf"
    )
