# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plays that run in guests, from this machine and through a remote URI, as a user's control node does it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from fleet import Host

if TYPE_CHECKING:
    import pytest


def reach(host: Host, monkeypatch: pytest.MonkeyPatch, folder: Path) -> str:
    """The URI of a lab host; ssh, however it is started from now on, knows the lab's keys and names."""
    programs = folder / "bin"
    programs.mkdir()
    config = host.inventory.with_name("ssh_config")
    (programs / "ssh").write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F {config} "$@"\n')
    (programs / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    # A short path: the sockets of ssh have a limit of 108 characters.
    monkeypatch.setenv("ANSIBLE_GUEST_AGENT_URI", f"qemu+ssh://root@{host.name}/system")
    return f"qemu+ssh://root@{host.name}/system"


def inventory(folder: Path, uri: str, guests: dict[str, dict[str, Any]]) -> Path:
    """An inventory, written by hand, of guests that are reached through their agents."""
    common = {
        "ansible_connection": "kvmfleet.libvirt.guest_agent",
        "ansible_guest_agent_uri": uri,
        "ansible_guest_agent_sockets": str(folder.parent),
    }
    path = folder / "hosts.yml"
    path.write_text(yaml.safe_dump({"all": {"hosts": guests, "vars": common}}))
    return path


def play(
    host: Host, hosts: Path, name: str, *tasks: dict[str, Any], **keywords: Any
) -> list[tuple[str, dict[str, Any]]]:
    """Status and result of each task of a play in a guest, or on a pattern of hosts. A failed task does not end it."""
    guest = Host(name, host.release, hosts, host.scratch)
    keywords.setdefault("ignore_errors", True)
    process = guest.begin(tasks=list(tasks), **keywords)
    output, _error = process.communicate(timeout=900)
    record = Path(process.args[-1]).with_suffix(".jsonl")  # type: ignore[index,arg-type]
    assert record.exists(), output.decode()[-4000:]
    lines = [json.loads(line) for line in record.read_text(encoding="utf-8").splitlines()]
    assert "Traceback" not in output.decode(), output.decode()[-6000:]
    return [(line["status"], line["result"]) for line in lines]
