# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run on a host: which of these documents does libvirt define there? Nothing of them is left.

Reads {"prefix": prefix, "kind": kind, "documents": {name: xml}, "keys": {usage: uuid}}, writes {"batches": [[name]],
"refused": {name: message}, "outside": [name]}: the documents of a batch can be there at once; those outside do not fit
libvirt's own schema, which mostly means that this libvirt reads past what it does not know yet. What an earlier run
left is removed first. What volumes need stays: a pool that has the prefix for its name, and the secrets of these
usages. Without documents that goes as well.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import libvirt
from lxml import etree

SCHEMAS = {
    "domain": "domain.rng",
    "network": "network.rng",
    "nwfilter": "nwfilter.rng",
    "pool": "storagepool.rng",
    "secret": "secret.rng",
    "volume": "storagevol.rng",
}
LARGEST = 400
"""Documents in a batch at the most."""

CRASHED = "libvirtd died of it"


def main() -> None:
    """Ask libvirt."""
    question = json.load(sys.stdin)
    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    conn = _open()
    for kind in ("domain", "volume", "network", "pool", "nwfilter", "secret"):
        _remove(conn, kind, question["prefix"])
    if question.get("documents"):
        if question["kind"] == "volume":
            _make_place(conn, question["prefix"], question["keys"])
        json.dump(_sorted_out(question["kind"], question["documents"], question["prefix"]), sys.stdout)


def _make_place(conn: Any, name: str, keys: dict[str, str]) -> None:
    path = f"/var/lib/libvirt/{name}"
    pool = conn.storagePoolDefineXML(f"<pool type='dir'><name>{name}</name><target><path>{path}</path></target></pool>")
    pool.build(0)
    pool.create(0)
    for usage, uuid in keys.items():
        use = f"<usage type='volume'><volume>{usage}</volume></usage>"
        conn.secretDefineXML(f"<secret><uuid>{uuid}</uuid>{use}</secret>").setValue(b"of the corpus", 0)


def _sorted_out(kind: str, documents: dict[str, str], pool: str) -> dict[str, Any]:
    schema = etree.RelaxNG(etree.parse(f"/usr/share/libvirt/schemas/{SCHEMAS[kind]}"))
    outside = {name for name, xml in documents.items() if not schema.validate(etree.fromstring(xml))}
    left, batches, refused = documents, [], {}
    while left:
        batch, again = _define(kind, left, pool)
        refused.update(again)
        if not batch:
            break
        batches += [batch[start : start + LARGEST] for start in range(0, len(batch), LARGEST)]
        left = {name: left[name] for name, message in again.items() if message != CRASHED}
    accepted = {name for batch in batches for name in batch}
    return {
        "batches": [[name for name in batch if name not in outside] for batch in batches],
        "refused": {name: message for name, message in refused.items() if name not in accepted},
        "outside": sorted(outside & accepted),
    }


def _define(kind: str, documents: dict[str, str], pool: str) -> tuple[list[str], dict[str, str]]:
    """The names of documents that could be defined beside each other, and why the others could not."""
    conn = _open()
    made, refused = [], {}
    for name, xml in documents.items():
        try:
            _made_by(conn, kind, pool)(xml)
            made.append(name)
        except libvirt.libvirtError as error:
            refused[name] = str(error)
            if not conn.isAlive():
                refused[name] = CRASHED
                conn = _open()
    for name in made:
        _remove(conn, kind, name)
    return made, refused


def _made_by(conn: Any, kind: str, pool: str) -> Any:
    """What makes an object of its document."""
    return {
        "domain": lambda: conn.defineXML,
        "network": lambda: conn.networkDefineXML,
        "nwfilter": lambda: conn.nwfilterDefineXML,
        "pool": lambda: conn.storagePoolDefineXML,
        "secret": lambda: conn.secretDefineXML,
        "volume": lambda: conn.storagePoolLookupByName(pool).createXML,
    }[kind]()


def _remove(conn: Any, kind: str, prefix: str) -> None:
    """Remove the objects whose names begin like this."""
    for thing in _all(conn, kind):
        if not _name(thing, kind).startswith(prefix):
            continue
        if kind == "volume":
            thing.delete(0)
        elif kind == "domain":
            thing.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_KEEP_NVRAM)
        else:
            if kind == "pool" and thing.isActive():
                thing.destroy()
                thing.delete(0)
            thing.undefine()


def _all(conn: Any, kind: str) -> list[Any]:
    if kind == "volume":
        return [thing for pool in conn.listAllStoragePools() if pool.isActive() for thing in pool.listAllVolumes()]
    return {
        "domain": conn.listAllDomains,
        "network": conn.listAllNetworks,
        "nwfilter": conn.listAllNWFilters,
        "pool": conn.listAllStoragePools,
        "secret": conn.listAllSecrets,
    }[kind]()


def _name(thing: Any, kind: str) -> str:
    return thing.usageID().lstrip("/") if kind == "secret" else thing.name()


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
