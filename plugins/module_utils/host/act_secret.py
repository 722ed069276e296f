# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be done to secrets: one function a verb of a plan's steps."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Callable

from .connection import Connection

Args = Mapping[str, Any]


def _define(connection: Connection, _secret: Any, args: Args) -> None:
    secret = connection.open.secretDefineXML(args["xml"], 0)
    if args["value"] is not None:
        secret.setValue(base64.b64decode(args["value"]), 0)


def _set_value(connection: Connection, _secret: Any, args: Args) -> None:
    secret = connection.open.secretLookupByUUIDString(args["uuid"])
    secret.setValue(base64.b64decode(args["value"]), 0)


def _undefine(connection: Connection, _secret: Any, args: Args) -> None:
    connection.open.secretLookupByUUIDString(args["uuid"]).undefine()


VERBS: dict[tuple[str, str], Callable[[Connection, Any, Args], Any]] = {
    ("secret", "define"): _define,
    ("secret", "set_value"): _set_value,
    ("secret", "undefine"): _undefine,
}
