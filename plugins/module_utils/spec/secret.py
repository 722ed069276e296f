# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets: the fields of https://libvirt.org/formatsecret.html, by libvirt's element names."""

from __future__ import annotations

from .field import Kind
from .table import rows

FIELDS = rows("""
- name  line  -  create required
    What the secret is for: with O(type=volume) the path of the volume, with O(type=iscsi) the name of the target, else a
    name. With O(type) it identifies the secret; with O(type=none) only its UUID does.
- type  text  -  create =none|volume|ceph|iscsi|tls|vtpm default=none
    Kind of use.
- uuid  uuid  uuid  create
    UUID. Left out, a new secret's is derived from the host, O(type) and O(name).
- description  text  description  live
    A description.
- ephemeral  yes_no  @ephemeral  live
    Whether the secret is only kept in memory, until libvirt's daemon ends.
- private  yes_no  @private  live
    Whether nobody can read the value back. libvirt refuses to take that back.
- value  text  -  live secret
    Value, as text. It is never shown.
- value_base64  line  -  live secret
    Value in base64, for one that is no text. It is never shown.
- set_value  text  -  live =if_needed|always default=if_needed
    V(if_needed) sets the value of a new secret, and of one whose value can be read and is another one. The value of a
    private secret cannot be compared, so an existing one keeps what it has. V(always) sets it on every run, each time
    as a change.
- state  text  -  live =present|absent default=present
    V(absent) removes the secret with its value, and refuses while a guest, a pool or an encrypted volume that stays needs it.
""")

SECRET = Kind("secret", "secrets", "secret", "secret.rng", FIELDS)
