# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Storage volumes: the fields of https://libvirt.org/formatstorage.html#storage-volume-xml, and where content comes from."""

from __future__ import annotations

from .field import Field, Kind

STATES = ("present", "absent")

SOURCE = (
    Field(
        "url",
        "line",
        effect="create",
        doc="Where the content is fetched from (http, https or file), by the machine that the module runs on.",
    ),
    Field(
        "checksum",
        "line",
        effect="create",
        doc="Checksum of the content as V(algorithm:hex), for example V(sha256:...). It is verified before the volume takes its name.",
    ),
    Field(
        "file",
        "path",
        effect="create",
        doc="A file, on the machine that the module runs on, whose content is copied.",
    ),
)

VOLUME = Kind(
    "volume",
    "volumes",
    "volume",
    "storagevol.rng",
    (
        Field(
            "name",
            "name",
            "name",
            required=True,
            effect="create",
            doc="Name of the volume; with its pool it identifies the volume.",
        ),
        Field("pool", "name", effect="create", default="default", doc="Pool of the volume."),
        Field(
            "format",
            path="target/format/@type",
            effect="create",
            doc="Format of the volume. A new one gets V(raw) when its name ends in C(.raw), C(.img) or C(.iso), else V(qcow2); "
            "one with O(source) is what its content is.",
        ),
        Field(
            "size",
            "size",
            "capacity",
            effect="live",
            aliases=("capacity",),
            doc="Virtual size, with unit (V(20 GiB)). A smaller volume is grown; a larger one is refused.",
        ),
        Field("allocation", "size", "allocation", effect="create", doc="Space to allocate at once, with unit."),
        Field("source", "dict", effect="create", fields=SOURCE, doc="Content for a new volume."),
        Field("clone", "name", effect="create", doc="Name of a volume of the same pool that is copied."),
        Field(
            "backing",
            "name",
            effect="create",
            doc="Name of a volume that this one is an overlay on. The backing volume is never written to.",
        ),
        Field("backing_pool", "name", effect="create", doc="Pool of O(backing); O(pool) when left out."),
        Field(
            "xml",
            "text",
            effect="create",
            doc="libvirt's own volume XML for a new volume; typed fields win over it.",
        ),
        Field(
            "state",
            effect="live",
            choices=STATES,
            default="present",
            doc="V(absent) deletes the volume and its data, and refuses while a guest or another volume uses it.",
        ),
    ),
)
