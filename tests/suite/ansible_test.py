"""Running ansible-test with nothing but PyPI: no GitHub, no ci-files, and the user's home untouched."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import command
import interpreters
import junit
from place import CACHE, environment

if TYPE_CHECKING:
    from outcome import Outcome

HOME = CACHE / "ansible-test-home"

PIP_VERSIONS = ("23_1_2", "24_2", "25_2")
"""The bootstrap scripts that ansible-core 2.17, 2.18 and 2.19, 2.20 and 2.21 ask for, in this order."""

GET_PIP = """\
# Stands in for get-pip.py: pip comes with Python, the version that is asked for from the package index.
import subprocess
import sys

arguments = [word for word in sys.argv[1:] if word not in ("--no-setuptools", "--no-wheel")]
subprocess.run([sys.executable, "-m", "ensurepip"], check=True)
subprocess.run([sys.executable, "-m", "pip", "install", *arguments], check=True)
"""


def sanity(collection: Path, bin_folder: Path, log: Path, prefix: str = "") -> list[Outcome]:
    """Every sanity test of the ansible-core in `bin_folder`, on the collection copy."""
    output = collection / "tests" / "output"
    shutil.rmtree(output, ignore_errors=True)
    _make_home()
    with (CACHE / "ansible-test.lock").open("w") as lock:
        # Two runs at once would build the same environment below HOME.
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = command.run(
            [bin_folder / "ansible-test", "sanity", "--junit", "--color", "no"],
            log=log,
            cwd=collection,
            env=environment(HOME=str(HOME), PATH=_path(bin_folder)),
            timeout=900,
        )
    reports = sorted((output / "junit").glob("*.xml"))
    outcomes = [outcome for report in reports for outcome in junit.outcomes(report, prefix)]
    return junit.with_status(outcomes, done, f"{prefix}ansible-test")


def _path(bin_folder: Path) -> str:
    """PATH with the tools first, then the real interpreters, and without pyenv's shims."""
    machine = [part for part in os.environ.get("PATH", os.defpath).split(os.pathsep) if not part.endswith("/shims")]
    return os.pathsep.join([str(bin_folder), str(interpreters.link_all(CACHE / "interpreters")), *machine])


def _make_home() -> None:
    """A home with the bootstrap scripts in ansible-test's own cache, and the user's settings for pip."""
    scripts = HOME / ".ansible" / "test" / "cache"
    scripts.mkdir(parents=True, exist_ok=True)
    for version in PIP_VERSIONS:
        (scripts / f"get_pip_{version}.py").write_text(GET_PIP)
    user_settings = Path("~/.config/pip").expanduser()
    if user_settings.exists() and not (HOME / ".config").exists():
        (HOME / ".config").mkdir()
        (HOME / ".config" / "pip").symlink_to(user_settings)
    # ansible-test drops the environment: what it says about the index has to be in a file.
    settings = {
        name.removeprefix("PIP_").lower().replace("_", "-"): value
        for name, value in os.environ.items()
        if name.startswith("PIP_") and name != "PIP_CONFIG_FILE"
    }
    (HOME / ".pip").mkdir(exist_ok=True)
    lines = [f"{name} = " + value.strip().replace("\n", "\n    ") for name, value in sorted(settings.items())]
    (HOME / ".pip" / "pip.conf").write_text("\n".join(["[global]", *lines, ""]))
