# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs each module of this collection on its host from the library that is kept there.

A module of a few lines goes over the wire with the digest of the library. Where the host has not got that library yet, it
is sent once and compiled there; where it cannot be kept, the module is sent as Ansible sends any other.
"""

from __future__ import annotations

import contextlib
import copy
import os
import tempfile
import threading
import uuid
from collections.abc import Iterator
from typing import Any

from ansible.errors import AnsibleConnectionFailure, AnsibleError, AnsibleFileNotFound
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import module_loader
from ansible.utils.display import Display

from ansible_collections.kvmfleet.libvirt.plugins.plugin_utils import bringing, saving, sources

LIBRARY = "kvmfleet.libvirt.library"
KEEP = "kvmfleet.libvirt.keep_library"

# Seconds after which a run is a long one, and between two looks at what it is at.
LOOK = 3.0


# How a shell, and Python, tell of a process that was ended by signal 9.
_KILLED = (128 + 9, -9)
KILLED = (
    "the module was killed on the host (signal 9), as happens where memory runs out; what it had finished stays, nothing that is half done "
    "has its name, and the next run goes on from there"
)


class ActionModule(ActionBase):  # type: ignore[misc]
    """The action of all modules of this collection (plugin_routing in meta/runtime.yml)."""

    _supports_check_mode = True
    _supports_async = True
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Carry the task out and give the module's result."""
        found: dict[str, Any] = super().run(tmp, task_vars)
        carry_out = self._saved if self._module().endswith(".volume_fetch") else self._with_files
        found.update(carry_out(self._module(), dict(self._task.args), task_vars or {}))
        return found

    def _module(self) -> str:
        """The full name of the task's module: up to ansible-core 2.18, a task's resolved_action is this plugin itself."""
        context = module_loader.find_plugin_with_context(self._task.action, collection_list=self._task.collections)
        return str(context.resolved_fqcn)

    def _with_files(self, name: str, given: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Carry the task out. Files of the control machine that it names are brought to the host first, if they are needed."""
        module = name.rpartition(".")[2]
        if not bringing.brought(module, given):
            return self._result(name, given, task_vars)
        given = copy.deepcopy(given)
        files = bringing.brought(module, given)
        paths = {}
        for item in files:
            try:
                paths[item.volume] = self._find_needle("files", item.source["local"])
                # A file that is another one now is new content.
                item.source.setdefault("checksum", bringing.checksum_of(paths[item.volume]))
            except (AnsibleFileNotFound, OSError) as error:
                reason = error.strerror if isinstance(error, OSError) else "is not on the control machine"
                where = f"volume {item.volume}: source.local"
                return {"failed": True, "msg": f"{where}: {item.source['local']}: {reason}; nothing was changed"}
        if self._task.check_mode:
            return self._result(name, given, task_vars)
        asked = self._asked(name, given, task_vars)
        if asked.get("failed"):
            return asked
        wanted = bringing.needed(asked)
        for place, item in enumerate(item for item in files if item.volume in wanted):
            path = paths[item.volume]
            try:
                item.source["file"] = self._bring(path, f"content{place}")
            except AnsibleConnectionFailure:
                raise
            except AnsibleError as error:
                return {"failed": True, "msg": _not_brought(item.volume, path, error)}
        return self._result(name, given, task_vars)

    def _saved(self, name: str, given: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Copy a volume to the control machine."""
        if self._task.async_val:
            return {
                "failed": True,
                "msg": "a volume is not copied in the background: the task has to be there for each piece",
            }
        looked = self._result(name, given, task_vars)
        if looked.get("failed"):
            return looked
        whole = saving.Whole(looked["length"], looked["checksum"])
        # path_dwim forgets a slash at the end, which says that a folder is meant.
        path = self._loader.path_dwim(given["dest"]) + "/" * str(given["dest"]).endswith("/")
        path = saving.destination(path, given["name"])
        told: dict[str, Any] = {"dest": path, "checksum": whole.checksum, "size": whole.length, "changed": False}
        try:
            if saving.is_saved(path, whole):
                return {**told, "msg": f"{path} is the same already"}
            before = bringing.checksum_of(path) if os.path.exists(path) else ""
            if not self._task.check_mode:
                with tempfile.TemporaryDirectory() as folder:
                    saving.save(path, whole, lambda begin: self._piece(name, given, begin, folder, task_vars))
        except (OSError, saving.Unsaved) as error:
            return {"failed": True, "msg": f"{path}: {error}"}
        diff = {"before_header": path, "after_header": path, "before": f"{before}\n", "after": f"{whole.checksum}\n"}
        return {**told, "changed": True, "diff": diff, "msg": f"{path} is a copy of the volume"}

    def _piece(
        self, name: str, given: dict[str, Any], begin: int, folder: str, task_vars: dict[str, Any]
    ) -> saving.Piece:
        """Have a piece of a volume written on its host, and bring it to this folder."""
        here = there = os.path.join(folder, "piece")
        is_local = self._connection.transport == "local"
        if not is_local:
            shell = self._connection._shell  # noqa: SLF001 - as Ansible's own actions do
            if shell.tmpdir is None:
                self._make_tmp_path()
            there = shell.join_path(shell.tmpdir, "piece")
        answer = self._result(name, {**given, "piece": {"begin": begin, "path": there}}, task_vars)
        if answer.get("failed"):
            raise saving.Unsaved(str(answer.get("msg")))
        if not is_local:
            self._connection.fetch_file(there, here)
        return saving.Piece(here, answer["ranges"], answer["end"])

    def _asked(self, name: str, given: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """What the task would do."""
        self._task.check_mode = True
        try:
            return self._result(name, given, task_vars)
        finally:
            self._task.check_mode = False

    def _bring(self, path: str, name: str) -> str:
        """Copy a file to the host, to the place that goes with the task. Returns its path there."""
        if self._connection.transport == "local":
            return path
        shell = self._connection._shell  # noqa: SLF001 - as Ansible's own actions do
        if shell.tmpdir is None:
            self._make_tmp_path()
        there: str = shell.join_path(shell.tmpdir, name)
        self._transfer_file(path, there)
        self._fixup_perms2((shell.tmpdir, there))
        return there

    def _result(self, name: str, given: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        # An asynchronous module runs on when nobody is there to send it what it lacks.
        if self._task.async_val or not self._wished("kvmfleet_libvirt_keep", task_vars):
            return self._plain(name, given, task_vars)
        request = {"digest": sources.digest(), "module": name.rpartition(".")[2], "given": given}
        with self._watched(request, task_vars):
            result = kept = self._execute_module(module_name=LIBRARY, module_args=dict(request), task_vars=task_vars)
            if result.get("library") == "missing":
                sent = {"path": result["path"], "source": sources.archive()}
                kept = self._execute_module(module_name=KEEP, module_args=sent, task_vars=task_vars)
                if kept.get("library") == "kept":
                    result = self._execute_module(module_name=LIBRARY, module_args=dict(request), task_vars=task_vars)
        if result.get("library") not in ("missing", "refused"):
            return _explained(result)
        host = task_vars.get("inventory_hostname")
        Display().vv(f"library of kvmfleet.libvirt not kept: {kept.get('msg', 'it did not stay')}", host=host)
        return self._plain(name, given, task_vars)

    def _wished(self, variable: str, task_vars: dict[str, Any]) -> bool:
        return bool(boolean(self._templar.template(task_vars.get(variable, True))))

    def _plain(self, name: str, given: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        return _explained(
            self._execute_module(
                module_name=name, module_args=given, task_vars=task_vars, wrap_async=bool(self._task.async_val)
            )
        )

    @contextlib.contextmanager
    def _watched(self, request: dict[str, Any], task_vars: dict[str, Any]) -> Iterator[None]:
        """Show what the module is at while this lasts, if somebody sits before a terminal."""
        if not (_is_terminal() and self._wished("kvmfleet_libvirt_progress", task_vars)):
            yield
            return
        request["progress"] = uuid.uuid4().hex
        ended = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(request["progress"], task_vars, ended))
        watcher.start()
        try:
            yield
        finally:
            ended.set()
            watcher.join()

    def _watch(self, word: str, task_vars: dict[str, Any], ended: threading.Event) -> None:
        # A connection keeps what it is at in itself: a copy may ask while the other one waits for the module.
        looker = copy.copy(self)
        looker._connection = copy.copy(self._connection)  # noqa: SLF001 - it is one of us
        told = ""
        while not ended.wait(LOOK):
            # Nothing that fails here is a reason for the task to fail.
            with contextlib.suppress(Exception):
                path = f"~/.cache/kvmfleet.libvirt/progress-{word}"
                said = looker._low_level_execute_command(f"cat {path} 2>/dev/null")["stdout"].strip()  # noqa: SLF001
                if said and said != told and not ended.is_set():
                    told = said
                    Display().display(f"{task_vars.get('inventory_hostname')}: {said}", color="bright gray")


def _not_brought(volume: str, path: str, error: AnsibleError) -> str:
    """What to tell of a file that did not come to its host: the place that Ansible uses there may have no room for it."""
    reason = next((line for line in str(error).splitlines() if "rror" in line or "ailure" in line), str(error))
    return (
        f"volume {volume}: {path}, which has {os.path.getsize(path) >> 20} MiB, could not be brought to the host: {' '.join(reason.split())}; "
        "nothing was changed. ansible_remote_tmp names the folder there that it needs room in for a while"
    )


def _explained(result: dict[str, Any]) -> dict[str, Any]:
    """A result that says so where the module was killed: Ansible only says then that what it answered has no JSON in it."""
    if result.get("failed") and "module_stdout" in result and result.get("rc") in _KILLED:
        return {**result, "msg": KILLED}
    return dict(result)


def _is_terminal() -> bool:
    """Whether what Ansible prints goes to a terminal: a worker's own output does not, since ansible-core 2.19."""
    if os.isatty(1):
        return True
    try:
        output = os.open(f"/proc/{os.getppid()}/fd/1", os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        return os.isatty(output)
    finally:
        os.close(output)
