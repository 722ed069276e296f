# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be done with systemd's units so that libvirt is served by the daemons that are wanted: one libvirtd, or
one daemon a driver. Changes nothing; prints a plan as JSON (see plan()).

usage: daemons.py '{"wanted": "auto|monolithic|modular", "usual": "monolithic|modular", "tls": true|false|null}'
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

DRIVERS = (
    "virtqemud",
    "virtnetworkd",
    "virtstoraged",
    "virtnodedevd",
    "virtnwfilterd",
    "virtsecretd",
    "virtinterfaced",
)
"""The daemon of each driver that a QEMU host has."""
DAEMONS = {"monolithic": ("libvirtd",), "modular": (*DRIVERS, "virtproxyd")}
MAIN = {"monolithic": "libvirtd", "modular": "virtqemud"}
"""Without that daemon there is no such mode on a host."""
AT_BOOT = {"monolithic": ("libvirtd",), "modular": DRIVERS[:3]}
"""Services that start with the host themselves, since they start what has autostart; sockets start the others."""
REMOTE = {"monolithic": "libvirtd", "modular": "virtproxyd"}
"""Who listens on the network."""
KINDS = (".socket", "-ro.socket", "-admin.socket")
LISTENING = ("-tls.socket", "-tcp.socket")
KEPT = ("virtlogd", "virtlockd")
"""Daemons that hold what belongs to running guests: they are reloaded, never restarted."""
FOLDER = Path("/etc/libvirt")
SASL = Path("/etc/sasl2/libvirt.conf")
MEMORY = Path("/var/lib/kvmfleet")
"""Where other parts of the role remember what they did."""


class Unit(NamedTuple):
    """What systemd says of a unit; `since` is when its process started, in seconds since 1970, 0 if there is none."""

    loaded: bool = False
    active: bool = False
    enabled: str = ""
    since: int = 0

    @property
    def comes_up(self) -> bool:
        """Whether it is there after the next boot."""
        return self.enabled not in {"", "disabled", "masked", "masked-runtime"}

    @property
    def used(self) -> bool:
        """Whether it serves now, or will after the next boot."""
        return self.loaded and (self.active or self.comes_up)


def units_of(mode: str) -> list[str]:
    """All units that belong to a mode, the sockets first: a service must not be woken while it is being stopped."""
    sockets = [daemon + kind for daemon in DAEMONS[mode] for kind in KINDS]
    sockets += [REMOTE[mode] + kind for kind in LISTENING]
    return sockets + [f"{daemon}.service" for daemon in DAEMONS[mode]]


def mode_of(units: dict[str, Unit], wanted: str, usual: str) -> str:
    """The mode that is meant. `auto` is what the host has in use; if that is nothing, or both, what is usual there."""
    if wanted != "auto":
        return wanted
    used = [mode for mode, main in MAIN.items() if _any(units, main, "used")]
    there = [mode for mode, main in MAIN.items() if _any(units, main, "loaded")]
    for modes in (used, there):
        if len(modes) == 1:
            return modes[0]
    return usual


def _any(units: dict[str, Unit], daemon: str, what: str) -> bool:
    return any(getattr(units.get(f"{daemon}{kind}", Unit()), what) for kind in (".socket", ".service"))


def plan(
    units: dict[str, Unit], wanted: str, usual: str, tls: bool | None, written: dict[str, int] | None = None
) -> dict[str, Any]:
    """What is to be done, in this order.

    mode        the mode that is meant
    daemons     its daemons that are installed; packages may leave some out
    problem     why it cannot be had, or ""
    disable     units of the other mode that are active or come up at boot
    unmask      units that are masked, and shall come up
    enable      units that do not come up at boot, and shall
    stop        services that have to stop for a moment, since systemd starts no socket of a running service
    start       sockets that do not listen, and shall
    close       sockets that listen and shall not
    listens     whether a daemon runs now that speaks TLS on the network
    restart     services that have not read a file of /etc/libvirt that was written after they started, or hold
                what was closed
    readers     which service reads which file, by the file's name without its ending; `sasl` is that of SASL
    running     services of these that run now
    kept        services that are only ever reloaded
    remote      the daemon that listens on the network

    `tls` true and false want libvirt's TLS socket or want it not; null leaves it as it is. `written` says when the
    files of /etc/libvirt were written, in seconds since 1970.
    """
    mode = mode_of(units, wanted, usual)
    other = "modular" if mode == "monolithic" else "monolithic"
    main = f"{MAIN[mode]}.service"
    there = {name for name, unit in units.items() if unit.loaded}
    sockets = [name for daemon in DAEMONS[mode] for kind in KINDS if (name := daemon + kind) in there]
    listening = f"{REMOTE[mode]}-tls.socket"
    if tls and listening in there:
        sockets.append(listening)
    services = [f"{daemon}.service" for daemon in AT_BOOT[mode] if f"{daemon}.service" in there]
    start = [name for name in sockets if not units[name].active]
    readers = readers_of(mode)
    close = [listening] if tls is False and units.get(listening, Unit()).used else []
    unread = [
        service
        for name, service in readers.items()
        if units.get(service, Unit()).since and (written or {}).get(name, 0) > units[service].since
    ]
    # A daemon that runs has the port's socket itself.
    holding = [service for socket in close if units.get(service := _service(socket), Unit()).active]
    return {
        "mode": mode,
        "daemons": [daemon for daemon in DAEMONS[mode] if f"{daemon}.service" in there],
        "problem": "" if main in there else f"there is no {main} on this host; its packages bring no {mode} daemons",
        "disable": [name for name in units_of(other) if units.get(name, Unit()).used],
        "unmask": [name for name in [*sockets, *services] if units[name].enabled.startswith("masked")],
        "enable": [name for name in [*sockets, *services] if not units[name].comes_up],
        "stop": sorted({name for socket in start if units.get(name := _service(socket), Unit()).active}),
        "start": start,
        "close": close,
        "listens": all(units.get(name, Unit()).active for name in (listening, _service(listening))),
        "restart": sorted({*unread, *holding}),
        "readers": readers,
        "running": sorted({name for name in readers.values() if units.get(name, Unit()).active}),
        "kept": [f"{daemon}.service" for daemon in KEPT],
        "remote": REMOTE[mode],
    }


def readers_of(mode: str) -> dict[str, str]:
    """Which service reads which file of /etc/libvirt."""
    readers = {daemon: f"{daemon}.service" for daemon in (*DAEMONS[mode], *KEPT)}
    readers["sasl"] = f"{REMOTE[mode]}.service"
    if mode == "monolithic":
        return {**readers, "qemu": "libvirtd.service", "network": "libvirtd.service"}
    return {**readers, "qemu": "virtqemud.service", "network": "virtnetworkd.service"}


def _service(socket: str) -> str:
    """The service that a socket starts."""
    return socket.removesuffix(".socket").partition("-")[0] + ".service"


def parsed(shown: str) -> dict[str, Unit]:
    """What `systemctl show` printed of some units, with times in seconds since 1970."""
    units = {}
    for block in shown.split("\n\n"):
        told = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if "Id" in told:
            since = told.get("ExecMainStartTimestamp", "").lstrip("@")
            running = told.get("MainPID", "0") != "0" and since.isdigit()
            units[told["Id"]] = Unit(
                told.get("LoadState") in {"loaded", "masked"},
                told.get("ActiveState") in {"active", "activating", "reloading"},
                told.get("UnitFileState", ""),
                int(since) if running else 0,
            )
    return units


def shown() -> str:
    """What systemd knows of all units that are of concern."""
    names = [*units_of("monolithic"), *units_of("modular"), *(f"{daemon}.service" for daemon in KEPT)]
    properties = "Id,LoadState,ActiveState,UnitFileState,MainPID,ExecMainStartTimestamp"
    command = ["systemctl", "show", "--timestamp=unix", f"--property={properties}", *names]
    return subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, "LC_ALL": "C"}
    ).stdout


def written() -> dict[str, int]:
    """When the files of /etc/libvirt were written, by their names without the ending."""
    paths = {path.stem: path for path in FOLDER.glob("*.conf")}
    paths |= {"sasl": SASL} if SASL.exists() else {}
    return {name: int(path.stat().st_mtime) for name, path in paths.items()}


def known() -> dict[str, bool]:
    """Whether the role has set options (conf) or users (sasl) that it may have to take back."""
    return {name: (MEMORY / f"{name}.json").exists() for name in ("conf", "sasl")}


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    found = plan(parsed(shown()), asked["wanted"], asked["usual"], asked["tls"], written())
    print(json.dumps({**found, **known()}))
