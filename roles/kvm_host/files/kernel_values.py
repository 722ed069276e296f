# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes files of /sys and /proc/sys hold what they should. Prints {"changed": [paths], "lacking": {path: value}} as
JSON: what was changed or would be, and what the kernel made of it where that is not what was asked, or why not.

usage: kernel_values.py '{"values": {"/sys/kernel/mm/ksm/run": 1}, "check": false}'
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def made(values: dict[str, Any], check: bool) -> dict[str, Any]:
    """What to print."""
    changed: list[str] = []
    lacking: dict[str, str] = {}
    for path, value in values.items():
        try:
            if _is(path, value):
                continue
            changed.append(path)
            if not check:
                Path(path).write_text(f"{value}\n", encoding="ascii")
                if not _is(path, value):
                    lacking[path] = _words(path)
        except OSError as error:
            lacking[path] = error.strerror or str(error)
    return {"changed": [path for path in changed if path not in lacking], "lacking": lacking}


def _is(path: str, value: Any) -> bool:
    """Whether it is so; the kernel separates with tabs what people separate with spaces."""
    return _words(path) == " ".join(str(value).split())


def _words(path: str) -> str:
    return " ".join(Path(path).read_text(encoding="ascii").split())


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    print(json.dumps(made(asked["values"], asked["check"])))
