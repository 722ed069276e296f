# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs each module of this collection on its host from the library that is kept there.

A module of a few lines goes over the wire with the digest of the library. Where the host has not got that library yet, it
is sent once and compiled there; where it cannot be kept, the module is sent as Ansible sends any other.
"""

from __future__ import annotations

from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.kvmfleet.libvirt.plugins.plugin_utils import sources

LIBRARY = "kvmfleet.libvirt.library"


class ActionModule(ActionBase):  # type: ignore[misc]
    """The action of all modules of this collection (plugin_routing in meta/runtime.yml)."""

    _supports_check_mode = True
    _supports_async = True
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Carry the task out and give the module's result."""
        found: dict[str, Any] = super().run(tmp, task_vars)
        found.update(self._result(self._task.resolved_action, dict(self._task.args), task_vars or {}))
        return found

    def _result(self, name: str, given: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        # An asynchronous module runs on when nobody is there to send it what it lacks.
        if self._task.async_val or not boolean(self._templar.template(task_vars.get("kvmfleet_libvirt_keep", True))):
            return self._plain(name, given, task_vars)
        request = {"digest": sources.digest(), "module": name.rpartition(".")[2], "given": given}
        result = self._execute_module(module_name=LIBRARY, module_args=dict(request), task_vars=task_vars)
        if result.get("library") == "missing":
            sent = {**request, "source": sources.archive()}
            result = self._execute_module(module_name=LIBRARY, module_args=sent, task_vars=task_vars)
        if result.get("library") in ("missing", "refused"):
            host = task_vars.get("inventory_hostname")
            Display().vv(f"library of kvmfleet.libvirt not kept: {result.get('msg', 'it did not stay')}", host=host)
            return self._plain(name, given, task_vars)
        return dict(result)

    def _plain(self, name: str, given: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        return dict(
            self._execute_module(
                module_name=name, module_args=given, task_vars=task_vars, wrap_async=bool(self._task.async_val)
            )
        )
