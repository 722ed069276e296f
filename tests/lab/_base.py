"""Base trees: one Debian root file system a release, built once, never written to again.

A base tree has what a freshly installed server has, and beside it, in apt's cache and not installed, the
packages that the collection's roles install: they come fast, and from the machine's own mirror only once.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from _machine import KEYRING, LabError, remove_tree, run, run_logged, stage, unmount_all, write

if TYPE_CHECKING:
    from collections.abc import Collection

# What Debian's installer and its cloud images put on a server, as far as somebody may count on it.
INSTALLED = (
    "ca-certificates",
    "dbus",
    "debian-archive-keyring",
    "iproute2",
    "iputils-ping",
    "kmod",
    "openssh-server",
    "procps",
    "python3",
    "python3-apt",
    "sudo",
    "systemd-sysv",
    "udev",
)
KEPT_FOR_LATER = (
    "acl",
    "busybox-static",
    "dbus-user-session",
    "dnsmasq-base",
    "dosfstools",
    "e2fsprogs",
    "fdisk",
    "grub-pc-bin",
    "grub2-common",
    "initramfs-tools",
    "iptables",
    "libpam-systemd",
    "libsasl2-modules",
    "libvirt-clients",
    "libvirt-daemon-system",
    "linux-image-cloud-amd64",
    "mmdebstrap",
    "mtools",
    "ovmf",
    "passt",
    "python3-libvirt",
    "python3-lxml",
    "python3-pycdlib",
    "qemu-guest-agent",
    "qemu-system-x86",
    "qemu-utils",
    "sasl2-bin",
    "swtpm",
    "swtpm-tools",
    "virtinst",
    "zerofree",
    "zstd",
)
# They would hold apt's lock at moments nobody can foresee.
DISABLED = ("apt-daily.timer", "apt-daily-upgrade.timer")
CARRIED_APT_OPTION = re.compile(r"Acquire::(https?|ftp|Check-[\w-]+|Retries|ForceIPv[46]|Max-FutureTime)\b")
LOCAL_CERTIFICATES = Path("/usr/local/share/ca-certificates")


class Recipe(NamedTuple):
    """All that decides what a base tree contains; another recipe is another tree."""

    release: str
    sources: str
    apt_options: str
    certificates: tuple[tuple[str, str], ...]
    installed: tuple[str, ...] = INSTALLED
    kept_for_later: tuple[str, ...] = KEPT_FOR_LATER
    disabled: tuple[str, ...] = DISABLED
    version: int = 1

    @property
    def key(self) -> str:
        """The name of the tree in the cache."""
        return f"{self.release}-{hashlib.sha256(repr(tuple(self)).encode()).hexdigest()[:12]}"


@functools.cache
def recipe(release: str) -> Recipe:
    """The recipe for a release on this machine, with the machine's mirror, apt options and certificates."""
    return Recipe(release, sources(release), apt_options(), certificates())


def sources(release: str) -> str:
    """Sources for the apt of a release, from the mirrors the machine itself uses."""
    own = machine_release()
    stanzas = []
    for uri, suites in machine_mirrors(own).items():
        wanted = " ".join(release + suite[len(own) :] for suite in suites)
        stanzas.append(f"Types: deb\nURIs: {uri}\nSuites: {wanted}\nComponents: main\nSigned-By: {KEYRING}\n")
    if not stanzas:
        raise LabError(f"this machine's apt has no source for Debian {own}, so the mirror is not known")
    return "\n".join(stanzas)


def machine_release() -> str:
    """The code name of the Debian release this machine runs."""
    match = re.search(r"^VERSION_CODENAME=(\w+)", Path("/etc/os-release").read_text(), re.MULTILINE)
    if not match:
        raise LabError("/etc/os-release names no Debian release, so the mirror is not known")
    return match.group(1)


@functools.cache
def machine_mirrors(own: str) -> dict[str, list[str]]:
    """The machine's apt sources of its own Debian release: each URI with its suites."""
    wanted = "Created-By: Packages"
    table = run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", wanted])
    mirrors: dict[str, list[str]] = {}
    for line in table.splitlines():
        uri, suite, component = line.split()
        if component == "main" and suite in (own, f"{own}-updates", f"{own}-security"):
            suites = mirrors.setdefault(uri, [])
            if suite not in suites:
                suites.append(suite)
    return mirrors


def apt_options() -> str:
    """apt.conf lines: the machine's way to its mirror (proxy, TLS, dates), and no translations."""
    lines = [line for line in run(["apt-config", "dump"]).splitlines() if CARRIED_APT_OPTION.match(line)]
    kept = [line for line in lines if not line.endswith(' "";')]
    proxy = os.environ.get("http_proxy")
    if proxy and not any("http::Proxy" in line for line in kept):
        kept.append(f'Acquire::http::Proxy "{proxy}";')
    return "\n".join([*kept, 'Acquire::Languages "none";', ""])


def certificates() -> tuple[tuple[str, str], ...]:
    """The machine's own certificate authorities, as file name and content: a proxy may need them."""
    return tuple((path.name, path.read_text()) for path in sorted(LOCAL_CERTIFICATES.glob("*.crt")))


def tree(cache: Path, wanted: Recipe) -> Path:
    """Where the base tree of a recipe is, once it is built."""
    return cache / wanted.key


def build(cache: Path, wanted: Recipe, log: Path) -> None:
    """Build a base tree. It gets its name only when it is complete and on the disk."""
    partial = cache / f"{wanted.key}.partial"
    log.unlink(missing_ok=True)
    unmount_all(partial)
    remove_tree(partial)
    with stage(f"building the base tree of Debian {wanted.release}, once", announce=True):
        bootstrap(partial, wanted, log)
        settle(partial, wanted, log)
        download(partial, wanted, log)
        os.sync()
        partial.rename(tree(cache, wanted))


def prune(cache: Path, kept: Collection[str]) -> None:
    """Delete trees, whole or partial, that no recipe leads to and no running host stands on."""
    mounts = Path("/proc/self/mountinfo").read_text()
    for directory in cache.iterdir():
        if directory.name not in kept and directory.name not in mounts:
            remove_tree(directory)


def bootstrap(target: Path, wanted: Recipe, log: Path) -> None:
    """Install Debian and the packages of a bare server into an empty directory."""
    scratch = target.with_suffix(".input")
    write(scratch / "debian.sources", wanted.sources)
    write(scratch / "apt.conf", wanted.apt_options)
    run_logged(
        [
            "mmdebstrap",
            "--mode=root",
            "--format=directory",
            "--variant=minbase",
            f"--include={','.join(wanted.installed)}",
            f"--aptopt={scratch / 'apt.conf'}",
            "--skip=cleanup/apt/lists",
            wanted.release,
            str(target),
            str(scratch / "debian.sources"),
        ],
        log,
    )
    remove_tree(scratch)


def settle(target: Path, wanted: Recipe, log: Path) -> None:
    """Make a fresh tree an ordinary host without an identity: no keys, no id, network by systemd-networkd."""
    for path in (target / "etc/apt/sources.list.d").iterdir():
        path.unlink()
    (target / "etc/apt/sources.list").unlink(missing_ok=True)
    write(target / "etc/apt/sources.list.d/debian.sources", wanted.sources)
    for path in (target / "etc/apt/apt.conf.d").glob("*mmdebstrap"):
        path.unlink()
    write(target / "etc/apt/apt.conf.d/50mirror", wanted.apt_options)
    for path in (target / "etc/ssh").glob("ssh_host_*"):
        path.unlink()
    for name, content in wanted.certificates:
        write(target / LOCAL_CERTIFICATES.relative_to("/") / name, content)
    run_logged(["chroot", str(target), "update-ca-certificates"], log)
    run_logged(["chroot", str(target), "systemctl", "enable", "systemd-networkd.service"], log)
    run_logged(["chroot", str(target), "systemctl", "disable", *wanted.disabled], log)


def download(target: Path, wanted: Recipe, log: Path) -> None:
    """Put the packages of the roles, with all they depend on, into the apt cache of a tree."""
    write(target / "etc/resolv.conf", name_servers())
    apt = ["chroot", str(target), "apt-get", "-y", "--no-install-recommends", "--download-only", "install"]
    run_logged([*apt, *wanted.kept_for_later], log)


def name_servers() -> str:
    """resolv.conf for a host: the machine's, or what is behind it when that is a resolver on loopback."""
    behind = Path("/run/systemd/resolve/resolv.conf")
    own = Path("/etc/resolv.conf").read_text()
    on_loopback = re.search(r"^nameserver\s+127\.", own, re.MULTILINE)
    return behind.read_text() if on_loopback and behind.exists() else own
