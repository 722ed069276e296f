# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The least that a module can do: libvirt-python called in a loop, nothing planned, checked, verified or told.

It is what the benchmarks hold the collection against, and no more than that.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import libvirt
from ansible.module_utils.basic import AnsibleModule
from lxml import etree


def read(connection: Any, names: list[str]) -> int:
    """The number of elements in the inactive definitions of these guests, all of them parsed."""
    domains = {domain.name(): domain for domain in connection.listAllDomains()}
    flags = libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE
    return sum(len(list(etree.fromstring(domains[name].XMLDesc(flags)).iter())) for name in names)


def define(connection: Any, names: list[str], template: str) -> int:
    """Define guests from a document in which GUEST stands for the name."""
    for name in names:
        connection.defineXML(template.replace("GUEST", name))
    return len(names)


def start(connection: Any, names: list[str]) -> int:
    """Start guests, all at once."""
    with ThreadPoolExecutor(max_workers=len(names)) as pool:
        list(pool.map(lambda name: connection.lookupByName(name).create(), names))
    return len(names)


def shutdown(connection: Any, names: list[str]) -> int:
    """Press the power button of guests, all at once, and wait until all are off."""
    domains = [connection.lookupByName(name) for name in names]
    for domain in domains:
        domain.shutdown()
    while any(domain.isActive() for domain in domains):
        time.sleep(0.1)
    return len(names)


def delete(connection: Any, names: list[str]) -> int:
    """Undefine guests."""
    for name in names:
        connection.lookupByName(name).undefine()
    return len(names)


def main() -> None:
    """Do one thing to the named guests."""
    module = AnsibleModule(
        argument_spec={
            "action": {"choices": ["read", "define", "start", "shutdown", "delete"], "required": True},
            "names": {"type": "list", "elements": "str", "required": True},
            "template": {"type": "str", "default": ""},
        }
    )
    names, action = module.params["names"], module.params["action"]
    connection = libvirt.open("qemu:///system")
    if action == "define":
        count = define(connection, names, module.params["template"])
    else:
        count = {"read": read, "start": start, "shutdown": shutdown, "delete": delete}[action](connection, names)
    connection.close()
    module.exit_json(changed=action != "read", count=count)


if __name__ == "__main__":
    main()
