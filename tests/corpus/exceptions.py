# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The exceptions of exceptions.yml, and what is to be said when they do not hold."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml

_FILE = yaml.safe_load(Path(__file__).with_name("exceptions.yml").read_text(encoding="utf-8"))


def reasons(part: str) -> dict[str, str]:
    """The reason of each exception, by the name of its document or the pattern of its path."""
    return {
        name: group["reason"]
        for group in _FILE.get(part) or []
        for name in group.get("documents") or group.get("paths")
    }


def unexpected(part: str, found: Mapping[str, str], all_of: Iterable[str]) -> list[str]:
    """What was found and is no exception, and exceptions among all documents that were not found."""
    known = reasons(part)
    surprises = [f"{name}: {text}" for name, text in found.items() if name not in known]
    return surprises + [f"{name} is an exception no longer" for name in all_of if name in known and name not in found]


def is_unnoticed(path: str, value: str) -> bool:
    """Whether nothing is done for a change of this value at this path."""
    return any(re.fullmatch(pattern, text) for pattern in reasons("unnoticed") for text in (path, f"{path}={value}"))
