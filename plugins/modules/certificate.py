#!/usr/bin/python
# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: certificate
short_description: Issue certificates for libvirt and QEMU from a small CA
version_added: "0.1.0"
description:
  - Keeps a certificate authority in a folder, made when it is first needed, and issues a certificate from it for the key of a host, if the host has
    none, has another key or other names, or if its certificate is about to expire.
  - Meant to run on the controller (C(delegate_to)), with the host's certificate request as an option. The host's private key never leaves the host, the
    CA's never the folder.
  - The certificate is good for a server and for a client, as libvirt and QEMU check it.
author:
  - kvmfleet contributors (@kvmfleet)
requirements:
  - cryptography, which ansible-core brings
options:
  folder:
    description:
      - Where the CA is, C(ca.pem) and C(ca.key). Who has C(ca.key) is whoever he likes to hosts that trust the CA; keep it, and keep it safe.
    type: path
    required: true
  ca_name:
    description: Common name of a new CA.
    type: str
    default: kvmfleet
  passphrase:
    description: With which the CA's key is encrypted. Omitted, it is not.
    type: str
  names:
    description: Names and addresses of the host, by which others connect to it.
    type: list
    elements: str
    required: true
  request:
    description: A certificate request (PKCS#10) in PEM. Only its key counts. In check mode it may be missing.
    type: str
    default: ""
  current:
    description: The certificate that the host has, in PEM; empty if it has none.
    type: str
    default: ""
  days:
    description: For how many days a certificate is good.
    type: int
    default: 365
  renew_days:
    description: How many days before its end a certificate gives way to a new one.
    type: int
    default: 30
attributes:
  check_mode:
    support: full
    description: Tells whether a certificate would be issued, and makes nothing.
  diff_mode:
    support: none
    description: Certificates are not for reading.
"""

EXAMPLES = r"""
- name: Have the key that never leaves the host
  ansible.builtin.command:
    cmd: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out /etc/pki/libvirt/private/serverkey.pem
    creates: /etc/pki/libvirt/private/serverkey.pem

- name: Ask for a certificate
  ansible.builtin.command: openssl req -new -key /etc/pki/libvirt/private/serverkey.pem -subj /CN=host
  register: request
  changed_when: false

- name: Issue it
  kvmfleet.libvirt.certificate:
    folder: pki/libvirt
    names: ["{{ inventory_hostname }}"]
    request: "{{ request.stdout }}"
  delegate_to: localhost
  become: false
  register: issued
"""

RETURN = r"""
certificate:
  description: The host's certificate in PEM, new or as it was.
  returned: success
  type: str
  sample: |
    -----BEGIN CERTIFICATE-----
ca:
  description: The CA's certificate in PEM; empty if check mode would make one.
  returned: success
  type: str
  sample: |
    -----BEGIN CERTIFICATE-----
reason:
  description: Why a certificate was issued; empty if none was.
  returned: success
  type: str
  sample: it expires in 12 days
expires:
  description: When the certificate expires, in UTC.
  returned: success
  type: str
  sample: "2027-11-26T15:00:00Z"
"""

from ansible_collections.kvmfleet.libvirt.plugins.module_utils.issue import issue


def main() -> None:
    issue()


if __name__ == "__main__":
    main()
