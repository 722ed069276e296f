# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documents of libvirt's tests that libvirt itself takes on a lab host, declared there in each way."""

from __future__ import annotations

from typing import Callable

import pytest
from exceptions import reasons, unexpected
from fleet import Host
from on_lab import SAMPLE, crowded, updated, verdict
from source import documents
from updates import updates

FEWEST = {"domain": 1400, "network": 65, "nwfilter": 80, "pool": 22, "secret": 6, "volume": 35}
"""So many documents of each kind each host takes at least; half of its share of a sample, as that may be unlucky."""


@pytest.mark.parametrize("kind", ["secret", "nwfilter", "network", "pool", "volume", "domain"])
def test_declared_twice_checked_exported_and_removed(
    host: Host, kind: str, whole: bool, count: Callable[[str], None]
) -> None:
    begun = host.sh("date +%s").strip()
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
    assert crowded(host, begun) == ""


EVERY = 11
"""Of so many updates one is carried out, unless all are."""


def test_networks_that_run_become_others_as_libvirts_tests_update_them(
    host: Host, whole: bool, count: Callable[[str], None]
) -> None:
    every = [update for update in updates(documents(host.release)) if update.name not in reasons("updates")]
    tried = every[:: 1 if whole else EVERY]
    found = updated(host, tried)
    count(
        f"{host.release} network: {len(tried)} to be updated while they run, {len(found.refused)} refused by libvirt, "
        f"{len(found.wrong)} wrong"
    )
    assert found.wrong == {}
    assert len(found.refused) <= len(tried) // 3
