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
changed:
  description: Whether anything was done, or would be done in check mode.
  returned: always
  type: bool
  sample: true
msg:
  description: One sentence about what happened.
  returned: always
  type: str
  sample: "2 of 40 guests changed; web1 waits for a restart: cpu.mode"
objects:
  description: What happened to each object, those included that a declaration implies.
  returned: success
  type: list
  elements: dict
  contains:
    kind: {description: Kind of the object., type: str, returned: always, sample: domain}
    name: {description: "Its name; a volume's is C(pool/volume).", type: str, returned: always, sample: web1}
    changed: {description: Whether it was changed., type: bool, returned: always, sample: true}
    state: {description: Its state afterwards., type: str, returned: always, sample: running}
    changes:
      description: Each difference with C(path), C(before), C(after) and C(effect).
      type: list
      elements: dict
      returned: always
      sample: [{path: memory, before: 1 GiB, after: 2 GiB, effect: restart}]
    pending:
      description: Differences that wait for a restart of the guest.
      type: list
      elements: dict
      returned: always
      sample: []
    restart_required: {description: Whether something waits for a restart., type: bool, returned: always, sample: false}
    undeclared:
      description: What somebody else put into a list that is declared; it is left alone.
      type: list
      elements: str
      returned: always
      sample: ["disks[vdb]"]
    uuid: {description: UUID of a domain., type: str, returned: for domains, sample: 7b8d3c0e-7d3f-5f0a-9a43-0d6c1d0f6f11}
    addresses:
      description: Known IP addresses of a running domain.
      type: list
      elements: str
      returned: for domains
      sample: [192.168.122.10]
problems:
  description: Everything that is wrong with the declaration; nothing was changed then.
  returned: when the declaration cannot be carried out
  type: list
  elements: str
  sample: ["domain web1: memory: 'lots' is not a size"]
errors:
  description: What failed while the plan was carried out.
  returned: when a step failed
  type: list
  elements: str
  sample: []
"""

from ansible_collections.kvmfleet.libvirt.plugins.module_utils.entry import run


def main() -> None:
    run("snapshot")


if __name__ == "__main__":
    main()
