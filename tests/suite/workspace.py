"""A clean copy of the collection, as ansible-test and ansible-lint want to find it.

ansible-test refuses a symlink, and takes its list of files from the git repository that it stands in. The copy
lies in an ignored folder of the checkout, where that list would be empty: so it becomes a repository itself.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from pathlib import Path

from place import ROOT

_MAKING = threading.Lock()


def files() -> list[Path]:
    """Every file of the checkout that git does not ignore, committed or not, relative to its root.

    Uses an empty repository beside the checkout's own, so that an unpacked archive works as well.
    """
    repository = ROOT / ".cache" / "no-history.git"
    with _MAKING:
        # Stages that run beside each other both come here first; for one that is there, this does nothing.
        _git("init", "--quiet", "--bare", str(repository))
    listed = _git(
        f"--git-dir={repository}",
        f"--work-tree={ROOT}",
        "ls-files",
        "-z",
        "--others",
        "--exclude-standard",
    )
    return [path for path in map(Path, filter(None, listed.split("\0"))) if (ROOT / path).is_file()]


def make(folder: Path) -> Path:
    """Copy the checkout to `folder`/ansible_collections/kvmfleet/libvirt, and return that."""
    collection = folder / "ansible_collections" / "kvmfleet" / "libvirt"
    for path in files():
        target = collection / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, target, follow_symlinks=False)
    _git("init", "--quiet", str(collection))
    return collection


def _git(*arguments: str) -> str:
    """What git prints, whatever repository or hook the caller is in."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(["git", *arguments], check=True, capture_output=True, text=True, cwd=ROOT, env=env)
    return done.stdout
