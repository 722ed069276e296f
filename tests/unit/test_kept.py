# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The library that is kept on a host: only a whole one, of the account's own, is ever loaded."""

from __future__ import annotations

import base64
import io
import os
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import pytest

from ansible_collections.kvmfleet.libvirt.plugins.module_utils import kept
from ansible_collections.kvmfleet.libvirt.plugins.plugin_utils import sources


def _source(**files: str) -> str:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, text in {"__init__": "", **files}.items():
            archive.writestr(f"{name}.py", text)
    return base64.b64encode(made.getvalue()).decode()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the library is kept, of an account whose home is empty."""
    folder = tmp_path / ".cache" / "kvmfleet.libvirt"
    monkeypatch.setattr(kept, "folder", lambda: str(folder))
    return folder


def _run(path: str, code: str) -> str:
    command = [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {path!r}); {code}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_what_is_kept_is_imported_without_its_source(home: Path) -> None:
    path = kept.path_of("d1")
    assert not kept.is_kept(path)
    kept.keep(path, _source(greet="from . import other\nWORD = other.WORD", other="WORD = 'kept'"))
    assert kept.is_kept(path)
    assert _run(path, "from kvmfleet_libvirt import greet; print(greet.WORD)") == "kept"
    assert [entry.name for entry in home.iterdir()] == [Path(path).name]
    assert home.stat().st_mode & 0o777 == 0o700
    assert Path(path).stat().st_mode & 0o777 == 0o600


def test_the_whole_library_is_imported_from_its_archive(home: Path) -> None:
    path = kept.path_of(sources.digest())
    kept.keep(path, sources.archive())
    assert kept.is_kept(path)
    basic = str(Path(__import__("ansible").__file__).parent.parent)
    code = f"sys.path.append({basic!r}); from kvmfleet_libvirt import converge, entry; print(entry, converge)"
    told = _run(path, code)
    assert f"{path}/kvmfleet_libvirt/entry.pyc" in told
    assert f"{path}/kvmfleet_libvirt/converge.pyc" in told


@pytest.mark.parametrize("damage", ["cut", "one byte", "empty", "longer"])
def test_a_damaged_archive_is_not_loaded_and_is_replaced(home: Path, damage: str) -> None:
    path = Path(kept.path_of("d1"))
    kept.keep(str(path), _source(greet="WORD = 'kept'"))
    whole = path.read_bytes()
    damaged = {
        "cut": whole[:-100],
        "one byte": whole[:60] + bytes([whole[60] ^ 1]) + whole[61:],
        "empty": b"",
        "longer": whole + b"\n",
    }
    path.write_bytes(damaged[damage])
    assert not kept.is_kept(str(path))
    kept.keep(str(path), _source(greet="WORD = 'kept'"))
    assert path.read_bytes() == whole


def test_what_others_may_write_to_is_not_loaded(home: Path) -> None:
    path = kept.path_of("d1")
    kept.keep(path, _source())
    Path(path).chmod(0o620)
    assert not kept.is_kept(path)
    Path(path).chmod(0o600)
    assert kept.is_kept(path)
    home.chmod(0o770)
    assert not kept.is_kept(path)
    with pytest.raises(kept.Refused, match="not this account's alone"):
        kept.keep(path, _source())


def test_a_link_is_not_followed(home: Path) -> None:
    path = Path(kept.path_of("d1"))
    kept.keep(str(path), _source())
    path.rename(home / "elsewhere.zip")
    path.symlink_to(home / "elsewhere.zip")
    assert not kept.is_kept(str(path))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_somebody_else_owns_is_not_loaded(home: Path) -> None:
    path = kept.path_of("d1")
    kept.keep(path, _source())
    os.chown(path, 12345, 12345)
    assert not kept.is_kept(path)


def test_where_it_cannot_be_kept_the_reason_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setattr(kept, "folder", lambda: str(tmp_path / "file" / "kvmfleet.libvirt"))
    with pytest.raises(kept.Refused, match=r"kvmfleet\.libvirt: Not a directory"):
        kept.keep(kept.path_of("d1"), _source())


def test_versions_that_nobody_uses_are_cleared_away(home: Path) -> None:
    now = time.time()
    home.mkdir(parents=True, mode=0o700)
    for name, days in (
        ("old.zip", 31.0),
        ("young.zip", 29.0),
        (".new-killed", 1.1),
        ("progress-1", 1.1),
        (".new-at-work", 0.9),
    ):
        (home / name).write_bytes(b"")
        os.utime(home / name, (now - days * 86400, now - days * 86400))
    kept.keep(kept.path_of("d1"), _source())
    assert sorted(entry.name for entry in home.iterdir()) == sorted(
        [".new-at-work", "young.zip", Path(kept.path_of("d1")).name]
    )


def test_use_keeps_an_archive_young(home: Path) -> None:
    path = kept.path_of("d1")
    kept.keep(path, _source())
    os.utime(path, (0, 0))
    assert kept.is_kept(path)
    assert time.time() - Path(path).stat().st_mtime < 60


def test_many_may_keep_it_at_once(home: Path) -> None:
    path = kept.path_of("d1")
    source = _source(greet="WORD = 'kept'")
    threads = [threading.Thread(target=kept.keep, args=(path, source)) for _number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert kept.is_kept(path)
    assert len(list(home.iterdir())) == 1


def test_another_source_is_another_library(monkeypatch: pytest.MonkeyPatch) -> None:
    before = sources.digest()
    sources.digest.cache_clear()
    monkeypatch.setattr(sources, "files", lambda: {"__init__.py": b"", "new.py": b"WORD = 1\n"})
    try:
        assert sources.digest() != before
    finally:
        sources.digest.cache_clear()
