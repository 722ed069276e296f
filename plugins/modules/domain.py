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
    host_keys:
      description: Public host keys of the guest's ssh server, where they were waited for; the filter P(kvmfleet.libvirt.known_hosts#filter) takes them.
      type: list
      elements: str
      returned: for domains with wait_for.host_keys
      sample: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDGs8]
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
    run("domain")


if __name__ == "__main__":
    main()
