"""Debian hosts for the tests: `lab up` brings them up, `lab down` leaves nothing of them.

Each host is a systemd-nspawn container with systemd, ssh and an address of its own. README.md, beside this
file, says what the lab does to the machine.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shlex
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Callable, TypeVar

import _base
import _cgroup
import _host
import _network
from _host import Host, Place
from _machine import (
    LabError,
    held,
    install_prerequisites,
    obstacle,
    remove_tree,
    run,
    say,
    stage,
    unmount_all,
    write,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

CHECKOUT = Path(__file__).resolve().parents[2]
RELEASES = ("bookworm", "trixie")
T = TypeVar("T")


def up(lab: Path, prefix: str, count: int, releases: Sequence[str]) -> None:
    """Bring up prefix1 … prefixN; those that are up stay as they are."""
    with held(lab):
        reason = obstacle(lab)
        if reason:
            raise LabError(f"cannot bring up a lab: {reason}")
        write(lab / ".gitignore", "*\n")
        install_prerequisites(lab / "log" / "prerequisites.log")
        place = Place(lab, _network.claim(lab))
        wanted = wishes(place, prefix, count, releases)
        with workshop(place):
            _network.bring_up(place.network)
            make_key(place)
            build_bases(place, wanted)
            with stage(f"{', '.join(host.name for host in wanted)} up"):
                boot(place, wanted)
            write(lab / "inventory.yml", inventory(place, _host.known(lab)))
    say(f"inventory: {lab / 'inventory.yml'}")


def boot(place: Place, wanted: Sequence[Host]) -> None:
    """Start those of the wanted hosts that do not run, on pristine trees, and wait until all answer."""
    in_parallel(lambda name: clear_away(place, name), set(host_names(place)) - set(running_names(place)))
    idle = [host for host in wanted if not _host.is_running(place, host.name)]
    in_parallel(lambda host: _host.create(place, host), idle)
    _host.introduce(place, _host.known(place.lab))
    in_parallel(lambda host: _host.start(place, host.name), idle)
    in_parallel(lambda host: _host.wait_until_up(place, host, booting=host in idle), wanted)


def wishes(place: Place, prefix: str, count: int, releases: Sequence[str]) -> list[Host]:
    """The hosts that shall be up: as they are if they run, else as they will be."""
    running = {host.name: host for host in _host.known(place.lab) if _host.is_running(place, host.name)}
    taken = [host.address for host in running.values()]
    wanted = []
    for number in range(1, count + 1):
        name, release = f"{prefix}{number}", _host.release_of(number, releases)
        _host.check_name(place, name)
        host = running.get(name)
        if host is None:
            address = _host.free_address(place.network, taken, wish=10 + number)
            host = Host(name, release, _base.recipe(release).key, address)
            taken.append(address)
        elif host.release != release:
            raise LabError(f"{name} is up with {host.release}; `lab down {name}` first, or ask for that release")
        wanted.append(host)
    return wanted


@contextlib.contextmanager
def workshop(place: Place) -> Iterator[None]:
    """Work, with all the processes started for it, in a cgroup where nothing of a killed command is left.

    To be used with the lab's lock held: whoever is in the workshop then has no business there.
    """
    group, home = _cgroup.group(place.network.bridge, "work"), _cgroup.own()
    if not _cgroup.kill(group):
        raise LabError(f"a process of an earlier, killed lab command does not end (see {group}/cgroup.procs)")
    _cgroup.enter(group)
    try:
        yield
    finally:
        _cgroup.enter(home)


def make_key(place: Place) -> None:
    """Make the key that opens every host, once."""
    if not place.key.with_suffix(".pub").exists():
        place.key.unlink(missing_ok=True)
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "kvmfleet-lab", "-f", str(place.key)])


def build_bases(place: Place, wanted: Sequence[Host]) -> None:
    """Build the base trees that are missing, side by side, and delete those that no recipe leads to."""
    cache = place.lab / "cache"
    cache.mkdir(exist_ok=True)
    recipes = [_base.recipe(release) for release in sorted({host.release for host in wanted})]
    logs = place.lab / "log"
    with held(cache):
        missing = [recipe for recipe in recipes if not _base.tree(cache, recipe).exists()]
        in_parallel(lambda recipe: _base.build(cache, recipe, logs / f"{recipe.release}.log"), missing)
        _base.prune(cache, [_base.recipe(release).key for release in RELEASES])


def clear_away(place: Place, name: str) -> None:
    """End a host and remove all that was made for it."""
    _host.stop(place, name)
    _host.discard(place, name)


def in_parallel(action: Callable[[T], None], items: Iterable[T]) -> None:
    """Do something to all items at once; the first error is raised when all are done."""
    with ThreadPoolExecutor(max_workers=8) as pool:
        for _result in [pool.submit(action, item) for item in items]:
            _result.result()


def inventory(place: Place, hosts: Sequence[Host]) -> str:
    """An Ansible inventory of the hosts; its paths are absolute, so it may be linked to from elsewhere."""
    options = [f"{name}={value}" for name, value in _host.ssh_options(place).items()]
    arguments = " ".join(f"-o {shlex.quote(option)}" for option in options)
    lines = [
        "# Written by tests/lab/lab; it is deleted when the lab goes down.",
        "kvm_hosts:",
        "  vars:",
        "    ansible_user: root",
        f"    ansible_ssh_private_key_file: {json.dumps(str(place.key))}",
        f"    ansible_ssh_common_args: {json.dumps(arguments)}",
        "    ansible_python_interpreter: /usr/bin/python3",
        "  hosts:",
    ]
    for host in hosts:
        lines += [
            f"    {host.name}:",
            f"      ansible_host: {host.address}",
            f"      lab_release: {host.release}",
        ]
    return "\n".join([*lines, ""])


def down(lab: Path, names: Sequence[str]) -> None:
    """End some hosts."""
    with held(lab), stage(f"{', '.join(names)} down"):
        place = here(lab)
        with workshop(place):
            in_parallel(lambda name: clear_away(place, name), names)
            remaining = _host.known(lab)
            _host.introduce(place, remaining)
            write(lab / "inventory.yml", inventory(place, remaining))


def all_down(lab: Path, *, purge: bool) -> None:
    """End all hosts and undo all that `up` did to the machine; with `purge` forget the cache as well."""
    if not lab.exists() and _network.current(lab) is None:
        return
    with held(lab), stage("lab down"):
        for name in ("inventory.yml", "known_hosts", "ssh_config"):
            (lab / name).unlink(missing_ok=True)
        network = _network.current(lab)
        if network is not None:
            place = Place(lab, network)
            with workshop(place):
                in_parallel(lambda name: clear_away(place, name), host_names(place))
            _cgroup.remove(_cgroup.group(network.bridge))
            _network.take_down(network)
        unmount_all(lab)
        remove_tree(lab / "hosts")
        if purge:
            remove_tree(lab)


def host_names(place: Place) -> list[str]:
    """The names of all hosts that have a directory or a process."""
    directories = [*(place.lab / "hosts").glob("*"), *_cgroup.group(place.network.bridge, "hosts").glob("*")]
    return sorted({path.name for path in directories if path.is_dir()})


def running_names(place: Place) -> list[str]:
    """The names of the hosts that run."""
    return [name for name in host_names(place) if _host.is_running(place, name)]


def reset(lab: Path, names: Sequence[str]) -> None:
    """Put hosts back to a pristine tree; they keep address, ssh key and machine id."""
    with held(lab):
        place = here(lab)
        hosts = [_host.find(lab, name) for name in names]
        with workshop(place), stage(f"{', '.join(names)} reset"):
            in_parallel(lambda host: make_pristine(place, host), hosts)
            _host.introduce(place, _host.known(lab))
            in_parallel(lambda host: _host.wait_until_up(place, host), hosts)


def make_pristine(place: Place, host: Host) -> None:
    """Start a host again on a pristine tree."""
    _host.stop(place, host.name)
    _host.reset(place, host)
    _host.start(place, host.name)


def here(lab: Path) -> Place:
    """The lab that is up in this checkout."""
    network = _network.current(lab)
    if network is None:
        raise LabError("no lab is up here (`lab up` brings one up)")
    return Place(lab, network)


def status(lab: Path) -> None:
    """Print one line a host, or that there is none."""
    network = _network.current(lab)
    if network is None:
        say("down")
        return
    place = Place(lab, network)
    say(f"bridge {network.bridge}, {network.subnet}")
    for host in _host.known(lab):
        state = "stopped"
        if _host.is_running(place, host.name):
            state = "up" if _host.answers(host.address) else "running, ssh does not answer"
        print(f"{host.name:12} {host.release:10} {host.address:15} {state}")


def connect(lab: Path, name: str, command: Sequence[str]) -> None:
    """Become ssh to a host: one word is a line for its shell, several are a command and its arguments."""
    line = list(command) if len(command) < 2 else [shlex.join(command)]
    argv = _host.ssh(here(lab), _host.find(lab, name), *line)
    os.execvp(argv[0], argv)  # noqa: S606 (a shell is what this avoids)


def prefix_of(text: str) -> str:
    """A host name prefix; ends in a letter so that names with numbers are told apart."""
    if not re.fullmatch(r"[a-z]([a-z0-9-]*[a-z])?", text):
        raise argparse.ArgumentTypeError("lower-case letters, digits and hyphens, a letter at both ends")
    return text


def releases_of(text: str) -> list[str]:
    """Release names from a comma-separated list."""
    releases = text.split(",")
    for release in releases:
        if release not in RELEASES:
            raise argparse.ArgumentTypeError(f"{release!r} is none of {', '.join(RELEASES)}")
    return releases


def count_of(text: str) -> int:
    """How many hosts: between 1 and 40."""
    if not text.isdecimal() or not 1 <= int(text) <= 40:
        raise argparse.ArgumentTypeError("a number from 1 to 40")
    return int(text)


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="lab", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--state", type=Path, default=CHECKOUT / ".lab", help="directory of the lab (default: .lab)")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    parser_up = commands.add_parser("up", help="bring up hosts; those that are up stay")
    parser_up.add_argument("--hosts", type=count_of, default=1, metavar="N")
    parser_up.add_argument("--releases", type=releases_of, default=["bookworm"], metavar="A,B", help="they take turns")
    parser_up.add_argument("--prefix", type=prefix_of, default="host", metavar="NAME")
    parser_down = commands.add_parser("down", help="end what `up` started, and undo what it did to the machine")
    parser_down.add_argument("names", nargs="*", metavar="HOST", help="only these hosts")
    parser_down.add_argument("--purge", action="store_true", help="delete the cached base trees, too")
    commands.add_parser("status", help="list the hosts")
    parser_reset = commands.add_parser("reset", help="put hosts back to a pristine tree")
    parser_reset.add_argument("names", nargs="+", metavar="HOST")
    for name, text in (("ssh", "log in to a host, or run a command there"), ("keep", argparse.SUPPRESS)):
        parser_one = commands.add_parser(name, help=text)
        parser_one.add_argument("name", metavar="HOST")
        if name == "ssh":
            parser_one.add_argument("words", nargs=argparse.REMAINDER, metavar="COMMAND")
    return parser.parse_args(words)


def act(given: argparse.Namespace) -> int:
    """Do what the command line says; the exit status."""
    lab = given.state.resolve()
    if os.geteuid() != 0:
        raise LabError("it needs root, for namespaces, a bridge and mounts")
    if given.command == "up":
        up(lab, given.prefix, given.hosts, given.releases)
    elif given.command == "down":
        if given.names:
            down(lab, given.names)
        else:
            all_down(lab, purge=given.purge)
    elif given.command == "reset":
        reset(lab, given.names)
    elif given.command == "status":
        status(lab)
    elif given.command == "ssh":
        connect(lab, given.name, given.words)
    elif given.command == "keep":
        return _host.keep(here(lab), given.name)
    return 0


def main() -> int:
    """Run one command; what goes wrong is one line on standard error."""
    try:
        return act(arguments(None))
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("lab: interrupted; `lab down` clears up", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
