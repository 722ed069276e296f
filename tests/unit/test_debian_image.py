# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the build script of the role debian_image makes of what it is told; the build itself is tested in the lab."""

from __future__ import annotations

import importlib.util
import struct
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROLE = Path(__file__).parents[2] / "roles" / "debian_image"

DEB822 = """\
# A comment, then a stanza with two suites.
Types: deb
URIs: http://mirror.example.org/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .

Types: deb deb-src
URIs: http://mirror.example.org/security/
Suites: bookworm-security
Components: main

Enabled: no
Types: deb
URIs: http://off.example.org/debian
Suites: bookworm
Components: main
"""


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("debian_image", ROLE / "files" / "debian_image.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["debian_image"] = module
    spec.loader.exec_module(module)
    return module


def declared(**options: Any) -> dict[str, Any]:
    return {
        "name": "debian-12.qcow2",
        "pool": "default",
        "release": "bookworm",
        "kernel": "linux-image-cloud-amd64",
        "size": "2 GiB",
        "packages": [],
        "sources": [],
        "kernel_args": "",
        "rebuild": "never",
        "workdir": "/var/cache/kvmfleet/debian_image",
        "recipe": "0",
        "check": False,
        **options,
    }


@pytest.mark.parametrize(
    ("text", "size"),
    [("2 GiB", 2 << 30), ("3G", 3 << 30), ("2048 MiB", 2 << 30), ("2147483648", 2 << 30), (2 << 30, 2 << 30)],
)
def test_sizes(script: ModuleType, text: Any, size: int) -> None:
    assert script.spec_of(declared(size=text)).size == size


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("size", "lots"),
        ("size", "100 MiB"),
        ("name", "../debian.qcow2"),
        ("name", "-x"),
        ("release", "deb http://example.org"),
        ("workdir", "/"),
        ("workdir", "relative/path"),
        ("kernel_args", 'quiet" }'),
    ],
)
def test_a_bad_option_is_named(script: ModuleType, option: str, value: str) -> None:
    with pytest.raises(script.RefusedError, match=f"debian_image_{option}"):
        script.spec_of(declared(**{option: value}))


def test_the_hosts_own_archives_serve_any_release(script: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "apt" / "sources.list.d").mkdir(parents=True)
    (tmp_path / "apt" / "sources.list.d" / "debian.sources").write_text(DEB822)
    (tmp_path / "os-release").write_text('ID=debian\nVERSION_CODENAME="bookworm"\n')
    assert script.host_sources("trixie", tmp_path) == [
        "deb http://mirror.example.org/debian trixie main",
        "deb http://mirror.example.org/debian trixie-updates main",
        "deb http://mirror.example.org/security/ trixie-security main",
    ]


def test_a_host_that_names_no_archive_is_told_what_to_set(script: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "os-release").write_text("ID=debian\nVERSION_CODENAME=bookworm\n")
    with pytest.raises(script.RefusedError, match="no archive of bookworm; set debian_image_sources"):
        script.host_sources("bookworm", tmp_path)


def test_one_line_sources_are_read_too(script: ModuleType) -> None:
    lines = [
        "# deb http://off/ sid main",
        "deb-src http://src/ sid main",
        "deb [arch=amd64 trusted=yes] http://on/ sid main",
    ]
    text = "\n".join(lines)
    assert list(script.source_entries(text, deb822=False)) == [["http://on/", "sid"]]


def test_another_recipe_is_another_disk(script: ModuleType) -> None:
    one, two = (script.spec_of(declared(recipe=recipe)) for recipe in "12")
    assert script.disk_guid(one) == script.disk_guid(script.spec_of(declared(recipe="1")))
    assert len({script.disk_guid(one), script.disk_guid(two), script.root_guid(one), script.root_guid(two)}) == 4


def test_grub_is_told_where_its_core_image_lies(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def core_image(_target: str, out: Path, _modules: str) -> None:
        out.write_bytes(bytes([7]) * 1300)

    monkeypatch.setattr(script, "grub_image", core_image)
    monkeypatch.setattr(script, "BOOT_IMG", tmp_path / "boot.img")
    (tmp_path / "boot.img").write_bytes(bytes([9]) * 512)
    disk = tmp_path / "disk.raw"
    disk.write_bytes(bytes(4 << 20))
    script.write_bios_boot(disk, tmp_path)
    written = disk.read_bytes()
    assert struct.unpack_from("<Q", written, 0x5C) == (2048,)
    assert written[440:512] == bytes(72), "the partition table is not GRUB's"
    assert struct.unpack_from("<QH", written, (1 << 20) + 0x1F4) == (2049, 2)


def test_a_failure_is_told_in_the_words_of_apt(script: ModuleType) -> None:
    said = ["I: running", "E: Unable to locate package nosuch", "E: setup failed: x", "E: mmdebstrap failed to run"]
    assert script.reason_in("\n".join(said)) == "Unable to locate package nosuch"
    assert script.reason_in("just this\n") == "just this"
