# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Network filters."""

from __future__ import annotations

from typing import Any

import pytest
from fleet import Host

RULES: list[dict[str, Any]] = [
    {
        "action": "accept",
        "direction": "in",
        "statematch": False,
        "protocol": "ip",
        "match": {"srcipaddr": "10.0.0.0", "srcipmask": "255.255.255.0", "protocol": "tcp", "dstportstart": 22},
    },
    {"action": "drop", "direction": "inout", "priority": 600, "protocol": "tcp", "match": {"match": False, "dscp": 2}},
    {"action": "accept", "direction": "out", "protocol": "arp", "match": {"arpsrcmacaddr": "52:54:00:AA:bb:cc"}},
    {"action": "accept", "direction": "out", "protocol": "tcp", "match": {"state": "NEW,ESTABLISHED"}},
    {"action": "accept", "direction": "out", "protocol": "udp-ipv6"},
    {"action": "accept", "direction": "out"},
]


@pytest.mark.both
def test_filters_from_nothing_to_nothing(host: Host, name: str) -> None:
    refs = [{"filter": "clean-traffic", "parameters": [{"name": "IP", "value": "10.0.0.1"}]}]
    items = [
        {"name": f"{name}b", "filterrefs": [{"filter": f"{name}a"}]},
        {"name": f"{name}a", "chain": "ipv4", "priority": -500, "filterrefs": refs, "rules": RULES},
    ]
    made = host.converge("stack", nwfilters=items)
    assert made.after.value("nwfilters", f"{name}a", "rule/ip/@srcipmask") == "24"
    uuid = made.after.value("nwfilters", f"{name}a", "uuid")
    told = host.run("stack_info", nwfilters=["*"], pools=[], networks=[], volumes=[], domains=[], secrets=[])
    exported = told.data["stack"]["nwfilters"]
    assert [item["name"] for item in exported] == [f"{name}a", f"{name}b"], "libvirt's own ones are not told"
    host.converge("stack", changed=False, nwfilters=exported)
    less = host.converge("nwfilter", name=f"{name}a", rules=RULES[:1])
    assert set(less.run.changes) == {"rules"}
    assert less.after.value("nwfilters", f"{name}a", "uuid") == uuid
    assert less.after.value("nwfilters", f"{name}a", "filterref/@filter") == "clean-traffic"
    gone = host.converge("stack", nwfilters=[{"name": item["name"], "state": "absent"} for item in reversed(items)])
    assert [found for found in gone.after.all["nwfilters"] if found.startswith(name)] == []


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"name": "clean-traffic", "rules": []}, "libvirt's own"),
    ({"name": "clean-traffic", "state": "absent"}, "libvirt's own"),
    ({"name": "itx", "chain": "cheese"}, "chain"),
    (
        {"name": "itx", "rules": [{"action": "drop", "direction": "in", "protocol": "tcp", "match": {"nose": 1}}]},
        "nose",
    ),
    ({"name": "itx", "rules": [{"action": "drop", "direction": "up"}]}, "up"),
]


def test_what_cannot_be_is_refused(host: Host) -> None:
    host.refuses("nwfilter", REFUSED)
