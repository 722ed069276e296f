"""A tiny Linux guest that boots under emulation in seconds: Debian's kernel, busybox and the guest agent.

It asks for an address on every interface, also on one plugged in later, and then prints
"READY address interface" on its console; it answers the guest agent, sees plugged disks, and obeys the power
button. All of it comes from the Debian packages that a base tree of the lab keeps, and from guest-root/.
"""

from __future__ import annotations

import argparse
import hashlib
import lzma
import re
import shutil
import stat
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import _base
from _machine import LabError, held, remove_tree, run, say, stage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

HERE = Path(__file__).resolve().parent
STATE = HERE.parents[1] / ".lab"
OVERLAY = HERE / "guest-root"
KERNEL = "linux-image-[0-9]*"
PACKAGES = (KERNEL, "busybox-static", "qemu-guest-agent")
# In this order, each after what it depends on: the network first, as an answer to DHCP takes time.
MODULES = (
    "virtio_pci",
    "virtio_net",
    "virtio_console",
    "evdev",
    "button",
    "virtio_blk",
    "virtio_scsi",
    "sd_mod",
    "virtio_balloon",
    "virtio_mem",
    "virtio_rng",
)
# What an emulated processor need not do at boot: 5 seconds instead of 9.
ARGUMENTS = (
    "console=ttyS0 quiet panic=-1 nokaslr mitigations=off cryptomgr.notests no_timer_check tsc=reliable"
    " random.trust_cpu=on"
)


class Member(NamedTuple):
    """One member of an initramfs: path without leading slash, mode with type, and content or link target."""

    path: str
    mode: int
    content: bytes = b""
    device: tuple[int, int] = (0, 0)


def build(out: Path, release: str = "bookworm", state: Path = STATE) -> None:
    """Write vmlinuz, initrd.img and cmdline (the kernel's arguments) into a directory."""
    base = _base.tree(state / "cache", _base.recipe(release))
    if not base.exists():
        raise LabError(f"there is no base tree of {release} yet; `lab up --releases {release}` builds it")
    kept = state / "guest" / f"{base.name}-{own_digest()}"
    with held(state / "guest"):
        if not kept.exists():
            with stage(f"building the tiny guest of Debian {release}"):
                make(base, kept)
    out.mkdir(parents=True, exist_ok=True)
    for path in kept.iterdir():
        shutil.copyfile(path, out / path.name)


def own_digest() -> str:
    """A digest of all in this checkout that decides what the guest is like."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for path in sorted(path for path in OVERLAY.rglob("*") if path.is_file()):
        digest.update(str(path.relative_to(OVERLAY)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def make(base: Path, kept: Path) -> None:
    """Build the guest from a base tree's packages; `kept` comes to be only when it is complete."""
    partial = kept.with_name(f"{kept.name}.partial")
    remove_tree(partial)
    partial.mkdir()
    with tempfile.TemporaryDirectory(dir=partial.parent) as scratch:
        unpacked = Path(scratch)
        for package in with_dependencies(base, PACKAGES):
            run(["dpkg-deb", "--extract", str(package), str(unpacked)])
        shutil.copyfile(only(unpacked, "boot/vmlinuz-*"), partial / "vmlinuz")
        (partial / "initrd.img").write_bytes(b"".join(archive(members(base, unpacked))))
    (partial / "cmdline").write_text(f"{ARGUMENTS}\n")
    partial.rename(kept)


def with_dependencies(base: Path, names: Iterable[str]) -> list[Path]:
    """The packages of these names (patterns) and what they depend on, but for what the base has installed."""
    archives = base / "var/cache/apt/archives"
    found: dict[str, Path] = {}
    wanted = list(names)
    while wanted:
        name = wanted.pop()
        matches = sorted(archives.glob(f"{name}_*.deb"))
        if name in found or not matches:
            continue
        found[name] = matches[-1]
        if name != KERNEL:
            depends = run(["dpkg-deb", "--field", str(matches[-1]), "Depends"])
            wanted += re.findall(r"(?:^|, )([a-z0-9][a-z0-9+.-]+)", depends)
    for name in PACKAGES:
        if name not in found:
            raise LabError(f"the base tree keeps no package {name}")
    return list(found.values())


def only(directory: Path, pattern: str) -> Path:
    """The one path that matches."""
    matches = list(directory.glob(pattern))
    if len(matches) != 1:
        raise LabError(f"{len(matches)} files match {pattern} in the packages of the guest, not one")
    return matches[0]


def members(base: Path, unpacked: Path) -> Iterator[Member]:
    """All that is in the guest's initramfs, directories before what is in them."""
    for directory in ("dev", "etc", "proc", "run", "sys", "tmp", "var", "root", "usr"):
        yield Member(directory, stat.S_IFDIR | 0o755)
    for directory in ("bin", "sbin", "lib", "lib64", "lib/modules"):
        yield Member(directory, stat.S_IFDIR | 0o755)
    for link, target in (
        ("usr/bin", "/bin"),
        ("usr/sbin", "/sbin"),
        ("var/run", "/run"),
        ("init", "/sbin/init"),
    ):
        yield Member(link, stat.S_IFLNK | 0o777, target.encode())
    yield Member("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    yield from programs(base, unpacked)
    yield from modules(unpacked)
    for path in sorted(path for path in OVERLAY.rglob("*") if path.is_file()):
        yield Member(str(path.relative_to(OVERLAY)), stat.S_IFREG | 0o755, path.read_bytes())


def programs(base: Path, unpacked: Path) -> Iterator[Member]:
    """The agent, busybox, the names it goes by, and the libraries of both."""
    agent = unpacked / "usr/sbin/qemu-ga"
    merged = unpacked / "usr/bin/busybox"
    busybox = merged if merged.exists() else unpacked / "bin/busybox"
    yield Member("sbin/qemu-ga", stat.S_IFREG | 0o755, agent.read_bytes())
    yield Member("bin/busybox", stat.S_IFREG | 0o755, busybox.read_bytes())
    ours = {path.name for path in (OVERLAY / "sbin").iterdir()}
    for name in run([str(busybox), "--list"]).split():
        if name not in ours and name != "busybox":
            folder = "sbin" if name in ("init", "reboot", "uevent") else "bin"
            yield Member(f"{folder}/{name}", stat.S_IFLNK | 0o777, b"/bin/busybox")
    for library in libraries(base, unpacked, agent):
        folder = "lib64" if library.name.startswith("ld-linux") else "lib"
        yield Member(f"{folder}/{library.name}", stat.S_IFREG | 0o755, library.read_bytes())


def libraries(base: Path, unpacked: Path, program: Path) -> list[Path]:
    """The shared libraries of a program, its loader among them, as the loader itself finds them."""
    loader = base / "lib64/ld-linux-x86-64.so.2"
    folders = ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu")
    path = ":".join(str(root / folder) for root in (unpacked, base) for folder in folders)
    listing = run([str(loader), "--inhibit-cache", "--list", "--library-path", path, str(program)])
    found = [Path(name) for name in re.findall(r"=> (/\S+) \(", listing)]
    return [loader, *(library for library in found if library.name != loader.name)]


def modules(unpacked: Path) -> Iterator[Member]:
    """The kernel modules, and the order to load them in."""
    tree = only(unpacked, "**/modules.builtin").parent
    paths = {module_name(path): path for path in tree.rglob("*.ko*")}
    order = load_order(paths, MODULES)
    for name in order:
        yield Member(f"lib/modules/{name}.ko", stat.S_IFREG | 0o644, module_content(paths[name]))
    yield Member("lib/modules/order", stat.S_IFREG | 0o644, "".join(f"{name}.ko\n" for name in order).encode())


def module_name(path: Path) -> str:
    """A module's name; the kernel writes underscores where file names may have hyphens."""
    return path.name.split(".")[0].replace("-", "_")


def module_content(path: Path) -> bytes:
    """A module as the kernel loads it; Debian 13 compresses them."""
    content = path.read_bytes()
    return lzma.decompress(content) if path.suffix == ".xz" else content


def load_order(paths: dict[str, Path], wanted: Iterable[str]) -> list[str]:
    """The modules wanted and their dependencies, in loading order; what is built in is left out."""
    order: list[str] = []

    def add(name: str) -> None:
        if name in order or name not in paths:
            return
        found = re.search(rb"\0depends=([^\0]*)\0", module_content(paths[name]))
        for dependency in found.group(1).decode().split(",") if found else []:
            add(dependency.replace("-", "_"))
        order.append(name)

    for name in wanted:
        add(name)
    return order


def archive(contents: Iterable[Member]) -> Iterator[bytes]:
    """A cpio archive, as initramfs-buffer-format in the kernel's documentation describes it."""
    for number, member in enumerate([*contents, Member("TRAILER!!!", 0)], start=1):
        name = member.path.encode() + b"\0"
        numbers = (
            number,
            member.mode,
            0,  # owner
            0,  # group
            1,  # links
            0,  # time
            len(member.content),
            0,
            0,  # the device it is on
            *member.device,
            len(name),
            0,  # checksum
        )
        header = b"070701" + b"".join(b"%08x" % value for value in numbers)
        yield padded(header + name)
        yield padded(member.content)


def padded(content: bytes) -> bytes:
    """Bytes filled up to a multiple of four."""
    return content + bytes(-len(content) % 4)


def main() -> int:
    """Build the guest; what goes wrong is one line on standard error."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="gets vmlinuz, initrd.img, cmdline")
    parser.add_argument("--release", default="bookworm", help="whose kernel and agent (default: bookworm)")
    given = parser.parse_args()
    try:
        build(given.out, given.release)
    except LabError as error:
        print(f"guest: {error}", file=sys.stderr)
        return 1
    say(f"tiny guest: {given.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
