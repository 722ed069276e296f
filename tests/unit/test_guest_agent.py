# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent's side is this machine: its shell carries out what a guest's would, and its files are the guest's."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from ansible.playbook.play_context import PlayContext
from ansible.plugins.shell.powershell import ShellModule

from ansible_collections.kvmfleet.libvirt.plugins.connection import guest_agent
from ansible_collections.kvmfleet.libvirt.plugins.module_utils import agent
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.host import agent as host_agent
from ansible_collections.kvmfleet.libvirt.plugins.plugin_utils import guest_shell, hypervisor

MARK = "kvmfleet-mark"
PASSWORD = "s3cret"

# Asks as sudo -S does: a prompt on standard error, a second one for a wrong password, and the command with the rest.
SUDO = f"""#!/bin/sh
for try in 1 2; do
    printf 'PROMPT:' >&2
    IFS= read -r given || {{ echo 'no password was provided' >&2; exit 1; }}
    [ "$given" = {PASSWORD} ] && exec /bin/sh -c "echo SUCCESS; $1"
    echo 'Sorry, try again.' >&2
done
exit 1
"""


class Local:
    """An agent that runs programs here. It answers the first look at a program with "still runs"."""

    def __init__(self, tmp: Path) -> None:
        self.tmp = tmp
        self.asked: list[str] = []
        self.ended: dict[int, Any] = {}
        self.files: dict[int, BinaryIO] = {}

    def __call__(self, command: str, arguments: Mapping[str, Any]) -> Any:
        self.asked.append(command)
        return getattr(self, command.replace("-", "_"))(
            **{key.replace("-", "_"): item for key, item in arguments.items()}
        )

    def guest_exec(self, path: str, arg: list[str], capture_output: bool, input_data: str = "") -> Any:
        assert capture_output
        env = {"PATH": f"{self.tmp}:{os.environ['PATH']}", "TMPDIR": str(self.tmp)}
        done = subprocess.run(
            [path, *arg], input=base64.b64decode(input_data), capture_output=True, env=env, check=False, timeout=60
        )
        self.ended[len(self.ended)] = done
        return {"pid": len(self.ended) - 1}

    def guest_exec_status(self, pid: int) -> Any:
        if self.asked.count("guest-exec-status") == 1:
            return {"exited": False}
        done = self.ended[pid]
        out, err = (base64.b64encode(text).decode() for text in (done.stdout, done.stderr))
        return {"exited": True, "exitcode": done.returncode, "out-data": out, "err-data": err}

    def guest_file_open(self, path: str, mode: str) -> int:
        self.files[len(self.files)] = Path(path).open(mode)  # type: ignore[assignment]  # noqa: SIM115
        return len(self.files) - 1

    def guest_file_write(self, handle: int, buf_b64: str) -> Any:
        data = base64.b64decode(buf_b64)
        # An agent may write less than it was given.
        return {"count": self.files[handle].write(data[: max(1, len(data) // 2)])}

    def guest_file_read(self, handle: int, count: int) -> Any:
        data = self.files[handle].read(count)
        return {"count": len(data), "buf-b64": base64.b64encode(data).decode(), "eof": len(data) < count}

    def guest_file_close(self, handle: int) -> None:
        self.files[handle].close()


@pytest.fixture
def local(tmp_path: Path) -> Local:
    (tmp_path / "asks").write_text(SUDO)
    (tmp_path / "asks").chmod(0o755)
    return Local(tmp_path)


def run(local: Local, command: str, stdin: bytes | None = None, **more: Any) -> agent.Ended:
    call = guest_shell.Call(command, "", more.pop("limit", 1000), MARK, **more)
    return agent.run(local, guest_shell.SHELL, guest_shell.arguments(call), stdin)


def rest(local: Local) -> list[str]:
    return sorted(path.name for path in local.tmp.iterdir() if path.name != "asks")


def test_a_command_has_its_status_its_output_and_an_environment(local: Local) -> None:
    ended = run(local, 'cat; echo "$0 $1 $d$command" >&2; [ -d "$HOME" ] && [ "$LOGNAME" ] && exit 3', b"in\0put\xff")
    assert ended == agent.Ended(3, b"in\0put\xff", b"/bin/sh  \n")
    assert rest(local) == []


def test_a_large_output_stays_in_a_folder_that_is_named(local: Local) -> None:
    ended = run(local, "printf %1001s x; echo e >&2; exit 5")
    folder = guest_shell.folder_of(ended.out, MARK)
    assert folder is not None
    assert (ended.status, ended.err) == (5, b"")
    target = io.BytesIO()
    agent.read(local, f"{folder}/out", target)
    assert target.getvalue() == b"x".rjust(1001)
    assert Path(folder).stat().st_mode & 0o777 == 0o700
    assert guest_shell.folder_of(b"anything else", MARK) is None


def test_input_may_come_from_a_file(local: Local) -> None:
    folder = local.tmp / "deposited"
    folder.mkdir()
    agent.write(local, f"{folder}/stdin", io.BytesIO(b"x" * 5000), 1024)
    assert run(local, "wc -c", folder=str(folder)).out.strip() == b"5000"
    assert rest(local) == []


def test_without_a_place_for_files_a_command_runs_all_the_same(local: Local) -> None:
    local.tmp = local.tmp / "missing"
    assert run(local, "cat; exit 4", b"x") == agent.Ended(4, b"x", b"")


PROMPT = guest_shell.Prompt("PROMPT:", "SUCCESS", 100)


def test_a_password_is_given_when_it_is_asked_for(local: Local) -> None:
    ended = run(local, "asks cat", f"{PASSWORD}\nrest\n".encode(), prompt=PROMPT)
    assert ended == agent.Ended(0, b"SUCCESS\nrest\n", b"PROMPT:")
    assert rest(local) == []


def test_a_password_is_not_given_when_nobody_asks(local: Local) -> None:
    ended = run(local, "echo SUCCESS; cat", f"{PASSWORD}\nrest\n".encode(), prompt=PROMPT)
    assert ended == agent.Ended(0, b"SUCCESS\nrest\n", b"")


def test_a_wrong_password_is_given_once(local: Local) -> None:
    ended = run(local, "asks cat", b"wrong\nrest\n", prompt=PROMPT)
    assert ended.status == 1
    assert ended.err == b"PROMPT:Sorry, try again.\nPROMPT:no password was provided\n"
    assert b"rest" not in ended.out


def test_who_never_asks_and_never_succeeds_gets_the_end_of_the_input(local: Local) -> None:
    ended = run(local, "cat; exit 6", f"{PASSWORD}\nrest\n".encode(), prompt=PROMPT._replace(tries=2))
    assert ended == agent.Ended(6, b"", b"")


def test_a_program_that_takes_too_long_is_told_by_its_number(local: Local) -> None:
    class Stuck(Local):
        def guest_exec_status(self, pid: int) -> Any:
            return {"exited": False}

    with pytest.raises(agent.Overdue, match=r"after 0.05 s") as caught:
        agent.run(Stuck(local.tmp), "/bin/true", [], seconds=0.05)
    assert caught.value.pid == 0


def test_a_slow_guest_is_not_kept_busy_by_looking_at_it(local: Local) -> None:
    class Slow(Local):
        def guest_exec_status(self, pid: int) -> Any:
            time.sleep(0.05)
            return {"exited": False}

    slow = Slow(local.tmp)
    with pytest.raises(agent.Overdue):
        agent.run(slow, "/bin/true", [], seconds=0.5)
    assert slow.asked.count("guest-exec-status") <= 6


def test_a_command_cannot_see_or_end_what_runs_it(local: Local) -> None:
    ended = run(local, 'run 2>/dev/null; alone 2>/dev/null; echo "$#$limit$mark$prompt$tries."; set -e; false; echo x')
    assert ended == agent.Ended(1, b"0.\n", b"")
    assert run(local, "if").status != 0
    assert rest(local) == []


def test_a_result_that_is_cut_off_or_lost_is_never_taken_for_whole(local: Local) -> None:
    def cut(command: str, _arguments: Any) -> Any:
        return {"pid": 1} if command == "guest-exec" else {"exited": True, "exitcode": 0, "out-truncated": True}

    def restarted(command: str, _arguments: Any) -> Any:
        if command == "guest-exec":
            return {"pid": 1}
        raise agent.Refused("PID 1 does not exist")

    for ask, part in ((cut, "cut off"), (restarted, "restarted")):
        with pytest.raises(agent.Unreachable, match=part):
            agent.run(ask, "/bin/true", [])


def test_files_are_closed_and_the_first_failure_is_told(local: Local) -> None:
    class Full(Local):
        def guest_file_write(self, handle: int, buf_b64: str) -> Any:
            raise agent.Refused("No space left on device")

    full = Full(local.tmp)
    with pytest.raises(agent.Refused, match="No space left"):
        agent.write(full, str(local.tmp / "file"), io.BytesIO(b"x"), 10)
    assert full.files[0].closed


def test_only_what_others_can_reach_is_an_address_of_the_guest() -> None:
    """Docker's bridge is not, nor is what an agent makes up."""
    told = [
        ("00:00:00:00:00:00", "127.0.0.1"),
        ("00:00:00:00:00:00", "::1"),
        ("52:54:00:AA:00:01", "10.0.0.2"),
        ("52:54:00:aa:00:01", "10.0.0.2"),
        ("52:54:00:aa:00:01", "fe80::1"),
        ("52:54:00:aa:00:01", "fd00::2"),
        ("02:42:5c:6d:01:02", "172.17.0.1"),
        ("52:54:00:aa:00:01", "none; rm -rf /"),
    ]
    mine = ("52:54:00:aa:00:01", "10.0.0.2"), ("52:54:00:aa:00:01", "fd00::2")
    assert agent.own_addresses(told, ("52:54:00:aa:00:01",)) == [*mine]
    assert agent.own_addresses(told, None) == [*mine, ("02:42:5c:6d:01:02", "172.17.0.1")]
    assert agent.own_addresses(told, ()) == []


def test_a_windows_guest_is_given_a_program_and_arguments_that_say_what_ansible_said() -> None:
    """With Ansible's own shell plugin; that Windows does what it is told is not tested here."""
    encode = ShellModule()._encode_script
    path, arguments = guest_shell.windows_program("Get-Item 'C:\\a b'", encode)
    assert path.lower() == "powershell"
    assert base64.b64decode(arguments[-1]).decode("utf-16-le") == "Get-Item 'C:\\a b'"
    # What is encoded already is not encoded once more.
    whole = encode("exit 3")
    assert " ".join([path, *guest_shell.windows_program(whole, encode)[1]]) == whole
    assert guest_shell.windows_program("type C:\\m.json | PowerShell -x", encode) == (
        "cmd.exe",
        ["/c", "type", "C:\\m.json", "|", "PowerShell", "-x"],
    )


class Windows(Local):
    """An agent with one file, that knows no program but PowerShell's digest of it."""

    def __init__(self, tmp: Path, path: str) -> None:
        super().__init__(tmp)
        self.path = path
        self.scripts: list[str] = []

    def guest_file_open(self, path: str, mode: str) -> int:
        assert path == self.path
        return super().guest_file_open(str(self.tmp / "file"), mode)

    def guest_exec(self, path: str, arg: list[str], capture_output: bool, input_data: str = "") -> Any:
        assert (path.lower(), capture_output) == ("powershell", True)
        self.scripts.append(base64.b64decode(arg[-1]).decode("utf-16-le"))
        digest = hashlib.sha256((self.tmp / "file").read_bytes()).hexdigest().upper()
        self.ended[0] = subprocess.CompletedProcess([], 0, f"{digest}\r\n".encode(), b"")
        return {"pid": 0}

    ask = Local.__call__


def test_a_file_goes_to_a_windows_guest_and_back_by_its_own_names(tmp_path: Path) -> None:
    path = "C:\\a b\\it's.txt"
    windows = Windows(tmp_path, path)
    shell = ShellModule()
    connection = guest_agent.Connection(PlayContext(), shell=shell)
    options = {"uri": "qemu:///system", "guest": "w", "remote_user": "Administrator", "chunk": 2048}
    connection._options = {**options, "command_timeout": 0}
    connection._guest, connection._connected = windows, True
    data = bytes(range(256)) * 20
    (tmp_path / "there").write_bytes(data)
    connection.put_file(str(tmp_path / "there"), path)
    connection.fetch_file(path, str(tmp_path / "back"))
    assert (tmp_path / "file").read_bytes() == (tmp_path / "back").read_bytes() == data
    asked = "(Get-FileHash -Algorithm SHA256 -LiteralPath 'C:\\a b\\it''s.txt').Hash"
    assert windows.scripts == [asked, asked]
    assert connection.exec_command("Get-Date")[0] == 0
    assert windows.scripts[-1] == "Get-Date"
    assert connection.always_pipeline_modules
    assert connection.module_implementation_preferences == (".ps1", ".exe", "")


@pytest.mark.skipif(shutil.which("ssh") is None, reason="no ssh")
def test_an_ssh_connection_is_shared_by_a_program_of_its_own(tmp_path: Path) -> None:
    uri = "qemu+ssh://root@hv/system"
    shared = hypervisor.shared(uri, 60, 5, str(tmp_path), str(tmp_path / "sockets"))
    program = tmp_path / next(path.name for path in tmp_path.glob("kvmfleet-ssh-*"))
    assert shared == f"{uri}?command={program}"
    assert program.stat().st_mode & 0o777 == 0o700
    told = subprocess.check_output([program, "-G", "hv"], text=True)
    assert "controlmaster auto" in told
    assert "connecttimeout 5" in told
    assert (tmp_path / "sockets").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "uri", ["qemu:///system", "qemu+tls://hv/system", "qemu+ssh://hv/system?command=/usr/bin/my-ssh", "test:///default"]
)
def test_other_uris_are_left_as_they_are(uri: str, tmp_path: Path) -> None:
    assert hypervisor.shared(uri, 60, 5, str(tmp_path), str(tmp_path)) == uri
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("uri", "option"),
    [
        ("qemu:///system", None),
        ("qemu+ssh://root@hv/system", "-o ProxyJump=root@hv"),
        ("qemu+ssh://root@[fd00::1]:2222/system", "-o ProxyJump='root@[fd00::1]:2222'"),
        (
            "qemu+ssh://root@hv:22/system?keyfile=/k&no_tty=1",
            "-o 'ProxyCommand=ssh -i /k -p 22 -W %h:%p root@hv'",
        ),
    ],
)
def test_a_guest_is_reached_through_its_hypervisor(uri: str, option: str | None) -> None:
    assert hypervisor.jump(uri) == option


def test_what_an_agent_forbids_is_said_with_where_to_allow_it() -> None:
    said = host_agent.forbidden(
        "guest-exec", "unable to execute QEMU agent command 'guest-exec': Command guest-exec has been disabled"
    )
    assert said.startswith("its agent does not allow guest-exec: Command guest-exec has been disabled")
    assert "/etc/sysconfig/qemu-ga" in said
