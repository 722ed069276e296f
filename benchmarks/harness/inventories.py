"""The inventories that are compared: the plugin's source, and a file with as many hosts."""

from __future__ import annotations

import json
from pathlib import Path

from guests import names
from lab import HOST
from place import CACHE, ROOT


def ssh_program() -> Path:
    """An ssh that knows the lab's hosts and keys, for programs that start one by themselves."""
    ssh = CACHE / "bin" / "ssh"
    ssh.parent.mkdir(parents=True, exist_ok=True)
    ssh.write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F {ROOT / ".lab" / "ssh_config"} "$@"\n', encoding="utf-8")
    ssh.chmod(0o755)
    return ssh


def uri_over_ssh() -> str:
    """The URI of the lab host from this machine."""
    return f"qemu+ssh://root@{HOST}/system?command={ssh_program()}"


def guests_inventory() -> Path:
    """The source of the plugin: all guests of the lab host, over ssh."""
    return _written("bench.guests.yml", {"plugin": "kvmfleet.libvirt.guests", "uris": [uri_over_ssh()]})


def static_inventory(count: int) -> Path:
    """As many hosts in a file."""
    return _written("static.yml", {"all": {"hosts": {name: {"ansible_host": "192.0.2.1"} for name in names(count)}}})


def _written(name: str, content: object) -> Path:
    path = CACHE / name
    path.write_text(json.dumps(content), encoding="utf-8")
    return path
