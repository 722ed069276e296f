# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole runs against the test driver: check, run, run again, change, absent, and what libvirt itself says then."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import libvirt
import pytest

from ansible_collections.kvmfleet.libvirt.plugins.module_utils import converge
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.host import judge
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.host.connection import Connection, HypervisorError
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.host.judge import Judge
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.host.read import Scope, read_host, read_routes
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.outcome import Outcome
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan import stack as stack_module
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.problem import Declined
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.reconcile import Run, reconcile
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.scope import scope_of
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.tell import gather
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.unchanged import FEWEST, Memory
from ansible_collections.kvmfleet.libvirt.tests.unit.support.declarations import stack_of

URI = "test:///default"


def _run(declared: dict[str, Any], check: bool = False, on_error: str = "stop") -> Outcome:
    return reconcile(stack_of(json.loads(json.dumps(declared))), Run(URI, check, 5, on_error))


def _everything(connection: Connection) -> list[str]:
    """All definitions of the driver, as it tells them."""
    conn = connection.open
    things = [*conn.listAllDomains(0), *conn.listAllNetworks(0), *conn.listAllStoragePools(0)]
    return sorted(f"{thing.XMLDesc(0)} {thing.isActive()} {thing.autostart()}" for thing in things)


GUEST = {"name": "web1", "virt_type": "test", "memory": "64 MiB", "vcpus": 2}
NET = {
    "name": "lab",
    "forward": {"mode": "nat"},
    "ips": [{"address": "192.168.50.1/24", "dhcp": {"ranges": [{"start": "192.168.50.2", "end": "192.168.50.99"}]}}],
}
SRV = {"service": "ldap", "protocol": "tcp", "domain": "lab.example", "target": "dc", "port": 389}
RICH = {
    "name": "rich",
    "forward": {"mode": "nat", "nat": {"ipv6": True, "port": {"start": 2000, "end": 3000}}},
    "dns": {"txts": [{"name": "a", "value": "1"}], "srvs": [SRV]},
    "portgroups": [{"name": "a", "default": True, "vlan": {"trunk": True, "tags": [{"id": 3}]}}, {"name": "b"}],
    "ips": [
        {
            "address": "192.168.51.1/24",
            "tftp": "/srv/tftp",
            "dhcp": {
                "ranges": [{"start": "192.168.51.2", "end": "192.168.51.99", "lease": {"expiry": 2, "unit": "hours"}}],
                "hosts": [{"name": "one", "ip": "192.168.51.11"}],
                "bootp": {"file": "pxe.0"},
            },
        },
        {"address": "fd00:51::1/64", "dhcp": {"hosts": [{"id": "00:03:00:01:52:54:00:00:07:01", "ip": "fd00:51::2"}]}},
    ],
    "routes": [{"address": "10.51.0.0/16", "gateway": "192.168.51.2"}],
    "state": "active",
}
NFS = {
    "name": "nfs",
    "type": "netfs",
    "path": "/nonexistent/nfs",
    "source": {"hosts": [{"name": "a"}], "dir": "/export", "format": "nfs"},
}
STEPS: dict[str, list[tuple[dict[str, Any], bool]]] = {
    "guest": [
        ({"domains": [GUEST]}, True),
        ({"domains": [{"name": "web1"}]}, False),
        ({"domains": [{**GUEST, "memory": "128 MiB", "title": "Web"}]}, True),
        ({"domains": [{**GUEST, "memory": "128 MiB", "state": "running"}]}, True),
        ({"domains": [{**GUEST, "memory": "131072 KiB", "state": "paused"}]}, True),
        ({"domains": [{"name": "web1", "state": "running"}]}, True),
        ({"domains": [{"name": "web1", "autostart": True}]}, True),
        ({"domains": [{"name": "web1", "state": "stopped", "timeout": 5}]}, True),
        ({"domains": [{"name": "web1", "state": "absent"}]}, True),
    ],
    "network": [
        ({"networks": [NET]}, True),
        ({"networks": [{"name": "lab"}]}, False),
        ({"networks": [{"name": "lab", "mtu": 1400}]}, True),
        ({"networks": [{**NET, "state": "active", "autostart": True}]}, True),
        ({"networks": [{"name": "lab", "state": "inactive", "autostart": False}]}, True),
        ({"networks": [{"name": "lab", "state": "absent"}]}, True),
    ],
    "network with records, ports and routes": [
        ({"networks": [RICH]}, True),
        (
            {"networks": [{**RICH, "dns": {"txts": [{"name": "a", "value": "2"}], "srvs": [{**SRV, "priority": 3}]}}]},
            True,
        ),
        ({"networks": [{**RICH, "portgroups": [{"name": "b", "default": True}]}]}, True),
        ({"networks": [{"name": "rich", "portgroups": [], "dns": {"txts": [], "srvs": []}}]}, True),
        ({"networks": [{"name": "rich", "state": "absent"}]}, True),
    ],
    "network on devices of the host": [
        ({"networks": [{"name": "dev", "forward": {"mode": "bridge", "dev": "eth1"}, "state": "active"}]}, True),
        ({"networks": [{"name": "dev", "forward": {"interfaces": [{"dev": "eth2"}]}}]}, True),
        ({"networks": [{"name": "dev", "forward": {"interfaces": [{"dev": "eth3"}]}}]}, True),
        ({"networks": [{"name": "dev", "state": "inactive"}]}, True),
        ({"networks": [{**NET, "name": "dev", "forward": {"mode": "none"}}]}, True),
        ({"networks": [{"name": "dev", "state": "absent"}]}, True),
    ],
    "pool": [
        ({"pools": [{"name": "p", "path": "/nonexistent/p"}]}, True),
        ({"pools": [{"name": "p", "state": "active", "autostart": True}]}, True),
        ({"pools": [{"name": "p", "path": "/nonexistent/p/"}]}, False),
        ({"pools": [{"name": "p", "state": "inactive"}]}, True),
        ({"pools": [{"name": "p", "state": "absent"}]}, True),
    ],
    "pool of files from a server": [
        ({"pools": [NFS]}, True),
        ({"pools": [{**NFS, "source": {"hosts": [{"name": "b"}]}}]}, True),
        ({"pools": [{"name": "nfs", "state": "active", "refresh": True}]}, True),
        ({"pools": [{"name": "nfs", "state": "absent"}]}, True),
    ],
    "volume": [
        ({"pools": [{"name": "p", "path": "/nonexistent/p", "state": "active"}]}, True),
        ({"volumes": [{"name": "v.qcow2", "pool": "p", "size": "1 GiB"}]}, True),
        ({"volumes": [{"name": "v.qcow2", "pool": "p", "state": "absent"}]}, True),
        ({"pools": [{"name": "p", "state": "absent"}]}, True),
    ],
    "stack": [
        (
            {
                "pools": [{"name": "default", "path": "/nonexistent", "state": "active"}],
                "networks": [{**NET, "state": "active"}],
                "domains": [
                    {
                        **GUEST,
                        "disks": [{"target": "vda", "size": "1 GiB"}],
                        "interfaces": [{"network": "lab", "address": "192.168.50.10"}],
                        "state": "running",
                    }
                ],
            },
            True,
        ),
        (
            {
                "pools": [{"name": "default", "state": "absent"}],
                "networks": [{"name": "lab", "state": "absent"}],
                "domains": [{"name": "web1", "state": "absent", "remove_storage": True, "force": True}],
            },
            True,
        ),
    ],
}


@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS)
def test_check_run_and_run_again(connection: Connection, steps: list[tuple[dict[str, Any], bool]]) -> None:
    before_all = _everything(connection)
    for declared, changes in steps:
        before = _everything(connection)
        check = _run(declared, check=True)
        assert _everything(connection) == before, "a check writes nothing"
        done = _run(declared)
        assert done.errors == []
        assert check.changed == done.changed == changes
        assert [entry["changes"] for entry in check.objects] == [entry["changes"] for entry in done.objects]
        assert check.diff == done.diff
        again = _run(declared)
        assert (again.changed, again.errors) == (False, [])
    assert _everything(connection) == before_all


def test_what_libvirt_says_is_what_was_declared(connection: Connection) -> None:
    _run({"networks": [{**NET, "state": "active"}], "domains": [{**GUEST, "state": "running"}]})
    domain = connection.open.lookupByName("web1")
    assert domain.info()[:4] == [libvirt.VIR_DOMAIN_RUNNING, 65536, 65536, 2]
    network = connection.open.networkLookupByName("lab")
    assert network.isActive()
    assert "192.168.50.99" in network.XMLDesc(0)


def test_a_running_network_takes_reservations_while_it_runs(connection: Connection) -> None:
    guest = {**GUEST, "interfaces": [{"network": "lab", "address": "192.168.50.10"}]}
    _run({"networks": [{**NET, "state": "active"}], "domains": [guest]})
    network = connection.open.networkLookupByName("lab")
    assert "192.168.50.10" in network.XMLDesc(0)
    guest["interfaces"] = [{"network": "lab", "address": "192.168.50.11"}]
    done = _run({"domains": [guest]})
    assert done.errors == []
    assert "192.168.50.11" in network.XMLDesc(0)
    assert "192.168.50.10" not in network.XMLDesc(0)
    assert _run({"domains": [{"name": "web1", "state": "absent"}]}).errors == []
    assert "192.168.50.11" not in network.XMLDesc(0)
    assert network.isActive()


def test_addresses_are_swapped_while_the_network_runs(connection: Connection) -> None:
    def both(first: str, second: str) -> dict[str, Any]:
        hosts = [{"mac": "52:54:00:00:00:01", "ip": first}, {"mac": "52:54:00:00:00:02", "ip": second}]
        return {
            "networks": [{**NET, "state": "active", "ips": [{"address": "192.168.50.1/24", "dhcp": {"hosts": hosts}}]}]
        }

    for pair in (("192.168.50.10", "192.168.50.11"), ("192.168.50.11", "192.168.50.10")):
        assert _run(both(*pair)).errors == []
        assert not _run(both(*pair)).changed
    text = connection.open.networkLookupByName("lab").XMLDesc(0)
    assert "mac='52:54:00:00:00:01' ip='192.168.50.11'" in text


def test_bad_input_changes_nothing(connection: Connection) -> None:
    before = _everything(connection)
    with pytest.raises(Declined):
        _run({"networks": [NET], "domains": [{**GUEST, "memory": "lots"}]})
    assert _everything(connection) == before


def test_what_the_schema_refuses_is_refused_before_the_first_write(connection: Connection) -> None:
    before = _everything(connection)
    xml = "<domain><devices><disk type='nonsense'/></devices></domain>"
    with pytest.raises(Declined, match=r"domain web1: libvirt's schema"):
        _run({"networks": [NET], "domains": [{**GUEST, "xml": xml}]})
    assert _everything(connection) == before


def test_what_libvirt_refuses_names_the_object_and_the_code(connection: Connection) -> None:
    one, two = ({**NET, "name": name, "uuid": "11111111-2222-4333-8444-555555555555"} for name in ("one", "two"))
    _run({"networks": [one]})
    done = _run({"networks": [two], "domains": [GUEST]}, on_error="continue")
    assert len(done.errors) == 1
    assert done.errors[0].startswith("network two: define network two: ")
    assert "[VIR_ERR_OPERATION_FAILED, test:///default]" in done.errors[0]
    assert connection.open.lookupByName("web1")


def test_a_hypervisor_that_does_not_answer() -> None:
    with pytest.raises(HypervisorError) as raised:
        Connection("qemu+unix:///system?socket=/nonexistent/libvirt-sock")
    assert "connect to the hypervisor: " in str(raised.value)
    assert "/nonexistent/libvirt-sock" in str(raised.value)
    assert "is the libvirt daemon running on this host" in str(raised.value)


def test_what_passes_by_itself_is_told_apart() -> None:
    text = "Child process (/usr/bin/qemu-img create) unexpected exit status 1: Unable to get accurate CPU usage"
    libvirt.virResetLastError()  # An error of libvirt's own would be told in place of these words.
    busy, broken = (HypervisorError("volume", "x", libvirt.libvirtError(words)) for words in (text, "exit status 1"))
    assert (busy.is_passing, broken.is_passing) == (True, False)
    assert "run again" in str(busy)


def test_a_uri_that_is_none() -> None:
    with pytest.raises(HypervisorError, match="VIR_ERR_"):
        Connection("nonsense:///x")


BLOCK = "<ip address='10.0.0.1' prefix='24'/>"


@pytest.mark.parametrize(
    ("kind", "xml", "wrong"),
    [
        ("domain", "<domain type='kvm'><name>a</name><memory>1</memory><os><type>hvm</type></os></domain>", False),
        ("domain", "<domain type='kvm'><name>a</name><vcpu>no</vcpu></domain>", True),
        ("network", "<network><name>a</name></network>", False),
        ("network", "<network><name>a</name><ip address='x'/></network>", True),
        (
            "network",
            f"<network><name>default</name>{BLOCK}<route address='10.9.0.0' prefix='16' gateway='10.0.0.2'/></network>",
            False,
        ),
        (
            "network",
            f"<network><name>default</name>{BLOCK}<route address='10.9.0.0' prefix='16' gateway='10.1.0.2'/></network>",
            True,
        ),
    ],
)
def test_schemas(kind: str, xml: str, wrong: bool) -> None:
    assert bool(Judge().complaints(kind, xml, None)) == wrong


def test_a_judgement_that_takes_for_ever_is_left_to_libvirt(monkeypatch: pytest.MonkeyPatch) -> None:
    """libxml2 tries every order of an element's attributes; the definitions before it are judged all the same."""
    driver = "<driver name='qemu' type='qcow2' cache='none' error_policy='stop' rerror_policy='stop' io='native'"
    driver += " ioeventfd='on' event_idx='on' copy_on_read='on' discard='unmap' iothread='1' detect_zeroes='on'"
    driver += " queues='4' queue_size='256' iommu='on' ats='on' packed='on' page_per_vq='on'/>"
    disk = f"<disk type='file' device='disk'>{driver}<target dev='vda' bus='virtio'/></disk>"
    slow = "<domain type='kvm'><name>a</name><memory>1</memory><os><type>hvm</type></os>"
    slow += f"<devices>{disk}</devices></domain>"
    wrong = "<network><name>a</name><ip address='x'/></network>"
    monkeypatch.setattr(judge, "DEADLINE", 2.0)
    started = time.monotonic()
    found = judge.judged([("network", wrong, None), ("domain", slow, None), ("network", wrong, None)])
    assert time.monotonic() - started < 10
    assert found[0]
    assert found[1:] == [[], []]


def test_a_schema_is_no_judge_of_what_did_not_fit_before() -> None:
    old = "<network><name>a</name><ip address='x'/></network>"
    assert Judge().complaints("network", old.replace(">a<", ">b<"), old) == []


@pytest.mark.parametrize("present", ["listed", "declared"])
def test_calls_grow_with_the_number_of_guests(
    connection: Connection, monkeypatch: pytest.MonkeyPatch, present: str
) -> None:
    calls = 0
    described = libvirt.virDomain.XMLDesc

    def counted(domain: Any, flags: int = 0) -> str:
        nonlocal calls
        calls += 1
        text: str = described(domain, flags)
        return text

    monkeypatch.setattr(libvirt.virDomain, "XMLDesc", counted)
    counts = []
    for many in (10, 50):
        names = [f"guest{number}" for number in range(many)]
        for name in names[len(connection.open.listAllDomains(0)) :]:
            connection.open.defineXML(
                f"<domain type='test'><name>{name}</name><memory>8192</memory><os><type>hvm</type></os></domain>"
            )
        calls = 0
        wanted = frozenset(names) if present == "declared" else frozenset()
        read_host(connection, Scope(wanted, frozenset(), everything=False, machines=False))
        counts.append(calls)
    assert counts == ([10, 50] if present == "declared" else [0, 0])


def test_the_routes_of_a_host(tmp_path: Path) -> None:
    table = tmp_path / "route"
    table.write_text(
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
        "host0\t00000000\t0151D50A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
        "host0\t0051D50A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
    )
    # As a machine with the least byte first writes it.
    assert read_routes(str(table)) == (("host0", "0.0.0.0/0", "10.213.81.1"), ("host0", "10.213.81.0/24", ""))
    assert read_routes(str(tmp_path / "none")) == ()


def test_a_run_opens_one_connection(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    plain = libvirt.open

    def counted(uri: str) -> Any:
        opened.append(uri)
        return plain(uri)

    monkeypatch.setattr(libvirt, "open", counted)
    stack = stack_of({"domains": [{"name": f"guest{number}", "memory": "8 MiB"} for number in range(3)]})
    assert reconcile(stack, Run(URI, check=False, parallel=3, on_error="stop")).changed
    assert opened == [URI]


UNUSUAL = [
    "with 'quotes' & <tags>",
    'with "$(reboot)`;#',
    "with %s\\n",
    "名前 ünïcödé \U0001f600",
    "--help",
    "x" * 240,
]


@pytest.mark.parametrize("name", UNUSUAL, ids=range(len(UNUSUAL)))
def test_unusual_names_are_names(connection: Connection, pool: Any, name: str) -> None:
    """Made, found as declared, exported and applied again, and gone."""
    declared: dict[str, Any] = {
        "networks": [{"name": name, "bridge": {"name": "br0"}}],
        "volumes": [{"name": name, "size": "1 MiB", "format": "qcow2"}],
        "domains": [{"name": name, "memory": "8 MiB", "disks": [{"target": "vda", "volume": name}]}],
    }
    run = Run(URI, check=False, parallel=1, on_error="stop")
    assert reconcile(stack_of(declared), run).changed
    again = reconcile(stack_of(declared), run)
    assert not again.changed
    assert not again.errors
    told = gather(URI, {"domains": [name], "pools": [], "secrets": [], "nwfilters": []})
    assert [item["name"] for item in told["domains"]] == [name]
    assert not reconcile(stack_of({"domains": told["domains"]}), run).changed
    gone = {kind: [{"name": name, "state": "absent"} for _item in items] for kind, items in declared.items()}
    assert reconcile(stack_of(gone), run).changed
    assert name not in [item.name() for item in connection.open.listAllDomains(0)]


OWNER = (
    "<domain type='test'><name>owner</name><memory>65536</memory><os><type>hvm</type></os><devices>"
    "<disk type='file'><source file='/srv/{file}'/><target dev='vda'/></disk></devices></domain>"
)


@pytest.fixture
def owner() -> Iterator[Any]:
    """A guest that no test declares: others made it, with disks on files that it writes to."""
    connection = libvirt.open(URI)
    guest = connection.defineXML(OWNER.format(file="data.raw"))
    yield guest
    guest.undefine()
    connection.close()


@pytest.mark.parametrize("more", [{}, {"readonly": True}, {"shareable": True}, {"device": "cdrom"}], ids=str)
def test_a_file_that_an_undeclared_guest_writes_to_is_nobody_else_s_disk(owner: Any, more: dict[str, Any]) -> None:
    guest = {**GUEST, "disks": [{"target": "sda", "file": "/srv/data.raw", "format": "raw", **more}]}
    if more:
        assert _run({"domains": [guest]}, check=True).changed
        return
    with pytest.raises(Declined) as refused:
        _run({"domains": [guest]})
    (problem,) = refused.value.problems
    assert str(problem) == (
        "domain web1: disks[sda]: /srv/data.raw is in use by guest owner; two that write destroy it: "
        "say shareable or readonly"
    )
    # It may go from one to the other in one run.
    gone = {"name": "owner", "state": "absent"}
    assert _run({"domains": [gone, guest]}, check=True).changed
    moved = {"name": "owner", "disks": []}
    assert _run({"domains": [moved, guest]}, check=True).changed


def test_a_guest_that_is_as_declared_costs_no_look_at_the_others(owner: Any) -> None:
    guest = {**GUEST, "disks": [{"target": "sda", "file": "/srv/own.raw", "format": "raw"}]}
    _run({"domains": [guest]})
    connection = Connection(URI)
    try:
        stack = stack_of(json.loads(json.dumps({"domains": [guest]})))
        assert set(read_host(connection, scope_of(stack)).domains) == {"web1"}
        stack["domains"][0]["disks"][0]["file"] = "/srv/other.raw"
        assert "owner" in read_host(connection, scope_of(stack)).domains
    finally:
        connection.close()
        _run({"domains": [{"name": "web1", "state": "absent"}]})


@pytest.mark.usefixtures("connection")
def test_what_a_run_did_not_touch_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    guests = [{**GUEST, "name": f"web{number}"} for number in range(5)]
    _run({"domains": guests})
    read: list[set[str]] = []

    def recorded(connection: Connection, scope: Scope) -> Any:
        host = read_host(connection, scope)
        read.append(set(host.domains))
        return host

    monkeypatch.setattr(converge, "read_host", recorded)
    guests[3]["description"] = "another"
    outcome = _run({"domains": [*guests, {"name": "gone", "state": "absent"}]})
    assert [entry["name"] for entry in outcome.objects if entry["changed"]] == ["web3"]
    assert read == [{"web3"}]
    assert not _run({"domains": guests}, check=True).changed
    _run({"domains": [{"name": guest["name"], "state": "absent"} for guest in guests]})
    assert read[1:] == [set()]


def test_a_volume_that_a_guest_stands_on_already_is_not_looked_at(connection: Connection, pool: Any) -> None:
    size = {"pool": "default", "size": "1 MiB", "format": "raw"}
    disk = {"target": "sda", "bus": "sata", "volume": "web1.img", "pool": "default"}
    guest = {**GUEST, "disks": [disk]}
    made = {"volumes": [{**size, "name": "web1.img"}, {**size, "name": "other.img"}], "domains": [guest]}

    def looked_at() -> set[str]:
        scope = scope_of(stack_of(json.loads(json.dumps({"domains": [guest]}))))
        volumes = read_host(connection, scope).pools[pool.name()].volumes
        return {name for name, volume in volumes.items() if volume is not None}

    _run(made)
    assert looked_at() == set()
    assert not _run({"domains": [guest]}).changed
    # At another place of the guest, it keeps the format that it is read in.
    guest["disks"] = [{**disk, "target": "sdb"}]
    assert looked_at() == set()
    (entry,) = _run({"domains": [guest]}, check=True).objects
    assert [change["path"] for change in entry["changes"]] == ["disks[sda]", "disks[sdb]"]
    assert entry["changes"][1]["after"]["format"] == "raw"
    # What else is declared of it, or another volume, has to be known.
    guest["disks"] = [{**disk, "size": "1 MiB"}]
    assert looked_at() == {"web1.img"}
    guest["disks"] = [{**disk, "volume": "other.img"}]
    assert "other.img" in looked_at()
    guest["disks"] = [{**disk, "volume": "none.img"}]
    with pytest.raises(Declined, match=r"volume default/none\.img is neither there nor declared"):
        _run({"domains": [guest]})
    _run({"domains": [{"name": "web1", "state": "absent"}]})
    _run({"volumes": [{"name": name, "pool": "default", "state": "absent"} for name in ("web1.img", "other.img")]})


def test_a_run_like_the_one_before_is_not_planned_and_any_drift_is(
    connection: Connection, pool: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = 0
    real = stack_module.plan_stack

    def counted(*given: Any) -> Any:
        nonlocal planned
        planned += 1
        return real(*given)

    monkeypatch.setattr(stack_module, "plan_stack", counted)
    volume = {"name": "data.img", "pool": pool.name(), "size": "1 MiB", "format": "raw"}
    disk = {"target": "sda", "bus": "sata", "volume": "data.img", "pool": pool.name()}
    guests = [{**GUEST, "name": f"web{number}", "state": "running"} for number in range(FEWEST)]
    guests[0]["disks"] = [disk]
    stack = stack_of(json.loads(json.dumps({"volumes": [volume], "domains": guests})))

    def run(check: bool = False) -> tuple[Outcome, int]:
        before = planned
        memory = Memory(str(tmp_path / "memory"), "digest")
        return reconcile(stack, Run(URI, check, 5, "stop", memory)), planned - before

    (tmp_path / "memory").mkdir()
    assert run()[0].changed
    first, second, checked = run(), run(), run(check=True)
    assert [done.changed for done, _planned in (first, second, checked)] == [False] * 3
    assert [number for _done, number in (first, second, checked)] == [1, 0, 0]
    assert second[0] == first[0]
    assert checked[0].objects == first[0].objects
    # Another volume makes another host of it, once.
    pool.createXML("<volume><name>other.img</name><capacity>1048576</capacity></volume>", 0)
    assert [number for _done, number in (run(), run())] == [1, 0]
    connection.open.lookupByName("web7").destroy()
    drifted, number = run()
    assert number > 0
    assert [entry["name"] for entry in drifted.objects if entry["changed"]] == ["web7"]
    _run({"domains": [{"name": guest["name"], "state": "absent"} for guest in guests]})


READ_TWICE = """
from {package}.host.connection import Connection
from {package}.host.read import Scope, read_host
from {package}.unchanged import _digest
names = frozenset(map(str, range(30)))
disks = frozenset("/proc/self/cwd/" + name for name in names)
scope = Scope(names, names, everything=True, machines=True, networks=names, snapshots=frozenset(["test"]), disks=disks)
print(_digest(read_host(Connection("test:///default"), scope)))
"""


def test_a_host_reads_the_same_in_every_process() -> None:
    """What is read has an order of its own, not that of hashes: else no run would be like the one before."""
    script = READ_TWICE.format(package=converge.__name__.rpartition(".")[0])
    found = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(found) == 1
