# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds whatever is declared and whatever is there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kvmfleet.libvirt.plugins.module_utils import tree
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.outcome import outcome_of
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.current import Host
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.export import export_host
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.plan import Plan
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.problem import Declined
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.stack import plan_stack
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.spec.kinds import KIND, KINDS
from ansible_collections.kvmfleet.libvirt.tests.unit.support.applied import applied
from ansible_collections.kvmfleet.libvirt.tests.unit.support.cases import FOLDER, cases
from ansible_collections.kvmfleet.libvirt.tests.unit.support.declarations import stack_of
from ansible_collections.kvmfleet.libvirt.tests.unit.support.hosts import NETWORK, host_of
from ansible_collections.kvmfleet.libvirt.tests.unit.support.strategies import declared

GUEST = (FOLDER / "domain" / "adopt_libvirt_9" / "current.xml").read_text(encoding="utf-8")
RUNNING = (FOLDER / "domain" / "adopt_libvirt_9_running" / "live.xml").read_text(encoding="utf-8")
HOST = host_of(
    {
        "pools": {"default": {"volumes": {"web1.qcow2": {"capacity": 20 << 30}, "base.qcow2": {"capacity": 3 << 30}}}},
        "networks": {"default": {}},
        "domains": {"web1": {"xml": GUEST, "live": RUNNING, "state": "running"}},
    }
)
SECRET = "s3cret-that-nobody-reads"
# Acts, with the states that they lead to.
SETTLED = {"restarted": "running", "reset": "running", "wiped": "present"}

ANYTHING = st.fixed_dictionaries(
    {},
    optional={
        kind.plural: st.lists(
            st.one_of(declared(kind.fields), *(declared(kind.fields, name) for name in ("default", "web1", "lab"))),
            max_size=2,
        )
        for kind in KINDS
    },
)


def _planned(stack: dict[str, Any], host: Host) -> Plan | None:
    try:
        return plan_stack(stack, host)
    except Declined:
        return None


@given(ANYTHING)
def test_every_declaration_is_planned_or_declined_and_once_carried_out_leaves_nothing(stack: dict[str, Any]) -> None:
    plan = _planned(stack, HOST)
    if plan is None:
        return
    after = applied(HOST, plan)
    for items in stack.values():
        for item in items:
            item["state"] = SETTLED.get(item["state"], item["state"])
            if "set_value" in item:
                item["set_value"] = "if_needed"
    again = plan_stack(stack, after)
    assert [(item.id, item.changes, item.steps) for item in again.objects if item.changes or item.steps] == []


@pytest.mark.parametrize("kind", sorted(kind.name for kind in KINDS))
@given(data=st.data())
def test_one_object_likewise(kind: str, data: st.DataObject) -> None:
    name = {"domain": "web1", "network": "default", "pool": "default", "volume": "base.qcow2"}.get(kind, "lab")
    item = data.draw(declared(KIND[kind].fields, data.draw(st.sampled_from((name, "new")))))
    test_every_declaration_is_planned_or_declined_and_once_carried_out_leaves_nothing.hypothesis.inner_test(  # type: ignore[attr-defined]
        {KIND[kind].plural: [item]}
    )


ELEMENTS = st.recursive(
    st.tuples(st.sampled_from(("unknown", "other", "address")), st.sampled_from(("", "a", "7"))),
    lambda below: st.tuples(st.sampled_from(("unknown", "other")), st.lists(below, max_size=2)),
    max_leaves=4,
)


def _foreign(made: Any) -> Any:
    tag, content = made
    node = tree.element(tag + "-of-somebody", None, mark="kept")
    if isinstance(content, str):
        node.text = content or None
    else:
        node.extend(_foreign(part) for part in content)
    return node


@given(
    st.lists(st.tuples(st.integers(0, 60), ELEMENTS), min_size=1, max_size=5), declared(KIND["domain"].fields, "web1")
)
def test_what_is_foreign_survives(strangers: list[tuple[int, Any]], item: dict[str, Any]) -> None:
    root = tree.parse(GUEST)
    kept = ("domain", "os", "features", "clock", "pm", "devices")
    for place, made in strangers:
        parents = [node for node in root.iter() if node.tag in kept]
        parents[place % len(parents)].append(_foreign(made))
    foreign = [tree.canonical(node) for node in root.iter() if str(node.tag).endswith("-of-somebody")]
    domain = HOST.domains["web1"]._replace(inactive=tree.text_of(root), live=None, state="stopped")
    plan = _planned({"domains": [dict(item, state="present")]}, HOST._replace(domains={"web1": domain}))
    written = [step.args["xml"] for one in plan.objects for step in one.steps if step.verb == "define"] if plan else []
    for xml in written:
        if tree.parse(xml).tag == "domain":
            after = [tree.canonical(node) for node in tree.parse(xml).iter() if str(node.tag).endswith("-of-somebody")]
            assert sorted(after) == sorted(foreign)


ONE_FIELD: list[tuple[dict[str, Any], list[str]]] = [
    ({"title": "x"}, ["title"]),
    ({"description": "x"}, ["description"]),
    ({"memory": "3 GiB"}, ["memory", "current_memory"]),  # The balloon follows the memory.
    ({"current_memory": "1 GiB"}, ["current_memory"]),
    ({"vcpus": 3}, ["vcpus"]),
    ({"cpu": {"mode": "maximum"}}, ["cpu.mode"]),
    ({"machine": "pc-q35-8.2"}, ["machine"]),
    ({"boot": ["network"]}, ["boot"]),
    ({"on_crash": "preserve"}, ["on_crash"]),
    ({"vcpu_current": 1}, ["vcpu_current"]),
    ({"vcpu_cpuset": "0,1"}, ["vcpu_cpuset"]),
    ({"cpu": {"topology": {"cores": 2}}}, [f"cpu.topology.{level}" for level in ("cores", "threads", "sockets")]),
    ({"memory_backing": {"source": "memfd"}}, ["memory_backing.source"]),
    ({"features": {"vmport": True}}, ["features.vmport"]),
    ({"features": {"smm_tseg": "16 MiB"}}, ["features.smm", "features.smm_tseg"]),
    ({"clock": {"timers": [{"name": "hpet", "present": True}]}}, ["clock.timers[hpet].present"]),
    ({"clock": {"offset": "localtime"}}, ["clock.offset"]),
    ({"pm": {"suspend_to_mem": True}}, ["pm.suspend_to_mem"]),
    ({"sysinfo": {"system": {"serial": "S"}}}, ["sysinfo.system.serial"]),
    ({"perf_events": {"cpu_clock": True}}, ["perf_events.cpu_clock"]),
    ({"cputune": {"shares": 10}}, ["cputune.shares"]),
    ({"cputune": {"vcpupin": [{"vcpu": 1, "cpuset": "0"}]}}, ["cputune.vcpupin[1]"]),
    ({"memtune": {"hard_limit": "4 GiB"}}, ["memtune.hard_limit"]),
    ({"qemu_args": ["-a", "b"]}, ["qemu_args"]),
    ({"metadata": ["<x xmlns='urn:x'/>"]}, ["metadata.{urn:x}x"]),
    ({"disks": [{"target": "vda", "cache": "none"}]}, ["disks[vda].cache"]),
    ({"disks": [{"target": "vda", "serial": "S"}]}, ["disks[vda].serial"]),
    ({"interfaces": [{"network": "default", "mtu": 1400}]}, ["interfaces[52:54:00:c5:1e:02].mtu"]),
    ({"interfaces": [{"network": "default", "link": "down"}]}, ["interfaces[52:54:00:c5:1e:02].link"]),
    ({"graphics": [{"type": "vnc", "keymap": "de"}]}, ["graphics[vnc].keymap"]),
    ({"graphics": [{"type": "vnc", "listen": "0.0.0.0"}]}, ["graphics[vnc].listen"]),
    ({"graphics": [{"type": "vnc", "port": 5901}]}, ["graphics[vnc].port", "graphics[vnc].autoport"]),
    ({"videos": [{"model": "vga"}]}, ["videos[0].model"]),
    ({"rngs": [{"source": "/dev/hwrng"}]}, ["rngs[0].source"]),
    ({"videos": [{"model": "qxl", "accel3d": True}]}, ["videos[0].model", "videos[0].accel3d"]),
    (
        {"interfaces": [{"network": "default", "vlan": {"tags": [{"id": 7}]}}]},
        ["interfaces[52:54:00:c5:1e:02].vlan.tags"],
    ),
    ({"disks": [{"target": "vda", "iotune": {"total_iops_sec": 9}}]}, ["disks[vda].iotune.total_iops_sec"]),
    ({"hostdevs": [{"pci": "03:00.0"}]}, ["hostdevs[0000:03:00.0]"]),
    ({"vsock": {"cid": 7}}, ["vsock"]),
    ({"tpm": {"model": "tpm-crb"}}, ["tpm"]),
    ({"autostart": True}, ["autostart"]),
    ({"state": "stopped"}, ["state"]),
]


@pytest.mark.parametrize(("change", "paths"), ONE_FIELD, ids=[next(iter(change)) for change, _paths in ONE_FIELD])
def test_one_field_declared_anew_is_one_change(change: dict[str, Any], paths: list[str]) -> None:
    plan = plan_stack(stack_of({"domains": [{"name": "web1", **change}]}), HOST)
    found = [one.path for item in plan.objects if item.kind == "domain" for one in item.changes]
    assert found == paths


@pytest.mark.parametrize(
    "case", [case for case in cases() if case.host.domains or case.host.networks], ids=lambda case: case.id
)
def test_what_is_exported_changes_nothing(case: Any) -> None:
    exported = export_host(case.host)
    plan = plan_stack(stack_of(exported), case.host)
    changes = [change for item in plan.objects for change in item.changes]
    assert [change for change in changes if change.path != "persistent"] == []


def _names(options: dict[str, Any], above: str = "") -> Iterator[str]:
    """The dotted names of what is exported of a guest, lists of devices and the like aside."""
    for name, value in options.items():
        if isinstance(value, dict):
            yield from _names(value, f"{above}{name}.")
        yield above + name


def test_each_option_that_is_exported_is_unset_by_its_name_or_refused() -> None:
    """Alone: nothing else changes, and once it is gone nothing is left to do."""
    done, refused = 0, 0
    for case in (case for case in cases() if case.folder.name.startswith(("adopt_libvirt", "foreign_of", "tuning_as"))):
        (exported,) = export_host(case.host)["domains"]
        for name in _names(exported):
            stack = stack_of({"domains": [{"name": exported["name"], "unset": [name]}]})
            plan = _planned(stack, case.host)
            if plan is None:
                refused += 1
                continue
            (item,) = (item for item in plan.objects if item.kind == "domain")
            others = [
                change for change in item.changes if not change.path.startswith(name) and change.after is not None
            ]
            assert [other for other in others if other.path != "persistent"] == [], (case.id, name)
            after = plan_stack(stack, applied(case.host, plan))
            assert [item.changes for item in after.objects if item.changes] == [], (case.id, name)
            done += bool(item.changes)
    assert done > 50
    assert refused > 50


SECRETS = {
    "graphics": {"graphics": [{"type": "vnc", "password": SECRET}, {"type": "spice", "password": SECRET}]},
    "user data": {"cloud_init": {"user_data": {"password": SECRET}}},
    "user data as text": {"cloud_init": {"user_data": f"#!/bin/sh\necho {SECRET}\n"}},
    "network config": {"cloud_init": {"network_config": {"wifi": SECRET}}},
    "xml": {"xml": f"<domain><devices><graphics type='vnc' passwd='{SECRET}'/></devices></domain>"},
    "xml of a new device": {"xml": f"<domain><devices><graphics type='spice' passwd='{SECRET}'/></devices></domain>"},
    "a wrong password": {"graphics": [{"type": "vnc", "password": SECRET + "\0"}]},
    "a cookie": {
        "disks": [
            {
                "target": "sdz",
                "device": "cdrom",
                "network": {"protocol": "https", "name": "x", "cookies": [{"name": "a", "value": SECRET}]},
            }
        ]
    },
    "a wrong seed": {"cloud_init": {"user_data": [SECRET]}},
}


@pytest.mark.parametrize("change", SECRETS.values(), ids=SECRETS)
@pytest.mark.parametrize("name", ["web1", "new"])
def test_secrets_are_never_told(name: str, change: dict[str, Any]) -> None:
    host = HOST._replace(
        domains={"web1": HOST.domains["web1"]._replace(inactive=GUEST.replace("old-secret", SECRET + "-old"))}
    )
    stack = stack_of({"domains": [{"name": name, "memory": "2 GiB", **change}]})
    assert SECRET not in _told(stack, host)


@pytest.mark.parametrize("value", [{"value": SECRET}, {"value_base64": SECRET}, {"value": SECRET, "value_base64": ""}])
@pytest.mark.parametrize("there", [True, False])
def test_values_of_secrets_are_never_told(there: bool, value: dict[str, Any]) -> None:
    xml = "<secret><uuid>11111111-2222-4333-8444-555555555555</uuid><usage type='ceph'><name>a</name></usage></secret>"
    host = host_of({"secrets": {"a": {"xml": xml, "value": SECRET + "-old"}} if there else {}})
    assert SECRET not in _told(stack_of({"secrets": [{"name": "a", "type": "ceph", **value}]}), host)
    assert SECRET not in json.dumps(export_host(host))


def _told(stack: dict[str, Any], host: Host) -> str:
    """All that a user may read of a plan."""
    try:
        plan = plan_stack(stack, host)
    except Declined as error:
        return str(error)
    words = [step.words for item in plan.objects for step in item.steps]
    return json.dumps([outcome_of(plan, {}, {})._asdict(), words])


def test_a_password_alone_in_raw_xml_is_compared() -> None:
    xml = "<domain><devices><graphics type='vnc' passwd='{}'/></devices></domain>"
    first = {"domains": [{"name": "web1", "xml": xml.format("one")}]}
    host = applied(HOST, plan_stack(stack_of(first), HOST))
    assert not plan_stack(stack_of(first), host).changed
    second = plan_stack(stack_of({"domains": [{"name": "web1", "xml": xml.format("two")}]}), host)
    assert [change.path for item in second.objects for change in item.changes] == ["graphics[vnc].password"]


def test_two_hosts_give_their_guests_other_addresses() -> None:
    stack = stack_of({"domains": [{"name": "web2", "memory": "1 GiB", "interfaces": [{"network": "default"}]}]})
    here, there = (
        plan_stack(stack, HOST._replace(identity=identity)).objects[0].facts for identity in ("here", "there")
    )
    assert here["macs"] != there["macs"]
    assert here["uuid"] != there["uuid"]
    assert here == plan_stack(stack, HOST._replace(identity="here")).objects[0].facts


def test_a_network_is_known_by_prefix_or_netmask() -> None:
    stack = stack_of({"networks": [{"name": "default", "ips": [{"address": "192.168.122.1/24"}]}]})
    prefix = NETWORK.format(name="default").replace("netmask='255.255.255.0'", "prefix='24'")
    for xml in (NETWORK.format(name="default"), prefix):
        assert not plan_stack(stack, host_of({"pools": {}, "networks": {"default": {"xml": xml}}})).changed
