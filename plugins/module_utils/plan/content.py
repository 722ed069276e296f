# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a volume's content comes from, what it will be, and whether it is what was declared."""

from __future__ import annotations

import re

from .current import Volume
from .plan import Change
from .problem import Problems
from .site import Declared, Site
from .users import users_of

_ALGORITHMS = {"md5": 32, "sha1": 40, "sha224": 56, "sha256": 64, "sha384": 96, "sha512": 128}
_URL = re.compile(
    r"^(?:https?|ftp)://(?:[^/@\s]*@)?(?:\[[0-9a-f:.]+\]|[^/?#:@\s\[\]]+)(?::(?P<port>\d{1,5}))?(?:[/?#]\S*)?$|^file:///\S",
    re.IGNORECASE,
)
_PORTS = 65535
_CHECKSUM = re.compile(r"^([a-z0-9]+):([0-9a-fA-F]+)$")
_PACKED = re.compile(r"\.(gz|bz2|xz|zst)$")
# Formats that the end of a name tells.
_ENDS = {".qcow2": "qcow2", ".raw": "raw", ".iso": "raw", ".vmdk": "vmdk", ".vdi": "vdi", ".vhdx": "vhdx"}


SEED = "being the seed or config of a guest"
# What an image of files, and a seed, say of themselves: these are for other kinds of volume.
_STRANGE = ("format", "size", "allocation", "preallocation", "encryption", "nocow", "xml")


def check_source(declared: Declared, where: str, problems: Problems) -> None:
    """Note what is wrong with where a volume's content comes from."""
    source = declared.get("source") or {}
    given = [name for name in ("source", "clone", "backing", "iso") if declared.get(name)]
    if len(given) > 1:
        problems.add(where, "{} exclude each other".format(" and ".join(given)))
    whole = SEED if declared.get("content") is not None else "iso" if declared.get("iso") is not None else None
    if whole is not None:
        options = (*_STRANGE, *(given if whole == SEED else ()))
        for option in options:
            if declared.get(option) not in (None, "off"):
                problems.add(f"{where}: {option}", f"does not go with {whole}")
    # A local file that was brought here is a file as well.
    named = [name for name in ("url", "local", "file") if source.get(name)]
    if declared.get("source") is not None and len(named) != 1 and named != ["local", "file"]:
        problems.add(where + ": source", "needs one of url, file and local")
    url = _URL.match(source["url"]) if source.get("url") else None
    if source.get("url") and (url is None or int(url["port"] or 0) > _PORTS):
        problems.add(where + ": source.url", "{!r} is no http, https, ftp or file URL".format(source["url"]))
    if source.get("file") and not source["file"].startswith("/"):
        problems.add(where + ": source.file", "{!r} is not an absolute path".format(source["file"]))
    checksum = source.get("checksum")
    match = _CHECKSUM.match(checksum) if checksum else None
    if checksum and (match is None or _ALGORITHMS.get(match.group(1)) != len(match.group(2))):
        problems.add(
            where + ": source.checksum",
            "{!r} is not 'algorithm:hex' with one of {}".format(checksum, ", ".join(_ALGORITHMS)),
        )


def _name(source: Declared) -> str:
    return str((source.get("url") or source.get("local") or source.get("file") or "").partition("?")[0])


def promised(declared: Declared) -> str:
    """The format that the name of a volume's source promises; empty when it says nothing."""
    name = _PACKED.sub("", _name(declared["source"]) or declared["name"])
    return next((form for end, form in _ENDS.items() if name.endswith(end)), "")


def is_plain(declared: Declared) -> bool:
    """Whether a volume's file is what is downloaded, byte by byte, as far as the declaration tells."""
    source = declared.get("source") or {}
    packed = source.get("compression") not in (None, "none") or _PACKED.search(_name(source))
    made = [
        declared.get(name) for name in ("format", "size", "compat", "cluster_size", "lazy_refcounts", "extended_l2")
    ]
    return not packed and all(value is None for value in made)


def format_of(declared: Declared, is_file: bool) -> str:
    """The format that a new volume gets; empty when only its content will tell, or where nobody gives a volume that is no file one."""
    if declared.get("format"):
        return str(declared["format"])
    if declared.get("source"):
        return promised(declared)
    if not is_file:
        return ""
    return "raw" if declared["name"].endswith((".raw", ".img", ".iso")) else "qcow2"


def content_change(declared: Declared, current: Volume, site: Site) -> tuple[Change | None, Change | None]:
    """What changes about the content of an existing volume, and what cannot: (change, pending).

    It is fetched anew only when another checksum is declared than the one it was made from, and nobody uses it.
    """
    checksum = ((declared.get("source") or {}).get("checksum") or "").lower()
    origin = current.origin
    if not checksum or origin is None or (origin.checksum == checksum and origin.intact):
        return None, None
    if origin.checksum == checksum:
        used = any(user.startswith("guest") for user in users_of(current.path, site))
        # A guest writes to its disk: that is what it is for.
        return None, None if used else Change("source.checksum", "written to since it was made", checksum, "create")
    if not origin.noted or users_of(current.path, site):
        return None, Change("source.checksum", origin.checksum, checksum, "create")
    return Change("source.checksum", origin.checksum, checksum, "live"), None
