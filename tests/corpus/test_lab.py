# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documents of libvirt's tests that libvirt itself takes on a lab host, declared there in each way."""

from __future__ import annotations

from typing import Callable

import pytest
from exceptions import reasons, unexpected
from fleet import Host
from on_lab import SAMPLE, verdict

FEWEST = {"domain": 1400, "network": 65, "nwfilter": 80, "pool": 27, "secret": 6, "volume": 35}
"""So many documents of each kind each host takes at least; half of its share of a sample, as that may be unlucky."""


@pytest.mark.parametrize("kind", ["secret", "nwfilter", "network", "pool", "volume", "domain"])
def test_declared_twice_checked_exported_and_removed(
    host: Host, kind: str, whole: bool, count: Callable[[str], None]
) -> None:
    found = verdict(host, kind, whole=whole)
    origin = {name: f"{host.release}: {document.origin}" for name, document in found.documents.items()}
    wrong = {origin[name]: text for name, text in found.wrong.items()}
    known = [name for name in origin.values() if name in reasons("lab")]
    count(
        f"{host.release} {kind}: {len(origin)} documents, {len(found.refused)} refused by libvirt, "
        f"{len(found.outside)} outside its schema, {found.declared} declared, "
        f"{len(wrong)} wrong, {len(known)} exceptions"
    )
    for name in known:
        count(f"    {name}: {reasons('lab')[name]}")
    assert found.declared >= (FEWEST[kind] if whole else FEWEST[kind] // (2 * SAMPLE[kind]))
    surprises = unexpected("lab", wrong, origin.values())
    assert not surprises, "\n".join(surprises)
