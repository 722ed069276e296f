# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots of guests: the fields of https://libvirt.org/formatsnapshot.html, and what is done with one."""

from __future__ import annotations

from .field import Kind
from .table import rows

FIELDS = rows("""
- name  name  name  create required
    Name of the snapshot; with its guest it identifies the snapshot.
- domain  name  -  create required
    Name of the guest.
- description  text  description  create
    Description, for people.
- type  text  -  create =internal|external
    V(internal) keeps the snapshot inside the guest's qcow2 files. V(external) leaves the files as they are, and has the guest write to
    overlays on them. A new one is internal when left out, or external with O(disk_only) of a guest that runs.
- disk_only  bool  -  create
    Whether the memory of a running guest is left out. Such a snapshot is what a disk holds after a loss of power, unless O(quiesce).
- quiesce  bool  -  live
    Whether the guest agent freezes the guest's file systems for the moment. It needs O(disk_only) and a running agent.
- disks  words  -  create
    Targets of the disks to take in (V(vda)). All that the guest can write to when left out.
- directory  path  -  create
    Directory of the host for what an external snapshot makes: overlays and memory. Left out, each is beside its disk.
- discard  bool  -  live
    Whether what the guest has done since the snapshot may be lost. O(state=reverted) is refused without it.
- power  text  -  live =as_saved|running|paused
    What a guest is after O(state=reverted). Left out, it is what it was when the snapshot was made.
- children  bool  -  live
    Whether O(state=absent) also deletes the snapshots that were made after this one on its branch. They stay when left out.
- state  text  -  live =present|absent|reverted default=present
    V(present) makes the snapshot when there is none of this name. V(absent) deletes it, and keeps the guest's present data. V(reverted) puts
    the guest back to it, each time that it is asked.
""")

SNAPSHOT = Kind("snapshot", "snapshots", "domainsnapshot", "domainsnapshot.rng", FIELDS)
