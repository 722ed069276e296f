#!/usr/bin/python
# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: domain
short_description: Declare a guest (libvirt domain)
version_added: "0.1.0"
description:
  - Declares a guest (libvirt domain), idempotently; check mode predicts exactly what a run does.
  - What is not declared is left as it is. A running guest is changed while it runs where libvirt can; the rest is reported as pending and waits for a restart.
author:
  - kvmfleet contributors (@kvmfleet)
requirements:
  - python >= 3.9
  - libvirt-python (python3-libvirt)
  - lxml (python3-lxml)
extends_documentation_fragment:
  - kvmfleet.libvirt.results
  - kvmfleet.libvirt.domain
"""

EXAMPLES = r"""
- name: A guest from an image, with an address of its own
  kvmfleet.libvirt.domain:
    name: web1
    memory: 2 GiB
    vcpus: 2
    disks:
      - {target: vda, image: debian-12.qcow2, size: 20 GiB}
    interfaces:
      - {network: default, address: 192.168.122.10}
    cloud_init:
      user_data:
        users:
          - name: admin
            sudo: ALL=(ALL) NOPASSWD:ALL
            ssh_authorized_keys: ["{{ lookup('file', '~/.ssh/id_ed25519.pub') }}"]
    state: running
    wait_for: {address: true}

- name: The same guest, shut down
  kvmfleet.libvirt.domain:
    name: web1
    state: stopped

- name: A guest from libvirt's own XML
  kvmfleet.libvirt.domain:
    name: old1
    xml: "{{ lookup('file', 'old1.xml') }}"
"""

RETURN = r"""
msg: {description: One sentence about what happened., returned: always, type: str, sample: "1 of 1 guests changed; web1 waits for a restart: cpu.mode"}
objects:
  {description: "The guest and what it implies, each as M(kvmfleet.libvirt.stack) returns it.", returned: success, type: list, elements: dict, sample:
    [{kind: domain, name: web1, changed: true, state: running,
      changes: [{path: memory, before: 1 GiB, after: 2 GiB, effect: live}],
      pending: [{path: cpu.mode, before: custom, after: host-passthrough, effect: restart}],
      restart_required: true,
      undeclared: ['disks[vdb]'],
      uuid: 7b8d3c0e-7d3f-5f0a-9a43-0d6c1d0f6f11,
      addresses: [192.168.122.10]}]}
problems:
  {description: All that is wrong with the declaration., returned: when nothing was done for it, type: list, elements: str, sample:
    ["domain web1: memory: 'lots' is not a size"]}
errors: {description: What failed., returned: when a step failed, type: list, elements: str, sample: []}
"""

from ansible_collections.kvmfleet.libvirt.plugins.module_utils.entry import run


def main() -> None:
    run("domain")


if __name__ == "__main__":
    main()
