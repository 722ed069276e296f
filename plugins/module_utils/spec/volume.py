# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Storage volumes: the fields of https://libvirt.org/formatstorage.html#storage-volume-xml, and where content comes from."""

from __future__ import annotations

from .field import Kind
from .table import rows

FIELDS = rows("""
- name  name  name  create required
    Name of the volume; with its pool it identifies the volume.
- pool  name  -  create default=default
    Pool of the volume.
- format  text  target/format/@type  create
    Format of the volume. A new one gets V(raw) when its name ends in C(.raw), C(.img) or C(.iso), else V(qcow2);
    one with O(source) is what its content is.
- size  size  capacity  live alias=capacity
    Virtual size, with unit (V(20 GiB)). A smaller volume is grown; a larger one is refused.
- allocation  size  allocation  create
    Space to allocate at once, with unit.
- source  dict  -  create
    Content for a new volume.
    - url  line  -  create
        Where the content is fetched from (http, https or file), by the machine that the module runs on.
    - checksum  line  -  create
        Checksum of the content as V(algorithm:hex), for example V(sha256:...). It is verified before the volume
        takes its name.
    - file  path  -  create
        A file, on the machine that the module runs on, whose content is copied.
- clone  name  -  create
    Name of a volume of the same pool that is copied.
- backing  name  -  create
    Name of a volume that this one is an overlay on. The backing volume is never written to.
- backing_pool  name  -  create
    Pool of O(backing); O(pool) when left out.
- xml  text  -  create
    libvirt's own volume XML for a new volume; typed fields win over it.
- state  text  -  live =present|absent default=present
    V(absent) deletes the volume and its data, and refuses while a guest or another volume uses it.
""")

VOLUME = Kind("volume", "volumes", "volume", "storagevol.rng", FIELDS)
