# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets: from a declaration and the host as it is to steps. Values go into steps and nowhere else."""

from __future__ import annotations

import base64
import binascii

from .. import tree
from ..spec.kinds import KIND
from .current import Secret
from .identity import derived_uuid
from .objects import changes_of, check_uuid, overlaid, wanted
from .plan import Change, ObjectPlan, Step
from .site import Declared, Site
from .words import MASK

# What a use is called in libvirt's document, where it is not "name" (conf/secret_conf.c).
USAGE = {"volume": "volume", "iscsi": "target"}


def secret_name(declared: Declared) -> str:
    """The name of a secret in a plan: "type/name"."""
    return "{}/{}".format(declared["type"], declared["name"])


def plan_secret(declared: Declared, site: Site) -> ObjectPlan:
    """The plan for one secret."""
    name = secret_name(declared)
    current = _current(declared, site)
    if declared["state"] == "absent":
        if current is None:
            return ObjectPlan("secret", name, "absent")
        gone = (Change("state", "present", "absent", "delete"),)
        return ObjectPlan("secret", name, "absent", gone, (Step("undefine", {"uuid": current.uuid}, "undefine it"),))
    want = wanted(KIND["secret"], declared, frozenset(), site.problems)
    root = tree.parse(current.inactive) if current else _new(declared, site)
    if current is None and declared["type"] == "volume" and not declared["name"].startswith("/"):
        site.problems.add(want.where + ": name", "of a secret for a volume is the volume's path")
    private = current is not None and root.get("private") == "yes"
    edits, _settled = overlaid(want, root)
    check_uuid(want, root, current.uuid if current else None, site)
    if private and declared.get("private") is False:
        site.problems.add(want.where + ": private", "libvirt does not make a private secret readable again")
    value = _value(declared, want.where, site)
    changes = changes_of(edits, want.rules, None if current else "create")
    if current is None:
        changes += (Change("state", "absent", "present", "create"),)
    sets = value is not None and (
        current is None or declared["set_value"] == "always" or not (private or current.value == value)
    )
    args = {"uuid": tree.get(root, "uuid"), "value": base64.b64encode(value or b"").decode() if sets else None}
    if sets:
        changes += (Change("value", MASK if current and (private or current.value) else None, MASK, "live"),)
    steps: tuple[Step, ...] = ()
    if edits or current is None:
        # In one step: a private secret that was left without a value could not be told from one that has it.
        steps = (Step("define", {"xml": tree.text_of(root), **args}, "define it"),)
    elif sets:
        steps = (Step("set_value", args, "set its value"),)
    return ObjectPlan("secret", name, "present", changes, steps)


def _current(declared: Declared, site: Site) -> Secret | None:
    name = secret_name(declared)
    return site.host.secrets.get(name if declared["type"] != "none" else "none/" + _uuid(declared, site))


def _uuid(declared: Declared, site: Site) -> str:
    return str(declared.get("uuid") or derived_uuid(site.host.identity, "secret", secret_name(declared))).lower()


def _new(declared: Declared, site: Site) -> tree.Element:
    root = tree.element("secret")
    root.append(tree.element("uuid", _uuid(declared, site)))
    kind = declared["type"]
    if kind != "none":
        tree.put(root, "usage/@type", kind)
        tree.put(root, "usage/" + USAGE.get(kind, "name"), declared["name"])
    return root


def _value(declared: Declared, where: str, site: Site) -> bytes | None:
    """The declared value. What is wrong with it is told without it."""
    text, encoded = declared.get("value"), declared.get("value_base64")
    if text is not None and encoded is not None:
        site.problems.add(where, "value and value_base64 exclude each other")
    found: bytes | None = None
    try:
        if encoded is not None:
            found = base64.b64decode(encoded, validate=True)
        elif text is not None:
            found = str(text).encode("utf-8")
    except (binascii.Error, ValueError):
        site.problems.add(where + (": value" if encoded is None else ": value_base64"), "cannot be decoded")
    if found == b"":
        site.problems.add(where, "a value that is empty is none; leave it out instead")
    return found
