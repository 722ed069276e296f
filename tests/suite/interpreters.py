"""The Python interpreters of this machine."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path

VERSIONS = ("3.9", "3.10", "3.11", "3.12", "3.13", "3.14")
"""From the oldest on managed hosts to the newest that an ansible-core here runs on."""


@cache
def find(version: str) -> Path | None:
    """The real interpreter of a version, or None.

    pyenv's shims answer for versions that are not switched on by failing, and confuse ansible-test when they
    do not fail: they are asked where the real one is, and those they know of are looked up beside them.
    """
    on_path = shutil.which(f"python{version}")
    candidates = [Path(on_path)] if on_path else []
    if on_path and Path(on_path).parent.name == "shims":
        versions = Path(on_path).parent.parent / "versions"
        candidates += sorted(versions.glob(f"{version}.*/bin/python{version}"), reverse=True)
    return next((real for real in map(_real_path, candidates) if real), None)


def link_all(folder: Path) -> Path:
    """A folder with `pythonX.Y` for each interpreter that is there, to be put on a PATH."""
    folder.mkdir(parents=True, exist_ok=True)
    for version in VERSIONS:
        real = find(version)
        link = folder / f"python{version}"
        link.unlink(missing_ok=True)
        if real:
            link.symlink_to(real)
    return folder


def _real_path(candidate: Path) -> Path | None:
    """The file behind a name, a shim or a virtual environment, None if it does not run."""
    asked = subprocess.run(
        [candidate, "-c", "import sys; print(getattr(sys, '_base_executable', sys.executable))"],
        check=False,
        capture_output=True,
        text=True,
    )
    path = Path(asked.stdout.strip() or "/nonexistent")
    return path.resolve() if asked.returncode == 0 and path.exists() else None
