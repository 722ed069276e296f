# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What libvirt says, where its code alone does not tell: its daemon speaks the language of its host."""

from __future__ import annotations

import functools
import gettext
import glob
import re

CATALOGS = "/usr/share/locale/*/LC_MESSAGES/libvirt.mo"
# How messages begin in English, by their code (virErrorMsg in virerror.c).
_BEGINS = {
    "VIR_ERR_INTERNAL_ERROR": "internal error",
    "VIR_ERR_OPERATION_FAILED": "operation failed",
    "VIR_ERR_OPERATION_INVALID": "Requested operation is not valid",
    "VIR_ERR_OPERATION_TIMEOUT": "Timed out during operation",
    "VIR_ERR_OPERATION_UNSUPPORTED": "Operation not supported",
    "VIR_ERR_CONFIG_UNSUPPORTED": "unsupported configuration",
}
# What a message is about, in the place of which its format has this.
_FILLED = re.compile(r"%(?:\d+\$)?[-+ #0]*\d*(?:\.\d+)?(?:hh|h|ll|l|z|j)?[a-zA-Z]")


def says(code: str, message: str, words: str) -> bool:
    """Whether a message of libvirt has these words in English. code: its name (VIR_ERR_…)."""
    if words in message:
        return True
    if code not in _BEGINS or message.startswith(_BEGINS[code]):
        return False
    return any(pattern.search(message) for pattern in _translated(words))


@functools.cache
def _translated(words: str) -> list[re.Pattern[str]]:
    """What the messages with these words look like in the languages that this machine has libvirt's messages in."""
    found = []
    for path in sorted(glob.glob(CATALOGS)):
        with open(path, "rb") as file:
            catalog = gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined] # noqa: SLF001 - what says it, not what it says
        found += [
            _pattern(text) for plain, text in catalog.items() if isinstance(plain, str) and text and words in plain
        ]
    return found


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in _FILLED.split(text)), re.DOTALL)
