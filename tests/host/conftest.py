# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""libvirt's own test driver: a hypervisor that lives in this process and forgets everything at its end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.kvmfleet.libvirt.plugins.module_utils import tree
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.host.connection import Connection

URI = "test:///default"


@pytest.fixture
def connection() -> Iterator[Connection]:
    """A connection to the test driver as it is when it starts, whatever an earlier test did with it."""
    opened = Connection(URI)
    _clear(opened.open)
    yield opened
    _clear(opened.open)
    opened.close()


@pytest.fixture
def pool(connection: Connection, tmp_path: Path) -> Any:
    """An active directory pool whose directory is real, although the test driver does not look into it."""
    root = tree.element("pool", type="dir")
    root.append(tree.element("name", "default"))
    tree.put(root, "target/path", str(tmp_path / "pool"))
    (tmp_path / "pool").mkdir()
    return connection.open.storagePoolCreateXML(tree.text_of(root), 0)


def _clear(libvirt_connection: Any) -> None:
    """Take out what is there: the driver starts with a guest, a network and a pool."""
    for listed in ("listAllDomains", "listAllNetworks", "listAllStoragePools"):
        for thing in getattr(libvirt_connection, listed)(0):
            persistent = thing.isPersistent()
            if thing.isActive():
                thing.destroy()
            if persistent:
                thing.undefine()
