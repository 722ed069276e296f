# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run on a host: which of these documents does libvirt define there? Nothing of them is left.

Reads {"kind": kind, "documents": {name: xml}}, writes {"batches": [[name]], "refused": {name: message},
"outside": [name]}: the documents of a batch can be there at once; those outside do not fit libvirt's own schema, which
mostly means that this libvirt reads past what it does not know yet.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import libvirt
from lxml import etree

SCHEMAS = {"domain": "domain.rng", "network": "network.rng", "pool": "storagepool.rng"}
LARGEST = 400
"""Documents in a batch at the most."""

CRASHED = "libvirtd died of it"


def main() -> None:
    """Ask libvirt."""
    question = json.load(sys.stdin)
    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    schema = etree.RelaxNG(etree.parse(f"/usr/share/libvirt/schemas/{SCHEMAS[question['kind']]}"))
    outside = {name for name, xml in question["documents"].items() if not schema.validate(etree.fromstring(xml))}
    left, batches, refused = question["documents"], [], {}
    while left:
        batch, again = _define(question["kind"], left)
        refused.update(again)
        if not batch:
            break
        batches += [batch[start : start + LARGEST] for start in range(0, len(batch), LARGEST)]
        left = {name: left[name] for name, message in again.items() if message != CRASHED}
    accepted = {name for batch in batches for name in batch}
    batches = [[name for name in batch if name not in outside] for batch in batches]
    refused = {name: message for name, message in refused.items() if name not in accepted}
    json.dump({"batches": batches, "refused": refused, "outside": sorted(outside & accepted)}, sys.stdout)


def _define(kind: str, documents: dict[str, str]) -> tuple[list[str], dict[str, str]]:
    """The names of documents that could be defined beside each other, and why the others could not."""
    conn = _open()
    made, refused = [], {}
    for name, xml in documents.items():
        try:
            _call(conn, kind, "define")(xml)
            made.append(name)
        except libvirt.libvirtError as error:
            refused[name] = str(error)
            if not conn.isAlive():
                refused[name] = CRASHED
                conn = _open()
    for name in made:
        thing = _call(conn, kind, "lookup")(name)
        if kind == "domain":
            thing.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_KEEP_NVRAM)
        else:
            thing.undefine()
    return made, refused


def _call(conn: Any, kind: str, verb: str) -> Any:
    return {
        ("domain", "define"): conn.defineXML,
        ("domain", "lookup"): conn.lookupByName,
        ("network", "define"): conn.networkDefineXML,
        ("network", "lookup"): conn.networkLookupByName,
        ("pool", "define"): conn.storagePoolDefineXML,
        ("pool", "lookup"): conn.storagePoolLookupByName,
    }[kind, verb]


def _open() -> Any:
    """A connection, once the daemon answers."""
    for _attempt in range(60):
        try:
            return libvirt.open("qemu:///system")
        except libvirt.libvirtError:
            time.sleep(0.5)
    raise SystemExit("libvirtd does not come back")


if __name__ == "__main__":
    main()
