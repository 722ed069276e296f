#!/usr/bin/python
# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: snapshot
short_description: Make, delete or go back to a snapshot of a guest
version_added: "0.1.0"
description:
  - Makes a snapshot of a guest when there is none of its name, deletes it, or puts the guest back to it; check mode predicts exactly what a
    run does.
  - What loses data needs a word of its own, O(discard) or O(children), and is refused without it.
  - libvirt before 9.9 cannot go back to external snapshots; that is refused before anything is done.
author:
  - kvmfleet contributors (@kvmfleet)
requirements:
  - python >= 3.9
  - libvirt-python (python3-libvirt)
  - lxml (python3-lxml)
extends_documentation_fragment:
  - kvmfleet.libvirt.results
  - kvmfleet.libvirt.snapshot
"""

EXAMPLES = r"""
- name: Memory and disks, before an upgrade
  kvmfleet.libvirt.snapshot:
    domain: web1
    name: before-upgrade
    description: Debian 12, as it ran

- name: Back to it, whatever happened since
  kvmfleet.libvirt.snapshot:
    domain: web1
    name: before-upgrade
    state: reverted
    discard: true

- name: Disks alone, with the guest's file systems at rest
  kvmfleet.libvirt.snapshot:
    domain: db1
    name: nightly
    disk_only: true
    quiesce: true

- name: The guest's data stays, the snapshot goes
  kvmfleet.libvirt.snapshot:
    domain: web1
    name: before-upgrade
    state: absent
"""

RETURN = r"""
msg: {description: One sentence about what happened., returned: always, type: str, sample: "1 of 1 snapshots changed"}
objects:
  {description: "The snapshot, as M(kvmfleet.libvirt.stack) returns it.", returned: success, type: list, elements: dict, sample:
    [{kind: snapshot, name: web1/before-upgrade, changed: true, state: present,
      changes: [{path: state, before: absent, after: present, effect: create}]}]}
problems:
  {description: All that is wrong with the declaration., returned: when nothing was done for it, type: list, elements: str, sample:
    ["snapshot web1/before-upgrade: the guest is neither there nor declared"]}
errors: {description: What failed., returned: when a step failed, type: list, elements: str, sample: []}
"""

from ansible_collections.kvmfleet.libvirt.plugins.module_utils.entry import run


def main() -> None:
    run("snapshot")


if __name__ == "__main__":
    main()
