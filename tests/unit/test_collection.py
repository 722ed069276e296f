# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the collection's files say of each other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
# How modules come to their hosts; plays use the others.
CARRIERS = {"library", "keep_library"}
MODULES = sorted({path.stem for path in (ROOT / "plugins" / "modules").glob("*.py")} - CARRIERS)
# Modules that do not speak to libvirt, and so take no uri.
WITHOUT_LIBVIRT = {"certificate", "daemon_conf"}
ROLES = sorted(path.parent.parent.name for path in (ROOT / "roles").glob("*/meta/argument_specs.yml"))
REQUIREMENTS = ROOT / "tests" / "requirements"


def read(*parts: str) -> Any:
    """A YAML file of the checkout; an empty one is an empty mapping."""
    path = ROOT.joinpath(*parts)
    return (yaml.safe_load(path.read_text()) if path.exists() else None) or {}


def parts(version: str) -> tuple[int, ...]:
    """The numbers of a version, to be compared."""
    return tuple(int(part) for part in version.split("."))


def pins(name: str) -> dict[str, str]:
    """Package names and exact versions of a requirements file."""
    lines = [line for line in (REQUIREMENTS / name).read_text().splitlines() if line and line[0] not in "#-"]
    return dict(line.split("==") for line in lines)


def test_action_group_is_the_list_of_modules() -> None:
    assert sorted(read("meta", "runtime.yml")["action_groups"]["libvirt"]) == sorted(set(MODULES) - WITHOUT_LIBVIRT)


def test_each_module_runs_from_the_kept_library() -> None:
    routes = read("meta", "runtime.yml")["plugin_routing"]["modules"]
    kept = [
        path.stem for path in (ROOT / "plugins" / "modules").glob("*.py") if "utils.entry import" in path.read_text()
    ]
    assert routes == {name: {"action_plugin": "kvmfleet.libvirt.library"} for name in kept}


def test_version_is_the_changelog_s() -> None:
    version = read("galaxy.yml")["version"]
    releases = read("changelogs", "changelog.yaml")["releases"]
    fragments = list((ROOT / "changelogs" / "fragments").glob("*.yml"))
    assert version in releases or fragments, "a new version, and nothing to say of it"
    assert [newer for newer in releases if parts(newer) > parts(version)] == []


def test_oldest_ansible_core_of_the_matrix_is_the_oldest_allowed() -> None:
    series = re.findall(r'Core\("(\d+\.\d+)\.', (ROOT / "tests" / "suite" / "matrix.py").read_text())
    assert read("meta", "runtime.yml")["requires_ansible"] == f">={series[0]}.0"


def test_environment_of_make_test_is_part_of_the_matrix() -> None:
    assert f'Core("{pins("dev.txt")["ansible-core"]}"' in (ROOT / "tests" / "suite" / "matrix.py").read_text()


def test_each_package_is_pinned_in_one_place() -> None:
    files = [pins(name) for name in ("unit.txt", "dev.txt", "constraints.txt")]
    names = [name.lower().replace("_", "-") for file in files for name in file]
    assert sorted(names) == sorted(set(names))


def test_every_role_has_an_argument_specification() -> None:
    assert sorted(path.name for path in (ROOT / "roles").iterdir()) == ROLES


@pytest.mark.parametrize("role", ROLES)
def test_role_defaults_are_those_that_are_documented(role: str) -> None:
    options = read("roles", role, "meta", "argument_specs.yml")["argument_specs"]["main"]["options"]
    defaults = read("roles", role, "defaults", "main.yml")
    documented = {name: option["default"] for name, option in options.items() if "default" in option}
    # What is computed from facts or other variables can be told in words only.
    literal = {name: value for name, value in defaults.items() if "{{" not in str(value)}
    assert set(defaults) <= set(options)
    assert documented == literal


@pytest.mark.parametrize("role", ROLES)
def test_role_variables_carry_the_name_of_their_role(role: str) -> None:
    options = read("roles", role, "meta", "argument_specs.yml")["argument_specs"]["main"]["options"]
    assert [name for name in options if not name.startswith(f"{role}_")] == []
