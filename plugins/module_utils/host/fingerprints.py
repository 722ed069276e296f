# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fingerprints of raw XML, taken when libvirt has made a definition of it."""

from __future__ import annotations

from .. import tree
from ..plan import ownership
from ..plan.rules import for_kind
from ..spec.kinds import KIND


def fingerprinted(kind: str, xml: str, raw: str) -> tuple[tree.Element, ownership.Owned]:
    """A definition as libvirt made it, and the ownership that says which raw XML it came from."""
    root = tree.parse(xml)
    definition = ownership.fingerprint(root, for_kind(KIND[kind]))
    return root, ownership.read(root)._replace(declared=raw, definition=definition)
