# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets are compared and never shown: not in results, diffs, errors, at -vvv or in the host's journal."""

from __future__ import annotations

from typing import Any

import pytest
from fleet import LOOK, Host, Task

SMALL: dict[str, Any] = {"memory": "64 MiB", "vcpus": 1, "virt_type": "qemu"}


@pytest.mark.both
def test_secrets_are_nowhere(host: Host, name: str, pool: str) -> None:
    def fields(number: int, title: str) -> dict[str, Any]:
        return {
            **SMALL,
            "name": name,
            "title": title,
            "graphics": [{"type": "vnc", "password": f"Gr4ph{number}"}],
            "cloud_init": {
                "pool": pool,
                "user_data": {
                    "hostname": name,
                    "password": f"Us3rdata{number}",
                    "users": [{"name": "admin", "hash": f"H4sh{number}"}],
                },
            },
        }

    since = host.sh("date '+%F %T'").strip()
    changing = [fields(1, "one"), fields(2, "one"), fields(2, "two")]
    wrong = {**fields(3, "one"), "memory": "lots", "machine": "pdp-11"}
    raw = "<domain type='qemu'><graphics type='vnc' passwd='Gr4ph4'/><nonsense passwd='Gr4ph4'/></domain>"
    tasks = [Task("domain", options, check=check) for options in changing for check in (True, False)]
    results = host.play(
        *tasks,
        Task("domain", {"name": name, "state": "running"}),
        Task("domain", {**fields(5, "two"), "restart": "if_needed", "timeout": 1, "force": True}),
        Task("domain", wrong),
        Task("domain", {**fields(6, "two"), "xml": raw}),
        Task("domain", {**fields(6, "two"), "graphics": [{"type": "vnc", "password": "Gr4ph6", "port": "x"}]}),
        Task("domain", {**fields(6, "two"), "disks": "Gr4ph6", "gr4phics": [{"passwd": "Gr4ph6"}]}),
        Task("stack", {"domains": [fields(7, "two")]}),
        Task("stack_info", {}),
    )
    output = host.output + "".join(str(result.data) for result in results)
    journal = host.sh(f"journalctl --since '{since}' -q --no-pager")
    logs = host.sh(f"cat /var/log/libvirt/qemu/{name}.log")
    for where, text in (("output", output), ("journal", journal), ("QEMU's log", logs)):
        for secret in ("Gr4ph", "Us3rdata", "H4sh"):
            place = text.find(secret)
            assert place < 0, f"{where}: ...{text[max(0, place - 200) : place + 20]}"
    assert [result.failed for result in results] == [False] * 8 + [True] * 4 + [False] * 2
    assert [result.changed for result in results[:8]] == [True] * 8
    seen = host.see()
    assert seen.domain(name, "devices/graphics/@passwd") == "Gr4ph7", "secrets are set, all the same"
    assert results[1].objects[f"domain {name}"]["name"] == name, "a word of the seed does not mask the guest's name"


def test_a_password_that_is_a_common_word_masks_nothing_else(host: Host, name: str) -> None:
    """Ansible replaces a secret wherever it appears in a result; ours must stay readable."""
    options = {
        **SMALL,
        "name": name,
        "title": "running",
        "graphics": [{"type": "vnc", "password": "running"}],
        "state": "running",
    }
    before, checked, result = host.play(LOOK, Task("domain", options, check=True), Task("domain", options))
    assert not result.failed
    assert result.only["state"] == "running"
    assert result.only["name"] == name
    assert checked.only["changes"] == result.only["changes"]
    assert before
