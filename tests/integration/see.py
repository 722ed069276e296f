# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on a lab host: all that libvirt has there, as virsh tells it, in one JSON document.

One virsh for the names and one for everything else. What changes by itself (times, space in use) is left out, so
that two documents are equal exactly when nothing was written between them.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

# Whether the agent in a guest has opened its channel is the guest's affair.
CONNECTED = re.compile(r" state='(dis)?connected'")
VOLATILE = re.compile(r"\s*<(timestamps>.*?</timestamps|(allocation|available|physical)\b[^>]*>[^<]*</\w+)>", re.DOTALL)


def virsh(commands: list[str]) -> dict[str, str]:
    """Outputs of virsh commands, by command; empty for one that fails."""
    if not commands:
        return {}
    script = "; ".join(f"echo =mark=; echo; {command}" for command in commands)
    done = subprocess.run(
        ["virsh", "-q", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False
    )
    return {command: part.strip() for command, part in zip(commands, done.stdout.split("=mark=")[1:])}


def facts(text: str) -> dict[str, str]:
    """The lines of an information command, "Key: value", as a dictionary."""
    pairs = [line.partition(":") for line in text.splitlines() if ":" in line]
    return {key.strip(): value.strip() for key, _colon, value in pairs}


def links() -> dict[str, dict[str, str]]:
    """Each network device with its number and the bridge that it belongs to."""
    return {
        path.name: {
            "ifindex": (path / "ifindex").read_text().strip(),
            "master": (path / "master").resolve().name if (path / "master").exists() else "",
        }
        for path in Path("/sys/class/net").iterdir()
    }


def domain(name: str, told: dict[str, str]) -> dict[str, object]:
    """A guest."""
    about = facts(told[f"dominfo {name}"])
    return {
        "state": told[f"domstate {name}"],
        "id": about.get("Id"),
        "autostart": about.get("Autostart") == "enable",
        "saved": about.get("Managed save") == "yes",
        "persistent": about.get("Persistent") == "yes",
        "live": CONNECTED.sub("", told[f"dumpxml --security-info {name}"]),
        "inactive": told[f"dumpxml --inactive --security-info {name}"],
    }


def other(word: str, name: str, told: dict[str, str]) -> dict[str, object]:
    """A network ("net") or a pool ("pool")."""
    about = facts(told[f"{word}-info {name}"])
    return {
        "active": about.get("Active") == "yes" or about.get("State") == "running",
        "autostart": about.get("Autostart") == "yes",
        "live": VOLATILE.sub("", told[f"{word}-dumpxml {name}"]),
        "inactive": VOLATILE.sub("", told[f"{word}-dumpxml --inactive {name}"]),
    }


def main() -> None:
    """Print the document."""
    lists = virsh(["list --all --name", "net-list --all --name", "pool-list --all --name"])
    domains, networks, pools = (text.split("\n") if text else [] for text in lists.values())
    views = ("domstate", "dominfo", "dumpxml --security-info", "dumpxml --inactive --security-info")
    wanted = [f"{view} {name}" for name in domains for view in views]
    wanted += [f"net-{view} {name}" for name in networks for view in ("info", "dumpxml", "dumpxml --inactive")]
    wanted += [f"pool-{view} {name}" for name in pools for view in ("info", "dumpxml", "dumpxml --inactive")]
    told = virsh(wanted + [f"vol-list {pool}" for pool in pools])
    volumes = [(pool, line.split()[0]) for pool in pools for line in told[f"vol-list {pool}"].splitlines()]
    details = virsh([f"vol-dumpxml {name} --pool {pool}" for pool, name in volumes])
    secrets = [line.split()[0] for line in virsh(["secret-list"])["secret-list"].splitlines()]
    filters = [line.split()[1] for line in virsh(["nwfilter-list"])["nwfilter-list"].splitlines()]
    rules = virsh([f"nwfilter-dumpxml {name}" for name in filters])
    about = virsh([f"secret-{view} {uuid}" for uuid in secrets for view in ("dumpxml", "get-value")])
    document = {
        "nwfilters": {name: {"inactive": rules[f"nwfilter-dumpxml {name}"]} for name in filters},
        "secrets": {
            uuid: {"inactive": about[f"secret-dumpxml {uuid}"], "value": about[f"secret-get-value {uuid}"]}
            for uuid in secrets
        },
        "domains": {name: domain(name, told) for name in domains},
        "networks": {name: other("net", name, told) for name in networks},
        "pools": {name: other("pool", name, told) for name in pools},
        "volumes": {
            f"{pool}/{name}": {"xml": VOLATILE.sub("", details[f"vol-dumpxml {name} --pool {pool}"])}
            for pool, name in volumes
        },
        "links": links(),
    }
    print(json.dumps(document, sort_keys=True))


main()
