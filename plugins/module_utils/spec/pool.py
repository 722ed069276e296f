# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Storage pools: the fields of https://libvirt.org/formatstorage.html, by libvirt's element names."""

from __future__ import annotations

from .field import Kind
from .table import rows

FIELDS = rows("""
- name  name  name  create required
    Name of the pool; it identifies the pool.
- uuid  uuid  uuid  create
    UUID. Left out, a new pool's is derived from the host and the name.
- type  text  @type  create =dir
    Kind of storage. Others than V(dir) are described by O(xml).
- path  path  target/path
    Directory of the pool on the host.
- permissions  dict  target/permissions  create
    Permissions the directory is made with.
    - mode  line  mode  create
        Mode of the directory in octal, as a string: V('0711').
    - owner  int  owner  create
        Numeric user id of the directory's owner.
    - group  int  group  create
        Numeric group id of the directory's group.
- xml  text  -
    libvirt's own pool XML. Its elements count as declared; typed fields win over it.
- autostart  bool  -  live
    Whether the pool starts with the host.
- state  text  -  live =present|active|inactive|absent default=present
    V(present) defines the pool and leaves it active or inactive as it is. V(active) also makes its directory when
    that is missing. V(absent) removes the definition; the data stays.
""")

POOL = Kind("pool", "pools", "pool", "storagepool.rng", FIELDS)
