#!/usr/bin/python
# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: daemon_conf
short_description: Set options of libvirt's daemons
version_added: "0.1.0"
description:
  - Edits C(libvirtd.conf), C(qemu.conf), C(network.conf) and the modular daemons' files in place. Comments, the order of lines and options that are
    not named stay as they are.
  - Names and types of options are checked against the description that the installed libvirt brings for its files (for Augeas, which itself is not
    needed). All files are checked before the first one is written.
  - Restarts nothing. RV(files) says whose daemon has something new to read; the role P(kvmfleet.libvirt.kvm_host#role) restarts it.
  - Passwords (C(vnc_password) and C(spice_password) of C(qemu.conf)) are shown nowhere.
author:
  - kvmfleet contributors (@kvmfleet)
options:
  files:
    description:
      - Options by file. A file goes by its name without C(.conf).
      - The name V(daemon) stands for the files of all O(daemons). What is said for one of them by its own name counts there.
      - An option is a number, V(true), V(false), a string or a list of strings, as libvirt's own file has it. Null takes the option out, so that
        libvirt's default counts.
    type: dict
    required: true
  daemons:
    description: Names of the files that V(daemon) stands for.
    type: list
    elements: str
    default: []
  folder:
    description: Where the files are.
    type: path
    default: /etc/libvirt
  lenses:
    description: Where libvirt's packages put the descriptions of the files. A file without one is not checked for names of options.
    type: path
    default: /usr/share/augeas/lenses
  record:
    description:
      - A file on the host that remembers what options were before this module changed them first. With it, an option that was declared and is no longer
        goes back to what it was, unless somebody else has changed it since. Empty O(files) put back all of them.
      - Without it, options that are no longer declared stay as they are.
    type: path
attributes:
  check_mode:
    support: full
    description: Tells what would be changed, and writes nothing.
  diff_mode:
    support: full
    description: Shows the options that change.
"""

EXAMPLES = r"""
- name: Let many clients in, and keep guests' memory out of core dumps
  kvmfleet.libvirt.daemon_conf:
    files:
      libvirtd: {max_clients: 10000, log_filters: "1:qemu 3:rpc"}
      qemu: {dump_guest_core: false, max_core: 0}

- name: The same options for each modular daemon
  kvmfleet.libvirt.daemon_conf:
    files: {daemon: {log_level: 2}, virtqemud: {log_level: 1}}
    daemons: [virtqemud, virtnetworkd, virtstoraged]

- name: Go back to libvirt's own default
  kvmfleet.libvirt.daemon_conf:
    files: {qemu: {max_core: null}}

- name: Take back all that was declared with this record
  kvmfleet.libvirt.daemon_conf:
    files: {}
    record: /var/lib/kvmfleet/conf.json
"""

RETURN = r"""
files:
  description: Names of the files that were changed, without C(.conf).
  returned: success
  type: list
  elements: str
  sample: [qemu]
problems:
  description: Everything that is wrong with the options; nothing was changed then.
  returned: when an option is wrong
  type: list
  elements: str
  sample: ["qemu.conf: max_core wants a number or \"unlimited\""]
"""

from ansible_collections.kvmfleet.libvirt.plugins.module_utils.edit_conf import edit_conf


def main() -> None:
    edit_conf()


if __name__ == "__main__":
    main()
