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
        for user in _users(current, site):
            site.problems.add(f"secret {name}", f"is used by {user} and is not removed")
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


def _users(secret: Secret, site: Site) -> list[str]:
    """What stays and cannot be opened without a secret: guests and pools that refer to it, and volumes encrypted with it."""
    kind, _slash, usage = secret.name.partition("/")
    users = []
    for what, here, declared in (("guest", site.host.domains, site.domains), ("pool", site.host.pools, site.pools)):
        for name, item in here.items():
            texts = [text for text in (item.inactive, item.live) if text]
            stays = declared.get(name, {}).get("state") != "absent"
            if stays and any(_refers(tree.only_read(text), secret.uuid, usage) for text in texts):
                users.append(f"{what} {name}")
    for pool in site.host.pools.values():
        for name, volume in pool.volumes.items():
            stays = site.volumes.get((pool.name, name), {}).get("state") != "absent"
            if stays and volume is not None and volume.xml and "<encryption" in volume.xml:
                root = tree.parse(volume.xml)
                if (kind, usage) == ("volume", volume.path) or _refers(root, secret.uuid, usage):
                    users.append(f"volume {pool.name}/{name}")
    return users


def _refers(root: tree.Element, uuid: str, usage: str) -> bool:
    """Whether a definition refers to a secret: by its UUID, or by what it is for."""
    found = {text for node in root.iter("secret") for text in (node.get("uuid"), node.get("usage")) if text}
    found |= {node.get("secret") for node in root.iter("encryption")}  # So an emulated TPM does.
    return bool({uuid, usage} & found)


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
