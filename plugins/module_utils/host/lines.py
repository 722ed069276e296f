# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several connections to one hypervisor, for calls that take long and are made at the same time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from .connection import Connection, HypervisorError

# libvirt reads nothing of a client that has as many requests at work as it may (max_client_requests, 5), not even that it is
# alive, and hangs up on it after half a minute of that (keepalive_interval, keepalive_count in libvirtd.conf).
AT_ONCE = 4


class Lines:
    """Connections to one hypervisor, none of which has more than AT_ONCE users. The first is not closed with the others."""

    def __init__(self, first: Connection) -> None:
        self._users = {first: 0}
        self._first = first
        # libvirt's driver for tests has no daemon that could hang up, and may keep for each connection what is there.
        self._is_safe = first.uri.startswith("test:")
        self._may_open = not self._is_safe
        self._free = threading.Condition()

    @contextmanager
    def taken(self) -> Iterator[Connection]:
        """A connection for one thread, opened where the others have enough to do. Waits where none can be opened."""
        line = self._take()
        try:
            yield line
        finally:
            with self._free:
                self._users[line] -= 1
                self._free.notify()

    def close(self) -> None:
        """Close the connections that were opened."""
        for line in self._users:
            if line is not self._first:
                line.close()

    def _take(self) -> Connection:
        with self._free:
            while True:
                line = min(self._users, key=lambda one: self._users[one])
                if self._users[line] >= AT_ONCE and self._may_open:
                    line = self._opened() or line
                if self._users[line] < AT_ONCE or self._is_safe:
                    self._users[line] += 1
                    return line
                self._free.wait()

    def _opened(self) -> Connection | None:
        """One more connection, None where the hypervisor takes no more clients."""
        try:
            line = Connection(self._first.uri)
        except HypervisorError:
            self._may_open = False
            return None
        self._users[line] = 0
        return line
