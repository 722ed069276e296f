#!/usr/bin/python
# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: network
short_description: Declare a libvirt network
version_added: "0.1.0"
description:
  - Declares a libvirt network, idempotently; check mode predicts exactly what a run does.
  - A network that runs is changed through libvirt's network update where that is possible, so that no guest loses its connection;
    what needs the network restarted is reported as pending, with the guests that are on it.
  - Where O(restart) allows it, such a network is stopped and started, and the interfaces of its guests are put back on its bridge;
    so they are whenever a network is started that guests are waiting for.
author:
  - kvmfleet contributors (@kvmfleet)
requirements:
  - python >= 3.9
  - libvirt-python (python3-libvirt)
  - lxml (python3-lxml)
extends_documentation_fragment:
  - kvmfleet.libvirt.results
  - kvmfleet.libvirt.network
"""

EXAMPLES = r"""
- name: A NAT network with addresses by DHCP
  kvmfleet.libvirt.network:
    name: default
    forward: {mode: nat}
    ips:
      - address: 192.168.122.1/24
        dhcp:
          ranges: [{start: 192.168.122.2, end: 192.168.122.254}]
    state: active
    autostart: true

- name: A bridge of Open vSwitch with classes of ports
  kvmfleet.libvirt.network:
    name: ovs
    forward: {mode: bridge}
    bridge: {name: ovsbr0}
    virtualport: {type: openvswitch}
    portgroups:
      - {name: staff, default: true, vlan: {tags: [{id: 10}]}}
      - {name: guests, vlan: {tags: [{id: 20}]}, bandwidth: {inbound: {average: 1000}}}

- name: Another MTU, at the price of a moment without network
  kvmfleet.libvirt.network:
    name: default
    mtu: 1400
    restart: if_needed

- name: A reserved address, added while guests use the network
  kvmfleet.libvirt.network:
    name: default
    ips:
      - dhcp:
          hosts: [{mac: "52:54:00:12:34:56", name: web1, ip: 192.168.122.10}]
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
    attached:
      description: The guests that are on a network which runs.
      type: list
      elements: str
      returned: for networks
      sample: [web1, web2]
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
    run("network")


if __name__ == "__main__":
    main()
