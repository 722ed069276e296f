# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a module of this collection from the library that is kept on the host."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from ansible.module_utils import basic

from .entry import run
from .progress import told_in
from .unchanged import Memory


def answer(request: Mapping[str, Any], folder: str) -> None:
    """Run the module that is asked for. request: what the action plugin asks, with Ansible's own parameters; folder: where
    the library is.

    The module's own options are validated, and their secrets masked, where their meaning is known.
    """
    for_ansible = {name: value for name, value in request.items() if name.startswith("_ansible_")}
    # As Ansible's wrapper says it: the parameters, and (since ansible-core 2.19) how values are written for the controller.
    basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": for_ansible}).encode()  # noqa: SLF001 - there is no other way
    basic._ANSIBLE_PROFILE = "legacy"  # noqa: SLF001
    given = {**(request.get("given") or {}), **for_ansible}
    word = request.get("progress")
    with told_in(os.path.join(folder, f"progress-{word}") if word else None):
        run(request["module"], given, Memory(folder, request["digest"]))
