# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What libvirt says in another language than English. No host of the suite speaks one."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from ansible_collections.kvmfleet.libvirt.plugins.module_utils.host import language

# As libvirt 9.0 and 11.3 have them; the last two have these words in common.
GERMAN = {
    "": "Content-Type: text/plain; charset=UTF-8\n",
    "pool '%s' has asynchronous jobs running.": "In Pool '%s' laufen asynchrone Jobs.",
    "pool '%1$s' has asynchronous jobs running.": "In Pool '%1$s' laufen asynchrone Jobs.",
    "domain has active block job": "Die Domain hat einen aktiven Block-Job",
    "disk '%1$s' already in active block job": "Disk '%1$s' bereits in aktivem Block-Job",
}
BUSY = "asynchronous jobs running"
CODE = "VIR_ERR_INTERNAL_ERROR"


@pytest.fixture(autouse=True)
def catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A catalog of messages, in the format that GNU gettext's manual describes ("The Format of GNU MO Files")."""
    texts = sorted((plain.encode(), text.encode()) for plain, text in GERMAN.items())
    begin, tables, data = 28, [b"", b""], b""
    for side in (0, 1):
        for pair in texts:
            tables[side] += struct.pack("<II", len(pair[side]), begin + 16 * len(texts) + len(data))
            data += pair[side] + b"\0"
    head = struct.pack("<7I", 0x950412DE, 0, len(texts), begin, begin + 8 * len(texts), 0, 0)
    (tmp_path / "libvirt.mo").write_bytes(head + b"".join(tables) + data)
    monkeypatch.setattr(language, "CATALOGS", str(tmp_path / "*.mo"))
    language._translated.cache_clear()


@pytest.mark.parametrize(
    ("message", "words", "so"),
    [
        ("internal error: pool 'a' has asynchronous jobs running.", BUSY, True),
        ("internal error: storage volume name 'a' already in use.", BUSY, False),
        ("Interner Fehler: In Pool 'a' laufen asynchrone Jobs.", BUSY, True),
        ("Interner Fehler: Name 'a' wird schon verwendet.", BUSY, False),
        ("Interner Fehler: Disk 'vda' bereits in aktivem Block-Job", "active block job", True),
        ("Interner Fehler: Die Domain hat einen aktiven Block-Job", "active block job", True),
        ("Interner Fehler: Die Domain hat einen aktiven Block-Job", BUSY, False),
    ],
)
def test_words_are_found_in_any_language(message: str, words: str, so: bool) -> None:
    assert language.says(CODE, message, words) is so


def test_what_is_said_in_english_is_not_looked_up() -> None:
    language.says(CODE, "internal error: something", BUSY)
    assert language._translated.cache_info().misses == 0
