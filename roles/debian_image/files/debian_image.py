# Copyright: the kvmfleet.libvirt contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a bootable, cloud-init-ready Debian image as a volume of a directory pool.

Runs as root on the KVM host, takes one JSON argument (see Spec) and prints one JSON object,
or one line on standard error that says why nothing was made.
Needs no device node, no mount of its own and no kernel module: the root file system is written
into the disk file by ``mke2fs -d``, the EFI one by mtools, and GRUB is placed by hand.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, NoReturn
from xml.etree import ElementTree

SECTOR = 512
MIB = 1024 * 1024
UNITS = {"": 1, "B": 1, "K": 1024, "M": MIB, "G": 1024 * MIB, "T": 1024 * 1024 * MIB}

# GPT: GRUB's core image, the EFI system partition, then the root partition, which grows at first boot.
BIOS_AT, BIOS_BYTES = 1 * MIB, 1 * MIB
EFI_AT, EFI_BYTES = 2 * MIB, 30 * MIB
ROOT_AT = 32 * MIB
BIOS_TYPE = "21686148-6449-6E6F-744E-656564454649"
EFI_TYPE = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
ROOT_TYPE = "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709"  # Linux root, x86-64
GPT_GUID_AT = SECTOR + 56  # UEFI specification 5.3.2: DiskGUID in the header at LBA 1

BUILD_NEEDS = 2048 * MIB  # free space the work directory must have: measured 1.3 GB, and some air
BOOT_IMG = Path("/usr/lib/grub/i386-pc/boot.img")  # package grub-pc-bin
WAIT_FOR_BUILD = 900  # seconds
RECIPES = uuid.UUID("6d0e6b0c-5f3a-5d63-9b0b-6f1f6c1b7b52")  # namespace of the disk GUIDs

PACKAGES = [
    "initramfs-tools",
    "zstd",
    "systemd-sysv",
    "udev",
    "dbus",
    "libpam-systemd",
    "systemd-resolved",
    "systemd-timesyncd",
    "netplan.io",
    "cloud-init",
    "cloud-guest-utils",
    "openssh-server",
    "sudo",
    "qemu-guest-agent",
    "iproute2",
    "iputils-ping",
    "ca-certificates",
    "tzdata",
    "netbase",
    "less",
    "nano",
    "e2fsprogs",
    "fdisk",
    "kmod",
    "procps",
]

# What a guest of libvirt may have between the boot loader and its root file system.
# A kernel lacks those it has built in; Debian 12's cloud kernel has no ahci at all.
BOOT_MODULES = [
    "ext4",
    "crc32c_generic",
    "nvme",
    "virtio_pci",
    "virtio_blk",
    "virtio_scsi",
    "sd_mod",
    "ahci",
    "ata_piix",
    "usb_storage",
    "uas",
    "xhci_pci",
    "virtio_rng",
]

# Timers that download, scan or rotate at times nobody chose, and cost a small guest its first minutes.
QUIET_UNITS = ["apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_all.timer", "e2scrub_reap.service"]

CLOUD_CFG = """\
# Only the sources a libvirt host can give; nothing on the network is asked.
datasource_list: [ NoCloud, ConfigDrive, None ]
# An RSA host key takes seconds to find on a slow CPU, and no current client needs it.
ssh_genkeytypes: [ ed25519, ecdsa ]
# There is no GRUB package to tell where it is installed.
grub_dpkg: { enabled: false }
"""

DS_IDENTIFY = """\
# cloud-init always runs: without a seed it still brings up DHCP and makes the SSH host keys.
policy: enabled
"""

WAIT_ONLINE = """\
# One usable interface is enough, and a guest without a network boots all the same.
[Service]
ExecStart=
ExecStart=/lib/systemd/systemd-networkd-wait-online --any --timeout=30
"""

GRUB_CFG = """\
# /vmlinuz and /initrd.img follow the newest installed kernel, so nothing has to rewrite this file.
set default=0
set fallback=1
set timeout=0
menuentry "Debian" {{
    linux /vmlinuz {args}
    initrd /initrd.img
}}
menuentry "Debian, the kernel before" {{
    linux /vmlinuz.old {args}
    initrd /initrd.img.old
}}
"""


class RefusedError(Exception):
    """What stops the work, in words for the user."""


class Spec(NamedTuple):
    """What the role asks for."""

    name: str
    pool: str
    release: str
    kernel: str  # package
    size: int  # bytes
    packages: list[str]
    sources: list[str]  # sources.list lines; empty: derived from the host's own
    kernel_args: str
    rebuild: str  # never, if_changed, always
    workdir: Path
    recipe: str  # digest of everything that decides the content
    check: bool


class Pool(NamedTuple):
    """What libvirt says of the pool: missing, inactive or active, and its directory."""

    state: str
    path: Path | None


class Plan(NamedTuple):
    """What is to be done, and why."""

    build: bool
    refresh: bool
    msg: str


# ---- what is declared ----------------------------------------------------------------------


def bytes_of(text: str) -> int:
    """Bytes of a size such as ``2 GiB``, ``2G`` or ``2147483648``, in powers of 1024."""
    match = re.fullmatch(r"\s*(\d+)\s*([KMGT]?)(?:i?B)?\s*", str(text), re.IGNORECASE)
    if not match:
        raise RefusedError(f"debian_image_size: {text!r} is not a size such as 2 GiB")
    return int(match.group(1)) * UNITS[match.group(2).upper()]


def spec_of(raw: dict[str, Any]) -> Spec:
    """The checked declaration."""
    spec = Spec(
        name=raw["name"],
        pool=raw["pool"],
        release=raw["release"],
        kernel=raw["kernel"],
        size=bytes_of(raw["size"]) // MIB * MIB,
        packages=list(raw["packages"]),
        sources=list(raw["sources"]),
        kernel_args=raw["kernel_args"].strip(),
        rebuild=raw["rebuild"],
        workdir=Path(raw["workdir"]),
        recipe=raw["recipe"],
        check=bool(raw["check"]),
    )
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*", spec.name):
        raise RefusedError(f"debian_image_name: {spec.name!r} must be a plain file name")
    if not re.fullmatch(r"[a-z][a-z0-9-]*", spec.release):
        raise RefusedError(f"debian_image_release: {spec.release!r} must be a code name such as bookworm")
    if spec.size < 1024 * MIB:
        raise RefusedError("debian_image_size: a Debian image needs 1 GiB or more")
    if not spec.workdir.is_absolute() or len(spec.workdir.parts) < 3:
        raise RefusedError(f"debian_image_workdir: {spec.workdir} must be an absolute path below the top level")
    if re.search(r"[\n{}\"'$;]", spec.kernel_args):
        raise RefusedError(
            "debian_image_kernel_args: quotes, braces, $ and ; have no place on a kernel command line here"
        )
    return spec


def disk_guid(spec: Spec) -> uuid.UUID:
    """The GPT disk GUID of the recipe: the image itself says what it was made of."""
    return uuid.uuid5(RECIPES, spec.recipe)


def root_guid(spec: Spec) -> uuid.UUID:
    """The GPT GUID of the root partition."""
    return uuid.uuid5(RECIPES, spec.recipe + "/root")


# ---- commands ------------------------------------------------------------------------------


def run(argv: Sequence[str], stdin: str = "", env: dict[str, str] | None = None) -> str:
    """The command's output; a RefusedError with the end of what it said when it fails."""
    try:
        # close_fds: a command that outlives a killed build goes on holding the lock.
        done = subprocess.run(
            argv, input=stdin, env=env, text=True, errors="replace", capture_output=True, check=False, close_fds=False
        )
    except FileNotFoundError as error:
        raise RefusedError(f"{argv[0]} is not installed on this host") from error
    if done.returncode:
        said = done.stderr + done.stdout
        if "No space left on device" in said:
            raise OSError(errno.ENOSPC, f"{argv[0]} could not write")
        raise RefusedError(f"{argv[0]} failed ({done.returncode}): {reason_in(said)}")
    return done.stdout


def reason_in(said: str) -> str:
    """The lines that tell what went wrong, in what apt, dpkg and mmdebstrap print; else the end of it."""
    lines = [line[3:] for line in said.splitlines() if line.startswith("E: ")]
    causes = [line for line in lines if not re.match(r"apt-get |setup failed|mmdebstrap failed", line)]
    return "; ".join(causes) or said.strip()[-1000:]


def virsh(*words: str) -> str:
    """What virsh prints, in English whatever the host speaks."""
    return run(["virsh", "-q", "-c", "qemu:///system", *words], env={**os.environ, "LC_ALL": "C"})


def names_from(*words: str) -> list[str]:
    """The names virsh lists; that of libvirt 9 pads them with blanks."""
    return [line.strip() for line in virsh(*words, "--name").splitlines() if line.strip()]


def xml_from(*words: str) -> ElementTree.Element:
    """The document virsh prints; libvirt wrote it, so it has no DTD and no entities of its own."""
    return ElementTree.fromstring(virsh(*words))  # noqa: S314


# ---- what is there -------------------------------------------------------------------------


def pool_on_host(name: str) -> Pool:
    """The pool as libvirt has it; missing too where there is no libvirt yet."""
    if not shutil.which("virsh"):
        return Pool("missing", None)
    if name not in names_from("pool-list", "--all"):
        return Pool("missing", None)
    tree = xml_from("pool-dumpxml", name)
    path = tree.findtext("target/path")
    if tree.get("type") not in ("dir", "fs", "netfs") or not path:
        raise RefusedError(
            f"pool {name} is of type {tree.get('type')}: images can be made in pools of files only (dir, fs, netfs)"
        )
    active = name in names_from("pool-list")
    return Pool("active" if active else "inactive", Path(path))


def known_to_libvirt(pool: str, name: str) -> bool:
    """Whether the pool lists a volume of this name."""
    try:
        virsh("vol-key", "--pool", pool, name)
    except RefusedError:
        return False
    return True


def guid_in(image: Path) -> uuid.UUID | None:
    """The GPT disk GUID in a qcow2 file; None when it cannot be read."""
    try:
        said = run(["qemu-io", "-r", "-U", "-f", "qcow2", "-c", f"read -v {GPT_GUID_AT} 16", str(image)])
    except RefusedError:
        return None
    match = re.search(r"^[0-9a-f]{8}:\s+((?:[0-9a-f]{2} ?){16})", said, re.MULTILINE)
    return uuid.UUID(bytes_le=bytes.fromhex(match.group(1))) if match else None


def domain_files() -> dict[str, str]:
    """Files that a defined guest names in its XML, each with the guest's name."""
    files: dict[str, str] = {}
    for name in names_from("list", "--all"):
        for flags in ((), ("--inactive",)):
            tree = xml_from("dumpxml", name, *flags)
            for source in tree.iterfind("devices/disk//source"):
                path = source.get("file") or source.get("dev")
                if not path and source.get("pool") and source.get("volume"):
                    path = virsh("vol-path", "--pool", source.get("pool", ""), source.get("volume", "")).strip()
                if path:
                    files[path] = f"guest {name}"
    return files


def pool_files() -> dict[str, str]:
    """Files in the directories of all pools, each with the pool's name."""
    files: dict[str, str] = {}
    for name in names_from("pool-list", "--all"):
        path = xml_from("pool-dumpxml", name).findtext("target/path")
        if path and Path(path).is_dir():
            for entry in os.scandir(path):
                if entry.is_file():
                    files[entry.path] = f"volume {entry.name} of pool {name}"
    return files


def backing_of(path: str) -> str | None:
    """The file that an image lies on, by its own header."""
    try:
        info = json.loads(run(["qemu-img", "info", "-U", "--output=json", path]))
    except RefusedError:
        return None
    backing = info.get("full-backing-filename")
    return str(backing) if backing else None


def users_of(image: Path) -> list[str]:
    """Guests that use the image and volumes that lie on it, directly or through others."""
    target = os.path.realpath(image)
    users: set[str] = set()
    files = domain_files()
    users.update(who for path, who in files.items() if os.path.realpath(path) == target)
    for path, who in {**pool_files(), **files}.items():
        seen = {os.path.realpath(path)}
        below = backing_of(path) if os.path.realpath(path) != target else None
        while below and os.path.realpath(below) not in seen:
            seen.add(os.path.realpath(below))
            if os.path.realpath(below) == target:
                users.add(who)
            below = backing_of(below)
    return sorted(users)


def refuse_when_used(image: Path) -> None:
    """A RefusedError that names who still needs the image."""
    users = users_of(image) if image.exists() else []
    if users:
        more = f" and {len(users) - 5} more" if len(users) > 5 else ""
        raise RefusedError(
            f"{image} must not be replaced: it is used by {', '.join(users[:5])}{more}."
            " Give the new image another debian_image_name, or remove what uses it first."
        )


# ---- plan ----------------------------------------------------------------------------------


def plan_of(spec: Spec, pool: Pool) -> Plan:
    """What this run does; reads only."""
    if pool.path is None or not (pool.path / spec.name).exists():
        return Plan(True, True, f"{spec.name} is not in pool {spec.pool}: made from Debian {spec.release} packages")
    image = pool.path / spec.name
    if spec.rebuild == "always":
        build, why = True, "rebuild is always"
    elif spec.rebuild == "if_changed" and guid_in(image) != disk_guid(spec):
        build, why = True, "the recipe has changed"
    else:
        build, why = False, "it is there"
    if build:
        refuse_when_used(image)
        return Plan(True, True, f"{spec.name} is made anew: {why}")
    refresh = pool.state == "active" and not known_to_libvirt(spec.pool, spec.name)
    return Plan(False, refresh, f"{spec.name} stays as it is: {why}")


# ---- packages ------------------------------------------------------------------------------


def source_entries(text: str, *, deb822: bool) -> Iterator[list[str]]:
    """[uri, suite] of each enabled binary source in a file of apt."""
    if not deb822:
        for line in text.splitlines():
            match = re.match(r"\s*deb\s+(?:\[[^]]*\]\s*)?(\S+)\s+(\S+)", line)
            if match:
                yield [match.group(1), match.group(2)]
        return
    for stanza in re.split(r"\n\s*\n", re.sub(r"^#.*\n?", "", text, flags=re.MULTILINE)):
        fields = {
            key.lower(): value.split()
            for key, value in re.findall(r"^([\w-]+):[ \t]*(.*(?:\n[ \t]+.*)*)", stanza, re.MULTILINE)
        }
        if "deb" in fields.get("types", []) and fields.get("enabled", ["yes"])[0].lower() not in ("no", "false"):
            for uri in fields.get("uris", []):
                for suite in fields.get("suites", []):
                    yield [uri, suite]


def host_sources(release: str, etc: Path = Path("/etc")) -> list[str]:
    """sources.list lines for the release, from the archives this Debian host itself uses."""
    codename = ""
    for line in (etc / "os-release").read_text(encoding="utf-8").splitlines():
        if line.startswith("VERSION_CODENAME="):
            codename = line.partition("=")[2].strip('"')
    parts = etc / "apt" / "sources.list.d"
    files = [etc / "apt" / "sources.list", *sorted(parts.glob("*.list")), *sorted(parts.glob("*.sources"))]
    entries = [
        entry
        for file in files
        if file.is_file()
        for entry in source_entries(file.read_text(encoding="utf-8"), deb822=file.suffix == ".sources")
    ]
    archives = {suite: uri for uri, suite in reversed(entries)}
    if codename not in archives:
        raise RefusedError(
            f"apt's sources on this host name no archive of {codename or 'a release'}; set debian_image_sources"
        )
    lines = [f"deb {archives[codename]} {release} main", f"deb {archives[codename]} {release}-updates main"]
    security = archives.get(codename + "-security")
    return [*lines, f"deb {security} {release}-security main"] if security else lines


def proxy_environment() -> dict[str, str]:
    """The environment, with the proxy that apt on this host goes through."""
    env = {**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
    for scheme in ("http", "https"):
        proxy = run(["apt-config", "shell", "P", f"Acquire::{scheme}::Proxy"]).strip()
        match = re.fullmatch(r"P='(.+)'", proxy)
        if match and match.group(1).upper() != "DIRECT":
            env.setdefault(f"{scheme}_proxy", match.group(1))
    return env


def write(root: Path, path: str, text: str) -> None:
    """A file below the root, with the directories it needs."""
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def write_skeleton(root: Path, spec: Spec) -> None:
    """Files that packages look at while they are configured: the initramfs is made only once."""
    write(root, "etc/fstab", f"PARTUUID={root_guid(spec)} / ext4 defaults,errors=remount-ro 0 1\n")
    write(root, "etc/initramfs-tools/conf.d/kvmfleet", "MODULES=list\nCOMPRESS=zstd\nFSTYPE=ext4\n")
    write(root, "usr/share/initramfs-tools/modules.d/kvmfleet", "\n".join(BOOT_MODULES) + "\n")
    write(root, "etc/cloud/cloud.cfg.d/10_kvmfleet.cfg", CLOUD_CFG)
    write(root, "etc/cloud/ds-identify.cfg", DS_IDENTIFY)
    write(root, "etc/systemd/system/systemd-networkd-wait-online.service.d/any.conf", WAIT_ONLINE)
    write(root, "etc/default/locale", "LANG=C.UTF-8\n")


def bootstrap(root: Path, skeleton: Path, spec: Spec) -> None:
    """The root file system, from packages alone."""
    sources = spec.sources or host_sources(spec.release)
    run(
        [
            "mmdebstrap",
            "--mode=root",
            "--variant=apt",
            "--format=directory",
            "--aptopt=APT::Install-Recommends false",
            "--aptopt=Acquire::Languages none",
            "--aptopt=Acquire::Retries 3",
            "--dpkgopt=force-unsafe-io",
            "--include=" + ",".join([spec.kernel, *PACKAGES, *spec.packages]),
            f'--setup-hook=cp -r --no-preserve=ownership {shlex.quote(str(skeleton))}/. "$1"',
            spec.release,
            str(root),
            *sources,
        ],
        env=proxy_environment(),
    )


def finish_root(root: Path, spec: Spec) -> None:
    """Nothing of the build or of one machine's identity stays in the image."""
    run(["systemctl", f"--root={root}", "--quiet", "disable", *QUIET_UNITS])
    for pattern in (
        "etc/ssh/ssh_host_*",
        "etc/apt/apt.conf.d/99mmdebstrap",
        "etc/dpkg/dpkg.cfg.d/99mmdebstrap",
        "var/lib/systemd/random-seed",
        "var/log/*.log",
        "var/log/apt/*",
    ):
        for path in root.glob(pattern):
            path.unlink()
    (root / "etc/machine-id").write_text("", encoding="ascii")
    # systemd.unit(5), ConditionNeedsUpdate: nothing that dpkg has done is done again at the first boot.
    usr = (root / "usr").stat()
    for directory in ("etc", "var"):
        write(root, f"{directory}/.updated", "")
        os.utime(root / directory / ".updated", ns=(usr.st_mtime_ns, usr.st_mtime_ns))
    write(root, "etc/hostname", "localhost\n")
    write(root, "etc/hosts", "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n")
    args = f"root=PARTUUID={root_guid(spec)} ro console=tty0 console=ttyS0,115200n8 {spec.kernel_args}".strip()
    write(root, "boot/grub/grub.cfg", GRUB_CFG.format(args=args))
    for link in ("vmlinuz", "initrd.img"):
        if not (root / link).exists():
            raise RefusedError(
                f"the packages left no /{link}: debian_image_release or debian_image_packages does not fit"
            )


# ---- disk ----------------------------------------------------------------------------------


def partition(disk: Path, spec: Spec) -> None:
    """An empty disk file with its partition table."""
    with disk.open("wb") as file:
        file.truncate(spec.size)
    parts = [
        (14, BIOS_AT, BIOS_BYTES, BIOS_TYPE, uuid.uuid5(RECIPES, spec.recipe + "/bios")),
        (15, EFI_AT, EFI_BYTES, EFI_TYPE, uuid.uuid5(RECIPES, spec.recipe + "/efi")),
        (1, ROOT_AT, root_bytes(spec), ROOT_TYPE, root_guid(spec)),
    ]
    table = "".join(
        f"{number} : start={at // SECTOR}, size={size // SECTOR}, type={kind}, uuid={guid}\n"
        for number, at, size, kind, guid in parts
    )
    run(
        ["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", str(disk)],
        f"label: gpt\nlabel-id: {disk_guid(spec)}\n{table}",
    )


def root_bytes(spec: Spec) -> int:
    """Size of the root partition; the last MiB of the disk holds the backup table."""
    return spec.size - ROOT_AT - MIB


def write_root_fs(disk: Path, root: Path, spec: Spec) -> None:
    """The root file system, in place. Features GRUB 2.06 (Debian 12) cannot read are left out."""
    run(
        [
            "mke2fs",
            "-q",
            "-F",
            "-t",
            "ext4",
            "-L",
            "root",
            "-m",
            "1",
            "-O",
            "^metadata_csum_seed,^orphan_file",
            "-E",
            f"offset={ROOT_AT},lazy_itable_init=0,lazy_journal_init=0,assume_storage_prezeroed=1,nodiscard",
            "-d",
            str(root),
            str(disk),
            f"{root_bytes(spec) // 1024}k",
        ]
    )


def grub_image(target: str, out: Path, modules: str) -> None:
    """GRUB's core image; it looks for its configuration on partition 1 of the disk it comes from."""
    run(
        [
            "grub-mkimage",
            "-O",
            target,
            "-o",
            str(out),
            "-p",
            "(,gpt1)/boot/grub",
            *f"part_gpt ext2 normal configfile linux boot test echo {modules}".split(),
        ]
    )


def write_bios_boot(disk: Path, work: Path) -> None:
    """boot.img into the first sector, core.img into the BIOS boot partition.

    The fields patched are those grub-bios-setup patches (GRUB's include/grub/i386/pc/boot.h):
    the sector of the core image, the boot drive check, and in the core image the place of its rest.
    """
    grub_image("i386-pc", work / "core.img", "biosdisk")
    boot = bytearray(BOOT_IMG.read_bytes())
    core = bytearray((work / "core.img").read_bytes())
    core += bytes(-len(core) % SECTOR)
    if len(core) > BIOS_BYTES:
        raise RefusedError("GRUB's core image does not fit its partition")
    at = BIOS_AT // SECTOR
    struct.pack_into("<Q", boot, 0x5C, at)
    boot[0x66:0x68] = b"\x90\x90"
    struct.pack_into("<QH", core, 0x1F4, at + 1, len(core) // SECTOR - 1)
    with disk.open("r+b") as file:
        file.write(boot[:440])
        file.seek(BIOS_AT)
        file.write(core)


def write_efi(disk: Path, work: Path) -> None:
    """The EFI system partition with GRUB at the path for removable media."""
    grub_image("x86_64-efi", work / "bootx64.efi", "fat all_video efi_gop")
    esp = work / "efi.img"
    run(["mkfs.vfat", "-n", "EFI", "-C", str(esp), str(EFI_BYTES // 1024)])
    run(["mmd", "-i", str(esp), "::EFI", "::EFI/BOOT"])
    run(["mcopy", "-i", str(esp), str(work / "bootx64.efi"), "::EFI/BOOT/BOOTX64.EFI"])
    with disk.open("r+b") as file:
        file.seek(EFI_AT)
        file.write(esp.read_bytes())


def build(work: Path, spec: Spec) -> Path:
    """A checked qcow2 file in the work directory."""
    root, skeleton, disk, image = work / "root", work / "skeleton", work / "disk.raw", work / "image.qcow2"
    write_skeleton(skeleton, spec)
    bootstrap(root, skeleton, spec)
    finish_root(root, spec)
    partition(disk, spec)
    write_root_fs(disk, root, spec)
    remove_tree(root)
    write_bios_boot(disk, work)
    write_efi(disk, work)
    run(
        [
            "qemu-img",
            "convert",
            "-f",
            "raw",
            "-O",
            "qcow2",
            "-c",
            "-o",
            "compression_type=zstd",
            "-W",
            str(disk),
            str(image),
        ]
    )
    disk.unlink()
    run(["qemu-img", "check", "-q", str(image)])
    return image


# ---- place ---------------------------------------------------------------------------------


def remove_tree(path: Path) -> None:
    """Remove a work directory; a mount that a killed build left in it is taken off first."""
    with Path("/proc/self/mountinfo").open(encoding="utf-8") as table:
        mounts = [line.split()[4] for line in table]
    for mount in sorted((m for m in mounts if m.startswith(f"{path}/")), reverse=True):
        run(["umount", "--lazy", mount])
    shutil.rmtree(path)


@contextmanager
def one_build_at_a_time(spec: Spec) -> Iterator[None]:
    """Holds the work directory; another build, or what a killed one left running, is waited for."""
    spec.workdir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (spec.workdir / "lock").open("w", encoding="ascii") as lock:
        os.set_inheritable(lock.fileno(), True)
        deadline = time.monotonic() + WAIT_FOR_BUILD
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise RefusedError(f"another build is still at work in {spec.workdir}") from error
                time.sleep(1)
        yield


@contextmanager
def work_directory(spec: Spec) -> Iterator[Path]:
    """A fresh directory for the build; what a killed one left is removed."""
    work = spec.workdir / "build"
    if work.exists():
        remove_tree(work)
    free = shutil.disk_usage(spec.workdir).free
    if free < BUILD_NEEDS:
        raise RefusedError(
            f"the build needs {BUILD_NEEDS // MIB} MiB in {spec.workdir}, {free // MIB} MiB are free:"
            " free some, or set debian_image_workdir"
        )
    work.mkdir(mode=0o755)
    try:
        yield work
    finally:
        remove_tree(work)


def place(image: Path, target: Path) -> None:
    """Give the finished image its name in the pool, whole or not at all."""
    partial = target.parent / f".{target.name}.partial"
    try:
        if image.stat().st_dev == target.parent.stat().st_dev:
            image.replace(partial)
        else:
            shutil.copyfile(image, partial)
        partial.chmod(0o644)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(target)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OSError(error.errno, f"{error.strerror} in {target.parent}") from error


def make(spec: Spec, target: Path) -> None:
    """Build the image and give it its name."""
    with work_directory(spec) as work:
        image = build(work, spec)
        refuse_when_used(target)
        place(image, target)


def apply(spec: Spec, pool: Pool) -> Plan:
    """Do what is planned once nobody else builds, and let libvirt see it; returns what was done."""
    if pool.state != "active" or pool.path is None:
        raise RefusedError(f"pool {spec.pool} is {pool.state} on this host: it must be active to take an image")
    with one_build_at_a_time(spec):
        plan = plan_of(spec, pool)
        if plan.build:
            make(spec, pool.path / spec.name)
        if plan.refresh:
            virsh("pool-refresh", spec.pool)
    return plan


def result_of(spec: Spec) -> dict[str, Any]:
    """What was done, or with check what would be."""
    pool = pool_on_host(spec.pool)
    plan = plan_of(spec, pool) if spec.check else apply(spec, pool)
    return {
        "changed": plan.build or plan.refresh,
        "build": plan.build,
        "msg": plan.msg,
        "pool": pool.state,
        "path": str(pool.path / spec.name) if pool.path else None,
    }


def stop(number: int, _frame: object) -> NoReturn:
    """Leave by way of the clean-up when told to end."""
    raise RefusedError(f"ended by signal {number}")


def refused(msg: str) -> int:
    """The exit status after saying on one line why nothing was made."""
    print(" ".join(msg.split()), file=sys.stderr)
    return 1


def main() -> int:
    """The exit status; the answer is on standard output, what went wrong on standard error."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, stop)
    try:
        result = result_of(spec_of(json.loads(sys.argv[1])))
    except RefusedError as refusal:
        return refused(str(refusal))
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        return refused(f"the disk is full: {error.strerror} {error.filename or ''}")
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
