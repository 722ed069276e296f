# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What libvirt means by the documents of storage; each entry is a fact from its source or its own test documents."""

from __future__ import annotations

from .known import Key, Known, by_text

POOL_KEYS: dict[str, Key] = {"source/device": by_text("@path")}

POOL = Known(
    POOL_KEYS,
    types={
        "source/dir/@path": "path",
        "target/path": "path",
        **{f"source/adapter/parentaddr/address/@{name}": "int" for name in ("domain", "bus", "slot", "function")},
    },
    omitted={
        "refresh/volume/@allocation": "default",
        "source/adapter/@managed": "no",
        "target/permissions/owner": "-1",
        "target/permissions/group": "-1",
    },
    # Logical volumes are where their group is (storage_backend_logical.c).
    told=("capacity", "allocation", "available", "source/device/freeExtent", "self::*[@type='logical']/target/path"),
)
