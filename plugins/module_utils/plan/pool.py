# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Storage pools: from a declaration and the host as it is to steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import tree
from .activity import Activity, settle
from .identity import derived_uuid
from .objects import Wanted, changes_of, check_uuid, overlaid
from .plan import Change, ObjectPlan
from .site import Site


def plan_pool(want: Wanted, declared: Mapping[str, Any], site: Site) -> ObjectPlan:
    """The plan for one pool. Its data is never touched."""
    name = declared["name"]
    current = site.host.pools.get(name)
    activity = Activity(
        current is not None,
        current is not None and current.live is not None,
        bool(current and current.autostart),
        current is None or current.persistent,
    )
    changes: list[Change] = []
    pending: tuple[Change, ...] = ()
    xml: str | None = None
    if declared["state"] != "absent":
        root = tree.parse(current.inactive) if current else _new(name, site)
        before_uuid = tree.get(root, "uuid")
        edits, _settled = overlaid(want, root)
        _check(want, root, before_uuid if current else None, site)
        if edits or activity.lacks_definition(declared):
            xml = tree.text_of(root)
            changes.extend(changes_of(edits, want.rules, None if current else "create"))
        if current and current.live:
            pending = changes_of(overlaid(want, tree.parse(current.live))[0], want.rules)
    more, steps = settle("pool", name, declared, activity, xml)
    return ObjectPlan("pool", name, activity.after(declared["state"]), tuple(changes) + more, steps, pending)


def _new(name: str, site: Site) -> tree.Element:
    root = tree.element("pool", type="dir")
    root.append(tree.element("name", name))
    root.append(tree.element("uuid", derived_uuid(site.host.identity, "pool", name)))
    return root


def _check(want: Wanted, root: tree.Element, uuid: str | None, site: Site) -> None:
    if root.get("type") == "dir" and not tree.get(root, "target/path"):
        site.problems.add(want.where, "a new pool needs a path")
    check_uuid(want, root, uuid, site)
