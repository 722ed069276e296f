#!/usr/bin/python
# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: library
short_description: Run a module of this collection from the library that is kept on the host
version_added: "0.1.0"
description:
  - How the other modules of this collection come to their hosts. It is not meant to be used in a play.
  - Their code is sent and compiled once, and kept in C(~/.cache/kvmfleet.libvirt) of the account that they run as, which nobody else
    may write to. Each task then sends this module and the options only.
  - With the variable C(kvmfleet_libvirt_keep) set to V(false), and in asynchronous tasks, the modules are sent as any other.
author:
  - kvmfleet contributors (@kvmfleet)
options:
  digest:
    description: Digest of the library's source.
    type: str
    required: true
  module:
    description: Name of the module that is to run.
    type: str
    required: true
  given:
    description: Options of that module.
    type: raw
  source:
    description: The library's source, a zip archive in base64, where the host has not got it.
    type: str
  progress:
    description: Name of a file beside the library in which the module tells what it is at.
    type: str
attributes:
  check_mode:
    support: full
    description: As the module that is run. The library is kept in check mode too.
  diff_mode:
    support: full
    description: As the module that is run.
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
  description: V(missing) when the host has not got the library, V(refused) when it cannot be kept there.
  returned: when the module was not run
  type: str
  sample: missing
msg:
  description: Why the library cannot be kept.
  returned: when it is refused
  type: str
  sample: "/home/admin/.cache/kvmfleet.libvirt: No space left on device"
"""

from ansible_collections.kvmfleet.libvirt.plugins.module_utils.runner import answer_request


def main() -> None:
    answer_request()


if __name__ == "__main__":
    main()
