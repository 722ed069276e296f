"""Hosts: a tree of their own over a base tree, an identity, and a systemd-nspawn container that boots it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import _base
import _cgroup
from _machine import LabError, mount_overlay, read_json, remove_tree, run, unmount_all, write
from _network import Network, delete_link

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

REBOOT_STATUS = 133
SSH_PORT = 22
BOOT_SECONDS = 60.0
KEEPER_SECONDS = 10.0
LONGEST_LINK_NAME = 15


class Host(NamedTuple):
    """One host as the lab made it."""

    name: str
    release: str
    base: str
    address: str


class Place(NamedTuple):
    """Where a lab keeps things: its directory, and the network it holds."""

    lab: Path
    network: Network

    def directory(self, name: str) -> Path:
        """The directory of a host."""
        return self.lab / "hosts" / name

    def cgroup(self, name: str) -> Path:
        """The cgroup all processes of a host are in."""
        return _cgroup.group(self.network.bridge, "hosts", name)

    def machine(self, name: str) -> str:
        """The name of a host that is unique among all labs on this machine."""
        return f"l{self.network.number}-{name}"

    def link(self, name: str) -> str:
        """The machine's end of a host's cable, as systemd-nspawn names it."""
        return f"vb-{self.machine(name)}"

    @property
    def key(self) -> Path:
        """The private key that opens every host."""
        return self.lab / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        """The keys of the hosts, as ssh wants them."""
        return self.lab / "known_hosts"

    @property
    def ssh_config(self) -> Path:
        """How ssh reaches the hosts by name."""
        return self.lab / "ssh_config"


def known(lab: Path) -> list[Host]:
    """The hosts the lab has a tree for, running or not, in the order of their addresses."""
    hosts = [Host(**read_json(path)) for path in (lab / "hosts").glob("*/host.json")]
    return sorted(hosts, key=lambda host: socket.inet_aton(host.address))


def is_running(place: Place, name: str) -> bool:
    """Whether a host has any process left."""
    return _cgroup.is_populated(place.cgroup(name))


def free_address(network: Network, taken: Iterable[str], wish: int) -> str:
    """An address for a new host: the wished one of the subnet if it is free, else the next."""
    used = set(taken)
    for number in [*range(wish, 255), *range(11, wish)]:
        address = str(network.subnet[number])
        if address not in used:
            return address
    raise LabError("the lab's subnet has no address left")


def check_name(place: Place, name: str) -> None:
    """Refuse a name that the kernel could not give an interface."""
    if len(place.link(name)) > LONGEST_LINK_NAME:
        spare = LONGEST_LINK_NAME - len(place.link(""))
        raise LabError(f"host name {name!r} is too long: {spare} characters at most")


def create(place: Place, host: Host) -> None:
    """Make the pristine tree of a host that has no directory yet."""
    directory = place.directory(host.name)
    write(directory / "host.json", json.dumps(host._asdict()))
    make_identity(place, host)
    lay_out(place, host)


def make_identity(place: Place, host: Host) -> None:
    """Give a host its machine id and its ssh key, which a reset keeps."""
    identity = place.directory(host.name) / "identity"
    identity.mkdir()
    run(
        [
            "ssh-keygen",
            "-q",
            "-t",
            "ed25519",
            "-N",
            "",
            "-C",
            host.name,
            "-f",
            str(identity / "ssh_host_ed25519_key"),
        ]
    )
    write(identity / "machine-id", f"{uuid.uuid4().hex}\n", 0o444)


def lay_out(place: Place, host: Host) -> None:
    """Mount a host's tree over its base and write into it all that makes it this host."""
    directory = place.directory(host.name)
    mount_overlay(directory, lower=os.path.relpath(place.lab / "cache" / host.base, directory))
    root, identity = directory / "root", directory / "identity"
    write(root / "etc/hostname", f"{host.name}\n")
    write(root / "etc/machine-id", (identity / "machine-id").read_text(), 0o444)
    write(root / "etc/resolv.conf", _base.name_servers())
    write(root / "etc/systemd/network/10-host0.network", network_unit(place.network, host))
    for name, mode in (("ssh_host_ed25519_key", 0o600), ("ssh_host_ed25519_key.pub", 0o644)):
        write(root / "etc/ssh" / name, (identity / name).read_text(), mode)
    (root / "root/.ssh").mkdir(mode=0o700, exist_ok=True)
    write(root / "root/.ssh/authorized_keys", place.key.with_suffix(".pub").read_text(), 0o600)
    write(root / "root/.ssh/id_ed25519", place.key.read_text(), 0o600)


def network_unit(network: Network, host: Host) -> str:
    """systemd-networkd's configuration of the host's only interface."""
    address = f"{host.address}/{network.subnet.prefixlen}"
    return f"[Match]\nName=host0\n\n[Network]\nAddress={address}\nGateway={network.gateway}\n"


def discard(place: Place, name: str) -> None:
    """Remove a host's directory; no process of it may be left."""
    if is_running(place, name):
        raise LabError(f"{name} still runs, so its tree is not deleted")
    unmount_all(place.directory(name))
    remove_tree(place.directory(name))


def reset(place: Place, host: Host) -> None:
    """Put a host that does not run back to the pristine tree, with the identity it has."""
    directory = place.directory(host.name)
    unmount_all(directory)
    for name in ("upper", "work"):
        remove_tree(directory / name)
    lay_out(place, host)


def introduce(place: Place, hosts: Sequence[Host]) -> None:
    """Tell every host, and the machine's ssh, the names, addresses and keys of all of them."""
    names = "".join(f"{host.address}\t{host.name}\n" for host in hosts)
    keys = "".join(known_hosts_line(place, host) for host in hosts)
    write(place.known_hosts, keys)
    write(place.ssh_config, ssh_config(place, hosts))
    for host in hosts:
        root = place.directory(host.name) / "root"
        write(root / "etc/hosts", f"127.0.0.1\tlocalhost\n::1\tlocalhost\n\n{names}")
        write(root / "etc/ssh/ssh_known_hosts", keys)


def known_hosts_line(place: Place, host: Host) -> str:
    """The line of known_hosts for a host, from the key that was made for it."""
    kind, key = (place.directory(host.name) / "identity/ssh_host_ed25519_key.pub").read_text().split()[:2]
    return f"{host.name},{host.address} {kind} {key}\n"


def start(place: Place, name: str) -> None:
    """Start a host's keeper, which outlives this command, in a session of its own; returns when it keeps."""
    directory = place.directory(name)
    with (directory / "console.log").open("ab") as console:
        subprocess.Popen(
            [
                sys.executable,
                str(Path(__file__).with_name("_commands.py")),
                "--state",
                str(place.lab),
                "keep",
                name,
            ],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            cwd="/",
            start_new_session=True,
        )
    deadline = time.monotonic() + KEEPER_SECONDS
    while not is_running(place, name):
        if time.monotonic() > deadline:
            raise LabError(f"{name} could not be started: {console_tail(place, name)}")
        time.sleep(0.01)


def keep(place: Place, name: str) -> int:
    """Run a host until it powers off, and again each time it reboots: the keeper's whole life.

    systemd-nspawn, which was told that it is a service, ends with a status of its own when the host reboots
    and leaves it to the service manager to start it again. The keeper stays in a cgroup beside the host's,
    for a cgroup with processes of its own cannot hand down controllers.
    """
    group = place.cgroup(name)
    while True:
        _cgroup.enter(group / "nspawn")
        container = subprocess.Popen(nspawn(place, name), env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"})
        _cgroup.enter(group / "keeper")
        status = container.wait()
        if status != REBOOT_STATUS:
            return status


def nspawn(place: Place, name: str) -> list[str]:
    """The command that boots a host's tree; /dev/kvm stays outside, because it may be there and not work."""
    return [
        "systemd-nspawn",
        "--quiet",
        "--boot",
        f"--directory={place.directory(name) / 'root'}",
        f"--machine={place.machine(name)}",
        f"--hostname={name}",
        f"--network-bridge={place.network.bridge}",
        "--register=no",
        "--keep-unit",
        "--link-journal=no",
        "--resolv-conf=off",
        "--timezone=off",
        "--capability=all",
        "--system-call-filter=@known",
        "--bind=/dev/net/tun",
        "--bind=/dev/fuse",
        "--console=read-only",
    ]


def stop(place: Place, name: str) -> None:
    """End all processes of a host, at once, as pulling its plug would.

    The host's processes go first: the keeper then sees the end of systemd-nspawn and ends as well. On a
    machine whose first process does not reap, that leaves one zombie a host instead of two.
    """
    group = place.cgroup(name)
    _cgroup.kill(group / "nspawn")
    if not _cgroup.wait_until_empty(group, 2.0) and not _cgroup.kill(group):
        raise LabError(f"some process of {name} does not end (see {group}/**/cgroup.procs)")
    _cgroup.remove(group)
    delete_link(place.link(name))


def ssh(place: Place, host: Host, *command: str) -> list[str]:
    """The ssh command for a host; it trusts the key made for the host and no other."""
    return ["ssh", "-F", str(place.ssh_config), host.name, *command]


def ssh_options(place: Place) -> dict[str, str]:
    """The options of ssh by which a host is known, beside address, user and key."""
    return {
        "UserKnownHostsFile": f'"{place.known_hosts}"',
        "GlobalKnownHostsFile": "none",
        "StrictHostKeyChecking": "yes",
        "IdentitiesOnly": "yes",
        "LogLevel": "ERROR",
    }


def ssh_config(place: Place, hosts: Sequence[Host]) -> str:
    """A configuration of ssh in which the hosts go by their names, also as jump hosts to their guests."""
    common = {"User": "root", "IdentityFile": f'"{place.key}"', **ssh_options(place)}
    lines = []
    for host in hosts:
        lines += [f"Host {host.name}", f"  HostName {host.address}"]
        lines += [f"  {name} {value}" for name, value in common.items()]
    return "\n".join([*lines, ""])


def wait_until_up(place: Place, host: Host, *, booting: bool = True) -> None:
    """Wait until a host answers by ssh and has finished booting.

    A unit that failed while `booting` is an error. On a host that was up before, it is what was done there since:
    nothing that a boot did wrong, and no reason to keep the host from whoever asks for it next.
    """
    log = place.directory(host.name) / "console.log"
    deadline = time.monotonic() + BOOT_SECONDS
    while not answers(host.address):
        if not is_running(place, host.name):
            raise LabError(f"{host.name} ended while booting: {console_tail(place, host.name)} (see {log})")
        if time.monotonic() > deadline:
            raise LabError(f"{host.name} does not answer by ssh after {BOOT_SECONDS:.0f} s (see {log})")
        time.sleep(0.05)
    state = remote(place, host, "systemctl", "is-system-running", "--wait")
    if booting and state != "running":
        failed = remote(place, host, "systemctl", "list-units", "--failed", "--plain", "--no-legend")
        raise LabError(f"{host.name} is {state or 'silent'} after boot: {failed or f'see {log}'}")


def remote(place: Place, host: Host, *command: str) -> str:
    """What a command prints on a host, whatever its exit status."""
    done = subprocess.run(
        ssh(place, host, *command),
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=BOOT_SECONDS,
    )
    return done.stdout.strip() or done.stderr.strip()


def answers(address: str) -> bool:
    """Whether an ssh server greets at an address."""
    try:
        with socket.create_connection((address, SSH_PORT), timeout=1.0) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def find(lab: Path, name: str) -> Host:
    """The host of that name."""
    for host in known(lab):
        if host.name == name:
            return host
    raise LabError(f"there is no host {name!r} in this lab (`lab status` lists them)")


def release_of(number: int, releases: Sequence[str]) -> str:
    """The release of the host with that number, counted from 1: they take turns."""
    return releases[(number - 1) % len(releases)]


def console_tail(place: Place, name: str) -> str | None:
    """The last line a host's console showed."""
    log = place.directory(name) / "console.log"
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return lines[-1] if lines else None
