# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The golden cases of new guests with all their devices, defined for real: what libvirt makes of them is no change."""

from __future__ import annotations

from typing import Any

import yaml
from fleet import LOOK, ROOT, Host, Task

CASES = ROOT / "tests" / "unit" / "cases" / "domain"
# Those that libvirt 9.0 accepts, whatever the host has.
NAMES = (
    "disks_of_every_source",
    "disks_with_every_attribute",
    "interfaces_of_every_kind",
    "interfaces_with_every_attribute",
    "hostdevs_filesystems_controllers_and_leases",
    "serials_parallels_consoles_and_channels",
    "displays_sound_and_inputs",
    "memory_and_platform_devices",
    "graphics_headless",
    "graphics_on_the_host",
    "graphics_dbus",
    "tpm_of_the_host",
)


def test_libvirt_keeps_every_device_as_it_was_declared(host: Host, name: str, pool: str, net: str) -> None:
    guests = [_guest(case, f"{name}{place}", pool, net) for place, case in enumerate(NAMES)]
    named = [disk["volume"] for guest in guests for disk in guest.get("disks", []) if disk.get("volume")]
    volumes = [{"name": volume, "pool": pool, "size": "1 MiB", "format": "raw"} for volume in named]
    stack = Task("stack", {"volumes": volumes, "domains": guests})
    made, seen, again, last = host.play(stack, LOOK, stack, LOOK)
    assert not made.failed, made.data
    assert made.changed
    assert again.objects.keys() == made.objects.keys()
    assert {key: item["changes"] for key, item in again.objects.items() if item["changed"]} == {}
    assert last == seen


def _guest(case: str, name: str, pool: str, net: str) -> dict[str, Any]:
    """A case as a guest of this test's own, emulated, on its network and pool."""
    text = (CASES / case / "declared.yml").read_text(encoding="utf-8")
    # No two guests may write to one disk.
    guest: dict[str, Any] = yaml.safe_load(text.replace("/srv/", f"/srv/{name}-").replace("/dev/sd", f"/dev/{name}-sd"))
    for disk in guest.get("disks", []):
        if disk.get("volume"):
            disk.update({"pool": pool, "volume": f"{name}-{disk['volume']}"})
            disk.pop("volume_mode", None)
    for interface in guest.get("interfaces", []):
        if interface.get("network"):
            interface["network"] = net
        if interface.get("mac"):
            del interface["mac"]  # Several guests of a test would have it.
    for display in guest.get("graphics", []):
        for place in display.get("listens", []):
            if place.get("network"):
                place["network"] = net
    return {**guest, "name": name, "virt_type": "qemu"}
