# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""libvirt's own test documents and schemas, from Debian's source packages: fetched once into .cache/corpus.

apt does it, in a directory of its own: a machine's sources often lack deb-src lines, and are not changed for a test.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "corpus"
RELEASES = ("bookworm", "trixie")

FOLDERS = (
    "genericxml2xml",
    "networkxml2xml",
    "nwfilterxml2xml",
    "qemuhotplug",
    "qemuxml",
    "secretxml2xml",
    "storagepoolxml2xml",
    "storagevolxml2xml",
)
"""How the folders begin that are kept of libvirt's tests."""

SCHEMAS = "schemas"
"""The folder of libvirt's schemas, in its source and in what is kept of it."""

UPDATES = "networkxml2xmlupdatetest.c"
"""The test that says which network becomes which by what update."""


class NoSource(Exception):
    """The source package could not be fetched."""


def documents(release: str) -> Path:
    """The folder of libvirt's test documents and schemas of a Debian release, fetched when it is not there yet.

    Raises NoSource.
    """
    folder = CACHE / release
    if _is_whole(folder):
        return folder
    CACHE.mkdir(parents=True, exist_ok=True)
    # The workers of a run all come here at once: one fetches, the others find it done.
    with (CACHE / f"{release}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_whole(folder):
            partial = CACHE / f"{release}.partial"
            for stale in (partial, folder):
                shutil.rmtree(stale, ignore_errors=True)
            partial.mkdir()
            _unpack(tarball(release), partial)
            partial.rename(folder)
    return folder


def _is_whole(folder: Path) -> bool:
    """Whether all that is kept now is there: an earlier revision may have kept less."""
    return (folder / SCHEMAS).exists() and (folder / UPDATES).exists()


def tarball(release: str) -> Path:
    """The source of libvirt in a Debian release, fetched when it is not there yet. Raises NoSource."""
    apt = CACHE / f"apt-{release}"
    fetched = next(apt.glob("libvirt_*.orig.tar.*"), None)
    if fetched:
        return fetched
    (apt / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    (apt / "cache" / "archives" / "partial").mkdir(parents=True, exist_ok=True)
    (apt / "debian.sources").write_text(_sources(release), encoding="utf-8")
    (apt / "apt.conf").write_text(
        f'Dir::State::lists "{apt}/lists";\nDir::Cache "{apt}/cache";\nDir::Etc::sourceparts "/dev/null";\n'
        f'Dir::Etc::sourcelist "{apt}/debian.sources";\nAcquire::Languages "none";\nAPT::Sandbox::User "root";\n',
        encoding="utf-8",
    )
    _run(apt, "apt-get", "-q", "update")
    for line in _run(apt, "apt-get", "-q", "source", "--print-uris", "libvirt").splitlines():
        uri, name, _size, digest = [*line.split(), "", "", ""][:4]
        if ".orig.tar." in name and not name.endswith(".asc"):
            partial = apt / f"partial-{name}"
            _run(apt, "/usr/lib/apt/apt-helper", "download-file", uri.strip("'"), str(partial), digest)
            return partial.rename(apt / name)
    raise NoSource(f"apt names no source of libvirt for {release}")


def _sources(release: str) -> str:
    """Sources of source packages, at the mirror that the lab found this machine to use."""
    sys.path.insert(0, str(ROOT / "tests" / "lab"))
    try:
        import _base  # noqa: PLC0415 - the lab's own modules are on the path only for this
    finally:
        sys.path.pop(0)
    return _base.sources(release).replace("Types: deb\n", "Types: deb-src\n")  # type: ignore[no-any-return,unused-ignore]


def _run(apt: Path, *command: str) -> str:
    try:
        done = subprocess.run(
            command,
            env={"APT_CONFIG": str(apt / "apt.conf"), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **_proxies()},
            check=True,
            capture_output=True,
            text=True,
            timeout=300,
        )
    except subprocess.CalledProcessError as error:
        raise NoSource(f"{' '.join(command)}: {error.stderr.strip()}") from error
    return done.stdout


def _proxies() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}


def _unpack(tarball: Path, target: Path) -> None:
    """The XML documents of the tests, and the schemas; links are followed, as many outputs are links to their input."""
    scratch = target.with_suffix(".unpacking")
    shutil.rmtree(scratch, ignore_errors=True)
    with tarfile.open(tarball) as archive:
        archive.extractall(scratch, (member for member in archive if _is_kept(member)), filter="data")
    for path in (*scratch.glob("*/tests/*/*.xml"), *scratch.glob(f"*/src/conf/{SCHEMAS}/*.rng")):
        if path.exists():  # Some links lead to documents of other tests.
            (target / path.parent.name).mkdir(exist_ok=True)
            shutil.copyfile(path, target / path.parent.name / path.name)
    shutil.copyfile(next(scratch.glob(f"*/tests/{UPDATES}")), target / UPDATES)
    shutil.rmtree(scratch)


def _is_kept(member: tarfile.TarInfo) -> bool:
    parts = member.name.split("/")
    if parts[1:4] == ["src", "conf", SCHEMAS]:
        return member.name.endswith(".rng")
    if parts[1:] == ["tests", UPDATES]:
        return True
    return len(parts) > 2 and parts[1] == "tests" and parts[2].startswith(FOLDERS) and member.name.endswith(".xml")


if __name__ == "__main__":
    print(tarball(sys.argv[1]))
