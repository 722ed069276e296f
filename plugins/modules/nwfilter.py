#!/usr/bin/python
# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nwfilter
short_description: Declare a libvirt network filter
version_added: "0.1.0"
description:
  - Declares a filter for the traffic of guests' interfaces, idempotently; check mode predicts exactly what a run does.
  - A change is true at once for guests that run. libvirt's own filters are left alone.
author:
  - kvmfleet contributors (@kvmfleet)
requirements:
  - python >= 3.9
  - libvirt-python (python3-libvirt)
  - lxml (python3-lxml)
extends_documentation_fragment:
  - kvmfleet.libvirt.results
  - kvmfleet.libvirt.nwfilter
"""

EXAMPLES = r"""
- name: A guest that is reached by SSH and HTTPS, and cannot pretend to be another one
  kvmfleet.libvirt.nwfilter:
    name: web
    filterrefs:
      - {filter: clean-traffic}
    rules:
      - {action: accept, direction: in, protocol: tcp, match: {dstportstart: 22}}
      - {action: accept, direction: in, protocol: tcp, match: {dstportstart: 443}}
      - {action: accept, direction: out, protocol: all}
      - {action: drop, direction: in, protocol: all, priority: 900}
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
    run("nwfilter")


if __name__ == "__main__":
    main()
