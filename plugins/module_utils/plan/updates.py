# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a running network takes through virNetworkUpdate, so that no guest loses its connection, and what has to wait."""

from __future__ import annotations

from collections import Counter
from collections.abc import Set
from typing import Any, NamedTuple

from .. import tree
from .overlay import Edit
from .plan import Step

# virNetworkUpdateSection of the lists that a running network takes changes of; whether it can also modify an entry.
# libvirt 11.3 src/conf/network_conf.c; dns entries are modified only since 10.6, so they are deleted and added.
SECTIONS: dict[str, tuple[int, bool]] = {
    "ip/dhcp/host": (4, True),
    "ip/dhcp/range": (5, False),
    "forward/interface": (7, False),
    "portgroup": (9, True),
    "dns/host": (10, False),
    "dns/txt": (11, False),
    "dns/srv": (12, False),
}
MODIFY, DELETE, ADD = 1, 2, 3
# libvirt finds an entry to take out by all that it says; by these attributes alone where that is not so.
FOUND_BY: dict[str, tuple[str, ...]] = {"dns/host": ("ip",), "dns/txt": ("name",)}
# A block's own address, and what is new: what DHCP serves in it waits with it, as libvirt holds it against the block that runs.
BLOCK = frozenset(("ip", "ip/@address", "ip/@prefix", "ip/@netmask"))


class Running(NamedTuple):
    """The running definition with the edits made in it. blocks: its <ip> elements as they were before, in their order."""

    root: tree.Element
    blocks: list[tree.Element]


def as_it_runs(xml: str) -> Running:
    """A running definition, to be edited."""
    root = tree.parse(xml)
    return Running(root, tree.find_all(root, "ip"))


def live_updates(live: Running, edits: list[Edit]) -> tuple[tuple[Step, ...], list[Edit]]:
    """The calls that make these edits true on a running network, and the edits that have to wait."""
    steps: list[Step] = []
    waiting: list[Edit] = []
    done = set()
    taken = {edit.before for edit in edits if edit.path in ("ip/dhcp/host/@ip", "ip/dhcp/host/@name")}
    late = {id(edit.trail[0].node) for edit in edits if edit.path in BLOCK}
    twins = _twins(live.root)
    for edit in edits:
        entry = _entry_of(edit)
        if edit.path in ("title", "description"):
            text = edit.after if isinstance(edit.after, str) else None
            steps.append(Step("describe", {"what": edit.path, "text": text}, f"set the {edit.path}"))
        elif entry is None or (edit.trail and id(edit.trail[0].node) in late) or id(entry) in twins:
            waiting.append(edit)
        elif id(entry) not in done:
            done.add(id(entry))
            own = [other for other in edits if _entry_of(other) is entry]
            steps.extend(_calls(live, own, entry, taken))
    steps.sort(key=_rank)
    return tuple(steps), waiting


def _twins(root: tree.Element) -> set[int]:
    """The DHCP hosts that share their name with another one of their block: libvirt takes their definition, but refuses to add
    one to a running network, and changes the first when it is asked for another (virNetworkDefUpdateIPDHCPHost).
    """
    found = set()
    for block in tree.find_all(root, "ip"):
        hosts = [node for node in tree.find_all(block, "dhcp/host") if node.get("name")]
        many = Counter(node.get("name") for node in hosts)
        found |= {id(node) for node in hosts if many[node.get("name")] > 1}
    return found


def _rank(step: Step) -> tuple[int, bool]:
    """What goes, goes first: an address, or the place of the default, can be given to another entry only when it is free."""
    command = step.args.get("command", DELETE)
    return (DELETE, MODIFY, ADD).index(command), ' default="yes"' in step.args.get("xml", "")


def _entry_of(edit: Edit) -> Any | None:
    """The list entry (or whole list) that an edit belongs to, None if libvirt cannot update it live."""
    if edit.path in SECTIONS and (not edit.trail or edit.trail[-1].path != edit.path):
        return edit
    if edit.trail and edit.trail[-1].path in SECTIONS:
        return edit.trail[-1].node
    return None


def _calls(live: Running, edits: list[Edit], entry: Any, taken: Set[object]) -> list[Step]:
    """The calls for the edits of one entry. taken: addresses and names that change hands in this run.

    libvirt changes the first entry that has the MAC address, the address or the name, so one that takes them over is
    taken out and added again; so is one without MAC address, which it may not find.
    """
    edit = edits[0]
    place = live.blocks.index(edit.trail[0].node) if edit.trail and edit.trail[0].path == "ip" else -1
    if entry is edit:
        before, after = _changed(edit.before or (), edit.after or ())
        return _updates(edit.path, place, before, after)
    path = edit.trail[-1].path
    if edit.path == path:
        return _updates(path, place, () if edit.before is None else (entry,), () if edit.after is None else (entry,))
    can_modify = SECTIONS[path][1]
    if path == "ip/dhcp/host":
        can_modify = bool(entry.get("mac")) and not taken & {entry.get("ip"), entry.get("name")}
    if can_modify:
        return [_update(MODIFY, path, place, entry)]
    return _updates(path, place, (_entry_before(entry, edits),), (entry,))


def _changed(before: Any, after: Any) -> tuple[Any, Any]:
    """Two lists without what they begin with alike: that can stay, in its order."""
    same = 0
    for old, new in zip(before, after):
        if tree.canonical(old) != tree.canonical(new):
            break
        same += 1
    return before[same:], after[same:]


def _entry_before(entry: tree.Element, edits: list[Edit]) -> tree.Element:
    """An entry as the running network has it."""
    old = tree.element(entry.tag, None, **entry.attrib)
    for edit in edits:
        where, name = tree.split(edit.path)
        if name and where == edit.trail[-1].path:
            old.attrib.pop(name, None)
            if isinstance(edit.before, str):
                old.set(name, edit.before)
    return old


def _updates(path: str, place: int, before: Any, after: Any) -> list[Step]:
    return [_update(DELETE, path, place, _found_by(path, node)) for node in before] + [
        _update(ADD, path, place, node) for node in after
    ]


def _found_by(path: str, node: tree.Element) -> tree.Element:
    """An entry as libvirt finds it."""
    names = FOUND_BY.get(path)
    return node if names is None else tree.element(node.tag, None, **{name: node.get(name) for name in names})


def _update(command: int, path: str, place: int, node: tree.Element) -> Step:
    words = {MODIFY: "change", DELETE: "take out", ADD: "add"}[command]
    args = {"command": command, "section": SECTIONS[path][0], "parent": place, "xml": tree.text_of(node)}
    # A device that guests use is not given up.
    in_use = path == "forward/interface" and command == DELETE
    return Step("update", args, f"{words} {node.tag} of the running network", in_use)
