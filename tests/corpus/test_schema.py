# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All of libvirt's domain format is reachable by typed options, but for what is listed with its reason."""

from __future__ import annotations

import re
from typing import Callable

from exceptions import reasons
from schema import reachable, sayable
from source import RELEASES, documents

from ansible_collections.kvmfleet.libvirt.plugins.module_utils.spec.domain import DOMAIN


def test_whatever_a_domain_can_say_has_an_option(count: Callable[[str], None]) -> None:
    known, options = reasons("untyped"), set(reachable(DOMAIN.fields))
    said = {release: sayable(documents(release) / "schemas") for release in RELEASES}
    left = {path for paths in said.values() for path in paths} - options
    for release, paths in said.items():
        assert len(paths) > 1500, "the schema was not understood"
        count(f"{release} schema: {len(paths)} paths, {len(options & set(paths))} by options, the rest by xml alone")
    by = {pattern: {path for path in left if re.fullmatch(pattern, path)} for pattern in known}
    for reason in dict.fromkeys(known.values()):
        count(f"    {len(set().union(*(by[pattern] for pattern in by if known[pattern] == reason)))}: {reason}")
    assert sorted(left.difference(*by.values())) == []
    assert [pattern for pattern, paths in by.items() if not paths] == [], "these are exceptions no longer"
