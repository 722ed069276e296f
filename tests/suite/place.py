"""Where things are: the checkout, its tools, and the folder of one run."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache"
BIN = Path(sys.executable).parent
"""The programs of the environment that the suite runs in."""

RUNS_KEPT = 5


class Run(NamedTuple):
    """One run of the suite: everything it writes is below `folder`."""

    folder: Path

    def log(self, name: str) -> Path:
        """The log file of a step."""
        return self.folder / f"{name}.log"


def new_run() -> Run:
    """A folder of its own, so that two runs at once do not meet; the oldest ones are removed."""
    runs = CACHE / "test"
    runs.mkdir(parents=True, exist_ok=True)
    for old in sorted(path for path in runs.iterdir() if path.is_dir())[:-RUNS_KEPT]:
        if not _is_alive(int(old.name.rpartition("-")[2])):
            shutil.rmtree(old)
    folder = runs / f"{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}"
    folder.mkdir()
    return Run(folder)


def environment(**more: str) -> dict[str, str]:
    """The environment of a program: the pinned tools first on PATH, the checkout as the collection."""
    return {
        **os.environ,
        "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".ansible-collections"),
        **more,
    }


def _is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()
