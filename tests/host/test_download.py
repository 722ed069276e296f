# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes copied to the control machine: piece by piece, with their holes, named only when they are whole."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.kvmfleet.libvirt.plugins.module_utils.host import download
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.host.connection import Connection, HypervisorError
from ansible_collections.kvmfleet.libvirt.plugins.plugin_utils import saving

MIB = 1 << 20
VOLUME = "<volume><name>a.raw</name><capacity>1</capacity></volume>"
GUEST = """<domain type='test'><name>web1</name><memory>1024</memory><os><type>hvm</type></os><devices>
<disk type='file' device='{device}'><source file='{path}'/><target dev='vda'/>{more}</disk></devices></domain>"""


@pytest.fixture
def volume(connection: Connection, pool: Any, tmp_path: Path) -> Path:
    """A volume of 20 MiB, most of it holes, as a file."""
    pool.createXML(VOLUME, 0)
    path = tmp_path / "pool" / "a.raw"
    with path.open("wb") as file:
        for at, text in ((0, b"begin"), (5 * MIB, b"x" * 3 * MIB), (15 * MIB, b"late")):
            file.seek(at)
            file.write(text)
        file.truncate(20 * MIB)
    return path


@pytest.fixture
def pieces(
    connection: Connection, volume: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Callable[[int], saving.Piece], list[int]]:
    """What gives pieces of the volume, of at most 2 MiB, and which were asked for."""
    monkeypatch.setattr(download, "PIECE", 2 * MIB)
    asked: list[int] = []

    def piece_from(begin: int) -> saving.Piece:
        asked.append(begin)
        path = str(tmp_path / "piece")
        given = download.write_piece(connection, "default", "a.raw", begin, path)
        return saving.Piece(path, [list(pair) for pair in given.ranges], given.end)

    return piece_from, asked


def _whole(connection: Connection) -> saving.Whole:
    looked = download.look_at(connection, "default", "a.raw")
    assert looked.writers == []
    return saving.Whole(looked.length, looked.checksum)


def test_a_copy_is_the_same_with_its_holes(connection: Connection, volume: Path, tmp_path: Path, pieces: Any) -> None:
    whole = _whole(connection)
    assert whole == (20 * MIB, "sha256:" + hashlib.sha256(volume.read_bytes()).hexdigest())
    made = tmp_path / "copies" / "of host1" / "a.raw"
    saving.save(str(made), whole, pieces[0])
    assert made.read_bytes() == volume.read_bytes()
    assert made.stat().st_blocks * 512 < 5 * MIB
    assert len(pieces[1]) > 1
    assert list(made.parent.iterdir()) == [made]
    assert saving.is_saved(str(made), whole)


def test_a_copy_that_broke_off_is_gone_on_with(
    connection: Connection, volume: Path, tmp_path: Path, pieces: Any
) -> None:
    piece_from, asked = pieces
    made = tmp_path / "a.raw"
    made.write_bytes(b"what was there before")

    def broken(begin: int) -> saving.Piece:
        if begin:
            raise saving.Unsaved("the host is gone")
        return piece_from(begin)  # type: ignore[no-any-return]

    with pytest.raises(saving.Unsaved, match="the host is gone"):
        saving.save(str(made), _whole(connection), broken)
    assert made.read_bytes() == b"what was there before"
    asked.clear()
    saving.save(str(made), _whole(connection), piece_from)
    assert 0 not in asked
    assert made.read_bytes() == volume.read_bytes()


def test_what_is_written_to_meanwhile_is_no_copy(
    connection: Connection, volume: Path, tmp_path: Path, pieces: Any
) -> None:
    def written(begin: int) -> saving.Piece:
        with volume.open("r+b") as file:
            file.write(b"BEGIN")
        return pieces[0](begin)  # type: ignore[no-any-return]

    with pytest.raises(saving.Unsaved, match="written to while it was copied; nothing was kept"):
        saving.save(str(tmp_path / "a.raw"), _whole(connection), written)
    assert not list(tmp_path.glob("*a.raw*"))


@pytest.mark.parametrize(
    ("device", "more", "writers"), [("disk", "", ["web1"]), ("cdrom", "<readonly/>", [])], ids=["disk", "cdrom"]
)
def test_who_writes_to_a_volume_is_told(
    connection: Connection, volume: Path, device: str, more: str, writers: list[str]
) -> None:
    connection.open.createXML(GUEST.format(device=device, path=volume, more=more), 0)
    assert download.look_at(connection, "default", "a.raw").writers == writers


def test_a_volume_that_is_not_there(connection: Connection, pool: Any) -> None:
    with pytest.raises(HypervisorError, match=r"volume default/a\.raw: .*VIR_ERR_NO_STORAGE_VOL"):
        download.look_at(connection, "default", "a.raw")


def test_a_folder_gets_a_file_of_the_volume_s_name(tmp_path: Path) -> None:
    assert saving.destination(f"{tmp_path}/new/", "a.raw") == f"{tmp_path}/new/a.raw"
    assert saving.destination(str(tmp_path), "a.raw") == f"{tmp_path}/a.raw"
    assert saving.destination(f"{tmp_path}/b.raw", "a.raw") == f"{tmp_path}/b.raw"
