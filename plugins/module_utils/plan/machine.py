# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machine types: q35 is an alias for the newest of its versions that a host has."""

from __future__ import annotations

from .. import tree
from .current import Host
from .objects import (
    Wanted,
)
from .overlay import Edit
from .site import Site


def check_machine(want: Wanted, site: Site, current: str | None) -> None:
    """A problem if the host has no such machine type. Hosts that tell none, and architectures they cannot run, are let be."""
    machine = tree.get(want.document, "os/type/@machine")
    arch = tree.get(want.document, "os/type/@arch") or site.host.arch
    known = {name for (of, name) in site.host.machines if of == arch}
    if machine and machine != current and known and machine not in known:
        alike = ", ".join(sorted(name for name in known if name.startswith(machine[:5]))[:5])
        hint = f"; it has for example {alike}" if alike else ""
        site.problems.add(want.where + ": machine", f"this host has no machine type {machine!r} for {arch}{hint}")


def without_aliases(edits: list[Edit], host: Host) -> list[Edit]:
    """Edits less those that only name a machine type by its alias: q35 is pc-q35-9.0, or what pc-q35 was when the guest was
    made: a new QEMU on the host is no reason to give its guests another machine.
    """
    kept = []
    for edit in edits:
        if (
            edit.path == "os/type/@machine"
            and edit.before is not None
            and edit.after in _aliases(str(edit.before), host)
        ):
            continue
        kept.append(edit)
    return kept


def _aliases(machine: str, host: Host) -> frozenset[str]:
    family = machine.rpartition("-")[0]
    return frozenset(
        alias
        for (_arch, alias), canonical in host.machines.items()
        if alias != canonical and canonical.rpartition("-")[0] == family
    )
