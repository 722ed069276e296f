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
  progress:
    description: Name of a file beside the library in which the module tells what it is at.
    type: str
attributes:
  check_mode:
    support: full
    description: As the module that is run.
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
  sample: "/: this account may not write there"
path:
  description: Where the library was looked for.
  returned: when it is missing
  type: str
  sample: "/root/.cache/kvmfleet.libvirt/0f3a-cpython-311.zip"
"""

import sys

# Nothing is imported from the folder that this happens to run in.
while "" in sys.path:
    sys.path.remove("")

import hashlib
import importlib
import json
import os
import pwd
import stat
import time

# Ansible puts the options here and sends this file as it is: what AnsiballZ would pack and compile is on the host already.
REQUEST = r"""<<INCLUDE_ANSIBLE_MODULE_JSON_ARGS>>"""
_DIGITS = 64


def is_whole(path: str) -> bool:
    """Whether there is a whole archive at this path that nobody else could have written."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    with open(fd, "rb") as archive:
        about = os.fstat(archive.fileno())
        for found in (about, os.stat(os.path.dirname(path))):
            if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o022:
                return False
        data = archive.read()
    if hashlib.sha256(data[:-_DIGITS]).hexdigest().encode() != data[-_DIGITS:]:
        return False
    if time.time() - about.st_mtime > 86400:
        # It is in use: what is not goes after a while.
        os.utime(path)
    return True


def _say_options() -> None:
    """Without Ansible: end as any module does, which tells ansible-test what the options are."""
    importlib.import_module("ansible.module_utils.basic").AnsibleModule(
        argument_spec={
            "digest": {"type": "str", "required": True},
            "module": {"type": "str", "required": True},
            "given": {"type": "raw"},
            "progress": {"type": "str"},
        },
        supports_check_mode=True,
    )


def main() -> None:
    try:
        os.getcwd()
    except OSError:
        # An account that the task became may not look into the folder of the one before.
        os.chdir("/")
    if REQUEST.startswith("<<"):
        _say_options()
    request = json.loads(REQUEST)
    try:
        # sudo may leave another account's HOME: the account itself is asked.
        home = pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError:
        home = "/nonexistent"
    folder = os.path.join(home, ".cache", "kvmfleet.libvirt")
    path = os.path.join(folder, "{}-{}.zip".format(request["digest"], sys.implementation.cache_tag))
    if not is_whole(path):
        place = folder
        while not os.path.isdir(place):
            place = os.path.dirname(place)
        lacks = {"library": "missing", "path": path}
        if not os.access(place, os.W_OK):
            lacks = {"library": "refused", "msg": place + ": this account may not write there"}
        sys.stdout.write(json.dumps(lacks) + "\n")
        return
    sys.path.insert(0, path)
    importlib.import_module("kvmfleet_libvirt.runner").answer(request, folder)


if __name__ == "__main__":
    main()
