# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two runs on one host at the same time: neither fails the other, and nothing that one makes is lost by the other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.kvmfleet.libvirt.plugins.module_utils import converge
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.apply import apply_plan
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.host.connection import OVERTAKEN_HINT, Connection
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.outcome import Outcome
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.reconcile import Run, reconcile
from ansible_collections.kvmfleet.libvirt.tests.unit.support.declarations import stack_of

URI = "test:///default"
GUEST = {"name": "web1", "virt_type": "test", "memory": "64 MiB", "vcpus": 2, "title": "Web"}
NETWORK = {
    "name": "lab",
    "forward": {"mode": "nat"},
    "ips": [{"address": "192.168.50.1/24", "dhcp": {"ranges": [{"start": "192.168.50.2", "end": "192.168.50.99"}]}}],
}
POOL = {"name": "images", "path": "/nonexistent/images"}
VOLUMES = [
    {"name": "base.qcow2", "pool": "images", "size": "1 GiB"},
    {"name": "over.qcow2", "pool": "images", "backing": "base.qcow2"},
]


def _run(declared: dict[str, Any]) -> Outcome:
    return reconcile(stack_of(json.loads(json.dumps(declared))), Run(URI, False, 5, "stop"))


def _overtaken_by(monkeypatch: pytest.MonkeyPatch, *others: dict[str, Any]) -> list[int]:
    """Have other runs get ahead between a run's plan and its first call, one each time that it plans. Returns what each
    changed.
    """
    waiting, changed = list(others), []

    def late(*args: Any) -> Any:
        if waiting:
            other = waiting.pop(0)
            left, waiting[:] = waiting[:], []
            outcome = _run(other)
            waiting[:] = left
            assert not outcome.errors
            changed.append(sum(entry["changed"] for entry in outcome.objects))
        return apply_plan(*args)

    monkeypatch.setattr(converge, "apply_plan", late)
    monkeypatch.setattr(converge, "_AHEAD", 0)
    return changed


def _everything(connection: Connection) -> list[str]:
    conn = connection.open
    things = [*conn.listAllDomains(0), *conn.listAllNetworks(0), *conn.listAllStoragePools(0)]
    return sorted(f"{thing.XMLDesc(0)} {thing.isActive()} {thing.autostart()}" for thing in things)


WHOLE = {
    "domains": [{**GUEST, "state": "running", "autostart": True}, {**GUEST, "name": "web2"}],
    "networks": [{**NETWORK, "state": "active"}],
    "pools": [{**POOL, "state": "active"}],
    "volumes": VOLUMES,
}
GONE = {
    kind: [
        {"name": item["name"], "state": "absent", **({"pool": "images"} if kind == "volumes" else {})} for item in items
    ]
    for kind, items in WHOLE.items()
    if kind != "volumes"
}


def test_two_runs_of_one_stack_both_succeed(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = _overtaken_by(monkeypatch, WHOLE)
    outcome = _run(WHOLE)
    assert (outcome.errors, changed) == ([], [6])
    assert not _run(WHOLE).changed


def test_two_runs_that_take_one_stack_away_both_succeed(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    _run({**WHOLE, "volumes": []})
    changed = _overtaken_by(monkeypatch, GONE)
    assert _run(GONE).errors == []
    assert changed == [4]
    assert _everything(connection) == []


def test_two_runs_that_reserve_addresses_on_one_network_lose_none(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    _run({"networks": [{**NETWORK, "state": "active"}]})
    guests = [
        {**GUEST, "name": f"web{number}", "interfaces": [{"network": "lab", "address": f"192.168.50.1{number}"}]}
        for number in range(3)
    ]
    changed = _overtaken_by(monkeypatch, {"domains": guests[:1]}, {"domains": guests[1:2]})
    outcome = _run({"domains": guests[2:]})
    assert (outcome.errors, changed) == ([], [2, 2])
    xml = connection.open.networkLookupByName("lab").XMLDesc(0)
    assert [f"192.168.50.1{number}" in xml for number in range(3)] == [True] * 3


def test_a_change_that_another_run_made_is_not_lost(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    _run({"domains": [GUEST]})
    _overtaken_by(monkeypatch, {"domains": [{"name": "web1", "title": "Theirs"}]})
    outcome = _run({"domains": [{"name": "web1", "memory": "128 MiB"}]})
    assert {change["path"] for change in outcome.objects[0]["changes"]} == {"memory", "current_memory"}
    xml = connection.open.lookupByName("web1").XMLDesc(0)
    assert "Theirs" in xml
    assert "131072" in xml


def test_an_act_is_done_once(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was done before somebody else was met is not done again."""
    _run({"domains": [{**GUEST, "state": "running"}, {**GUEST, "name": "web2"}]})
    before = connection.open.lookupByName("web1").ID()
    _overtaken_by(monkeypatch, {"domains": [{"name": "web2", "title": "Theirs"}]})
    acts = {"state": "restarted", "force": True, "timeout": 1}
    outcome = _run({"domains": [{"name": "web1", **acts}, {"name": "web2", "memory": "128 MiB"}]})
    assert outcome.errors == []
    assert connection.open.lookupByName("web1").ID() == before + 1
    assert [entry["changed"] for entry in outcome.objects] == [True, True]


def test_who_is_overtaken_again_and_again_gives_up(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    _run({"domains": [GUEST]})
    changed = _overtaken_by(
        monkeypatch, *({"domains": [{"name": "web1", "title": str(number)}]} for number in range(9))
    )
    outcome = _run({"domains": [{"name": "web1", "memory": "128 MiB"}]})
    assert outcome.errors == [f"domain web1: its definition is another one by now: {OVERTAKEN_HINT}"]
    assert changed == [1] * (converge.LOOKS + 1)
    assert "131072" not in connection.open.lookupByName("web1").XMLDesc(0)


def test_what_another_run_made_otherwise_is_told_and_left(
    connection: Connection, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _run({"pools": [{**POOL, "state": "active", "path": str(tmp_path)}]})
    volume = {"name": "data.qcow2", "pool": "images", "size": "1 GiB"}
    _overtaken_by(monkeypatch, {"volumes": [{**volume, "size": "2 GiB"}]})
    outcome = _run({"volumes": [volume]})
    (error,) = outcome.errors
    assert "already exists" in error
    assert "as it is now: volume images/data.qcow2: size: 1 GiB is less than the 2 GiB it has" in error
