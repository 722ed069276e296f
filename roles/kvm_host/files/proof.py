# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether this host runs guests, found out by doing it: asks libvirt what it is, and starts and ends a guest of 64 MiB
without a disk. The guest is bound to this script's connection: whatever happens, libvirt ends it with the script.

usage: proof.py '{"uri": "qemu:///system", "type": "kvm|qemu", "guest": true|false}'
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import xml.etree.ElementTree as ET
from typing import Any

import libvirt

SECONDS = 60.0
"""How long all of it may take; a good host needs two seconds."""
FIRST_STEPS = 10.0
"""How long the guest may take until its processor has run."""
NAME = "kvmfleet-proof"
"""Always the same, as libvirt keeps a log of each name."""
GUEST = """\
<domain type='{type}'>
  <name>{name}</name>
  <memory unit='MiB'>64</memory>
  <vcpu>1</vcpu>
  <os><type>hvm</type></os>
  <devices/>
</domain>
"""


def proof(asked: dict[str, Any]) -> dict[str, Any]:
    """What to print; `problem` is empty, or says what does not work."""
    told: dict[str, Any] = {
        "problem": "",
        "libvirt": "",
        "qemu": "",
        "security": [],
        "default_network": "",
        "guest": {},
    }
    try:
        connection = libvirt.open(asked["uri"])
        told["libvirt"] = _version(connection.getLibVersion())
        told["qemu"] = _version(connection.getVersion())
        models = ET.fromstring(connection.getCapabilities()).iterfind("host/secmodel/model")  # noqa: S314 - libvirt's
        told["security"] = [model.text for model in models]
        told["default_network"] = _network(connection, "default")
        if asked["guest"]:
            told["guest"] = _run_guest(connection, asked["type"])
    except (libvirt.libvirtError, TimeoutError) as error:
        told["problem"] = str(error)
    return told


def _network(connection: Any, name: str) -> str:
    """active, inactive or absent."""
    found = [network for network in connection.listAllNetworks() if network.name() == name]
    return ("active" if found[0].isActive() else "inactive") if found else "absent"


def _run_guest(connection: Any, kind: str) -> dict[str, Any]:
    """Start a guest, see its processor run, end it. Returns the seconds that each took."""
    began = time.monotonic()
    guest = connection.createXML(GUEST.format(type=kind, name=NAME), libvirt.VIR_DOMAIN_START_AUTODESTROY)
    started = time.monotonic()
    try:
        while not guest.vcpus()[0][0][2]:
            if time.monotonic() - started > FIRST_STEPS:
                raise TimeoutError(f"a guest of type {kind} started, but its processor does not run")
            time.sleep(0.05)
    finally:
        ran = time.monotonic()
        guest.destroy()
    return {"type": kind, "start_seconds": round(started - began, 2), "stop_seconds": round(time.monotonic() - ran, 2)}


def _version(number: int) -> str:
    return f"{number // 1000000}.{number // 1000 % 1000}.{number % 1000}"


def give_up() -> None:
    """A call of libvirt that hangs cannot be broken off: the process ends, and with it the guest."""
    print(json.dumps({"problem": f"libvirt or QEMU hang: not done in {SECONDS:g} s"}), flush=True)
    os._exit(0)


if __name__ == "__main__":
    watch = threading.Timer(SECONDS, give_up)
    watch.daemon = True
    watch.start()
    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    print(json.dumps(proof(json.loads(sys.argv[1]))))
