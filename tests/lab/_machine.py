"""What the lab asks of the machine it runs on: messages, processes, locks, mounts, prerequisites."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import _cgroup

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

os.environ["PATH"] = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"

SIOCBRADDBR = 0x89A0
SIOCBRDELBR = 0x89A1
NEEDED_FREE_BYTES = 3 * 1024**3
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


class LabError(Exception):
    """A reason, in one line for the person at the keyboard, why the lab cannot go on."""


class Prerequisite(NamedTuple):
    """A Debian package and the command, or file, by which one sees that it is installed."""

    package: str
    sign: str


PREREQUISITES = (
    Prerequisite("mmdebstrap", "mmdebstrap"),
    Prerequisite("systemd-container", "systemd-nspawn"),
    Prerequisite("iptables", "iptables"),
    Prerequisite("iproute2", "ip"),
    Prerequisite("openssh-client", "ssh-keygen"),
    Prerequisite("debian-archive-keyring", str(KEYRING)),
)


def say(text: str) -> None:
    """Tell the user something, at once even when the output is a pipe."""
    print(f"lab: {text}", flush=True)


@contextlib.contextmanager
def stage(text: str, *, announce: bool = False) -> Iterator[None]:
    """Print one line, with the seconds, when the block is done; `announce` prints one before it, too."""
    if announce:
        say(f"{text} ...")
    started = time.monotonic()
    yield
    say(f"{text} ({time.monotonic() - started:.1f} s)")


def run(argv: Sequence[str], cwd: Path | None = None) -> str:
    """Standard output of a command that has to succeed."""
    done = subprocess.run(
        argv,
        check=False,
        cwd=cwd,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise LabError(f"{argv[0]} ended with {done.returncode}: {telling_line(done.stderr)}")
    return done.stdout


def run_logged(argv: Sequence[str], log: Path) -> None:
    """Run a long command that has to succeed; what it prints is appended to a log as it comes."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a+") as sink:
        start = sink.tell()
        done = subprocess.run(argv, check=False, env=environment(), stdin=subprocess.DEVNULL, stdout=sink, stderr=sink)
        sink.seek(start)
        if done.returncode != 0:
            raise LabError(f"{argv[0]} ended with {done.returncode}: {telling_line(sink.read())} (see {log})")


def environment() -> dict[str, str]:
    """The environment of commands: messages in English, and no questions by debconf."""
    return {**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}


def telling_line(output: str) -> str:
    """The line of a failed command's output that most likely says why it failed."""
    lines = [line.strip() for line in output.splitlines() if line.strip()] or ["no output"]
    errors = [line for line in lines if line.startswith(("E: ", "error:"))]
    return (errors or lines)[-1]


def write(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a file whole or not at all, so that a reader never meets half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(text)
    fresh.chmod(mode)
    fresh.replace(path)


def read_json(path: Path) -> Any:
    """The content of a JSON file."""
    return json.loads(path.read_text())


def boot_id() -> str:
    """A string that differs after each boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


@contextlib.contextmanager
def held(directory: Path) -> Iterator[None]:
    """Hold the lock on a directory, made if missing; the lock ends with the process, however it ends.

    The holder may delete the directory: whoever waited for it then starts again with the new one.
    """
    while True:
        directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            wait_for_lock(descriptor, directory)
            if not directory.exists() or not os.path.samestat(os.fstat(descriptor), directory.stat()):
                continue
            yield
            return
        finally:
            os.close(descriptor)


def wait_for_lock(descriptor: int, directory: Path) -> None:
    """Take the lock on an open directory, telling the user if it is not free."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say(f"waiting for another lab command (lock on {directory})")
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def mount_points(below: Path) -> list[Path]:
    """Mount points at or below a directory, the last mounted first."""
    points = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = Path(line.split()[4].encode().decode("unicode_escape"))
        if point == below or below in point.parents:
            points.append(point)
    return points[::-1]


def unmount_all(below: Path) -> None:
    """Unmount everything at or below a directory."""
    for point in mount_points(below):
        run(["umount", str(point)])


def remove_tree(directory: Path) -> None:
    """Delete a directory, but never through a mount point into something else."""
    if mount_points(directory):
        raise LabError(f"{directory} still has something mounted in it, so it is not deleted")
    if directory.exists():
        shutil.rmtree(directory)


def obstacle(lab: Path) -> str | None:
    """Why this machine cannot carry a lab, or None; changes nothing that lasts."""
    needs = (
        (platform.machine() == "x86_64", f"it needs an x86-64 machine, and this is {platform.machine()}"),
        (shutil.which("apt-get") is not None, "it needs a Debian machine, and there is no apt-get"),
        (Path("/dev/net/tun").exists(), "it needs /dev/net/tun, and the kernel has no tun driver"),
        (_cgroup.mount_point() is not None, "it needs a mounted cgroup2 file system"),
        (shutil.disk_usage(lab).free >= NEEDED_FREE_BYTES, f"it needs 3 GiB of free disk space at {lab}"),
    )
    for is_met, reason in needs:
        if not is_met:
            return reason
    return bridge_obstacle() or overlay_obstacle(lab)


def bridge_obstacle() -> str | None:
    """Why no bridge can be made, or None; asked of the kernel, as `ip` may not be installed yet."""
    name = f"labprobe{os.getpid() % 100000}".encode() + b"\0"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
        try:
            fcntl.ioctl(channel, SIOCBRADDBR, name)
        except OSError as error:
            return f"it cannot make a network bridge here ({error.strerror})"
        fcntl.ioctl(channel, SIOCBRDELBR, name)
    return None


def overlay_obstacle(lab: Path) -> str | None:
    """Why no overlay can be mounted on the lab's file system, or None."""
    scratch = lab / "probe"
    unmount_all(scratch)
    try:
        mount_overlay(scratch, lower="lower")
    except LabError as error:
        return f"it cannot mount an overlay at {lab} ({error})"
    finally:
        unmount_all(scratch)
        remove_tree(scratch)
    return None


def mount_overlay(directory: Path, lower: str) -> None:
    """Mount directory/root as a writable view of `lower`, with the changes in directory/upper.

    `lower` is relative to the directory, as is everything else: a path with a comma or a colon in it could
    not be written in mount options. `volatile` leaves out every fsync, which makes package installation
    three times as fast; a host's tree does not outlive the host anyway.
    """
    for name in ("upper", "work", "root", lower):
        (directory / name).mkdir(parents=True, exist_ok=True)
    options = f"lowerdir={lower},upperdir=upper,workdir=work,volatile"
    run(["mount", "-t", "overlay", "-o", options, "lab", "root"], cwd=directory)


def install_prerequisites(log: Path) -> None:
    """Install the packages the lab needs and the machine lacks."""
    missing = [need.package for need in PREREQUISITES if not shutil.which(need.sign) and not Path(need.sign).exists()]
    if not missing:
        return
    with stage(f"installing {' '.join(missing)} on this machine", announce=True):
        install = [
            "apt-get",
            "-y",
            "-o",
            "DPkg::Lock::Timeout=300",
            "install",
            "--no-install-recommends",
            *missing,
        ]
        try:
            run_logged(install, log)
        except LabError:
            run_logged(["apt-get", "-o", "DPkg::Lock::Timeout=300", "update"], log)
            run_logged(install, log)
