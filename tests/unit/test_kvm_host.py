# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role kvm_host decides: which of systemd's units change, and what is particular to a distribution."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

ROLE = Path(__file__).parents[2] / "roles" / "kvm_host"
FAMILIES = sorted(path.stem for path in (ROLE / "vars").glob("*.yml") if path.stem != "main")


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"kvm_host_{name}", ROLE / "files" / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


daemons = script("daemons")
kernel_arguments = script("kernel_arguments")
kernel_values = script("kernel_values")
users = script("users")
sasl = script("sasl")
firewall = script("firewall")


def host(*, used: str = "", idle: str = "", services: bool = True) -> dict[str, Any]:
    """Units of a host that has both kinds of daemons or one, of which one is used."""
    units = {}
    for mode in ("monolithic", "modular"):
        if mode not in {used, idle}:
            continue
        on = mode == used
        for name in daemons.units_of(mode):
            listening = name.endswith(daemons.LISTENING)
            is_service = name.endswith(".service")
            active = on and not listening and (services or not is_service)
            comes_up = on and not listening and (not is_service or name[:-8] in daemons.AT_BOOT[mode])
            enabled = "enabled" if comes_up else "disabled"
            units[name] = daemons.Unit(True, active, enabled, 1000 if active and is_service else 0)
    return units


def acts(plan: dict[str, Any]) -> dict[str, Any]:
    return {name: plan[name] for name in ("disable", "enable", "stop", "start", "close", "restart") if plan[name]}


@pytest.mark.parametrize("mode", ["monolithic", "modular"])
@pytest.mark.parametrize("services", [True, False], ids=["busy", "idle"])
def test_host_that_is_as_wanted_is_left_alone(mode: str, services: bool) -> None:
    other = "modular" if mode == "monolithic" else "monolithic"
    units = host(used=mode, idle=other, services=services)
    for wanted in ("auto", mode):
        plan = daemons.plan(units, wanted, other, None, {"qemu": 900, "libvirtd": 900, "virtqemud": 900})
        assert (plan["mode"], plan["problem"], acts(plan)) == (mode, "", {})


def test_new_host_gets_what_is_usual() -> None:
    units = host(idle="modular")
    assert daemons.plan(units, "auto", "monolithic", None)["mode"] == "modular"
    units |= host(idle="monolithic")
    assert daemons.plan(units, "auto", "monolithic", None)["mode"] == "monolithic"
    plan = daemons.plan(units, "auto", "modular", None)
    assert plan["mode"] == "modular"
    assert "virtqemud.service" in plan["enable"]
    assert "virtproxyd.service" not in plan["enable"]
    assert "virtproxyd.socket" in plan["start"]
    assert plan["disable"] == []


@pytest.mark.parametrize("mode", ["monolithic", "modular"])
def test_going_to_the_other_kind_ends_sockets_before_services(mode: str) -> None:
    other = "modular" if mode == "monolithic" else "monolithic"
    plan = daemons.plan(host(used=other, idle=mode), mode, other, None)
    kinds = [name.rpartition(".")[2] for name in plan["disable"]]
    assert kinds == sorted(kinds, key=["socket", "service"].index)
    assert {f"{daemon}.service" for daemon in daemons.DAEMONS[other]} <= set(plan["disable"])
    assert {f"{daemon}.socket" for daemon in daemons.DAEMONS[mode]} <= set(plan["start"])
    assert not set(plan["disable"]) & {*plan["start"], *plan["enable"]}


def test_daemon_that_no_package_brings_is_left_out() -> None:
    units = host(used="modular")
    for name in [name for name in units if name.startswith("virtinterfaced")]:
        units[name] = daemons.Unit()
    plan = daemons.plan(units, "auto", "modular", None)
    assert (plan["problem"], acts(plan)) == ("", {})
    assert plan["daemons"] == [name for name in daemons.DAEMONS["modular"] if name != "virtinterfaced"]


def test_daemons_that_no_package_brings_are_a_problem() -> None:
    plan = daemons.plan(host(used="monolithic"), "modular", "monolithic", None)
    assert plan["problem"] == "there is no virtqemud.service on this host; its packages bring no modular daemons"


def test_masked_units_are_there_and_get_enabled() -> None:
    units = host(idle="monolithic")
    units["libvirtd.socket"] = daemons.Unit(True, False, "masked")
    plan = daemons.plan(units, "auto", "monolithic", None)
    assert plan["problem"] == ""
    assert plan["unmask"] == ["libvirtd.socket"]
    assert "libvirtd.socket" in plan["enable"]


@pytest.mark.parametrize(("mode", "remote"), [("monolithic", "libvirtd"), ("modular", "virtproxyd")])
def test_tls_listens_only_when_asked(mode: str, remote: str) -> None:
    units = host(used=mode)
    assert acts(daemons.plan(units, "auto", mode, None)) == {}
    assert acts(daemons.plan(units, "auto", mode, False)) == {}
    socket = f"{remote}-tls.socket"
    assert acts(daemons.plan(units, "auto", mode, True)) == {
        "enable": [socket],
        "start": [socket],
        "stop": [f"{remote}.service"],
    }
    units[socket] = daemons.Unit(True, True, "enabled")
    assert acts(daemons.plan(units, "auto", mode, True)) == {}
    assert acts(daemons.plan(units, "auto", mode, None)) == {}
    plan = daemons.plan(units, "auto", mode, False)
    assert acts(plan) == {"close": [socket], "restart": [f"{remote}.service"]}
    assert plan["listens"]
    units[f"{remote}.service"] = daemons.Unit(True, False, "enabled")
    plan = daemons.plan(units, "auto", mode, False)
    assert acts(plan) == {"close": [socket]}
    assert not plan["listens"]


def test_daemon_that_did_not_read_its_file_is_restarted() -> None:
    written = {"qemu": 1001, "libvirtd": 1000, "lxc": 2000}
    assert daemons.plan(host(used="monolithic"), "auto", "monolithic", None, written)["restart"] == ["libvirtd.service"]
    assert daemons.plan(host(used="modular"), "auto", "modular", None, written)["restart"] == ["virtqemud.service"]
    ended = host(used="monolithic", services=False)
    assert daemons.plan(ended, "auto", "monolithic", None, written)["restart"] == []


def test_what_systemctl_shows_is_read() -> None:
    shown = (
        "MainPID=412\nExecMainStartTimestamp=@1764168000\nId=libvirtd.service\nLoadState=loaded\nActiveState=active\n"
        "UnitFileState=enabled\n\nMainPID=0\nExecMainStartTimestamp=@1764160000\nId=virtlogd.service\nLoadState=loaded\n"
        "ActiveState=inactive\nUnitFileState=indirect\n\nId=virtqemud.socket\nLoadState=not-found\nActiveState=inactive\n"
        "UnitFileState=\n"
    )
    assert daemons.parsed(shown) == {
        "libvirtd.service": daemons.Unit(True, True, "enabled", 1764168000),
        "virtlogd.service": daemons.Unit(True, False, "indirect", 0),
        "virtqemud.socket": daemons.Unit(False, False, "", 0),
    }


@pytest.mark.parametrize("family", FAMILIES)
def test_every_distribution_says_the_same_things(family: str) -> None:
    own = yaml.safe_load((ROLE / "vars" / f"{family}.yml").read_text())
    main = yaml.safe_load((ROLE / "vars" / "main.yml").read_text())
    debian = yaml.safe_load((ROLE / "vars" / "debian.yml").read_text())
    # What only one file uses for itself is its own affair.
    assert {name for name in debian if name != "__kvm_host_is_newer"} == {n for n in own if n != "__kvm_host_is_newer"}
    sets = set(main["__kvm_host_no_packages"])
    assert set(own["__kvm_host_packages"]) == sets
    assert all(set(more) <= sets for more in own["__kvm_host_packages_of_architecture"].values())
    options = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    implied = set(main["__kvm_host_implied_sets"])
    assert sorted([*options["kvm_host_package_sets"]["choices"], *implied]) == sorted(sets)
    assert own["__kvm_host_daemons"] in options["kvm_host_daemons"]["choices"]


def test_tasks_do_not_ask_for_a_distribution() -> None:
    asking = [path.name for path in (ROLE / "tasks").glob("*.yml") if "['distribution']" in path.read_text()]
    assert asking == ["facts.yml"]


GRUB = (
    'GRUB_DEFAULT=0\nGRUB_CMDLINE_LINUX_DEFAULT="quiet"\nGRUB_CMDLINE_LINUX="net.ifnames=0 iommu=pt"\nGRUB_TIMEOUT=5\n'
)


def test_kernel_arguments_leave_those_of_others_in_grubs_file() -> None:
    first = kernel_arguments.grub_file(GRUB, ["intel_iommu=on", "iommu=pt"])
    assert 'GRUB_CMDLINE_LINUX="net.ifnames=0 iommu=pt intel_iommu=on"\nGRUB_TIMEOUT' in first
    assert kernel_arguments.grub_file(first, ["intel_iommu=on", "iommu=pt"]) == first
    second = kernel_arguments.grub_file(first, ["hugepagesz=1G"])
    assert 'GRUB_CMDLINE_LINUX="net.ifnames=0 iommu=pt hugepagesz=1G"' in second
    assert kernel_arguments.grub_file(second, []) == GRUB
    assert kernel_arguments.grub_file(GRUB, []) == GRUB
    assert kernel_arguments.grub_file("GRUB_TIMEOUT=5\n", ["a=b"]).endswith('GRUB_CMDLINE_LINUX="a=b"\n')


def test_kernel_arguments_by_drop_in_add_to_what_is_there() -> None:
    assert kernel_arguments.drop_in(["a=b", "c"]).splitlines()[1:] == ['GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX a=b c"']
    assert kernel_arguments.drop_in([]) == ""


def test_kernel_arguments_by_grubby_are_those_that_an_entry_lacks() -> None:
    told = 'index=0\nargs="ro quiet iommu=pt old=1"\nindex=1\nargs="ro quiet iommu=pt intel_iommu=on"\n'
    assert kernel_arguments.grubby(told, ["old=1"], ["intel_iommu=on", "iommu=pt"]) == (["intel_iommu=on"], ["old=1"])
    assert kernel_arguments.grubby(told, ["iommu=pt"], ["iommu=pt", "ro"]) == ([], [])


def test_reboot_is_asked_for_by_what_the_running_kernel_lacks() -> None:
    assert kernel_arguments.missing(["iommu=pt", "intel_iommu=on"], "ro iommu=pt quiet\n") == ["intel_iommu=on"]


def test_failed_boot_loader_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_arguments, "DROP_IN", tmp_path / "grub.d" / "60.cfg")
    with pytest.raises(kernel_arguments.subprocess.CalledProcessError):
        kernel_arguments.put("grub_drop_in", ["a=b"], ["false"], False)
    assert list((tmp_path / "grub.d").iterdir()) == []
    assert kernel_arguments.put("grub_drop_in", ["a=b"], ["false"], True)
    assert kernel_arguments.put("grub_drop_in", ["a=b"], ["true"], False)
    assert not kernel_arguments.put("grub_drop_in", ["a=b"], ["false"], False)
    assert kernel_arguments.put("grub_drop_in", [], ["true"], False)
    assert list((tmp_path / "grub.d").iterdir()) == []


def test_kernel_values_are_written_once_and_told_where_they_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "range").write_text("1\t2\n")
    (tmp_path / "run").write_text("0\n")
    values = {str(tmp_path / "range"): "1 2", str(tmp_path / "run"): 1, str(tmp_path / "folder" / "none"): 1}
    lacking = {str(tmp_path / "folder" / "none"): "No such file or directory"}
    changed = [str(tmp_path / "run")]
    assert kernel_values.made(values, True) == {"changed": changed, "lacking": lacking}
    assert (tmp_path / "run").read_text() == "0\n"
    assert kernel_values.made(values, False) == {"changed": changed, "lacking": lacking}
    assert (tmp_path / "run").read_text() == "1\n"
    assert kernel_values.made(values, False) == {"changed": [], "lacking": lacking}


def test_users_that_the_role_put_into_a_group_are_taken_out_and_no_others() -> None:
    steps, ours = users.plan({"libvirt": ["alice", "bob"]}, {"libvirt": ["bob"]}, {})
    assert [step.command for step in steps] == [["gpasswd", "--add", "alice", "libvirt"]]
    assert ours == {"libvirt": ["alice"]}
    assert users.plan({"libvirt": ["alice", "bob"]}, {"libvirt": ["alice", "bob"]}, ours) == ([], ours)
    steps, ours = users.plan({"libvirt": []}, {"libvirt": ["alice", "bob"]}, ours)
    assert [step.command for step in steps] == [["gpasswd", "--delete", "alice", "libvirt"]]
    assert ours == {}


def test_user_who_left_otherwise_is_not_taken_out_again() -> None:
    assert users.plan({}, {"kvm": []}, {"kvm": ["alice"]}) == ([], {})


def test_users_linger_and_do_so_no_longer() -> None:
    steps, ours = users.plan({users.LINGER: ["alice"]}, {}, {})
    assert [step.command for step in steps] == [["loginctl", "enable-linger", "alice"]]
    steps, _ours = users.plan({}, {users.LINGER: ["alice"]}, ours)
    assert [step.command for step in steps] == [["loginctl", "disable-linger", "alice"]]


def test_user_or_group_that_is_missing_is_told() -> None:
    assert users.problem({"root": ["no-such-user"]}) == "there is no user no-such-user on this host"
    assert users.problem({"no-such-group": ["root"]}) == "there is no group no-such-group on this host"
    assert users.problem({"root": ["root"], "no-such-group": []}) == ""
    assert users.there("root", ["root", "no-such-user"]) == ["root"]


def test_sasl_configuration_keeps_what_others_wrote() -> None:
    stock = "# mechanisms\nmech_list: gssapi\nkeytab: /etc/libvirt/krb5.tab\n#sasldb_path: /etc/libvirt/passwd.db\n"
    made = sasl.configured(stock)
    assert "mech_list: scram-sha-256\n" in made
    assert "gssapi" not in made
    assert "keytab: /etc/libvirt/krb5.tab\n#sasldb_path" in made
    assert made.endswith("\nsasldb_path: /etc/libvirt/passwd.db\n")
    assert sasl.configured(made) == made
    assert sasl.configured("") == "mech_list: scram-sha-256\nsasldb_path: /etc/libvirt/passwd.db\n"


def test_sasl_users_get_a_password_when_it_is_another() -> None:
    ours = {"alice": sasl.digest("geheim"), "carol": sasl.digest("x")}
    assert "geheim" not in json.dumps(ours)
    there = ["alice", "carol", "somebody"]
    assert sasl.plan({"alice": "geheim"}, there, ours) == ([], ["carol"])
    assert sasl.plan({"alice": "anders", "bob": "y"}, there, ours) == (["alice", "bob"], ["carol"])
    assert sasl.plan({"alice": "geheim"}, ["somebody"], ours) == (["alice"], [])
    assert sasl.plan({"somebody": "new"}, there, {}) == (["somebody"], [])


def test_firewall_rules_are_in_the_words_of_the_one_that_runs() -> None:
    assert firewall.rules(["16514"], []) == ["16514 any"]
    rules = firewall.rules(["16514", "49152-49215"], ["192.0.2.0/24", "2001:db8::/32"])
    assert len(rules) == 4
    assert firewall.commands("ufw", "49152-49215 192.0.2.0/24", True) == [
        [
            "ufw",
            "allow",
            "proto",
            "tcp",
            "from",
            "192.0.2.0/24",
            "to",
            "any",
            "port",
            "49152:49215",
            "comment",
            "kvmfleet",
        ]
    ]
    assert firewall.commands("ufw", "16514 any", False) == [
        ["ufw", "delete", "allow", "proto", "tcp", "from", "any", "to", "any", "port", "16514"]
    ]
    assert firewall.rich("16514 any") == 'rule port port="16514" protocol="tcp" accept'
    assert firewall.rich("49152-49215 2001:db8::/32") == (
        'rule family="ipv6" source address="2001:db8::/32" port port="49152-49215" protocol="tcp" accept'
    )
    now, for_good = firewall.commands("firewalld", "16514 192.0.2.7", True)
    assert [*now[:2], "--permanent", *now[2:]] == for_good
    assert "ufw allow from 192.0.2.7 to any port 16514 proto tcp" in firewall.as_ufw_tells("16514 192.0.2.7")


VALUES = """
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - name: Judge
      ansible.builtin.include_role:
        name: kvmfleet.libvirt.kvm_host
        tasks_from: values.yml
"""


def judged(tmp_path: Path, variables: dict[str, Any]) -> str:
    """What the role says of variables before it looks at a host; nothing if they are well."""
    play = tmp_path / "values.yml"
    play.write_text(VALUES)
    env = {**os.environ, "NO_COLOR": "1", "ANSIBLE_CONFIG": str(ROLE.parents[1] / "ansible.cfg")}
    command = [sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", "-e", json.dumps(variables), str(play)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROLE.parents[1], env=env)
    assert "PLAY RECAP" in done.stdout, done.stdout + done.stderr
    return "" if done.returncode == 0 else " ".join(done.stdout.split())


WRONG = {
    "kvm_host_users": (["-x", "a b", "alice"], ['"-x" is not the name of a user', '"a b" is not the name of a user']),
    "kvm_host_access": ([{"groups": ["x y"], "may": "use"}], ['"x y" is not the name of a user or group']),
    "kvm_host_sasl_users": ([{"name": "a@b", "password": "geheim"}], ['"a@b" is not a name']),
    "kvm_host_session_bridges": (["br0;x"], ['"br0;x" is not the name of a bridge']),
    "kvm_host_packages_extra": (["--purge"], ['"--purge" is not the name of a package']),
    "kvm_host_storage_paths": (["/srv/x/", "srv", '/a"b', "/"], ['"srv" is not', '"/" is not an absolute path']),
    "kvm_host_sysctl": (
        {"vm..x": 1, "vm.y": "1\n2"},
        ['"vm..x" is not the name of a setting', "is not a value of one line"],
    ),
    "kvm_host_kernel_arguments": (["a=$(id)", "x=1,2"], ['"a=$(id)" is not an argument of the kernel']),
    "kvm_host_vfio_ids": (["10de"], ['"10de" is not a vendor and a device']),
    "kvm_host_hugepages": ([{"size": "1 GiB", "count": -1}], ['"-1" is not a number of pages']),
    "kvm_host_tls_renew_days": (365, ['"365" is not a number of days less than kvm_host_tls_days']),
    "kvm_host_tls": ("listening", ["is not a folder on the controller, which kvm_host_tls: listening needs"]),
    "kvm_host_links_seconds": (0, ['"0" is not a number of seconds']),
    "kvm_host_log_filters": (["qemu", "1:qemu"], ['"qemu" is not a level and a name']),
    "kvm_host_firewall_sources": (["everybody"], ['"everybody" is not an address or a network']),
    "kvm_host_default_network_ips": (
        [{"address": "10.20.0.1"}],
        ['"10.20.0.1" is not an address with a prefix length'],
    ),
}


def test_values_that_cannot_be_are_told_all_at_once_before_the_first_task(tmp_path: Path) -> None:
    said = judged(tmp_path, {name: value for name, (value, _says) in WRONG.items()})
    missing = [text for _value, says in WRONG.values() for text in says if text not in said]
    assert missing == [], said
    assert "alice" not in said
    assert "1:qemu" not in said.replace("such as 1:qemu", "")
    assert "geheim" not in said


def test_values_of_the_readme_are_well(tmp_path: Path) -> None:
    fine = {
        "kvm_host_users": ["alice", "DOMAIN\\bob", "x_y-z$"],
        "kvm_host_sysctl": {"vm.swappiness": 10, "net.ipv4.conf.eth0/20.log_martians": 1},
        "kvm_host_kernel_arguments": ["default_hugepagesz=1G", "isolcpus=managed_irq,domain,2-7", "mitigations=auto"],
        "kvm_host_log_outputs": ["2:journald", "1:file:/var/log/libvirt/libvirtd.log"],
        "kvm_host_links": [{"name": "br0", "type": "bridge", "ports": ["eno1"]}],
        "kvm_host_default_network_ips": [{"address": "fd00::1/64"}],
        "kvm_host_tls": "listening",
        "kvm_host_tls_ca_folder": "/ca",
    }
    assert judged(tmp_path, fine) == ""


def test_links_that_cannot_be_are_told_before_the_first_task(tmp_path: Path) -> None:
    assert "a bond has ports" in judged(tmp_path, {"kvm_host_links": [{"name": "bond0", "type": "bond"}]})


def test_variables_of_tasks_bear_the_roles_name() -> None:
    """What a play has registered counts more than a task's variables, so that a plain name would be the play's."""

    def names(tasks: list[dict[str, Any]]) -> list[str]:
        own = [name for task in tasks for name in [*task.get("vars", {}), *filter(None, [task.get("register")])]]
        inner = [task.get(part, []) for task in tasks for part in ("block", "rescue", "always")]
        return own + [name for tasks in inner for name in names(tasks)]

    prefixes = ("__kvm_host_", "kvm_host_", "ansible_")
    found = [name for path in (ROLE / "tasks").glob("*.yml") for name in names(yaml.safe_load(path.read_text()))]
    assert [name for name in found if not name.startswith(prefixes)] == []
