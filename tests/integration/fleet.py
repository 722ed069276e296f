# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lab hosts for tests: the collection is reached through ansible-playbook, and the truth through virsh over ssh.

Starting ansible-playbook costs half a second and each task another half: a test gives many tasks to one `play`.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SEE = "/usr/local/lib/kvmfleet-see.py"
PACKAGES = (
    "qemu-system-x86 qemu-utils libvirt-clients libvirt-daemon-system virtinst python3-libvirt python3-lxml"
    " python3-pycdlib iptables dnsmasq-base ovmf swtpm swtpm-tools"
)
NAMES = os.environ.get("KVMFLEET_TEST_HOSTS", "host1,host2").split(",")
AREA = "/srv/kvmfleet-test"
"""What tests put on a host is below this directory, or has a name that begins with the test's prefix."""
# Removes all that a test can have made. A pool goes with its directory only below the tests' own area.
SWEEP = """
for name in $(virsh -q list --all --name | grep ^it); do
    virsh -q destroy $name; virsh -q managedsave-remove $name
    for snapshot in $(virsh -q snapshot-list --name $name); do
        virsh -q snapshot-delete --metadata $name $snapshot
    done
    virsh -q undefine --nvram --checkpoints-metadata $name
done
for name in $(virsh -q net-list --all --name | grep ^it); do
    virsh -q net-destroy $name; virsh -q net-undefine $name
done
for name in $(virsh -q pool-list --all --name | grep ^it); do
    virsh -q pool-destroy $name; virsh -q pool-undefine $name
done
for round in 1 2; do
    for name in $(virsh -q nwfilter-list | awk '$2 ~ /^it/ {print $2}'); do virsh -q nwfilter-undefine $name; done
done
for secret in $(virsh -q secret-list | awk '{print $1}'); do virsh -q secret-undefine $secret; done
rm -rf AREA/it*
""".replace("AREA", AREA)


class Result(NamedTuple):
    """What one task returned. data: all of it."""

    status: str
    data: dict[str, Any]

    @property
    def changed(self) -> bool:
        """Whether the task reports a change."""
        return bool(self.data.get("changed"))

    @property
    def failed(self) -> bool:
        """Whether the task failed."""
        return self.status != "ok"

    @property
    def msg(self) -> str:
        """The sentence for a person."""
        return str(self.data.get("msg", ""))

    @property
    def objects(self) -> dict[str, dict[str, Any]]:
        """What is told of each object, by "kind name"."""
        return {"{kind} {name}".format(**item): item for item in self.data.get("objects", [])}

    @property
    def only(self) -> dict[str, Any]:
        """What is told of the one object there is."""
        assert len(self.data["objects"]) == 1, self.data["objects"]
        return dict(self.data["objects"][0])

    @property
    def changes(self) -> dict[str, tuple[Any, Any]]:
        """Before and after of each change of any object, by "name: path" without the name where there is one object."""
        objects = self.data.get("objects", [])
        return {
            change["path"] if len(objects) == 1 else "{}: {}".format(item["name"], change["path"]): (
                change["before"],
                change["after"],
            )
            for item in objects
            for change in item["changes"]
        }

    @property
    def pending(self) -> set[str]:
        """The paths of what waits for a restart."""
        return {change["path"] for item in self.data.get("objects", []) for change in item["pending"]}

    @property
    def diff(self) -> str:
        """Both sides of the diff as one text; empty when there is none."""
        diff = self.data.get("diff") or {}
        return str(diff.get("before", "")) + str(diff.get("after", ""))

    def prediction(self) -> list[Any]:
        """What check mode has to tell exactly as the real run does."""
        keys = ("kind", "name", "changed", "state", "changes", "restart_required")
        return [self.changed, self.data.get("diff"), [[item[key] for key in keys] for item in self.data["objects"]]]


class Seen(NamedTuple):
    """All that libvirt has on a host, as virsh tells it."""

    all: dict[str, Any]

    def xml(self, kind: str, name: str, view: str = "inactive") -> ET.Element:
        """A definition; kind is plural, view "inactive" or "live"."""
        return ET.fromstring(self.all[kind][name][view])

    def value(self, kind: str, name: str, path: str, view: str = "inactive") -> str | None:
        """The text at a path ("vcpu"), or the attribute there ("cpu/@mode"); None where there is none."""
        where, _slash, attribute = path.rpartition("/") if "@" in path else (path, "", "")
        node = self.xml(kind, name, view).find(where or ".")
        if node is None:
            return None
        return node.get(attribute[1:]) if attribute else (node.text or "").strip()

    def domain(self, name: str, path: str, view: str = "inactive") -> str | None:
        """A value of a guest's definition."""
        return self.value("domains", name, path, view)

    def network(self, name: str, path: str, view: str = "inactive") -> str | None:
        """A value of a network's definition."""
        return self.value("networks", name, path, view)

    def volume(self, name: str, path: str) -> str | None:
        """A value of a volume's description; name is "pool/volume"."""
        return self.value("volumes", name, path, "xml")

    def state(self, name: str) -> str | None:
        """A guest's state in virsh's words, None when there is no such guest."""
        about = self.all["domains"].get(name)
        return None if about is None else str(about["state"])


class Task(NamedTuple):
    """One task of a play: a module's short name with its options, or a look at the host.

    seconds: that it may take in the background, 0 where it is not to run there.
    """

    module: str
    options: dict[str, Any]
    check: bool = False
    seconds: int = 0

    def as_yaml(self) -> dict[str, Any]:
        """The task as Ansible reads it."""
        name = self.module if "." in self.module else "kvmfleet.libvirt." + self.module
        options: Any = self.options["cmd"] if name.endswith(".raw") else self.options
        background = {"async": self.seconds, "poll": 1} if self.seconds else {}
        return {name: options, "check_mode": self.check, "ignore_errors": True, **background}


LOOK = Task("ansible.builtin.raw", {"cmd": f"python3 {SEE}"})
"""raw is half the price of command."""


class Cycle(NamedTuple):
    """A declaration that was checked, made true, and found true: the run's result, the host before and after."""

    run: Result
    before: Seen
    after: Seen


class Host:
    """A lab host. inventory: the file that Ansible knows it from; scratch: a directory for what plays need."""

    def __init__(self, name: str, release: str, inventory: Path, scratch: Path) -> None:
        self.name = name
        self.release = release
        self.inventory = inventory
        self.scratch = scratch
        self.output = ""
        self._count = 0

    def sh(self, script: str, *, check: bool = True, stdin: bytes | None = None, timeout: float = 300) -> str:
        """What a shell script printed on the host."""
        command = ["ssh", "-F", str(self.inventory.with_name("ssh_config"))]
        command += ["-o", "ControlMaster=auto", "-o", f"ControlPath={self.scratch}/%n", "-o", "ControlPersist=60"]
        done = subprocess.run(
            [*command, self.name, script], input=stdin or b"", capture_output=True, timeout=timeout, check=False
        )
        assert not check or done.returncode == 0, f"{script}: {done.stderr.decode()}{done.stdout.decode()}"
        return done.stdout.decode()

    def virsh(self, command: str, *, check: bool = True) -> str:
        """What virsh printed."""
        return self.sh(f"virsh -q {command}", check=check).strip()

    def put(self, path: str, content: bytes) -> None:
        """Write a file on the host, its directory included."""
        self.sh(f"mkdir -p $(dirname {path}) && cat > {path}", stdin=content)

    def see(self) -> Seen:
        """All that libvirt has there now."""
        return Seen(json.loads(self.sh(f"python3 {SEE}")))

    def play(self, *tasks: Task, **keywords: Any) -> list[Any]:
        """Carry out tasks in one run of ansible-playbook at -vvv with --diff. Returns a Result each, Seen for a look.

        What was printed is in `output`. keywords: of the play, such as module_defaults or vars.
        """
        process = self.begin(*tasks, **keywords)
        output, _error = process.communicate(timeout=600)
        self.output = output.decode()
        record = Path(process.args[-1]).with_suffix(".jsonl")  # type: ignore[index,arg-type]
        lines = (
            [json.loads(line) for line in record.read_text(encoding="utf-8").splitlines()] if record.exists() else []
        )
        assert len(lines) == len(tasks), self.output[-6000:]
        return [self._told(task, line) for task, line in zip(tasks, lines)]

    def _told(self, task: Task, line: dict[str, Any]) -> Any:
        assert line["status"] != "unreachable", line
        told = Result(line["status"], line["result"])
        if task is LOOK:
            assert not told.failed, told.data
            return Seen(json.loads(told.data["stdout"]))
        assert "Traceback" not in json.dumps(told.data), told.data
        # So Ansible begins when a module died of an exception that it did not expect.
        assert not told.msg.startswith("Task failed: Module failed"), told.data
        return told

    def begin(self, *tasks: Task, output: int = subprocess.PIPE, **keywords: Any) -> subprocess.Popen[bytes]:
        """Start a play and do not wait for it. output: the file that it prints to."""
        self._count += 1
        playbook = self.scratch / f"{self.name}-{os.getpid()}-{self._count}.yml"
        play = {"hosts": self.name, "gather_facts": False, "tasks": [task.as_yaml() for task in tasks], **keywords}
        # JSON is YAML, and read by Ansible a hundred times as fast: some tests declare some hundred documents.
        playbook.write_text(json.dumps([play]), encoding="utf-8")
        command = [str(Path(sys.executable).with_name("ansible-playbook")), "-vvv", "--diff"]
        return subprocess.Popen(
            [*command, "-i", str(self.inventory), str(playbook)],
            env=environment(playbook.with_suffix(".jsonl")),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
        )

    def role(self, name: str, **variables: Any) -> None:
        """Carry out a role of this collection, which has to succeed."""
        process = self.begin(roles=[f"kvmfleet.libvirt.{name}"], vars=variables)
        self.output = process.communicate(timeout=900)[0].decode()
        assert process.returncode == 0, self.output[-6000:]
        assert "fatal:" not in self.output, self.output[-6000:]

    def run(self, module: str, *, check: bool = False, **options: Any) -> Result:
        """Carry out one task, which has to succeed."""
        (result,) = self.play(Task(module, options, check))
        assert not result.failed, result.data
        return result  # type: ignore[no-any-return]

    def converge(self, module: str, *, changed: bool = True, **options: Any) -> Cycle:
        """Check, run, check and run again: nothing is written by a check or a second run, the check tells exactly what
        the run does, and the second run has nothing to do. changed: whether the first run is to change anything.
        """
        task, check = Task(module, options), Task(module, options, check=True)
        before, checked, unwritten, run, after, again, rerun, last = self.play(
            LOOK, check, LOOK, task, LOOK, check, task, LOOK
        )
        assert not checked.failed, checked.data
        assert not run.failed, run.data
        assert unwritten == before, "check mode wrote something"
        assert run.changed is changed, run.data
        assert checked.prediction() == run.prediction()
        assert bool(run.diff) is changed
        for repeated in (again, rerun):
            assert not repeated.failed, repeated.data
            assert not repeated.changed, repeated.data
            assert not repeated.diff
        assert last == after, "a run that changed nothing wrote something"
        if not changed:
            assert after == before
        return Cycle(run, before, after)

    def refused(self, module: str, **options: Any) -> str:
        """The message of a declaration that has to be refused before anything is written."""
        (message,) = self.refuses(module, [(options, "")])
        return message

    def refuses(self, module: str, declarations: list[tuple[dict[str, Any], str]]) -> list[str]:
        """The messages of declarations that each have to be refused, with nothing written. Each comes with a part that
        its message must have. A check refuses as well, which the first one shows.
        """
        tasks = [Task(module, options) for options, _part in declarations]
        before, checked, *refusals, after = self.play(LOOK, tasks[0]._replace(check=True), *tasks, LOOK)
        assert (checked.failed, checked.msg) == (True, refusals[0].msg)
        for (options, part), refusal in zip(declarations, refusals):
            assert refusal.failed, options
            assert not refusal.changed
            assert part in refusal.msg, (options, refusal.msg)
            assert len(refusal.msg) < 1000
        assert after == before, "a refused declaration wrote something"
        return [refusal.msg for refusal in refusals]

    def agent(self, guest: str, command: str, **arguments: Any) -> Any:
        """What a guest's agent returns."""
        question = json.dumps({"execute": command, **({"arguments": arguments} if arguments else {})})
        answer = json.loads(self.virsh(f"qemu-agent-command {guest} '{question}'"))
        return answer["return"]

    def inside(self, guest: str, command: str) -> str:
        """What a command printed in a guest, run by its agent through a shell."""
        started = self.agent(guest, "guest-exec", path="/bin/sh", arg=["-c", command], **{"capture-output": True})
        for _attempt in range(100):
            status = self.agent(guest, "guest-exec-status", pid=started["pid"])
            if status["exited"]:
                return base64.b64decode(status.get("out-data", "")).decode()
            time.sleep(0.1)
        raise AssertionError(f"{command} did not end in guest {guest}")


def environment(record: Path) -> dict[str, str]:
    """The environment of ansible-playbook. record: the file for its tasks' results."""
    return {
        **os.environ,
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".ansible-collections"),
        "ANSIBLE_CALLBACK_PLUGINS": str(HERE / "callback_plugins"),
        "ANSIBLE_CALLBACKS_ENABLED": "record",
        "ANSIBLE_RETRY_FILES_ENABLED": "false",
        "ANSIBLE_NOCOLOR": "true",
        "KVMFLEET_RECORD": str(record),
    }


def until(true: Callable[[], Any], what: str, seconds: float = 30) -> Any:
    """The first value of a call that is true; fails when there is none in time."""
    end = time.monotonic() + seconds
    while True:
        value = true()
        if value:
            return value
        assert time.monotonic() < end, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.2)


def scheduling_by_host(config: Any, log: Any) -> Any:
    """How xdist hands tests out: those of a host one after the other, all others as they come.

    xdist's own --dist loadgroup does nothing with pytest 9: a test's node id is no longer taken from its item.
    """
    from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]  # noqa: PLC0415

    class ByHost(LoadScopeScheduling):  # type: ignore[misc,unused-ignore]
        def _split_scope(self, nodeid: str) -> str:
            words = nodeid.rpartition("[")[2].rstrip("]").split("-")
            return next((name for name in NAMES if name in words), nodeid)

    return ByHost(config, log)


def lab_hosts() -> dict[str, Host]:
    """The hosts of the lab that tests use, by name."""
    inventory = ROOT / ".lab" / "inventory.yml"
    if not inventory.exists():
        pytest.exit("there is no lab: tests/lab/lab up --hosts 2 --releases bookworm,trixie", returncode=1)
    known = yaml.safe_load(inventory.read_text(encoding="utf-8"))["kvm_hosts"]["hosts"]
    # ssh's control sockets have a limit of 108 characters.
    scratch = Path(subprocess.check_output(["mktemp", "-d", "/tmp/kvmfleet-XXXXXX"], text=True).strip())
    return {name: Host(name, known[name]["lab_release"], inventory, scratch) for name in NAMES}


def make_ready(host: Host) -> None:
    """Install what is missing by the collection's own role where it is there."""
    playbook = ROOT / "playbooks" / "host.yml"
    installed = host.sh("command -v virsh && python3 -c 'import libvirt, lxml, pycdlib' && echo all", check=False)
    if "all" not in installed.split() and playbook.exists():
        command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(host.inventory), "-l", host.name]
        env = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
        done = subprocess.run([*command, playbook], check=False, cwd=ROOT, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    # What only tests need: EFI firmware and an emulated TPM.
    install = "DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends -q"
    host.sh(f"dpkg -s {PACKAGES} >/dev/null 2>&1 || {install} {PACKAGES} >/dev/null", timeout=600)
    host.put(SEE, (HERE / "see.py").read_bytes())


def tiny_guest(host: Host) -> dict[str, Any]:
    """What a guest has to declare to boot the tiny Linux, whose files are put on the host."""
    folder = host.scratch / f"tiny-{host.release}"
    script = ROOT / "tests" / "lab" / "guest.py"
    subprocess.run([sys.executable, script, "--out", folder, "--release", host.release], check=True, stdout=2)
    for file in ("vmlinuz", "initrd.img"):
        host.put(f"{AREA}/tiny/{file}", (folder / file).read_bytes())
    return {
        "memory": "256 MiB",
        "vcpus": 1,
        "virt_type": "qemu",
        "cpu": {"mode": "maximum"},
        "kernel": f"{AREA}/tiny/vmlinuz",
        "initrd": f"{AREA}/tiny/initrd.img",
        "cmdline": (folder / "cmdline").read_text(encoding="utf-8").strip(),
    }
