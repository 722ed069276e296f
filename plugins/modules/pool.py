#!/usr/bin/python
# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pool
short_description: Declare a libvirt storage pool
version_added: "0.1.0"
description:
  - Declares a libvirt storage pool, idempotently; check mode predicts exactly what a run does.
  - The data in a pool is touched only by O(remove_storage).
author:
  - kvmfleet contributors (@kvmfleet)
requirements:
  - python >= 3.9
  - libvirt-python (python3-libvirt)
  - lxml (python3-lxml)
extends_documentation_fragment:
  - kvmfleet.libvirt.results
  - kvmfleet.libvirt.pool
"""

EXAMPLES = r"""
- name: A pool of files in a directory
  kvmfleet.libvirt.pool:
    name: default
    type: dir
    path: /var/lib/libvirt/images
    state: active
    autostart: true

- name: An export of a server
  kvmfleet.libvirt.pool:
    name: shared
    type: netfs
    path: /srv/shared
    source: {hosts: [{name: nas.example.org}], dir: /export/guests, format: nfs, protocol_version: "4.2"}
    mount_options: [noatime]
    state: active

- name: A volume group, made on an empty disk
  kvmfleet.libvirt.pool:
    name: fast
    type: logical
    source: {name: fast, devices: [{path: /dev/nvme1n1}]}
    build: true
    state: active
"""

RETURN = r"""
msg: {description: One sentence about what happened., returned: always, type: str, sample: "1 of 1 pools changed"}
objects:
  {description: "The pool, as M(kvmfleet.libvirt.stack) returns it.", returned: success, type: list, elements: dict, sample:
    [{kind: pool, name: fast, changed: true, state: active,
      changes: [{path: autostart, before: false, after: true, effect: live}]}]}
problems:
  {description: All that is wrong with the declaration., returned: when nothing was done for it, type: list, elements: str, sample:
    ["pool fast: path: is needed for a pool of type dir"]}
errors: {description: What failed., returned: when a step failed, type: list, elements: str, sample: []}
"""

from ansible_collections.kvmfleet.libvirt.plugins.module_utils.entry import run


def main() -> None:
    run("pool")


if __name__ == "__main__":
    main()
