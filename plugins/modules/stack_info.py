#!/usr/bin/python
# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_info
short_description: Tell what is on a host in the shape that stack accepts
version_added: "0.1.0"
description:
  - Gives secrets, filters, pools, networks, volumes and guests of a host as M(kvmfleet.libvirt.stack) takes them; applied unchanged, they change
    nothing. What has no option of its own comes as C(xml). Passwords and values of secrets are left out.
author:
  - kvmfleet contributors (@kvmfleet)
requirements:
  - python >= 3.9
  - libvirt-python (python3-libvirt)
  - lxml (python3-lxml)
extends_documentation_fragment:
  - kvmfleet.libvirt.stack_info
attributes:
  check_mode:
    support: full
    description: Only reads.
"""

EXAMPLES = r"""
- name: All that is on the host
  kvmfleet.libvirt.stack_info:
  register: present

- name: Only the guests whose names begin with web
  kvmfleet.libvirt.stack_info:
    domains: [web*]
    networks: []
    pools: []
    volumes: []
"""

RETURN = r"""
stack:
  description: What is on the host, as M(kvmfleet.libvirt.stack) takes it.
  returned: success
  type: dict
  contains:
    secrets: {description: Secrets without their values., type: list, elements: dict, returned: always, sample: [{name: client.a, type: ceph}]}
    nwfilters: {description: Network filters but libvirt's own., type: list, elements: dict, returned: always, sample: [{name: web}]}
    pools: {description: Storage pools., type: list, elements: dict, returned: always, sample: [{name: default}]}
    networks: {description: Networks., type: list, elements: dict, returned: always, sample: [{name: default}]}
    volumes: {description: Volumes of active pools., type: list, elements: dict, returned: always, sample: [{name: web1-vda.qcow2}]}
    domains: {description: Guests., type: list, elements: dict, returned: always, sample: [{name: web1}]}
"""

from ansible_collections.kvmfleet.libvirt.plugins.module_utils.entry import run


def main() -> None:
    run("stack_info")


if __name__ == "__main__":
    main()
