# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a guest is beside its devices: libvirt takes each setting, and what it makes of it is no drift.

The declarations are those of the golden cases, less those that need another hypervisor, architecture or processor.
"""

from __future__ import annotations

import pytest
import yaml
from fleet import ROOT, Host, Task

CASES = ROOT / "tests" / "unit" / "cases" / "domain"
SETTINGS = [
    "clock_absolute",
    "clock_reset",
    "clock_variable",
    "clock_with_seconds",
    "clock_with_timers",
    "cpu_of_all_kinds",
    "features_of_x86",
    "firmware_named",
    "firmware_rom",
    "firmware_secure_boot",
    "firmware_without_secure_boot",
    "memory_caches",
    "memory_of_all_kinds",
    "qemu_command_line",
    "seclabels",
    "sysinfo_and_metadata",
    "tuning",
]
NEWER = ["cpu_of_the_host", "features_of_newer_releases", "firmware_named_newer_release", "tuning_of_newer_releases"]


@pytest.mark.both
def test_every_setting_is_taken_and_is_no_drift(host: Host, name: str) -> None:
    settings = SETTINGS + (NEWER if host.release != "bookworm" else [])
    guests = []
    for number, setting in enumerate(settings):
        declared = yaml.safe_load((CASES / f"{setting}_new" / "declared.yml").read_text(encoding="utf-8"))
        guests.append({**declared, "name": f"{name}g{number}", "virt_type": "qemu"})
    made = host.converge("stack", domains=guests)
    assert len(made.run.objects) == len(settings)
    assert {item["state"] for item in made.run.objects.values()} == {"stopped"}
    (told,) = host.play(Task("stack_info", {"domains": [f"{name}g*"], "networks": [], "pools": [], "volumes": []}))
    exported = told.data["stack"]["domains"]
    assert [item["name"] for item in exported] == sorted(item["name"] for item in guests)
    host.converge("stack", changed=False, domains=exported)


def test_a_setting_that_this_libvirt_does_not_know_is_refused_before_anything_is_written(host: Host, name: str) -> None:
    message = host.refused(
        "domain", name=name, memory="64 MiB", virt_type="qemu", features={"aia": "aplic"}, cpu={"mode": "maximum"}
    )
    assert "aia" in message
