# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Seeds for cloud-init: the same bytes for the same content, and any reader of ISO images finds the files."""

from __future__ import annotations

import io
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pycdlib
import pytest

from ansible_collections.kvmfleet.libvirt.plugins.module_utils.host.connection import Connection
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.host.content import place_bytes
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.host.seed import Mark, build_iso, mark_of
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.iso import content_of_iso
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.seed import LABEL, seed_digest

FILES = {"meta-data": '{"instance-id": "i"}\n', "user-data": "#cloud-config\n{}\n", "network-config": "version: 2\n"}


def _seed(files: dict[str, str]) -> bytes:
    return build_iso(files, Mark(seed_digest(files)), LABEL)


def test_the_same_content_gives_the_same_bytes() -> None:
    first = _seed(FILES)
    time.sleep(1.1)
    assert _seed(dict(reversed(FILES.items()))) == first


def test_other_content_gives_other_bytes_and_another_digest() -> None:
    other = {**FILES, "user-data": "#cloud-config\n{ }\n"}
    assert _seed(other) != _seed(FILES)
    assert seed_digest(other) != seed_digest(FILES)


def test_every_file_is_found_by_its_joliet_and_by_its_rock_ridge_name() -> None:
    files = {**FILES, "vendor-data": "ü" * 100_000, "empty": ""}
    image = pycdlib.PyCdlib()
    image.open_fp(io.BytesIO(_seed(files)))
    for name, text in files.items():
        for way in ("joliet_path", "rr_path"):
            found = io.BytesIO()
            image.get_file_from_iso_fp(found, **{way: f"/{name}"})
            assert found.getvalue().decode() == text
    assert image.pvd.volume_identifier.strip() == b"cidata"
    image.close()


def test_another_program_reads_it(tmp_path: Path) -> None:
    if shutil.which("isoinfo") is None:
        pytest.skip("needs isoinfo (package genisoimage)")
    seed = tmp_path / "seed.iso"
    seed.write_bytes(_seed(FILES))
    told = subprocess.run(["isoinfo", "-d", "-i", seed], check=True, capture_output=True, text=True).stdout
    assert "Volume id: cidata" in told
    for extension in ("-J", "-R"):
        shown = ["isoinfo", extension, "-i", seed, "-x", "/user-data"]
        assert subprocess.run(shown, check=True, capture_output=True, text=True).stdout == FILES["user-data"]


def test_a_seed_tells_what_is_in_it(connection: Connection, pool: Any, tmp_path: Path) -> None:
    place_bytes(connection, pool, "web1-seed.iso", _seed(FILES))
    assert mark_of(connection, None, str(tmp_path / "pool" / "web1-seed.iso")) == Mark(seed_digest(FILES))


@pytest.mark.parametrize("content", [b"", b"x" * 100_000])
def test_what_is_no_seed_of_ours_tells_nothing(connection: Connection, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "other-seed.iso").write_bytes(content)
    assert mark_of(connection, None, str(tmp_path / "other-seed.iso")) == Mark()
    assert mark_of(connection, None, str(tmp_path / "missing-seed.iso")) == Mark()


def test_a_seed_tells_which_instance_it_is_for(connection: Connection, pool: Any, tmp_path: Path) -> None:
    mark = Mark(seed_digest(FILES), "0123abcd", 12)
    place_bytes(connection, pool, "web1-seed.iso", build_iso(FILES, mark, LABEL))
    assert mark_of(connection, None, str(tmp_path / "pool" / "web1-seed.iso")) == mark


def test_an_ignition_config_is_its_own_mark(connection: Connection, pool: Any, tmp_path: Path) -> None:
    text = '{"ignition": {"version": "3.4.0"}}\n'
    place_bytes(connection, pool, "core1-ignition.json", text.encode())
    assert mark_of(connection, None, str(tmp_path / "pool" / "core1-ignition.json")) == Mark(seed_digest(text))


def test_an_image_of_any_files_with_folders(tmp_path: Path) -> None:
    """Of the declared files, found by the names that they have, in folders and beside them."""
    files = {"autounattend.xml": "<unattend/>", "ks/ks.cfg": "text\n", "ks/more/ä b.txt": "deep", "$OEM$/x": ""}
    declared = content_of_iso({"name": "a.iso", "iso": {"files": {**files, "data.json": {"b": 1}}, "label": "OEMDRV"}})
    assert declared["content"]["data.json"] == '{\n "b": 1\n}\n'
    data = build_iso(declared["content"], Mark(declared["digest"]), declared["label"])
    image = pycdlib.PyCdlib()
    image.open_fp(io.BytesIO(data))
    for name, text in files.items():
        for way in ("joliet_path", "rr_path"):
            found = io.BytesIO()
            image.get_file_from_iso_fp(found, **{way: f"/{name}"})
            assert found.getvalue().decode() == text
    assert image.pvd.volume_identifier.strip() == b"OEMDRV"
    image.close()
    assert build_iso(dict(reversed(declared["content"].items())), Mark(declared["digest"]), "OEMDRV") == data
