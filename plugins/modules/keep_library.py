#!/usr/bin/python
# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: keep_library
short_description: Compile the code of this collection's modules and keep it on the host
version_added: "0.1.0"
description:
  - What M(kvmfleet.libvirt.library) runs the modules from. It is not meant to be used in a play.
  - A file is written below the home of the account that it runs as. It holds Ansible's own part of a module as well.
author:
  - kvmfleet contributors (@kvmfleet)
options:
  path:
    description: Where to keep it, as M(kvmfleet.libvirt.library) says.
    type: path
    required: true
  source:
    description: The code, a zip archive in base64.
    type: str
    required: true
attributes:
  check_mode:
    support: full
    description: It is kept in check mode too, as it is no part of what a play declares.
  diff_mode:
    support: none
    description: There is nothing to tell.
"""

EXAMPLES = r"""
# Not used directly: a task that names another module of the collection goes this way by itself.
- name: Without anything that stays on the host
  kvmfleet.libvirt.stack_info:
  vars:
    kvmfleet_libvirt_keep: false
"""

RETURN = r"""
library:
  description: V(kept), or V(refused) when it cannot be kept there.
  returned: always
  type: str
  sample: kept
msg:
  description: Why the library cannot be kept.
  returned: when it is refused
  type: str
  sample: "/home/admin/.cache/kvmfleet.libvirt: No space left on device"
"""

from ansible_collections.kvmfleet.libvirt.plugins.module_utils.kept import answer_request


def main() -> None:
    answer_request()


if __name__ == "__main__":
    main()
