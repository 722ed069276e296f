"""Control groups: how the lab knows, beyond any doubt, which processes are its own.

Every process the lab starts lives in a cgroup below /kvmfleet-lab. A number in a pid file may come to mean
somebody else's process; membership of a cgroup may not. It also holds after the lab itself was killed.
"""

from __future__ import annotations

import contextlib
import functools
import os
import time
from pathlib import Path

LAB_ROOT = "kvmfleet-lab"


@functools.cache
def mount_point() -> Path | None:
    """Where the unified (version 2) hierarchy is mounted, which on a hybrid system is not /sys/fs/cgroup."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _device, point, kind = line.split()[:3]
        if kind == "cgroup2":
            return Path(point)
    return None


def group(*names: str) -> Path:
    """The cgroup of that name below the lab's own; it need not exist."""
    root = mount_point()
    assert root is not None, "checked before anything else is done"
    return root.joinpath(LAB_ROOT, *names)


def enter(target: Path) -> None:
    """Move this process, and so all it starts from now on, into a cgroup, made if missing."""
    if not target.exists():
        target.mkdir(parents=True)
        hand_down_controllers(target)
    (target / "cgroup.procs").write_text(str(os.getpid()))


def own() -> Path:
    """The cgroup this process is in."""
    root = mount_point()
    assert root is not None
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        number, _controllers, path = line.split(":", 2)
        if number == "0":
            return root / path.lstrip("/")
    return root


def hand_down_controllers(target: Path) -> None:
    """Make every controller the machine has to give usable in a cgroup, for a host's systemd and libvirt."""
    root = mount_point()
    for parent in [*target.parents][::-1]:
        if root is None or root not in parent.parents:
            continue
        for controller in (parent / "cgroup.controllers").read_text().split():
            # Fails for a controller that a version 1 hierarchy uses, and in a group that has processes.
            with contextlib.suppress(OSError):
                (parent / "cgroup.subtree_control").write_text(f"+{controller}")


def is_populated(target: Path) -> bool:
    """Whether any process lives in a cgroup or below it; a zombie does not count."""
    try:
        return "populated 1" in (target / "cgroup.events").read_text()
    except FileNotFoundError:
        return False


def kill(target: Path, seconds: float = 10.0) -> bool:
    """Kill every process in a cgroup and below, also those being forked now; whether all ended in time."""
    if not target.exists():
        return True
    (target / "cgroup.kill").write_text("1")
    return wait_until_empty(target, seconds)


def wait_until_empty(target: Path, seconds: float) -> bool:
    """Whether the last process of a cgroup ended in time."""
    deadline = time.monotonic() + seconds
    while is_populated(target):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def remove(target: Path) -> None:
    """Remove an empty cgroup and those below it, then its parents as far as they are empty and the lab's."""
    if target.exists():
        for directory, _subdirectories, _files in os.walk(target, topdown=False):
            Path(directory).rmdir()
    with contextlib.suppress(OSError):
        for parent in target.parents:
            if parent == mount_point():
                return
            parent.rmdir()
