# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Opens ports in the firewall that runs here, firewalld or ufw, and closes those again that it opened and that are no
longer wanted. Where neither runs there is nothing to open. Rules of others stay.

Prints {"firewall": "firewalld|ufw|", "changed": [rules]} as JSON.

usage: firewall.py '{"ports": ["16514", "49152-49215"], "sources": ["192.0.2.0/24"], "check": false}'
"""

from __future__ import annotations

import ipaddress
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

RECORD = Path("/var/lib/kvmfleet/firewall.json")
COMMENT = "kvmfleet"


def rules(ports: list[str], sources: list[str]) -> list[str]:
    """Each port with each source, or with everybody: `16514 192.0.2.0/24`, `16514 any`."""
    return [f"{port} {source}" for port in ports for source in sources or ["any"]]


def commands(firewall: str, rule: str, opens: bool) -> list[list[str]]:
    """What opens or closes, now and for good."""
    port, source = rule.split()
    if firewall == "ufw":
        given = ["allow", "proto", "tcp", "from", source, "to", "any", "port", port.replace("-", ":")]
        return [["ufw", *given, "comment", COMMENT]] if opens else [["ufw", "delete", *given]]
    option = f"--{'add' if opens else 'remove'}-rich-rule={rich(rule)}"
    return [["firewall-cmd", "--quiet", *when, option] for when in ([], ["--permanent"])]


def rich(rule: str) -> str:
    """A rule in firewalld's words."""
    port, source = rule.split()
    family = "" if source == "any" else f'family="ipv{ipaddress.ip_network(source, strict=False).version}" '
    origin = "" if source == "any" else f'source address="{source}" '
    return f'rule {family}{origin}port port="{port}" protocol="tcp" accept'


def as_ufw_tells(rule: str) -> set[str]:
    """How `ufw show added` may tell of a rule."""
    port, source = rule.replace("-", ":").split()
    if source == "any":
        return {f"ufw allow {port}/tcp", f"ufw allow proto tcp from any to any port {port}"}
    source = str(ipaddress.ip_network(source, strict=False))
    alone = source.removesuffix("/32").removesuffix("/128")
    return {f"ufw allow from {name} to any port {port} proto tcp" for name in (source, alone)}


def running() -> str:
    """Which firewall runs."""
    if _says(["firewall-cmd", "--state"]).strip() == "running":
        return "firewalld"
    return "ufw" if "Status: active" in _says(["ufw", "status"]) else ""


def open_already(firewall: str, rule: str) -> bool:
    """Whether a rule is there, now and for good."""
    if firewall == "ufw":
        added = {line.partition(" comment ")[0] for line in _says(["ufw", "show", "added"]).splitlines()}
        return bool(added & as_ufw_tells(rule))
    queries = (["firewall-cmd", *when, f"--query-rich-rule={rich(rule)}"] for when in ([], ["--permanent"]))
    return all(_says(query).strip() == "yes" for query in queries)


def _says(command: list[str]) -> str:
    """What a command prints; nothing if it is not there."""
    try:
        return subprocess.run(
            command, check=False, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=ENVIRONMENT
        ).stdout
    except FileNotFoundError:
        return ""


ENVIRONMENT = {"LC_ALL": "C", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}


def main(asked: dict[str, Any]) -> dict[str, Any]:
    """Do it; what to print."""
    firewall = running()
    ours: list[str] = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else []
    if not firewall:
        return {"firewall": "", "changed": []}
    wanted = rules(asked["ports"], asked["sources"])
    opening = [rule for rule in wanted if not open_already(firewall, rule)]
    closing = [rule for rule in ours if rule not in wanted]
    if not asked["check"]:
        kept = [rule for rule in wanted if rule in ours or rule in opening]
        _remember([*ours, *opening])
        for rule, opens in [*((rule, True) for rule in opening), *((rule, False) for rule in closing)]:
            for command in commands(firewall, rule, opens):
                done = subprocess.run(command, check=False, capture_output=True, text=True, env=ENVIRONMENT)
                # What somebody else closed before is closed.
                if done.returncode and opens:
                    raise SystemExit(f"{' '.join(command)}: {done.stderr.strip()}")
        _remember(kept)
    return {
        "firewall": firewall,
        "changed": [f"open {rule}" for rule in opening] + [f"close {rule}" for rule in closing],
    }


def _remember(ours: list[str]) -> None:
    """Keep the record, which goes with its last entry."""
    if not ours:
        RECORD.unlink(missing_ok=True)
    else:
        RECORD.parent.mkdir(exist_ok=True)
        RECORD.write_text(json.dumps(ours) + "\n", encoding="utf-8")


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
