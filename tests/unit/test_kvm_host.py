# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role kvm_host decides: which of systemd's units change, and what is particular to a distribution."""

from __future__ import annotations

import importlib.util
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


def test_daemons_that_no_package_brings_are_a_problem() -> None:
    plan = daemons.plan(host(used="monolithic"), "modular", "monolithic", None)
    assert plan["problem"] == "there is no virtqemud.service on this host; its packages bring no modular daemons"


def test_masked_units_are_there_and_get_enabled() -> None:
    units = host(idle="monolithic")
    units["libvirtd.socket"] = daemons.Unit(True, False, "masked")
    plan = daemons.plan(units, "auto", "monolithic", None)
    assert plan["problem"] == ""
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
    assert set(options["kvm_host_package_sets"]["choices"]) == sets
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
