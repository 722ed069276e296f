# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests that get another name: planned as if they had it already, with the steps that give it to them before all others.

libvirt renames a guest that is off (virDomainRename), with its snapshots, checkpoints and autostart. Its NVRAM it leaves
behind, under a name that the next guest of the old name would take (libvirt 9.0, 11.3).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from .. import tree
from . import ownership
from .current import Domain, Host
from .plan import Change, ObjectPlan, Step
from .power import GONE, stop_steps
from .problem import Problems
from .site import Declared

# Where libvirt keeps the NVRAM of guests that do not say it (qemuDomainNVRAMPathFormat).
NVRAM = {"system": "/var/lib/libvirt/qemu/nvram", "session": "~/.config/libvirt/qemu/nvram"}
AFTER = {"paused": "paused"}


class Rename(NamedTuple):
    """A guest that gets another name. former: as it is; may_stop: whether it may be shut down for it."""

    former: Domain
    name: str
    may_stop: bool

    @property
    def waits(self) -> bool:
        """Whether it runs, and has to be left running."""
        return self.former.state not in GONE and not self.may_stop


def renames(domains: Mapping[str, Declared], host: Host, problems: Problems) -> dict[str, Rename]:
    """The guests that are there under the name from which they are declared to be renamed, by their new names."""
    found: dict[str, Rename] = {}
    taken: dict[str, str] = {}
    for name, item in domains.items():
        old = item.get("renamed_from")
        if not old or item["state"] == "absent":
            continue
        where = f"domain {name}: renamed_from"
        if old == name:
            problems.add(where, "is the guest's own name")
        elif old in taken:
            problems.add(where, f"is {old} for guest {taken[old]} too")
        elif old in host.domains and _may_be_renamed(name, host.domains[old], domains, host, problems):
            stops = item["restart"] == "if_needed" and item["state"] in ("present", "running", "paused")
            revived = item["state"] == "running" and host.domains[old].state == "crashed"
            stops = stops or revived or item["state"] in ("stopped", "restarted")
            found[name] = Rename(host.domains[old], name, stops)
        taken[old] = name
    return found


def _may_be_renamed(name: str, former: Domain, domains: Mapping[str, Declared], host: Host, problems: Problems) -> bool:
    where, old = f"domain {name}: renamed_from", former.name
    if name in host.domains:
        # Another guest that is declared may have the old name by now.
        if old not in domains:
            problems.add(where, f"guest {old} is there as well as {name}; once it is renamed, leave renamed_from out")
        return False
    if old in domains:
        problems.add(where, f"guest {old} is declared itself")
    elif not former.persistent:
        problems.add(where, f"guest {old} is transient, and libvirt cannot rename it")
    elif former.state == "saved":
        problems.add(where, f"guest {old} is saved, and libvirt cannot rename it; start it first")
    elif (
        _nvram(former, host.uri)
        and not is_local(host.uri)
        and tree.get(tree.parse(former.inactive), "os/nvram") is None
    ):
        problems.add(where, f"the NVRAM of guest {old} cannot be taken along from afar; rename it on its own host")
    else:
        return True
    return False


def is_local(uri: str) -> bool:
    """Whether the hypervisor's files are those of the machine that this runs on."""
    return "://" not in uri or uri.partition("://")[2].startswith("/")


def renamed_host(host: Host, found: Mapping[str, Rename]) -> Host:
    """The host as if its guests had their new names."""
    domains = dict(host.domains)
    for name, rename in found.items():
        former = domains.pop(rename.former.name)
        inactive = _under(name, former.inactive, former.name, host.uri)
        live = former.live and _under(name, former.live, former.name, host.uri)
        domains[name] = former._replace(name=name, inactive=inactive, live=live)
        if not rename.waits and former.state not in GONE:
            domains[name] = domains[name]._replace(live=None, state="stopped")
    return host._replace(domains=domains)


def _under(name: str, xml: str, old: str, uri: str) -> str:
    """A definition under another name, with its NVRAM if that bears the old one."""
    root = tree.parse(xml)
    tree.put(root, "name", name)
    path = tree.get(root, "os/nvram")
    if path and is_local(uri):
        root.find("os/nvram").text = _moved(path, old, name)
    return tree.text_of(root)


def _moved(path: str, old: str, name: str) -> str:
    """A path of NVRAM that libvirt named after a guest, named after its new name."""
    folder, slash, file = path.rpartition("/")
    return f"{folder}{slash}{name}_VARS.fd" if file == f"{old}_VARS.fd" else path


def _nvram(former: Domain, uri: str) -> str | None:
    """Where the NVRAM of a guest is; None when it has none."""
    for xml in (former.inactive, former.live):
        path = tree.get(tree.parse(xml), "os/nvram") if xml else None
        if path:
            return path
    root = tree.parse(former.inactive)
    if tree.get(root, "os/@firmware") != "efi" and tree.get(root, "os/loader/@type") != "pflash":
        return None
    return "{}/{}_VARS.fd".format(NVRAM["session" if uri.endswith("session") else "system"], former.name)


def declared_state(declared: Declared, rename: Rename | None) -> Declared:
    """The declaration of a guest that is stopped for its new name, so that it is started again."""
    if rename is None or rename.waits or rename.former.state in GONE or declared["state"] == "stopped":
        return declared
    state = declared["state"]
    after = AFTER.get(rename.former.state, "running") if state == "present" else state
    return dict(declared, state="running" if after == "restarted" else after)


def with_rename(plan: ObjectPlan, declared: Declared, rename: Rename, uri: str) -> ObjectPlan:
    """The plan of a guest with its new name. One that has to stay running keeps its name, and all else waits with it."""
    old, now = rename.former.name, rename.former.state
    change = Change("name", old, rename.name, "live" if now in GONE else "restart")
    if rename.waits:
        told = {other.path for other in plan.pending}
        waiting = (*plan.pending, *(other for other in plan.changes if other.path not in told))
        pending = (change, *(other._replace(effect="restart") for other in waiting))
        return plan._replace(state=now, changes=(), steps=(), pending=pending, facts={**plan.facts, "called": old})
    stops = () if now in GONE else stop_steps(dict(declared, name=old), now)
    args = {"to": rename.name}
    nvram = _nvram(rename.former, uri)
    if nvram and _moved(nvram, old, rename.name) != nvram and is_local(uri):
        args.update({"nvram": nvram, "nvram_to": _moved(nvram, old, rename.name)})
    words = f"rename guest {old} to {rename.name}"
    steps = tuple(step._replace(args={**step.args, "called": old}) for step in (*stops, Step("rename", args, words)))
    changes = plan.changes
    if stops:
        after = f"{plan.state} anew" if plan.state == now else plan.state
        power = Change("state", now, after, "restart" if plan.state != "stopped" else "live")
        changes = (*(other for other in changes if other.path != "state"), power)
    return plan._replace(changes=(change, *changes), steps=(*steps, *plan.steps))


def seed_name(guest: str, root: tree.Element | None) -> str:
    """The name of a guest's seed: of the one that it has, which it keeps when it is renamed, or of a new one."""
    keys = () if root is None else ownership.read(root).keys
    targets = {key[:-1].rpartition("[")[2] for key in keys if key.startswith(ownership.SEED)}
    for node in () if root is None else tree.find_all(root, "devices/disk"):
        path = tree.get(node, "source/@file") or tree.get(node, "source/@volume") or ""
        if tree.get(node, "target/@dev") in targets and path.endswith("-seed.iso"):
            return path.rpartition("/")[2]
    return f"{guest}-seed.iso"
