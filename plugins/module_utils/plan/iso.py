# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes that are ISO images of declared files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from .problem import Problems
from .seed import as_text
from .site import Declared

# Joliet has names of 64 characters and a label of 16 (ECMA-119 with Microsoft's Joliet 1.0); ISO 9660 has eight levels.
_LONGEST, _LABEL, _DEEPEST = 64, 16, 8


def check_iso(declared: Declared, where: str, problems: Problems) -> None:
    """Note what is wrong with the files of an image. What stands in them is not told."""
    if not declared["name"].endswith(".iso"):
        problems.add(where + ": name", "has to end in .iso, as it is an ISO image")
    where += ": iso"
    label = declared["iso"].get("label") or ""
    if len(label) > _LABEL or not label.isascii():
        problems.add(where + ".label", f"has more than {_LABEL} characters, or others than ASCII's")
    files = declared["iso"]["files"]
    if not isinstance(files, Mapping) or not files:
        problems.add(where + ".files", "must be a mapping of names to contents, with at least one")
        return
    for name, content in files.items():
        wrong = _wrong_name(name, files)
        if wrong:
            problems.add(where + ".files", f"{name!r} {wrong}")
        if not isinstance(content, (str, Mapping, list)):
            problems.add(where + ".files", f"the content of {name!r} must be a text, a mapping or a list")


def _wrong_name(name: Any, files: Mapping[Any, Any]) -> str | None:
    """What is wrong with the name of a file in an image, None when nothing is."""
    if not isinstance(name, str):
        return "is no text"
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts):
        return "is no path within the image"
    if any(len(part) > _LONGEST for part in parts) or len(parts) > _DEEPEST:
        return f"has parts of more than {_LONGEST} characters, or more than {_DEEPEST} of them"
    if not name.isprintable() or any(char in name for char in "*:;?\\"):
        return "has characters that an ISO image cannot have in a name"
    above = ["/".join(parts[:count]) for count in range(1, len(parts))]
    taken = next((folder for folder in above if folder in files), None)
    return f"is in {taken!r}, which is a file" if taken else None


def content_of_iso(declared: Declared) -> Declared:
    """The declaration with what has to be written, and the digest that tells it from other content."""
    files, label = declared["iso"]["files"], declared["iso"].get("label") or ""
    content = {str(name): as_text(text) for name, text in files.items()} if isinstance(files, Mapping) else {}
    told = json.dumps({"files": content, "label": label}, sort_keys=True)
    return dict(declared, content=content, label=label, digest=hashlib.sha256(told.encode()).hexdigest())
