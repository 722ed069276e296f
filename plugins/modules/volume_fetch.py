#!/usr/bin/python
# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: volume_fetch
short_description: Copy the content of a libvirt storage volume to the control machine
version_added: "0.1.0"
description:
  - Copies what is in a volume, byte by byte and in its own format, into a file of the control machine, as M(ansible.builtin.fetch) does with
    files.
  - Holes are neither read nor sent, and are holes in the copy. It takes its name when it is whole and has the checksum that the volume has; a
    copy that broke off is gone on with by the next run, and a file that is the same already is left as it is.
  - A volume that a running guest writes to is refused, as the copy would be of no one moment.
author:
  - kvmfleet contributors (@kvmfleet)
requirements:
  - python >= 3.9
  - libvirt-python (python3-libvirt)
  - lxml (python3-lxml)
extends_documentation_fragment:
  - kvmfleet.libvirt.volume_fetch
attributes:
  check_mode:
    support: full
    description: Tells whether the file is another one than the volume.
  diff_mode:
    support: full
    description: Shows the checksum of the file before and after.
notes:
  - The volume is read twice, once for its checksum. Through a remote O(uri), both go over the network.
  - It needs room on the host, in Ansible's temporary folder, for 256 MiB at most.
"""

EXAMPLES = r"""
- name: A copy of a guest's disk, beside those of other hosts
  kvmfleet.libvirt.volume_fetch:
    name: web1-vda.qcow2
    pool: default
    dest: "/srv/copies/{{ inventory_hostname }}/"
"""

RETURN = r"""
dest:
  description: The file.
  returned: success
  type: str
  sample: /srv/copies/host1/web1-vda.qcow2
checksum:
  description: Checksum of the content, as O(kvmfleet.libvirt.volume#module:source.checksum) takes it.
  returned: success
  type: str
  sample: sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
size:
  description: Length of the content in bytes, its holes included.
  returned: success
  type: int
  sample: 2361393152
"""

from ansible_collections.kvmfleet.libvirt.plugins.module_utils.entry import run


def main() -> None:
    run("volume_fetch")


if __name__ == "__main__":
    main()
