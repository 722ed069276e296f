#!/usr/bin/python
# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: secret
short_description: Declare a libvirt secret
version_added: "0.1.0"
description:
  - Declares a secret that libvirt keeps for storage, TLS or an emulated TPM, idempotently; check mode predicts exactly what a run
    does.
  - Its value is compared where libvirt lets it be read, and never shown.
author:
  - kvmfleet contributors (@kvmfleet)
requirements:
  - python >= 3.9
  - libvirt-python (python3-libvirt)
  - lxml (python3-lxml)
extends_documentation_fragment:
  - kvmfleet.libvirt.results
  - kvmfleet.libvirt.secret
"""

EXAMPLES = r"""
- name: The key of a Ceph user
  kvmfleet.libvirt.secret:
    type: ceph
    name: client.libvirt
    value_base64: "{{ ceph_key }}"

- name: The passphrase of an encrypted volume, which nobody reads back
  kvmfleet.libvirt.secret:
    type: volume
    name: /var/lib/libvirt/images/web1.luks
    private: true
    value: "{{ passphrase }}"

- name: Another passphrase for it, set on every run as long as it is declared so
  kvmfleet.libvirt.secret:
    type: volume
    name: /var/lib/libvirt/images/web1.luks
    value: "{{ passphrase }}"
    set_value: always
"""

RETURN = r"""
msg: {description: One sentence about what happened., returned: always, type: str, sample: "1 of 1 secrets changed"}
objects:
  {description: "The secret, as M(kvmfleet.libvirt.stack) returns it.", returned: success, type: list, elements: dict, sample:
    [{kind: secret, name: ceph/client.admin, changed: true, state: present,
      changes: [{path: value, before: (hidden), after: (hidden), effect: live}]}]}
problems:
  {description: All that is wrong with the declaration., returned: when nothing was done for it, type: list, elements: str, sample:
    ["secret ceph/client.admin: value_base64: is not base64"]}
errors: {description: What failed., returned: when a step failed, type: list, elements: str, sample: []}
"""

from ansible_collections.kvmfleet.libvirt.plugins.module_utils.entry import run


def main() -> None:
    run("secret")


if __name__ == "__main__":
    main()
