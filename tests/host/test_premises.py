# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is looked for on a host before anything is written, as far as this machine can show it."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.kvmfleet.libvirt.plugins.module_utils.host.connection import Connection
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.host.premises import (
    has_files,
    in_the_way,
    is_missing,
    listening,
)
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.problem import Declined
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.reconcile import Run, reconcile
from ansible_collections.kvmfleet.libvirt.tests.unit.support.declarations import stack_of

UUID = "5b3a1f4e-0000-4000-8000-000000000001"


def test_files_that_are_there_or_not(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    told = {name: is_missing(str(tmp_path / name)) for name in ("file", "nothing", "file/below", "dangling", ".")}
    assert told == {"file": False, "nothing": True, "file/below": True, "dangling": True, ".": False}


def test_files_below_a_directory(tmp_path: Path) -> None:
    assert not has_files(str(tmp_path / "none"))
    (tmp_path / "qemu.d").mkdir()
    assert not has_files(str(tmp_path))
    (tmp_path / "qemu.d" / "pages").touch()
    assert has_files(str(tmp_path))


def test_what_is_in_the_way_of_a_directory(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    (tmp_path / "link").symlink_to(tmp_path)
    assert in_the_way(str(file)) == str(file)
    assert in_the_way(str(file / "below" / "it")) == str(file)
    assert [in_the_way(str(tmp_path / name)) for name in (".", "new", "new/below", "link/new")] == [None] * 4


@pytest.mark.parametrize(
    ("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"), (socket.AF_INET, "0.0.0.0")]
)
def test_ports_that_are_in_use(family: socket.AddressFamily, address: str) -> None:
    with socket.socket(family) as server:
        try:
            server.bind((address, 0))
        except OSError:
            pytest.skip(f"this machine has no address {address}")
        port = server.getsockname()[1]
        assert (address, port) not in list(listening())
        server.listen()
        assert (address, port) in list(listening())


@pytest.mark.parametrize("kind", ["domains", "networks", "pools"])
@pytest.mark.usefixtures("connection")
def test_one_uuid_for_two(kind: str, connection: Connection) -> None:
    more: dict[str, Any] = {
        "domains": {"virt_type": "test", "memory": "8 MiB"},
        "networks": {},
        "pools": {"path": "/nonexistent/{}"},
    }[kind]
    items = [
        {"name": name, "uuid": UUID, **{option: text.format(name) for option, text in more.items()}} for name in "ab"
    ]
    for check in (True, False):
        with pytest.raises(Declined, match=f"UUID {UUID} is also that of [a-z]+ a$"):
            reconcile(stack_of(json.loads(json.dumps({kind: items}))), Run("test:///default", check, 5, "stop"))
    conn = connection.open
    assert not [*conn.listAllDomains(0), *conn.listAllNetworks(0), *conn.listAllStoragePools(0)]
