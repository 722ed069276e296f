# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Storage pools: the fields of https://libvirt.org/formatstorage.html, by libvirt's element names."""

from __future__ import annotations

from .field import Field, Kind

STATES = ("present", "active", "inactive", "absent")

POOL = Kind(
    "pool",
    "pools",
    "pool",
    "storagepool.rng",
    (
        Field(
            "name",
            "name",
            "name",
            required=True,
            effect="create",
            doc="Name of the pool; it identifies the pool.",
        ),
        Field(
            "uuid",
            "uuid",
            "uuid",
            effect="create",
            doc="UUID. Left out, a new pool's is derived from the host and the name.",
        ),
        Field(
            "type",
            path="@type",
            effect="create",
            doc="Kind of storage. Others than V(dir) are described by O(xml).",
            choices=("dir",),
        ),
        Field("path", "path", "target/path", doc="Directory of the pool on the host."),
        Field(
            "permissions",
            "dict",
            "target/permissions",
            effect="create",
            fields=(
                Field(
                    "mode",
                    "line",
                    "mode",
                    effect="create",
                    doc="Mode of the directory in octal, as a string: V('0711').",
                ),
                Field("owner", "int", "owner", effect="create", doc="Numeric user id of the directory's owner."),
                Field("group", "int", "group", effect="create", doc="Numeric group id of the directory's group."),
            ),
            doc="Permissions the directory is made with.",
        ),
        Field(
            "xml",
            "text",
            doc="libvirt's own pool XML. Its elements count as declared; typed fields win over it.",
        ),
        Field("autostart", "bool", effect="live", doc="Whether the pool starts with the host."),
        Field(
            "state",
            effect="live",
            choices=STATES,
            default="present",
            doc="V(present) defines the pool and leaves it active or inactive as it is. V(active) also makes its directory "
            "when that is missing. V(absent) removes the definition; the data stays.",
        ),
    ),
)
