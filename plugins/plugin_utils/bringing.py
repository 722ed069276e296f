# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of the control machine that become volumes: which of them a task names, and which a host needs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

_CHUNK = 1 << 20


class Brought(NamedTuple):
    """A volume whose content is a file of the control machine. volume: "pool/name"; source: its options, to be added to."""

    volume: str
    source: dict[str, Any]


def brought(module: str, given: Mapping[str, Any]) -> list[Brought]:
    """The volumes of a task whose content is on the control machine. module: its short name."""
    items = [given] if module == "volume" else given.get("volumes") if module == "stack" else None
    found = []
    for item in items if isinstance(items, list) else []:
        source = item.get("source") if isinstance(item, Mapping) else None
        if isinstance(source, dict) and source.get("local"):
            found.append(Brought("{}/{}".format(item.get("pool") or "default", item.get("name")), source))
    return found


def needed(result: Mapping[str, Any]) -> set[str]:
    """The volumes that a run would get new content, by what it told in check mode."""
    return {
        item["name"]
        for item in result.get("objects") or []
        if item["kind"] == "volume" and any(change["path"].startswith("source") for change in item["changes"])
    }


def checksum_of(path: str) -> str:
    """The checksum of a file as the option takes it."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return f"sha256:{digest.hexdigest()}"
