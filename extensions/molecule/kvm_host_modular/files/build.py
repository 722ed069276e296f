# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds libvirt's modular daemons as its packages would bring them: programs, units, configuration files and lenses,
in a tar file for /. The daemons are small: what they serve is in drivers and in the library, which the distribution
packages with libvirtd. So they are linked to that library, of the same version, and it is not built again.

usage: build.py SOURCE.tar.xz RESULT.tar
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

DAEMONS = (
    "virtnetworkd",
    "virtnodedevd",
    "virtnwfilterd",
    "virtproxyd",
    "virtqemud",
    "virtsecretd",
    "virtstoraged",
)
FEATURES = ("driver_network", "driver_qemu", "driver_remote", "driver_secrets", "driver_libvirtd")
FEATURES += ("json_c", "libnl", "libpcap", "pciaccess", "polkit", "sasl", "udev", "storage_dir", "storage_fs")
SETTINGS = (
    "--prefix=/usr",
    "--sysconfdir=/etc",
    "--localstatedir=/var",
    "--auto-features=disabled",
    "--buildtype=plain",
    "-Drunstatedir=/run",
    "-Dinit_script=systemd",
    "-Dunitdir=/usr/lib/systemd/system",
    "-Dinitconfdir=/etc/default",
    "-Dqemu_user=libvirt-qemu",
    "-Dqemu_group=libvirt-qemu",
    "-Dno_git=true",
)
PLACES = {".service": "usr/lib/systemd/system", ".socket": "usr/lib/systemd/system"}
PLACES |= {".conf": "etc/libvirt", ".aug": "usr/share/augeas/lenses", "": "usr/sbin"}


def configured(source: Path, scratch: Path) -> Path:
    """The unpacked source's build folder, which has units, files and lenses already."""
    with tarfile.open(source) as archive:
        archive.extractall(scratch, filter="data")
    tree = next(scratch.iterdir())
    features = [f"-D{name}=enabled" for name in FEATURES]
    subprocess.run(["meson", "setup", *SETTINGS, *features, str(tree / "build"), str(tree)], check=True)
    return tree / "build"


def link(build: Path, daemon: str) -> None:
    """Compile a daemon's own code, and link it to the library that is installed."""
    command = ["ninja", "-t", "commands", "-s", f"src/{daemon}"]
    words = shlex.split(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=build).stdout)
    parts = [word for word in words if word.endswith((".o", ".a")) and not word.startswith("/")]
    subprocess.run(["ninja", "--quiet", *parts], check=True, cwd=build)
    subprocess.run([_installed(word) for word in words], check=True, cwd=build)


def _installed(word: str) -> str:
    """The distribution's library in the place of the one that would be built: libvirt.so.0 for libvirt.so.0.11003.0."""
    name = Path(word).name
    if not (word.startswith("src/") and name.startswith("libvirt") and ".so." in name):
        return word
    soname = name.partition(".so.")[0] + ".so.0"
    return str(next(Path("/usr/lib").glob(f"*/{soname}")))


def main(source: Path, result: Path) -> None:
    """Build all of them."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as scratch:
        build = configured(source, Path(scratch))
        for daemon in DAEMONS:
            link(build, daemon)
        with tarfile.open(result, "w") as archive:
            for path in sorted((build / "src").rglob("virt*")):
                name, dot, kind = path.name.partition(".")
                place = PLACES.get(dot + kind)
                if place and path.is_file() and name.split("-")[0] in DAEMONS:
                    archive.add(path, f"{place}/{path.name}", filter=_owned)


def _owned(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    return member


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
