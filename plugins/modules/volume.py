#!/usr/bin/python
# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: volume
short_description: Declare a libvirt storage volume
version_added: "0.1.0"
description:
  - Declares a libvirt storage volume, idempotently; check mode predicts exactly what a run does.
  - Data is never overwritten but by O(state=wiped), and shrunk only with O(allow_shrink). A volume is deleted only by O(state=absent). Both refuse
    as long as something uses it.
  - Through a remote O(uri), content goes through libvirt's streams. What needs the file itself is not done there; whether
    the content still has its O(source.checksum) is not looked at, and O(permissions) of a volume that is there are told as pending.
author:
  - kvmfleet contributors (@kvmfleet)
requirements:
  - python >= 3.9
  - libvirt-python (python3-libvirt)
  - lxml (python3-lxml)
extends_documentation_fragment:
  - kvmfleet.libvirt.results
  - kvmfleet.libvirt.volume
"""

EXAMPLES = r"""
- name: An image, fetched once and verified
  kvmfleet.libvirt.volume:
    name: debian-12.qcow2
    pool: default
    source:
      url: https://images.example.org/debian-12.qcow2
      checksum: sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef

- name: An overlay on it, grown to 20 GiB
  kvmfleet.libvirt.volume:
    name: web1.qcow2
    pool: default
    backing: debian-12.qcow2
    size: 20 GiB

- name: Answers for an installer, in an image that it finds by its label
  kvmfleet.libvirt.volume:
    name: answers.iso
    iso:
      label: OEMDRV
      files:
        ks.cfg: "{{ lookup('ansible.builtin.template', 'ks.cfg.j2') }}"

- name: An empty volume in place of a former guest's
  kvmfleet.libvirt.volume:
    name: scratch.qcow2
    state: wiped
"""

RETURN = r"""
msg: {description: One sentence about what happened., returned: always, type: str, sample: "1 of 1 volumes changed"}
objects:
  {description: "The volume, as M(kvmfleet.libvirt.stack) returns it.", returned: success, type: list, elements: dict, sample:
    [{kind: volume, name: default/data.qcow2, changed: true, state: present,
      changes: [{path: size, before: 10 GiB, after: 20 GiB, effect: live}]}]}
problems:
  {description: All that is wrong with the declaration., returned: when nothing was done for it, type: list, elements: str, sample:
    ["volume default/data.qcow2: size: 5 GiB is less than the 10 GiB it has; a volume is shrunk only with allow_shrink"]}
errors: {description: What failed., returned: when a step failed, type: list, elements: str, sample: []}
"""

from ansible_collections.kvmfleet.libvirt.plugins.module_utils.entry import run


def main() -> None:
    run("volume")


if __name__ == "__main__":
    main()
