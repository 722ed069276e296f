"""The checks that run nothing of the collection: style, types, documentation, packaging."""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING, NamedTuple

import command
import workspace
from outcome import Outcome, failed, passed
from place import BIN, ROOT, Run, environment

if TYPE_CHECKING:
    from pathlib import Path

    from command import Words

PACKAGE = "ansible_collections.kvmfleet.libvirt.plugins"

TYPED_ROOMS = ("spec", "tree", "plan")
"""The pure rooms: mypy is strict here. The others lean on ansible-core and libvirt, which have no types."""


class Check(NamedTuple):
    """One linter: passed if it exits with 0."""

    name: str
    command: Words
    cwd: Path = ROOT


def stage(run: Run) -> list[Outcome]:
    """Every linter, and the packaging."""
    collection = workspace.make(run.folder / "lint")
    outcomes = [_outcome(check, run, collection) for check in _checks(collection)]
    return [*outcomes, *_package(run)]


def _checks(collection: Path) -> list[Check]:
    """The linters. Those that need a collection's path run in the copy."""
    return [
        Check("ansible-lint", [BIN / "ansible-lint", "--offline", "--strict", "--nocolor"], collection),
        Check("mypy plugins", [BIN / "mypy", "--explicit-package-bases", *_typed_packages()]),
        Check("mypy suite", [BIN / "mypy", "tests/suite"]),
        Check("antsibull-docs", [BIN / "antsibull-docs", *_DOCS_OPTIONS, str(collection)], collection),
        Check("antsibull-changelog", [BIN / "antsibull-changelog", "lint"], collection),
        Check("ruff check", [BIN / "ruff", "check", "--no-cache", "--output-format=concise", "."], collection),
        Check("ruff format", [BIN / "ruff", "format", "--no-cache", "--check", "--diff", "."], collection),
        Check("yamllint", [BIN / "yamllint", "--strict", "."], collection),
        Check("shellcheck", [BIN / "shellcheck", "--severity=warning", *_shell_scripts()]),
    ]


_DOCS_OPTIONS = ("lint-collection-docs", "--plugin-docs", "--skip-rstcheck", "--disallow-unknown-collection-refs")


def _outcome(check: Check, run: Run, collection: Path) -> Outcome:
    """What a linter says; the copy's own folder is where it finds collections."""
    env = environment(ANSIBLE_COLLECTIONS_PATH=str(collection.parents[2]))
    done = command.run(check.command, log=run.log(f"lint-{check.name.replace(' ', '-')}"), cwd=check.cwd, env=env)
    return failed(check.name, done.tail()) if done.status else passed(check.name)


def _typed_packages() -> list[str]:
    """The arguments that name the rooms for mypy, folders or single files."""
    return [word for room in TYPED_ROOMS for word in ("--package", f"{PACKAGE}.module_utils.{room}")]


def _shell_scripts() -> list[Path]:
    """The files that a shell runs, told by their first line."""
    return [path for path in workspace.files() if _first_line(ROOT / path).endswith((b"bash", b"/sh"))]


def _first_line(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.readline(80).rstrip()


def _package(run: Run) -> list[Outcome]:
    """The collection builds, holds what it has to and nothing else, and installs from its tarball."""
    folder = run.folder / "package"
    build: Words = [BIN / "ansible-galaxy", "collection", "build", "--output-path", str(folder)]
    done = command.run(build, log=run.log("lint-build"), cwd=run.folder / "lint" / _COLLECTION, env=environment())
    if done.status:
        return [failed("galaxy build", done.tail())]
    tarball = next(folder.glob("*.tar.gz"))
    with tarfile.open(tarball) as archive:
        strays = sorted({name for name in _file_names(archive) if not name.startswith(_SHIPPED)})
    built = failed("galaxy build", f"not meant to be shipped: {strays}") if strays else passed("galaxy build")
    install: Words = [BIN / "ansible-galaxy", "collection", "install", tarball, "--offline", "--no-deps", "-p", folder]
    done = command.run(install, log=run.log("lint-install"), cwd=run.folder, env=environment())
    return [built, failed("galaxy install", done.tail()) if done.status else passed("galaxy install")]


def _file_names(archive: tarfile.TarFile) -> list[str]:
    return [member.name for member in archive.getmembers() if not member.isdir()]


_COLLECTION = "ansible_collections/kvmfleet/libvirt"

_SHIPPED = (
    "CHANGELOG.rst",
    "FILES.json",
    "LICENSE",
    "MANIFEST.json",
    "README.md",
    "changelogs/",
    "docs/",
    "meta/",
    "playbooks/",
    "plugins/",
    "roles/",
    "tests/config.yml",
    "tests/sanity/",
)
"""What a tarball may hold. Something new is a decision: here, or in galaxy.yml's build_ignore."""
