# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a module of this collection from the library that is kept on the host."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from . import kept


class Request(AnsibleModule):  # type: ignore[misc]
    """What the action plugin asks: which module to run, and from which library.

    The module's own options are taken out before anything looks at them: they are validated, and their secrets
    masked, where their meaning is known.
    """

    def __init__(self) -> None:
        self.given: dict[str, Any] = {}
        super().__init__(
            argument_spec={
                "digest": {"type": "str", "required": True},
                "module": {"type": "str", "required": True},
                "given": {"type": "raw"},
                "source": {"type": "str"},
                "progress": {"type": "str"},
            },
            supports_check_mode=True,
        )

    def _load_params(self) -> None:
        super()._load_params()
        self.given = dict(self.params.pop("given", None) or {})
        self.given.update((name, value) for name, value in self.params.items() if name.startswith("_ansible_"))

    def log(self, msg: str, log_args: dict[str, Any] | None = None) -> None:
        """Nothing, as in module.Module."""


def answer_request() -> None:
    """Run the module that is asked for, or say that its library is "missing" here or "refused", with the reason."""
    request = Request()
    try:
        path = kept.path_of(request.params["digest"])
        if request.params["source"]:
            kept.keep(path, request.params["source"])
    except kept.Refused as refused:
        request.exit_json(library="refused", msg=str(refused), invocation={})
    if not kept.is_kept(path):
        request.exit_json(library="missing", invocation={})
    sys.path.insert(0, path)
    word = request.params["progress"]
    watched = os.path.join(os.path.dirname(path), kept.PROGRESS + word) if word else None
    progress = importlib.import_module(kept.PACKAGE + ".progress")
    with progress.told_in(watched):
        importlib.import_module(kept.PACKAGE + ".entry").run(request.params["module"], request.given)
