"""The collection at its main job, for people to watch: one lab host becomes a KVM host with two running guests.

`make demo` makes .venv before. What is declared is in demo-vars.yml, beside this file.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

CHECKOUT = Path(__file__).resolve().parents[2]
LAB = CHECKOUT / ".lab"
FILES = LAB / "demo"
CONFIG = FILES / "ssh_config"
HOST = "demo1"
PLAYBOOK = "kvmfleet.libvirt.site"
PLAYBOOK_COMMAND = CHECKOUT / ".venv" / "bin" / "ansible-playbook"
USER = "demo"

HEARTBEAT = 20.0
"""Seconds without news after which what is going on is said again."""
LOGIN_SECONDS = 300.0
"""How long a guest may take from its address to a login; emulated, on a busy machine."""
TASK = re.compile(r"TASK \[(?:[\w.]+\.(\w+) : )?(.*?)\] \**$")
RESULT = re.compile(r"(ok|changed|skipping|fatal|failed): \[")
RECAP = re.compile(r"^\S+ +: ok=\d+ +changed=(\d+) ", re.MULTILINE)


class DemoError(Exception):
    """A reason, in one line for the person at the keyboard, why the demo did not succeed."""


class Guest(NamedTuple):
    """A guest as libvirt and the guest itself tell about it."""

    name: str
    state: str
    address: str
    system: str


def say(text: str) -> None:
    """Tell the user something, at once even when the output is a pipe."""
    print(f"demo: {text}", flush=True)


def main() -> int:
    """The demo; what goes wrong is one line on standard error."""
    try:
        demonstrate()
    except DemoError as error:
        print(f"demo: FAILED: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo: interrupted; `make demo` goes on from here, `make lab-down` clears up", file=sys.stderr)
        return 130
    return 0


def demonstrate() -> None:
    """All of it, in order."""
    started = time.monotonic()
    check_prerequisites()
    say(f"1/5 a machine: {HOST}, Debian with nothing but ssh and Python")
    bring_up()
    key = make_key()
    say(f"2/5 ansible-playbook {PLAYBOOK}: a KVM host, an image, two guests")
    if changes(play(key)) == 0:
        say("nothing to do: the guests of an earlier demo are there")
    names = guest_names()
    write_config(names)
    say(f"3/5 logging in to {' and '.join(names)}")
    guests = [log_in(name) for name in names]
    say("4/5 the same playbook again: nothing may change")
    count = changes(play(key))
    if count:
        raise DemoError(f"the second run reports changed={count} instead of changed=0 (see {log_file()})")
    say("5/5 done: the second run had changed=0\n")
    print(table(guests))
    print(f"\nIt took {time.monotonic() - started:.0f} s. `make lab-down` ends it and leaves nothing.", flush=True)


def check_prerequisites() -> None:
    """Say what is missing before anything is done; the lab checks the machine itself."""
    if os.geteuid() != 0:
        raise DemoError("it needs root, since the lab does (namespaces, a bridge, mounts)")
    if not PLAYBOOK_COMMAND.exists():
        raise DemoError("there is no .venv: run `make demo`, which makes it")


def bring_up() -> None:
    """Have the host; it stays as it is if it is up."""
    if subprocess.run([CHECKOUT / "tests/lab/lab", "up", "--prefix", HOST.rstrip("1")], check=False).returncode:
        raise DemoError("the lab host did not come up; the lab says why above")
    FILES.mkdir(exist_ok=True)


def make_key() -> str:
    """The public key that opens the guests; made once."""
    key = FILES / "id_ed25519"
    if not key.with_suffix(".pub").exists():
        key.unlink(missing_ok=True)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "kvmfleet-demo", "-f", key], check=True)
    return key.with_suffix(".pub").read_text().strip()


def log_file() -> Path:
    """All that the last playbook printed. Its folder goes with `lab down`, the last time this was run."""
    path = LAB / "log" / "demo.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def play(key: str) -> str:
    """What the playbook printed; shows a line a task while it runs. A failure is shown in full."""
    command = [
        str(PLAYBOOK_COMMAND),
        *("--inventory", str(LAB / "inventory.yml"), "--limit", HOST),
        *("--extra-vars", f"@{CHECKOUT / 'tests/lab/demo-vars.yml'}"),
        *("--extra-vars", json.dumps({"demo_public_key": key})),
        PLAYBOOK,
    ]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    process = subprocess.Popen(
        command,
        cwd=CHECKOUT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    progress = Progress()
    lines = []
    with log_file().open("w") as log:
        for line in process.stdout:
            log.write(line)
            lines.append(line)
            progress.follow(line)
    progress.end()
    if process.wait() != 0:
        print("".join(lines[progress.task_line :]), file=sys.stderr)
        raise DemoError(f"ansible-playbook failed, see above and {log_file()}")
    return "".join(lines)


class Progress:
    """One line a task with its seconds, and a sign of life while a task takes long."""

    def __init__(self) -> None:
        self.task_line = 0
        self._line = 0
        self._task = ""
        self._since = time.monotonic()
        self._over = threading.Event()
        threading.Thread(target=self._beat, daemon=True).start()

    def follow(self, line: str) -> None:
        """Take in a line of ansible-playbook's output."""
        task, result = TASK.match(line), RESULT.match(line)
        if task:
            self._task = ": ".join(part for part in task.groups() if part)
            self._since = time.monotonic()
            self.task_line = self._line
        elif result and self._task and result[1] != "skipping":
            seconds = time.monotonic() - self._since
            # The task's name as far as it tells something: a role's first task is Ansible's own, with a long one.
            print(
                f"      {result[1]:8} {self._task.split(' - ', maxsplit=1)[0]}"
                + (f" ({seconds:.0f} s)" if seconds >= 2 else ""),
                flush=True,
            )
            self._task = ""
        self._line += 1

    def end(self) -> None:
        """Stop giving signs of life."""
        self._over.set()

    def _beat(self) -> None:
        while not self._over.wait(HEARTBEAT):
            task, seconds = self._task, time.monotonic() - self._since
            if task and seconds >= HEARTBEAT:
                print(f"      {seconds:5.0f} s  {task}", flush=True)


def changes(output: str) -> int:
    """The number after `changed=` in a playbook's recap."""
    found = RECAP.search(output)
    if found is None:
        raise DemoError(f"ansible-playbook printed no recap, see {log_file()}")
    return int(found[1])


def on_host(*command: str) -> str:
    """What a command prints on the lab host."""
    done = ssh(LAB / "ssh_config", HOST, shlex.join(command))
    if done.returncode:
        raise DemoError(f"{command[0]} on {HOST}: {done.stderr.strip()}")
    return done.stdout.strip()


def ssh(config: Path, name: str, command: str) -> subprocess.CompletedProcess[str]:
    """Run a command by ssh, without a question."""
    argv = ["ssh", "-F", str(config), "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", name, command]
    return subprocess.run(argv, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True)


def guest_names() -> list[str]:
    """The guests on the host, as virsh tells."""
    names = on_host("virsh", "list", "--all", "--name").split()
    if not names:
        raise DemoError(f"the playbook ran, but there is no guest on {HOST}")
    return names


def address_of(name: str) -> str:
    """The address that the default network leases to a guest, as virsh tells; empty if none."""
    found = re.search(r"ipv4 +(\S+)/", on_host("virsh", "domifaddr", name))
    return found[1] if found else ""


def write_config(names: list[str]) -> None:
    """An ssh configuration by which each guest is reached through its host, with the demo's key."""
    lines = [f'Include "{LAB}/ssh_config"']
    for name in names:
        lines += [
            f"Host {name}",
            f"  HostName {address_of(name)}",
            f"  ProxyJump {HOST}",
            f"  User {USER}",
            f'  IdentityFile "{FILES}/id_ed25519"',
            "  IdentitiesOnly yes",
            f'  UserKnownHostsFile "{FILES}/known_hosts"',
            "  GlobalKnownHostsFile none",
            # The guests may have been made anew, with new keys, since the last demo.
            "  StrictHostKeyChecking accept-new",
            "  LogLevel ERROR",
        ]
    (FILES / "known_hosts").unlink(missing_ok=True)
    CONFIG.write_text("\n".join([*lines, ""]))


def log_in(name: str) -> Guest:
    """A guest that was really logged in to, as its user; waits for it to finish booting."""
    started = time.monotonic()
    told = started
    while True:
        done = ssh(CONFIG, name, ". /etc/os-release; echo $(hostname) runs $PRETTY_NAME")
        if done.returncode == 0 and done.stdout.startswith(f"{name} runs "):
            say(f"    {done.stdout.strip()} ({time.monotonic() - started:.0f} s)")
            system = done.stdout.split(" runs ")[1].strip()
            return Guest(name, on_host("virsh", "domstate", name), address_of(name), system)
        now = time.monotonic()
        reason = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no answer"]
        if now - started > LOGIN_SECONDS:
            raise DemoError(f"no login to {name} after {LOGIN_SECONDS:.0f} s: {reason[0]}")
        if now - told >= HEARTBEAT:
            say(f"    {now - started:.0f} s: waiting for cloud-init and sshd in {name} ({reason[0]})")
            told = now
        time.sleep(2)


def table(guests: list[Guest]) -> str:
    """What there is now, as a person likes to read it."""
    versions = dict(re.findall(r"(library|hypervisor): \S+ (\S+)", on_host("virsh", "version").replace("Using ", "")))
    system = on_host("sh", "-c", ". /etc/os-release; echo $PRETTY_NAME")
    kind = re.findall(r"<domain type='(\w+)'", on_host("virsh", "dumpxml", guests[0].name))
    network = re.findall(r"<ip address='(\S+)'", on_host("virsh", "net-dumpxml", "default"))
    rows = [("host", "system", "libvirt", "QEMU", "guests run", "network")]
    speed = "on KVM" if kind == ["kvm"] else "under emulation"
    rows += [(HOST, system, versions["library"], versions["hypervisor"], speed, f"default ({network[0]})")]
    listed = [("guest", "state", "address", "system", "log in")]
    config = CONFIG.relative_to(Path.cwd()) if CONFIG.is_relative_to(Path.cwd()) else CONFIG
    listed += [(*guest, f"ssh -F {config} {guest.name}") for guest in guests]
    return f"{aligned(rows)}\n\n{aligned(listed)}"


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows as lines with columns of one width, the first of them underlined."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


if __name__ == "__main__":
    sys.exit(main())
