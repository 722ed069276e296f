"""Sanity and unit tests on each ansible-core that the collection supports."""

from __future__ import annotations

import hashlib
import shutil
from typing import TYPE_CHECKING, NamedTuple

import ansible_test
import command
import interpreters
import junit
import workspace
from outcome import Outcome, failed, skipped
from place import CACHE, ROOT, Run, environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Core(NamedTuple):
    """An ansible-core and the Python versions it runs on, the one to take first in front."""

    version: str
    pythons: tuple[str, ...]

    @property
    def series(self) -> str:
        """2.19 for 2.19.14."""
        return self.version.rpartition(".")[0]


CORES = (
    Core("2.17.14", ("3.11", "3.12")),
    Core("2.18.19", ("3.11", "3.12", "3.13")),
    Core("2.19.14", ("3.13", "3.12", "3.11")),
    Core("2.20.10", ("3.12", "3.13", "3.14")),
    Core("2.21.5", ("3.13", "3.12", "3.14")),
)


class PythonFound(NamedTuple):
    """An interpreter and its version."""

    version: str
    path: Path


def stage(run: Run) -> list[Outcome]:
    """All tests of all versions; one without an interpreter is a skip that says so."""
    return [outcome for core in CORES for outcome in _outcomes(core, run)]


def _outcomes(core: Core, run: Run) -> Iterator[Outcome]:
    python = _python(core)
    if python is None:
        yield skipped(f"ansible-core {core.series}", f"needs one of python {', '.join(core.pythons)}")
        return
    name = f"{core.series}-py{python.version}"
    print(f"    ansible-core {core.version} on Python {python.version}", flush=True)
    made = _environment(core, python, name, run)
    if isinstance(made, Outcome):
        yield made
        return
    yield from _unit(made, name, run)
    collection = workspace.make(run.folder / name)
    yield from ansible_test.sanity(collection, made, run.log(f"matrix-{name}-sanity"), f"{name} ")


def _python(core: Core) -> PythonFound | None:
    """The first interpreter on this machine that this ansible-core runs on."""
    for version in core.pythons:
        path = interpreters.find(version)
        if path:
            return PythonFound(version, path)
    return None


def _environment(core: Core, python: PythonFound, name: str, run: Run) -> Path | Outcome:
    """The programs of an environment with this ansible-core, made once; or why it could not be made."""
    folder = CACHE / "matrix" / name
    pins = [ROOT / "tests" / "requirements" / file for file in ("unit.txt", "constraints.txt")]
    inputs = f"{core.version} {python.path}".encode() + b"".join(pin.read_bytes() for pin in pins)
    made_from = hashlib.sha256(inputs).hexdigest()
    stamp = folder / "made-from"
    if stamp.exists() and stamp.read_text() == made_from:
        return folder / "bin"
    shutil.rmtree(folder, ignore_errors=True)
    # Each ansible-core wants a resolvelib of its own, so that one pin cannot serve them all.
    pinned = [line for line in pins[1].read_text().splitlines() if not line.startswith("resolvelib==")]
    constraints = run.folder / f"matrix-{name}-constraints.txt"
    constraints.write_text("\n".join([*pinned, ""]))
    pip: list[str | Path] = [folder / "bin" / "python", "-m", "pip", "install", f"ansible-core=={core.version}"]
    steps: tuple[tuple[str, command.Words], ...] = (
        ("venv", [python.path, "-m", "venv", folder]),
        ("pip", [*pip, "-r", pins[0], "-c", constraints]),
    )
    for step, words in steps:
        done = command.run(words, log=run.log(f"matrix-{name}-{step}"), cwd=ROOT)
        if done.status:
            return failed(f"{name} {step}", done.tail())
    stamp.write_text(made_from)
    return folder / "bin"


def _unit(bin_folder: Path, name: str, run: Run) -> list[Outcome]:
    """The unit tests with this environment."""
    report = run.folder / f"matrix-{name}-unit.xml"
    done = command.run(
        [bin_folder / "python", "-m", "pytest", "tests/unit", "-n", "2", f"--junitxml={report}"],
        log=run.log(f"matrix-{name}-unit"),
        cwd=ROOT,
        env=environment(),
    )
    return junit.with_status(junit.outcomes(report, f"{name} "), done, f"{name} pytest")
