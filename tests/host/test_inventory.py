# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory through ansible-inventory, with libvirt's test driver as hypervisors."""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from ansible_collections.kvmfleet.libvirt.plugins.plugin_utils.found import Wanted
from ansible_collections.kvmfleet.libvirt.plugins.plugin_utils.survey import Question, survey

ROOT = Path(__file__).resolve().parents[2]

DOMAIN = """
<domain type='test'><name>{name}</name><uuid>{uuid}</uuid><title>{{{{ 1/0 }}}}</title>
<memory>1048576</memory><vcpu>1</vcpu>
<metadata><k:guest xmlns:k='urn:kvmfleet:libvirt:guest'>
<k:tag>{tag}</k:tag><k:entry key='owner'>alice</k:entry></k:guest></metadata>
<os><type arch='x86_64'>hvm</type></os>
<devices><interface type='network'>
<mac address='52:54:00:00:{high:02x}:{low:02x}'/><source network='default'/></interface></devices></domain>
"""
NETWORK = """
<network><name>default</name><bridge name='virbr0'/><ip address='192.168.122.1' netmask='255.255.255.0'/></network>
"""


class Told(NamedTuple):
    """What ansible-inventory printed."""

    hosts: dict[str, Any]
    groups: dict[str, list[str]]
    error: str
    status: int


def node(path: Path, names: list[str], salt: int = 0) -> str:
    """The URI of a test hypervisor with these guests, which all run."""
    domains = "".join(
        DOMAIN.format(
            name=name,
            uuid=f"00000000-0000-4000-8000-{salt:04d}{number:08d}",
            tag="odd" if number % 2 else "even",
            high=number // 256,
            low=number % 256,
        )
        for number, name in enumerate(names)
    )
    path.write_text(f"<node>{domains}{NETWORK}</node>")
    return f"test://{path}"


def inventory(folder: Path, name: str = "a.guests.yml", env: dict[str, str] | None = None, **options: Any) -> Told:
    file = folder / name
    file.write_text(yaml.safe_dump({"plugin": "kvmfleet.libvirt.guests", **options}))
    done = run(folder, ["ansible-inventory", "-i", str(file), "--list", "--export"], env)
    told = json.loads(done.stdout) if done.stdout else {}
    hosts = plain(told.pop("_meta", {}).get("hostvars", {}))
    groups = {name: item["hosts"] for name, item in told.items() if "hosts" in item}
    return Told(hosts, groups, done.stderr, done.returncode)


def run(folder: Path, words: list[str], env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """One of Ansible's programs, with a configuration that says nothing."""
    (folder / "ansible.cfg").write_text("")
    return subprocess.run(
        [Path(sys.executable).with_name(words[0]), *words[1:]],
        env={
            **os.environ,
            "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".ansible-collections"),
            "ANSIBLE_NOCOLOR": "1",
            "HOME": str(folder),
            **(env or {}),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def plain(value: Any) -> Any:
    """Without the marks of ansible-core 2.19 for texts that are no templates."""
    if isinstance(value, dict):
        return (
            value["__ansible_unsafe"]
            if "__ansible_unsafe" in value
            else {key: plain(item) for key, item in value.items()}
        )
    return [plain(item) for item in value] if isinstance(value, list) else value


def test_guests_with_their_variables_groups_and_addresses(tmp_path: Path) -> None:
    uri = node(tmp_path / "node.xml", ["g0", "g1", "x2"])
    told = inventory(
        tmp_path,
        uris=[uri],
        names=["g*"],
        compose={"owner": "kvmfleet.metadata.owner"},
        groups={"small": "kvmfleet.memory < 2000000000"},
        keyed_groups=[{"key": "kvmfleet.metadata.owner", "prefix": "of"}],
        strict=True,
    )
    assert told.error == ""
    assert sorted(told.hosts) == ["g0", "g1"]
    for group in ("kvm_guests", "state_running", "network_default", "small", "of_alice"):
        assert told.groups[group] == ["g0", "g1"], group
    assert (told.groups["tag_even"], told.groups["tag_odd"]) == (["g0"], ["g1"])
    one = told.hosts["g1"]
    assert one["owner"] == "alice"
    assert one["kvmfleet"]["title"] == "{{ 1/0 }}"
    assert one["ansible_guest_agent_uri"] == uri
    assert one["ansible_guest_agent_guest"] == one["kvmfleet"]["uuid"]
    # The test driver makes up an address for each interface.
    assert one["ansible_host"] == one["kvmfleet"]["addresses"][0]["address"]
    assert one["ansible_host"].startswith("192.168.122.")


def test_two_hosts_with_guests_of_one_name_and_one_that_is_down(tmp_path: Path) -> None:
    uris = [
        node(tmp_path / "one.xml", ["web", "db"], 1),
        node(tmp_path / "two.xml", ["web"], 2),
        "qemu+tcp://127.0.0.1:1/system",
    ]
    told = inventory(tmp_path, uris=uris, group_by=["host"], address_sources=[])
    host = next(name for name in told.groups if name.startswith("host_")).removeprefix("host_")
    assert sorted(name.split(".")[0] for name in told.hosts) == ["db", "web", "web"]
    assert len({told.hosts[name]["kvmfleet"]["host"] for name in told.hosts}) == 2
    assert f"host_{host}_2" in told.groups
    assert all("ansible_host" not in item for item in told.hosts.values())
    assert told.error.count("127.0.0.1") >= 1
    assert "was not asked for its guests" in " ".join(told.error.split())
    refused = inventory(tmp_path, uris=uris, unreachable="error")
    assert refused.hosts == {}
    assert "was not asked for its guests" in " ".join(refused.error.split())


def test_the_hosts_of_another_inventory_by_a_pattern(tmp_path: Path) -> None:
    """Each by the URI that its variables give, those of group_vars beside the inventory included."""
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars" / "kvm_hosts.yml").write_text(f"folder: {tmp_path}/nodes\n")
    (tmp_path / "nodes").mkdir()
    hosts = {"hv1": {}, "hv2": {}, "spare": {}}
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump({"kvm_hosts": {"hosts": hosts}}))
    for number, name in enumerate(hosts):
        node(tmp_path / "nodes" / f"{name}.xml", ["web"], number)
    uri = "'test://' ~ folder ~ '/' ~ inventory_hostname ~ '.xml'"
    found: dict[str, Any] = {"hosts": "kvm_hosts:!spare", "inventory": ["hosts.yml"], "host_uri": uri}
    told = inventory(tmp_path, **found)
    assert told.error == ""
    assert sorted(told.hosts) == ["web.hv1", "web.hv2"]
    assert told.groups["host_hv2"] == ["web.hv2"]
    assert told.hosts["web.hv1"]["ansible_guest_agent_uri"] == f"test://{tmp_path}/nodes/hv1.xml"
    # The folder that the file itself is in.
    (tmp_path / "site" / "group_vars").mkdir(parents=True)
    for name in ("hosts.yml", "group_vars/kvm_hosts.yml"):
        (tmp_path / "site" / name).write_text((tmp_path / name).read_text())
    assert inventory(tmp_path / "site", **{**found, "inventory": ["."]}).hosts == told.hosts
    for wrong, message in (
        ({"inventory": []}, "hosts needs inventory"),
        ({"inventory": ["none.yml"]}, "there is no inventory"),
        ({"hosts": "nobody"}, "fits the pattern nobody"),
        ({"host_uri": "'test://' ~ nowhere"}, "host_uri gives no URI for hv1"),
    ):
        refused = inventory(tmp_path, **{**found, **wrong})
        assert refused.hosts == {}
        assert message in " ".join(refused.error.split())


def test_a_host_is_reached_as_ansible_reaches_it(tmp_path: Path) -> None:
    """The usual URI of a host, seen in what is said of one that does not answer."""
    hosts = {
        "near": {"ansible_connection": "local"},
        "bare": {},
        "full": {"ansible_host": "fd00::1", "ansible_user": "kvm", "ansible_port": 2222},
        "keyed": {"ansible_host": "192.0.2.1", "ansible_ssh_private_key_file": "/keys/one"},
    }
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": hosts}}))
    (tmp_path / "ssh").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "ssh").chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    told = inventory(tmp_path, env=env, hosts="all", inventory=["hosts.yml"])
    said = " ".join(told.error.split())
    for uri in (
        "qemu:///system",
        "qemu+ssh://bare/system",
        "qemu+ssh://kvm@[fd00::1]:2222/system",
        "qemu+ssh://192.0.2.1/system?keyfile=/keys/one",
    ):
        assert f"{uri} was not asked" in said


def test_a_hypervisor_that_hangs_is_given_up_in_time(tmp_path: Path) -> None:
    (tmp_path / "ssh").write_text("#!/bin/sh\necho noise >&2\nexec sleep 60\n")
    (tmp_path / "ssh").chmod(0o755)
    uris = [node(tmp_path / "one.xml", ["web"]), f"qemu+ssh://hv/system?command={tmp_path}/ssh"]
    start = time.monotonic()
    told = inventory(tmp_path, uris=uris, timeout=2)
    assert list(told.hosts) == ["web"]
    assert "no answer within 2 s" in " ".join(told.error.split())
    assert "noise" not in told.error
    assert time.monotonic() - start < 30
    left = subprocess.run(["pgrep", "-f", f"{tmp_path}/ssh"], capture_output=True, text=True, check=False)
    assert left.stdout == ""


def test_hypervisors_that_are_down_hang_or_are_no_uris_keep_nobody_else_waiting(tmp_path: Path) -> None:
    """One takes the connection and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        hanging = f"qemu+tcp://127.0.0.1:{mute.getsockname()[1]}/system"
        wrong = ["nonsense", "qemu+tcp://[::1/system", "qemu+ssh://hv:port/system"]
        uris = [hanging] * 5 + [node(tmp_path / "one.xml", ["web"]), "qemu+tcp://127.0.0.1:1/system", *wrong]
        start = time.monotonic()
        told = inventory(tmp_path, uris=uris, timeout=3, jump=True)
    assert list(told.hosts) == ["web"]
    assert time.monotonic() - start < 15
    for uri in {*uris} - {uris[5]}:
        assert f"{uri} was not asked for its guests: " in " ".join(told.error.split())


def test_a_guest_whose_name_means_something_else_is_called_by_its_host_too(tmp_path: Path) -> None:
    """A guest called "all" would take the place of the inventory, one called as a hypervisor that of its variables."""
    taken = ["all", "ungrouped", "localhost", "kvm_guests", "state_running", "hv1"]
    odd = ["a b", "gr\u00f6\u00dfe", "web[1:3]", "x:22", "a,b", "-x"]
    (tmp_path / "hosts.yml").write_text("kvm_hosts: {hosts: {hv1: {ansible_host: 192.0.2.1}}}")
    uri = node(tmp_path / "node.xml", [*taken, *odd])
    told = inventory(tmp_path, hosts="hv1", inventory=["hosts.yml"], host_uri=f"'{uri}'")
    assert told.error == ""
    assert sorted(told.hosts) == sorted([*(f"{name}.hv1" for name in taken), *odd])
    assert sorted(told.groups["kvm_guests"]) == sorted(told.hosts)


def test_a_hypervisor_that_is_given_twice_has_its_guests_once(tmp_path: Path) -> None:
    uri = node(tmp_path / "node.xml", ["web", "db"])
    assert sorted(inventory(tmp_path, uris=[uri, uri]).hosts) == ["db", "web"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"exclude": ["web*"]}, "there is no option exclude"),
        ({"nams": ["web*"]}, "there is no option nams; is names meant?"),
        ({"names": [None]}, "names has an empty entry"),
        ({"uris": [""]}, "uris has an empty entry"),
        ({"metadata": {"owner": None}}, "metadata has no value for owner"),
        ({"metadata": ["owner"]}, "metadata"),
        ({"states": ["up"]}, "running, paused, stopped"),
    ],
)
def test_a_slip_does_not_select_all_guests(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    told = inventory(tmp_path, **{"uris": [node(tmp_path / "node.xml", ["web"])], **options})
    assert told.hosts == {}
    assert message in " ".join(told.error.split())


def test_a_graph_says_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "guests.yml"
    file.write_text(yaml.safe_dump({"plugin": "kvmfleet.libvirt.guests", "uris": [node(tmp_path / "n.xml", ["web"])]}))
    done = run(tmp_path, ["ansible-inventory", "-i", str(file), "--graph"])
    assert (done.returncode, done.stderr) == (0, "")
    assert "|  |--web" in done.stdout


def test_an_expression_that_fails_is_told_where_it_is_to_be(tmp_path: Path) -> None:
    uris = [node(tmp_path / "node.xml", ["one", "two"])]
    for option in ({"compose": {"x": "kvmfleet.nowhere.name"}}, {"groups": {"g": "kvmfleet.nowhere.name"}}):
        told = inventory(tmp_path, uris=uris, **option)
        assert (sorted(told.hosts), told.error) == (["one", "two"], "")
        strict = inventory(tmp_path, uris=uris, strict=True, **option)
        assert strict.hosts == {}
        assert "nowhere" in strict.error


@pytest.mark.parametrize("content", ["", '{"a', "[[1]]", "null", '[["hv", [{"name": "web"}], null]]'])
def test_a_cache_that_cannot_be_read_is_no_reason_to_be_without_guests(tmp_path: Path, content: str) -> None:
    env = {
        "ANSIBLE_INVENTORY_CACHE": "true",
        "ANSIBLE_INVENTORY_CACHE_PLUGIN": "ansible.builtin.jsonfile",
        "ANSIBLE_INVENTORY_CACHE_CONNECTION": str(tmp_path / "cache"),
    }
    uri = node(tmp_path / "node.xml", ["one"])
    inventory(tmp_path, env=env, uris=[uri])
    for file in (tmp_path / "cache").iterdir():
        file.write_text(content)
    told = inventory(tmp_path, env=env, uris=[uri])
    assert list(told.hosts) == ["one"]
    assert "the cache of the guests cannot be read" in " ".join(told.error.split())


def test_a_cache_answers_until_the_questions_change(tmp_path: Path) -> None:
    env = {
        "ANSIBLE_INVENTORY_CACHE": "true",
        "ANSIBLE_INVENTORY_CACHE_PLUGIN": "ansible.builtin.jsonfile",
        "ANSIBLE_INVENTORY_CACHE_CONNECTION": str(tmp_path / "cache"),
    }
    uri = node(tmp_path / "node.xml", ["one", "two"])
    first = inventory(tmp_path, env=env, uris=[uri])
    node(tmp_path / "node.xml", ["three"])
    again = inventory(tmp_path, env=env, uris=[uri])
    assert (again.error, again.hosts, again.groups) == ("", first.hosts, first.groups)
    (tmp_path / "play.yml").write_text("[{hosts: all}]")
    words = ["ansible-playbook", "-i", str(tmp_path / "a.guests.yml"), str(tmp_path / "play.yml")]
    asked = run(tmp_path, [*words, "--list-hosts", "--flush-cache"], env)
    assert asked.stdout.split()[-1] == "three"
    node(tmp_path / "node.xml", ["four"])
    assert list(inventory(tmp_path, env=env, uris=[uri]).hosts) == ["three"]
    node(tmp_path / "node.xml", ["three"])
    assert list(inventory(tmp_path, env=env, uris=[uri], states=["running"]).hosts) == ["three"]


def test_an_incomplete_answer_is_not_kept(tmp_path: Path) -> None:
    env = {
        "ANSIBLE_INVENTORY_CACHE": "true",
        "ANSIBLE_INVENTORY_CACHE_PLUGIN": "ansible.builtin.jsonfile",
        "ANSIBLE_INVENTORY_CACHE_CONNECTION": str(tmp_path / "cache"),
    }
    uris = [node(tmp_path / "one.xml", ["one"]), f"test://{tmp_path}/two.xml"]
    assert list(inventory(tmp_path, env=env, uris=uris).hosts) == ["one"]
    node(tmp_path / "two.xml", ["two"], 2)
    assert sorted(inventory(tmp_path, env=env, uris=uris).hosts) == ["one", "two"]


@pytest.mark.parametrize(
    ("name", "is_ours"), [("guests.yml", True), ("x.guests.yaml", True), ("hosts.yml", False), ("myguests.yml", False)]
)
def test_names_of_files(tmp_path: Path, name: str, is_ours: bool) -> None:
    told = inventory(tmp_path, name, uris=[node(tmp_path / "node.xml", ["one"])])
    assert (list(told.hosts) == ["one"]) is is_ours


def test_five_hundred_guests_within_a_second_of_libvirt(tmp_path: Path) -> None:
    """Of the processor's time: the test driver is libvirt itself, in the process that asks it."""
    pytest.importorskip("libvirt")
    uri = node(tmp_path / "node.xml", [f"g{number}" for number in range(500)])
    question = Question(uri, Wanted(frozenset(), (), frozenset(), {}), ("lease", "agent", "arp"), 5, 15)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    (answer,) = survey([question], 1)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert (len(answer.guests), answer.error) == (500, None)
    assert all(guest["addresses"] for guest in answer.guests)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1
    assert len(inventory(tmp_path, uris=[uri]).hosts) == 500
