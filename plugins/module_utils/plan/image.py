# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How an image is made, what does not fit together there, and what an existing one was made otherwise."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from .. import tree
from ..spec.kinds import KIND
from . import values
from .current import Volume
from .document import write_fields
from .objects import changes_of
from .overlay import Edit, overlay
from .plan import Change
from .problem import Problems
from .rules import for_kind
from .site import Declared, Site

QCOW2 = ("compat", "cluster_size", "lazy_refcounts", "extended_l2")
"""Options of qcow2 alone."""
# The formats of files that libvirt knows and QEMU makes (virStorageFileFormat; block/*.c of QEMU).
MADE = ("raw", "qcow2", "qcow", "qed", "vmdk", "vdi", "vpc")
# Those that QEMU makes no larger.
_FIXED = ("qcow", "vmdk", "vdi", "vpc")
# QEMU rounds the size of a vpc image up to whole cylinders of at most 16 heads and 255 sectors (block/vpc.c).
_CYLINDER = 16 * 255 * 512
_SMALLEST, _LARGEST = 512, 2 << 20
# The number that means no change (chown(2)).
_NOBODY = (1 << 32) - 1
_PERMISSIONS = "target/permissions"


def check_making(declared: Declared, form: str, where: str, site: Site) -> None:
    """Note what is wrong with the way in which a new volume is to be made. form: its format, empty when not known."""
    problems = site.problems
    _check_format(declared, where, site)
    for option in QCOW2:
        if declared.get(option) is not None and form not in ("qcow2", ""):
            problems.add(f"{where}: {option}", f"is for qcow2; the volume is {form}")
    for option in ("lazy_refcounts", "extended_l2"):
        if declared.get(option) and declared.get("compat") == "0.10":
            problems.add(f"{where}: {option}", "needs compat 1.1")
    _check_preallocation(declared, form, where, problems)
    _check_allocation(declared, where, problems)
    _check_encryption(declared, form, where, site)
    if declared.get("source"):
        if form in _FIXED and declared.get("size") is not None:
            problems.add(where + ": size", f"an image of format {form} has the size of its content")
        for option in ("preallocation", "allocation", "encryption", "nocow", "xml"):
            if declared.get(option) is not None and declared[option] != "off":
                problems.add(f"{where}: {option}", "does not go with source")


def _check_format(declared: Declared, where: str, site: Site) -> None:
    """Note a format that no file is made in. What is no file, such as a partition, has formats of its own."""
    form = declared.get("format")
    # libvirt makes an ISO image as a raw file, and a directory, which has no size (virStorageBackendVolCreateLocal).
    others = ("iso",) if declared.get("size") else ("iso", "dir")
    if form and form not in (*MADE, *others) and site.pool_directory(declared["pool"]) is not None:
        near = get_close_matches(form.lower(), MADE, 1, 0.7)
        hint = f"; is {near[0]} meant?" if near else f"; it is one of {', '.join(MADE)}"
        site.problems.add(f"{where}: format", f"{form!r} is no format that a file is made in{hint}")


def has_size(current: Volume, size: int) -> bool:
    """Whether a volume has the size that was asked for, as far as its format can have it."""
    rounded = _CYLINDER if current.format == "vpc" else 1
    # A file that is no image, such as a kernel, ends where it ends: no sector is filled up for it.
    return size == values.whole(current.capacity) or 0 <= current.capacity - size < rounded


def check_growth(current: Volume, where: str, problems: Problems) -> None:
    """Note that a volume cannot grow."""
    if current.format in _FIXED:
        problems.add(where + ": size", f"an image of format {current.format} cannot be made larger")


def check_values(declared: Declared, where: str, problems: Problems) -> None:
    """Note what is wrong with the options of an image, whether it is there or not."""
    check_owner(declared.get("permissions") or {}, where + ": permissions", problems)
    if declared.get("cluster_size") is None:
        return
    try:
        size = values.size_bytes(str(declared["cluster_size"]))
    except ValueError:
        return  # The document's problem, which says so.
    if not _SMALLEST <= size <= _LARGEST or size & (size - 1):
        problems.add(where + ": cluster_size", "is no power of two from 512 bytes to 2 MiB")


def check_owner(permissions: Mapping[str, Any], where: str, problems: Problems) -> None:
    """Note what is no number of a user or group."""
    for name in ("owner", "group"):
        if permissions.get(name) is not None and not 0 <= permissions[name] < _NOBODY:
            problems.add(f"{where}.{name}", f"{permissions[name]} is no user's or group's number")


def _check_allocation(declared: Declared, where: str, problems: Problems) -> None:
    if declared.get("allocation") is None or declared.get("size") is None:
        return
    with contextlib.suppress(ValueError):
        wish, size = (values.size_bytes(str(declared[name])) for name in ("allocation", "size"))
        if wish > size:
            problems.add(
                where + ": allocation", f"{declared['allocation']} is more than the size of {declared['size']}"
            )


def _check_preallocation(declared: Declared, form: str, where: str, problems: Problems) -> None:
    wish = declared.get("preallocation")
    if wish in (None, "off"):
        return
    if declared.get("backing"):
        problems.add(where + ": preallocation", "does not go with backing")
    if wish == "metadata" and form not in ("qcow2", ""):
        problems.add(where + ": preallocation", f"metadata is for qcow2; the volume is {form}")
    if declared.get("allocation") is not None:
        problems.add(where, "preallocation and allocation exclude each other")


def _check_encryption(declared: Declared, form: str, where: str, site: Site) -> None:
    encryption = declared.get("encryption")
    if encryption is None:
        return
    where += ": encryption"
    if form not in ("qcow2", "raw", ""):
        site.problems.add(where, f"is for raw and qcow2; the volume is {form}")
    given = [name for name in ("secret_uuid", "secret_usage") if encryption.get(name)]
    if len(given) != 1:
        site.problems.add(where, "needs one of secret_uuid and secret_usage")
        return
    if not site.has_secret(encryption.get("secret_uuid"), encryption.get("secret_usage")):
        site.problems.add(
            f"{where}.{given[0]}", f"secret {encryption[given[0]]} is neither there nor declared, as one for a volume"
        )


def made_otherwise(declared: Declared, xml: str) -> tuple[Change, ...]:
    """What an existing volume was made otherwise than declared. It is not made anew, so that is told and left.

    What libvirt does not tell of a file is not compared: the secret of its encryption, its preallocation, nocow.
    """
    if not xml:
        return ()
    wish = {name: declared.get(name) for name in QCOW2}
    if declared.get("encryption") is not None:
        wish["encryption"] = {"format": declared["encryption"]["format"]}
    edits = _edits(wish, xml)
    # libvirt tells the cluster size of a volume that it made itself only once it has read the file.
    seen = tree.parse(xml).find("target/clusterSize") is not None
    kept = [edit for edit in edits if seen or not edit.path.startswith("target/clusterSize")]
    return changes_of(kept, for_kind(KIND["volume"]))


def permission_edits(declared: Declared, xml: str, used: bool) -> list[Edit]:
    """How the permissions of a volume's file differ. used: whether a guest runs on it, which owns it as long."""
    if not xml or declared.get("permissions") is None:
        return []
    told = {"mode": declared["permissions"].get("mode")}
    if not used:
        told.update({name: declared["permissions"].get(name) for name in ("owner", "group")})
    return _edits({"permissions": told}, xml)


def _edits(wish: dict[str, Any], xml: str) -> list[Edit]:
    typed = tree.element("volume")
    # What is wrong with a value was noted when the whole declaration was written.
    write_fields(typed, KIND["volume"].fields, wish, "", Problems())
    return overlay(tree.parse(xml), typed, for_kind(KIND["volume"]))
