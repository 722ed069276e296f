# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gives a host other network links, and takes them back unless somebody still reaches the host with them.

renderer   prints who sets up the network here
look       prints the files that would change, as JSON
try        writes and applies them, waits for `confirm`, else puts everything back as it was; run it apart from the
           connection that it may cut: as a service of its own
confirm    says that the host is still reached; fails if that comes too late

usage: try_links.py renderer | confirm | look ASKED | try FILE_WITH_ASKED
ASKED: '{"renderer": "systemd-networkd|NetworkManager|netplan", "files": {"/etc/…": "…"}, "seconds": 60}'
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

OURS = {
    "systemd-networkd": ("/etc/systemd/network", "05-kvmfleet-*"),
    "NetworkManager": ("/etc/NetworkManager/system-connections", "kvmfleet-*.nmconnection"),
    "netplan": ("/etc/netplan", "90-kvmfleet.yaml"),
}
PLACE = Path("/run/kvmfleet-links")
STATE, CONFIRMED = PLACE / "state", PLACE / "confirmed"
_DEVICE = re.compile(r"^\[NetDev\]\nName=(?P<name>\S+)", re.MULTILINE)


def renderer() -> str:
    """Who sets up the network: netplan where it has files, as it writes those of others; empty for somebody else."""
    if any(Path("/etc/netplan").glob("*.yaml")):
        return "netplan"
    for name in ("NetworkManager", "systemd-networkd"):
        if subprocess.run(["systemctl", "is-active", "--quiet", name], check=False).returncode == 0:
            return name
    return ""


def present(name: str) -> dict[str, str]:
    """Our files that are there."""
    folder, pattern = OURS[name]
    return {str(path): path.read_text(encoding="utf-8") for path in sorted(Path(folder).glob(pattern))}


def changes(there: dict[str, str], wanted: dict[str, str]) -> dict[str, str | None]:
    """What has to be written, and with None what has to go."""
    found: dict[str, str | None] = {path: text for path, text in wanted.items() if there.get(path) != text}
    return {**found, **dict.fromkeys(set(there) - set(wanted))}


def devices(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Devices of systemd-networkd that have to be deleted: it neither removes nor alters one that is there."""
    gone = {path: text for path, text in before.items() if path.endswith(".netdev") and after.get(path) != text}
    return sorted(found["name"] for text in gone.values() if (found := _DEVICE.search(text)))


def write(files: dict[str, str | None]) -> None:
    """Write, or remove, files that only root reads, as some renderers demand; systemd-networkd runs as another user."""
    for path, text in files.items():
        if text is None:
            Path(path).unlink(missing_ok=True)
            continue
        handle = os.open(f"{path}.part", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(f"{path}.part").chmod(0o644 if "/systemd/" in path else 0o600)
        Path(f"{path}.part").rename(path)


def apply(name: str, before: dict[str, str], after: dict[str, str]) -> None:
    """Have the renderer do what its files say."""
    if name == "systemd-networkd":
        _apply_networkd(before, after)
    elif name == "netplan":
        subprocess.run(["netplan", "apply"], check=True)
    else:
        for path in sorted(set(before) - set(after)):
            subprocess.run(["nmcli", "connection", "delete", Path(path).stem], check=False)
        subprocess.run(["nmcli", "connection", "reload"], check=True)
        for path in after:
            subprocess.run(["nmcli", "connection", "up", Path(path).stem], check=False)
        for path in sorted(set(before) - set(after)):
            port = Path(path).stem.removeprefix("kvmfleet-")
            subprocess.run(["nmcli", "device", "connect", port], check=False)


def _apply_networkd(before: dict[str, str], after: dict[str, str]) -> None:
    """It must not see a device go: it would give the ports of that up for good, also with new files."""
    units = ["systemd-networkd.socket", "systemd-networkd.service"]
    gone = devices(before, after)
    if gone:
        subprocess.run(["systemctl", "stop", *units], check=True)
        for device in gone:
            subprocess.run(["ip", "link", "delete", device], check=False)
        subprocess.run(["systemctl", "start", *units], check=True)
        return
    subprocess.run(["networkctl", "reload"], check=True)
    names = [name for name in concerned(before, after) if Path("/sys/class/net", name).exists()]
    if names:
        subprocess.run(["networkctl", "reconfigure", *names], check=True)


def concerned(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Interfaces whose files of systemd-networkd differ."""
    paths = [path for path in {*before, *after} if path.endswith(".network") and before.get(path) != after.get(path)]
    return sorted(Path(path).stem.removeprefix("05-kvmfleet-") for path in paths)


def attempt(name: str, wanted: dict[str, str], seconds: float) -> bool:
    """Whether it was confirmed in time; if not, or if anything fails, all is as before."""
    before = present(name)
    steps = changes(before, wanted)
    back = {path: before.get(path) for path in steps}
    CONFIRMED.unlink(missing_ok=True)
    STATE.write_text("trying", encoding="utf-8")
    confirmed = False
    try:
        write(steps)
        apply(name, before, wanted)
        STATE.write_text("applied", encoding="utf-8")
        until = time.monotonic() + seconds
        while not (confirmed := CONFIRMED.exists()) and time.monotonic() < until:
            time.sleep(0.2)
    finally:
        if not confirmed:
            write(back)
            apply(name, wanted, before)
        STATE.write_text("confirmed" if confirmed else "put back", encoding="utf-8")
    return confirmed


def confirm(seconds: float = 30) -> str:
    """The state that it ends with."""
    until = time.monotonic() + seconds
    state = ""
    while time.monotonic() < until and state not in {"confirmed", "put back"}:
        state = STATE.read_text(encoding="utf-8")
        if state == "applied":
            CONFIRMED.touch()
        time.sleep(0.2)
    return state


def main(words: list[str]) -> None:
    """Do what is asked."""
    if words[0] == "renderer":
        print(renderer())
    elif words[0] == "look":
        asked: dict[str, Any] = json.loads(words[1])
        print(json.dumps(sorted(changes(present(asked["renderer"]), asked["files"]))))
    elif words[0] == "try":
        asked = json.loads(Path(words[1]).read_text(encoding="utf-8"))
        if not attempt(asked["renderer"], asked["files"], asked["seconds"]):
            raise SystemExit("nobody reached the host with the new links in time: the old ones are back")
    else:
        state = confirm()
        if state != "confirmed":
            raise SystemExit(f"the new links were not confirmed in time; they are {state}")


if __name__ == "__main__":
    main(sys.argv[1:])
