# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is unusual and right: names, states with autostart, and what other tools have left.

What is refused is in tests/unit/bad_input.yml, at a thousandth of the price.
"""

from __future__ import annotations

from typing import Any

import pytest
from fleet import AREA, LOOK, Host, Task

SMALL: dict[str, Any] = {"memory": "64 MiB", "vcpus": 1, "virt_type": "qemu"}

# Unusual and right; more of them, which virsh could not look at, are in tests/host/test_reconcile.py.
NAMES = ["{}-ünïcödé名", "{}&<tags>%s", "{}--help"]


def test_unusual_names_are_names(host: Host, name: str, pool: str) -> None:
    """Whatever a shell, XML or a file system makes of them: made, found again, exported, and gone."""
    names = [text.format(name) for text in NAMES]
    stack: dict[str, Any] = {
        "volumes": [{"name": text, "pool": pool, "size": "1 MiB", "format": "qcow2"} for text in names],
        "domains": [
            {"name": text, **SMALL, "disks": [{"target": "vda", "volume": text, "pool": pool}]} for text in names
        ],
    }
    made = host.converge("stack", **stack)
    assert set(names) <= set(made.after.all["domains"])
    assert {f"{pool}/{text}" for text in names} <= set(made.after.all["volumes"])
    told = host.run("stack_info", volumes=[], pools=[], networks=[], secrets=[], nwfilters=[]).data["stack"]
    host.converge("stack", changed=False, domains=[item for item in told["domains"] if item["name"] in names])
    host.converge("stack", domains=[{"name": text, "state": "absent", "remove_storage": True} for text in names])
    assert host.sh(f"ls -A {AREA}/{name}").split() == []


def test_autostart_goes_with_any_state(host: Host, name: str, net: str, pool: str) -> None:
    """A guest, a network and a pool, running or not."""
    host.run("domain", name=name, **SMALL)
    for module, what, states in (
        ("network", net, ("active", "inactive", "present")),
        ("pool", pool, ("active", "inactive", "present")),
        ("domain", name, ("running", "stopped", "present")),
    ):
        tasks = []
        for number, state in enumerate(states):
            options: dict[str, Any] = {"name": what, "state": state, "autostart": number % 2 == 0}
            if module == "domain":
                options.update(force=True, timeout=1)
            tasks += [Task(module, options), LOOK]
        found = host.play(*tasks)
        for number, (result, seen) in enumerate(zip(found[::2], found[1::2])):
            assert not result.failed, result.data
            assert seen.all[module + "s"][what]["autostart"] is (number % 2 == 0), (module, states[number])


# As virt-manager, Vagrant's and Terraform's providers and kcli write them.
FOREIGN_NETWORKS = {
    "virt-manager": """<network><name>{}</name><forward mode='nat'/><domain name='{}'/>
      <ip address='{}.1' netmask='255.255.255.0'><dhcp><range start='{}.128' end='{}.254'/></dhcp></ip></network>""",
    "vagrant": """<network ipv6='yes'><name>{}</name><forward mode='nat'><nat><port start='1024' end='65535'/></nat>
      </forward><bridge stp='on' delay='0'/><domain name='{}'/><ip address='{}.1' netmask='255.255.255.0'>
      <dhcp><range start='{}.1' end='{}.254'/></dhcp></ip></network>""",
    "terraform": """<network><name>{}</name><forward mode='nat'/><mtu size='1450'/>
      <domain name='{}' localOnly='yes'/><dns enable='yes'><forwarder domain='my.net' addr='8.8.8.8'/>
      <host ip='{}.7'><hostname>a</hostname><hostname>b</hostname></host></dns>
      <ip family='ipv4' address='{}.1' prefix='24'><dhcp><range start='{}.2' end='{}.254'/>
      <host mac='52:54:00:00:00:01' name='a' ip='{}.7'/></dhcp></ip>
      <ip family='ipv6' address='fd00:{:x}::1' prefix='64'/></network>""",
    "kcli": """<network connections='1'><name>{}</name>
      <metadata><kcli:info xmlns:kcli='https://github.com/karmab/kcli'><kcli:plan>kvirt</kcli:plan></kcli:info></metadata>
      <forward mode='nat'><nat><port start='1024' end='65535'/></nat></forward><domain name='{}'/>
      <ip address='{}.1' netmask='255.255.255.0'><dhcp><range start='{}.2' end='{}.254'/>
      <bootp file='pxelinux.0' server='{}.1'/></dhcp></ip></network>""",
}
FOREIGN_POOLS = {
    "terraform": "<pool type='dir'><name>{0}</name><target><path>{1}</path><permissions><mode>0755</mode></permissions>"
    "</target></pool>",
    "kcli": "<pool type='dir'><name>{0}</name><source></source><target><path>{1}</path><permissions><mode>0775</mode>"
    "<owner>0</owner><group>0</group></permissions></target></pool>",
    "cockpit": "<pool type='dir'><name>{0}</name><target><path>{1}/</path></target></pool>",
}


@pytest.mark.both
def test_what_other_tools_make_is_adopted_as_it_is(host: Host, name: str, subnet: str) -> None:
    """Named alone, it is not changed; exported and applied, neither; a field changes that field."""
    first, second, third = (int(part) for part in subnet.split("."))
    script, networks, pools = f"mkdir -p {AREA}/{name}\n", [], []
    for number, (tool, text) in enumerate(FOREIGN_NETWORKS.items()):
        what, own = f"{name}{tool[:2]}", f"{first}.{second + 40 + number}.{third}"
        parts = [what, tool, *[own] * (text.count("{}") - 2)]
        networks.append(what)
        script += f"cat > {AREA}/{name}/x.xml <<'EOX'\n{text.format(*parts, third + 1)}\nEOX\n"
        script += f"virsh -q net-define {AREA}/{name}/x.xml && virsh -q net-start {what}\n"
    for tool, text in FOREIGN_POOLS.items():
        what, path = f"{name}{tool[:2]}", f"{AREA}/{name}/{tool}"
        pools.append(what)
        script += f"cat > {AREA}/{name}/x.xml <<'EOX'\n{text.format(what, path)}\nEOX\n"
        script += (
            f"virsh -q pool-define {AREA}/{name}/x.xml && virsh -q pool-build {what} && virsh -q pool-start {what}\n"
        )
    host.sh(script)
    bare = {kind: [{"name": what} for what in names] for kind, names in (("networks", networks), ("pools", pools))}
    host.converge("stack", changed=False, **bare)
    told = host.run("stack_info", domains=[], volumes=[], secrets=[], nwfilters=[], networks=networks, pools=pools)
    exported = told.data["stack"]
    assert {item["name"] for item in exported["networks"]} == set(networks)
    host.converge("stack", changed=False, networks=exported["networks"], pools=exported["pools"])
    before = host.see()
    for what in networks:
        done = host.run("network", name=what, dns={"txts": [{"name": "a", "value": "1"}]})
        assert set(done.changes) <= {"dns.txts[a]", "dns"}, done.changes
        after = host.see()
        kept = [node.tag for node in before.xml("networks", what)]
        assert [node.tag for node in after.xml("networks", what) if node.tag in kept] == kept
