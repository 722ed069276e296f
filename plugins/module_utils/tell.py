# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell what is on a host, in the shape in which the stack module takes it."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from .host.connection import Connection, HypervisorError, MissingLibrary
from .host.read import Scope, read_host
from .module import Module
from .plan.export import export_host
from .spec.kinds import KINDS


def tell_stack(module: Module) -> None:
    """Run the module stack_info."""
    patterns = {kind.plural: module.params.get(kind.plural) for kind in KINDS}
    try:
        stack = gather(module.params["uri"], patterns)
    except (HypervisorError, MissingLibrary) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, stack=stack)


def gather(uri: str, patterns: Mapping[str, list[str] | None]) -> dict[str, list[dict[str, Any]]]:
    """What is on a host, as a stack. patterns: plural kind → names to tell about, as shell patterns; None for all.

    Raises HypervisorError or MissingLibrary.
    """
    connection = Connection(uri)
    try:
        host = read_host(connection, Scope(frozenset(), frozenset(), everything=True, machines=False))
    finally:
        connection.close()
    found = export_host(host)
    return {
        kind: [item for item in items if patterns.get(kind) is None or _matches(item["name"], patterns[kind] or [])]
        for kind, items in found.items()
    }


def _matches(name: str, patterns: list[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
