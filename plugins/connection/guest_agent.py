# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: guest_agent
short_description: Run tasks in a guest through its QEMU guest agent
version_added: "0.1.0"
description:
  - Runs tasks in a guest and moves files without any network in it, through the QEMU guest agent and libvirt on its hypervisor, which may be a remote one.
  - The agent runs as root, so O(remote_user=root) needs neither a key nor a password. For another user, commands are started by C(su).
  - A guest that is off, or whose agent is missing, not connected or not allowed to run commands, is unreachable, and the message says why.
  - The agent has no terminal. A become password is passed on when it is asked for and only then, so become plugins that need a terminal do not work.
  - Linux guests are tested. Windows guests, with C(ansible_shell_type=powershell), are written after the plugins for WinRM and are not tested.
author:
  - kvmfleet contributors (@kvmfleet)
requirements:
  - libvirt-python on the control node
  - qemu-guest-agent in the guest, and a channel C(org.qemu.guest_agent.0), which new guests of M(kvmfleet.libvirt.domain) get
  - C(/bin/sh), C(mktemp), C(grep) and C(sha256sum) in the guest; Ansible's modules need Python there as always
extends_documentation_fragment:
  - connection_pipelining
options:
  uri:
    description:
      - libvirt's URI of the hypervisor.
    type: str
    default: qemu:///system
    ini:
      - section: guest_agent
        key: uri
    env:
      - name: ANSIBLE_GUEST_AGENT_URI
    vars:
      - name: ansible_guest_agent_uri
  guest:
    description:
      - Name or UUID of the guest. The inventory's name of the host, or its C(ansible_host), when left out.
    type: str
    vars:
      - name: ansible_guest_agent_guest
  remote_user:
    description:
      - The user in the guest who runs commands. Ignored for Windows guests.
    type: str
    default: root
    ini:
      - section: defaults
        key: remote_user
    env:
      - name: ANSIBLE_REMOTE_USER
    cli:
      - name: user
    keyword:
      - name: remote_user
    vars:
      - name: ansible_user
      - name: ansible_guest_agent_user
  timeout:
    description:
      - Seconds that the agent has to answer one question, the hypervisor to be connected, and a become plugin to accept a password.
      - It does not limit how long a command runs.
    type: int
    default: 30
    ini:
      - section: guest_agent
        key: timeout
    env:
      - name: ANSIBLE_GUEST_AGENT_TIMEOUT
    vars:
      - name: ansible_guest_agent_timeout
  command_timeout:
    description:
      - Seconds after which a command in the guest is ended and the task fails. V(0) is no limit.
    type: int
    default: 0
    ini:
      - section: guest_agent
        key: command_timeout
    env:
      - name: ANSIBLE_GUEST_AGENT_COMMAND_TIMEOUT
    vars:
      - name: ansible_guest_agent_command_timeout
  chunk:
    description:
      - Bytes that one question to the agent carries. Longer input and files go in several.
      - libvirt 9.0 loses questions above some 200 KiB, base64 included, so a larger value is at your own risk.
    type: int
    default: 98304
    ini:
      - section: guest_agent
        key: chunk
    vars:
      - name: ansible_guest_agent_chunk
  persist:
    description:
      - Seconds that the ssh connection to a hypervisor stays open for the next task, when O(uri) leads there by ssh. V(0) opens one for each task.
      - A O(uri) that names its own ssh program, by C(command=), is used as it is.
    type: int
    default: 60
    ini:
      - section: guest_agent
        key: persist
    env:
      - name: ANSIBLE_GUEST_AGENT_PERSIST
    vars:
      - name: ansible_guest_agent_persist
  sockets:
    description:
      - Folder for the sockets of these connections.
    type: path
    default: ~/.ansible/cp
    ini:
      - section: guest_agent
        key: sockets
    vars:
      - name: ansible_guest_agent_sockets
"""

EXAMPLES = r"""
- name: Guests that the inventory plugin kvmfleet.libvirt.guests has found
  hosts: kvm_guests
  vars:
    ansible_connection: kvmfleet.libvirt.guest_agent
    ansible_pipelining: true
  tasks:
    - name: Runs in a guest that has no network at all
      ansible.builtin.setup:
        gather_subset: [min]

# In an inventory of one's own
# all:
#   hosts:
#     web1:
#       ansible_connection: kvmfleet.libvirt.guest_agent
#       ansible_guest_agent_uri: qemu+ssh://root@hv1.example.org/system
"""

import hashlib
import io
import re
import secrets
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from ansible import constants
from ansible.errors import AnsibleConnectionFailure, AnsibleError, AnsibleFileNotFound
from ansible.plugins.connection import ConnectionBase, ensure_connect
from ansible.utils.display import Display

from ansible_collections.kvmfleet.libvirt.plugins.module_utils import agent
from ansible_collections.kvmfleet.libvirt.plugins.plugin_utils import guest_shell
from ansible_collections.kvmfleet.libvirt.plugins.plugin_utils.hypervisor import (
    Guest,
    MissingLibrary,
    open_guest,
    shared,
)

display = Display()


class Connection(ConnectionBase):
    """A guest, reached through its agent."""

    transport = "kvmfleet.libvirt.guest_agent"
    has_pipelining = True
    has_tty = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._guest: Guest | None = None
        self._windows = bool(getattr(self._shell, "_IS_WINDOWS", False))
        if self._windows:
            self.has_native_async = True
            self.always_pipeline_modules = True
            self.module_implementation_preferences = (".ps1", ".exe", "")
            self.allow_executable = False

    @property
    def _name(self) -> str:
        return str(self.get_option("guest") or self._play_context.remote_addr)

    def _connect(self) -> Connection:
        uri, timeout = self.get_option("uri"), self.get_option("timeout")
        display.vvv(f"GUEST AGENT of {self._name} at {uri}", host=self._name)
        sockets = str(Path(self.get_option("sockets")).expanduser())
        reached = shared(uri, self.get_option("persist"), timeout, constants.DEFAULT_LOCAL_TMP, sockets)
        with self._speaking():
            self._guest = open_guest(reached, self._name, timeout)
        self._connected = True
        return self

    @contextmanager
    def _speaking(self, what: str = "") -> Iterator[None]:
        """Failures of libvirt and the agent as Ansible's. what: is said of what the agent refuses."""
        who = f"guest {self._name} ({self.get_option('uri')}): "
        try:
            yield
        except MissingLibrary as error:
            raise AnsibleError(str(error)) from None
        except agent.Unreachable as error:
            raise AnsibleConnectionFailure(f"{who}{error}") from None
        except agent.Refused as error:
            raise AnsibleError(f"{who}{what}{error}") from None

    def _ask(self, command: str, arguments: Any) -> Any:
        if self._guest is None:
            raise agent.Unreachable("the connection is closed")
        try:
            return self._guest.ask(command, arguments)
        except agent.Unreachable:
            # The next attempt begins with a connection of its own: this one may be what is broken.
            self.close()
            raise

    @property
    def _chunk(self) -> int:
        return max(1024, int(self.get_option("chunk")))

    def _run(self, path: str, arguments: list[str], stdin: bytes | None = None) -> agent.Ended:
        """Run a program in the guest."""
        with self._speaking():
            try:
                return agent.run(self._ask, path, arguments, stdin, self.get_option("command_timeout"))
            except agent.Overdue as error:
                if not self._windows:
                    agent.run(self._ask, guest_shell.SHELL, ["-c", f"kill -- -{error.pid} || kill {error.pid}"])
                raise AnsibleError(f"guest {self._name}: the command {error} (command_timeout) and was ended") from None

    @ensure_connect
    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        """What a command line gave: its exit status, what it printed, and what it printed as errors."""
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        display.vvv(f"EXEC {cmd}", host=self._name)
        if self._windows:
            return self._exec_windows(cmd, in_data)
        become = self.become if sudoable and self.become is not None and self.become.success else None
        prompt = None
        if become is not None and become.expect_prompt():
            # su knows its question only when it sees it: what ends in a colon.
            text = become.prompt if isinstance(become.prompt, str) else ":"
            prompt = guest_shell.Prompt(text.strip(), become.success, 10 * self.get_option("timeout"))
            in_data = (become.get_option("become_pass") + "\n").encode() + (in_data or b"")
        status, out, err = self._shell_run(cmd, in_data, prompt)
        if become is not None and become.success.encode() not in out:
            self._complain(become, out + err)
        if prompt is not None:
            err = err.replace(prompt.text.encode(), b"", 1).lstrip() if prompt.text != ":" else err
            # What comes before is not the command's: busybox asks on the standard output.
            before, mark, told = out.partition(prompt.success.encode())
            out = mark + told or before
        return status, out, err

    def _complain(self, become: Any, told: bytes) -> None:
        """Raise what went wrong with a become password, if that is it."""
        if become.check_incorrect_password(told):
            raise AnsibleError(f"Incorrect {become.name} password")
        if become.check_missing_password(told):
            raise AnsibleError(f"Missing {become.name} password")

    @property
    def _user(self) -> str:
        user = str(self.get_option("remote_user") or "root")
        return "" if user == "root" else user

    def _shell_run(self, command: str, stdin: bytes | None, prompt: guest_shell.Prompt | None = None) -> agent.Ended:
        """Run a command line by the guest's shell; input and output may be of any size."""
        user = self._user
        if stdin is not None and len(stdin) > self._chunk:
            call = self._call(command, user, folder=self._deposited(io.BytesIO(stdin)), prompt=prompt)
            stdin = None
        else:
            call = self._call(command, user, prompt=prompt)
        ended = self._run(guest_shell.SHELL, guest_shell.arguments(call), stdin)
        folder = guest_shell.folder_of(ended.out, call.mark)
        if folder is None:
            return ended
        try:
            out, err = self._content(f"{folder}/out"), self._content(f"{folder}/err")
        finally:
            self._remove(folder)
        return agent.Ended(ended.status, out, err)

    def _call(self, command: str, user: str, **more: Any) -> guest_shell.Call:
        return guest_shell.Call(command, user, agent.ANSWER, "kvmfleet-" + secrets.token_hex(8), **more)

    def _deposited(self, source: BinaryIO) -> str:
        """A new folder in the guest that only root can read, with all of a stream in its file "stdin"."""
        made = self._run(guest_shell.SHELL, ["-c", guest_shell.FOLDER])
        folder = made.out.decode().strip()
        if made.status or not folder:
            raise AnsibleError(
                f"guest {self._name} has no place for files: {made.err.decode(errors='replace').strip()}"
            )
        try:
            self._write(f"{folder}/stdin", source)
        except BaseException:
            self._remove(folder)
            raise
        return folder

    def _content(self, path: str) -> bytes:
        target = io.BytesIO()
        self._read(path, target)
        return target.getvalue()

    def _remove(self, folder: str) -> None:
        self._run(guest_shell.SHELL, ["-c", f"rm -rf {shlex.quote(folder)}"])

    def _write(self, path: str, source: BinaryIO) -> None:
        with self._speaking(f"{path} cannot be written: "):
            agent.write(self._ask, path, source, self._chunk)

    def _read(self, path: str, target: BinaryIO) -> None:
        with self._speaking(f"{path} cannot be read: "):
            agent.read(self._ask, path, target)

    @ensure_connect
    def put_file(self, in_path: str, out_path: str) -> None:
        """Copy a file into the guest; what arrived is compared by its SHA-256."""
        super().put_file(in_path, out_path)
        out_path = self._shell._unquote(out_path) if self._windows else out_path  # noqa: SLF001
        display.vvv(f"PUT {in_path} TO {out_path}", host=self._name)
        if not Path(in_path).exists():
            raise AnsibleFileNotFound(f"file or module does not exist: {in_path}")
        with Path(in_path).open("rb") as source:
            if self._user and not self._windows:
                # The user himself writes: root must not follow where he has put a link.
                call = self._call(f"cat > {shlex.quote(out_path)}", self._user, folder=self._deposited(source))
                ended = self._run(guest_shell.SHELL, guest_shell.arguments(call))
                if ended.status:
                    reason = ended.err.decode(errors="replace").strip()
                    raise AnsibleError(f"guest {self._name}: {out_path} cannot be written: {reason}")
            else:
                self._write(out_path, source)
            source.seek(0)
            self._compare(out_path, source)

    @ensure_connect
    def fetch_file(self, in_path: str, out_path: str) -> None:
        """Copy a file out of the guest; what arrived is compared by its SHA-256."""
        super().fetch_file(in_path, out_path)
        in_path = self._shell._unquote(in_path) if self._windows else in_path  # noqa: SLF001
        display.vvv(f"FETCH {in_path} TO {out_path}", host=self._name)
        with Path(out_path).open("w+b") as target:
            if self._user and not self._windows:
                # Nothing is printed, whatever the size: the file is taken from where it is kept.
                call = self._call(f"cat < {shlex.quote(in_path)}", self._user)._replace(limit=-1)
                ended = self._run(guest_shell.SHELL, guest_shell.arguments(call))
                folder = guest_shell.folder_of(ended.out, call.mark)
                if folder is None:
                    raise AnsibleError(f"guest {self._name}: {ended.err.decode(errors='replace').strip()}")
                try:
                    if ended.status:
                        reason = self._content(f"{folder}/err").decode(errors="replace").strip()
                        raise AnsibleError(f"guest {self._name}: {in_path} cannot be read: {reason}")
                    self._read(f"{folder}/out", target)
                finally:
                    self._remove(folder)
            else:
                self._read(in_path, target)
            target.seek(0)
            self._compare(in_path, target)

    def _compare(self, path: str, stream: BinaryIO) -> None:
        """Raise if a file in the guest does not begin with what is in this stream; it may have grown since."""
        digest, size = hashlib.sha256(), 0
        while data := stream.read(1 << 20):
            digest.update(data)
            size += len(data)
        if self._windows:
            quoted = path.replace("'", "''")
            command = f"(Get-FileHash -Algorithm SHA256 -LiteralPath '{quoted}').Hash"
            status, out, _err = self._exec_windows(command, None)
        else:
            head = f"head -c {size} {shlex.quote(path)}"
            status, out, _err = self._shell_run(f"{{ {head} | sha256sum || {head} | sha256 -q; }} 2>/dev/null", None)
        found = re.match(rb"\s*([0-9a-fA-F]{64})\b", out)
        if status or found is None:
            display.warning(f"guest {self._name} has no program sha256sum: {path} was not compared after it was copied")
        elif found.group(1).decode().lower() != digest.hexdigest():
            raise AnsibleError(f"guest {self._name}: {path} is not what was copied: its SHA-256 is another one")

    def _exec_windows(self, cmd: str, in_data: bytes | None) -> tuple[int, bytes, bytes]:
        path, arguments = guest_shell.windows_program(cmd, self._shell._encode_script)  # noqa: SLF001
        return self._run(path, arguments, in_data)

    def transport_test(self, connect_timeout: int) -> None:
        """Raise unless the agent answers; wait_for_connection asks this first."""
        self.reset()
        self._connect()
        if self._guest is not None:
            self._guest.timeout = connect_timeout
        with self._speaking():
            self._ask("guest-ping", {})

    def reset(self) -> None:
        """Close the connection; the next command opens another one."""
        self.close()

    def close(self) -> None:
        """Close the connection to the hypervisor."""
        if self._guest is not None:
            self._guest.close()
        self._guest = None
        self._connected = False
