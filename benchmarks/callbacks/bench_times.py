# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes how long a benchmark's task took, and what each host answered, to the file named by BENCH_TIMES."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: bench_times
type: aggregate
short_description: Times the task of a benchmark
description: Writes a line of JSON for each host, with seconds, changed and msg, to the file named by BENCH_TIMES.
"""


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """From the moment the controller begins with the task, templating included, until it has its result."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "bench_times"
    CALLBACK_NEEDS_ENABLED = True

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:  # noqa: ARG002
        """The task begins."""
        self._began = time.monotonic()

    def v2_runner_on_ok(self, result: Any) -> None:
        """The task ended well: for a loop this is the end of its last item."""
        self._write(result, failed=False)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:  # noqa: ARG002
        """The task failed."""
        self._write(result, failed=True)

    def _write(self, result: Any, *, failed: bool) -> None:
        seconds = time.monotonic() - self._began
        answer = {"seconds": seconds, "failed": failed, "changed": bool(result.result.get("changed"))}
        answer["msg"] = str(result.result.get("msg", ""))
        with Path(os.environ["BENCH_TIMES"]).open("a", encoding="utf-8") as times:
            times.write(json.dumps(answer) + "\n")
