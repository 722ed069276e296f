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
from ansible_collections.kvmfleet.libvirt.plugins.modules.library import is_whole
from ansible_collections.kvmfleet.libvirt.plugins.plugin_utils import sources


def _source(**files: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, text in {"__init__": "", **files}.items():
            archive.writestr(f"{name}.py", text)
    return made.getvalue()


def _keep(path: Path, **files: str) -> None:
    kept.keep(str(path), _source(**files), {})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where an account that has nothing yet keeps its library."""
    return tmp_path / ".cache" / "kvmfleet.libvirt" / "d1.zip"


def _run(path: str, code: str) -> str:
    command = [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {path!r}); {code}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_what_is_kept_is_imported_without_its_source(path: Path) -> None:
    assert not is_whole(str(path))
    kept.keep(str(path), _source(greet="import other\nWORD = other.WORD"), {"other.py": b"WORD = 'kept'"})
    assert is_whole(str(path))
    assert _run(str(path), "from kvmfleet_libvirt import greet; print(greet.WORD)") == "kept"
    assert [entry.name for entry in path.parent.iterdir()] == ["d1.zip"]
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_whole_library_is_imported_from_its_archive(path: Path) -> None:
    kept.keep(str(path), base64.b64decode(sources.archive()), {})
    assert is_whole(str(path))
    basic = str(Path(__import__("ansible").__file__).parent.parent)
    code = f"sys.path.append({basic!r}); from kvmfleet_libvirt import converge, runner; print(runner, converge)"
    told = _run(str(path), code)
    assert f"{path}/kvmfleet_libvirt/runner.pyc" in told
    assert f"{path}/kvmfleet_libvirt/converge.pyc" in told


@pytest.mark.parametrize("damage", ["cut", "one byte", "empty", "longer"])
def test_a_damaged_archive_is_not_loaded_and_is_replaced(path: Path, damage: str) -> None:
    _keep(path, greet="WORD = 'kept'")
    whole = path.read_bytes()
    damaged = {
        "cut": whole[:-100],
        "one byte": whole[:60] + bytes([whole[60] ^ 1]) + whole[61:],
        "empty": b"",
        "longer": whole + b"\n",
    }
    path.write_bytes(damaged[damage])
    assert not is_whole(str(path))
    _keep(path, greet="WORD = 'kept'")
    assert path.read_bytes() == whole


def test_what_others_may_write_to_is_not_loaded(path: Path) -> None:
    _keep(path)
    path.chmod(0o620)
    assert not is_whole(str(path))
    path.chmod(0o600)
    assert is_whole(str(path))
    path.parent.chmod(0o770)
    assert not is_whole(str(path))
    with pytest.raises(kept.Refused, match="not this account's alone"):
        _keep(path)


def test_a_link_is_not_followed(path: Path) -> None:
    _keep(path)
    path.rename(path.parent / "elsewhere.zip")
    path.symlink_to(path.parent / "elsewhere.zip")
    assert not is_whole(str(path))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_somebody_else_owns_is_not_loaded(path: Path) -> None:
    _keep(path)
    os.chown(path, 12345, 12345)
    assert not is_whole(str(path))


def test_where_it_cannot_be_kept_the_reason_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(kept.Refused, match=r"kvmfleet\.libvirt: Not a directory"):
        _keep(tmp_path / "file" / "kvmfleet.libvirt" / "d1.zip")


def test_versions_that_nobody_uses_are_cleared_away(path: Path) -> None:
    now = time.time()
    path.parent.mkdir(parents=True, mode=0o700)
    for name, days in (
        ("old.zip", 31.0),
        ("young.zip", 29.0),
        (".new-killed", 1.1),
        ("progress-1", 1.1),
        (".new-at-work", 0.9),
    ):
        (path.parent / name).write_bytes(b"")
        os.utime(path.parent / name, (now - days * 86400, now - days * 86400))
    _keep(path)
    assert sorted(entry.name for entry in path.parent.iterdir()) == [".new-at-work", "d1.zip", "young.zip"]


def test_use_keeps_an_archive_young(path: Path) -> None:
    _keep(path)
    os.utime(path, (0, 0))
    assert is_whole(str(path))
    assert time.time() - path.stat().st_mtime < 60


def test_many_may_keep_it_at_once(path: Path) -> None:
    threads = [threading.Thread(target=_keep, args=(path,), kwargs={"greet": "WORD = 1"}) for _number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert is_whole(str(path))
    assert len(list(path.parent.iterdir())) == 1


def test_another_source_is_another_library(monkeypatch: pytest.MonkeyPatch) -> None:
    before = sources.digest()
    sources.digest.cache_clear()
    monkeypatch.setattr(sources, "files", lambda: {"__init__.py": b"", "new.py": b"WORD = 1\n"})
    try:
        assert sources.digest() != before
    finally:
        sources.digest.cache_clear()
