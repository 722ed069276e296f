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
msg: {description: One sentence about what happened., returned: always, type: str, sample: "1 of 1 networks changed"}
objects:
  {description: "The network, as M(kvmfleet.libvirt.stack) returns it.", returned: success, type: list, elements: dict, sample:
    [{kind: network, name: lab, changed: true, state: active,
      changes: [{path: 'ips[ipv4].dhcp.hosts[52:54:00:11:22:33]', before: null, after: {ip: 192.168.150.9}, effect: live}],
      attached: [web1, web2]}]}
problems:
  {description: All that is wrong with the declaration., returned: when nothing was done for it, type: list, elements: str, sample:
    ["network lab: ips: 192.168.1.5/33 is not an address with its prefix"]}
errors: {description: What failed., returned: when a step failed, type: list, elements: str, sample: []}
"""

from ansible_collections.kvmfleet.libvirt.plugins.module_utils.entry import run


def main() -> None:
    run("network")


if __name__ == "__main__":
    main()
