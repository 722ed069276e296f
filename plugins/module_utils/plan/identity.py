# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Identities that a user leaves out: the same on every run, different on two hosts, known before creation."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Container

_NAMESPACE = uuid.UUID("6f1d5d0a-8d0f-5c5e-9b57-6b766d666c65")


def derived_uuid(host: str, kind: str, name: str) -> str:
    """UUID (version 5) of an object of this host."""
    return str(uuid.uuid5(_NAMESPACE, "\n".join((host, kind, name))))


def derived_mac(host: str, guest: str, interface: str, taken: Container[str] = ()) -> str:
    """MAC address of a guest's interface: locally administered and unicast (52:54), 32 bits of digest.

    QEMU's own 52:54:00 leaves 24 bits, which is too few for a few thousand interfaces on one LAN.
    """
    salt = 0
    while True:
        digest = hashlib.sha256("\n".join((host, guest, interface, str(salt))).encode()).hexdigest()
        mac = "52:54:" + ":".join(digest[place : place + 2] for place in range(0, 8, 2))
        if mac not in taken:
            return mac
        salt += 1
