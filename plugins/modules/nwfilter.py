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
msg: {description: One sentence about what happened., returned: always, type: str, sample: "1 of 1 filters changed"}
objects:
  {description: "The filter, as M(kvmfleet.libvirt.stack) returns it.", returned: success, type: list, elements: dict, sample:
    [{kind: nwfilter, name: web-only, changed: true, state: present,
      changes: [{path: priority, before: -700, after: -500, effect: live}]}]}
problems:
  {description: All that is wrong with the declaration., returned: when nothing was done for it, type: list, elements: str, sample:
    ["nwfilter web-only: references: no-such is neither there nor declared"]}
errors: {description: What failed., returned: when a step failed, type: list, elements: str, sample: []}
"""

from ansible_collections.kvmfleet.libvirt.plugins.module_utils.entry import run


def main() -> None:
    run("nwfilter")


if __name__ == "__main__":
    main()
