# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When two places in libvirt's documents are the same place, and when two texts there mean the same.

Rules are keyed by the path of tags below the root ("devices/disk", "cpu/@mode"). Value types come from the field
tables; what a table cannot say stands here, each with its source in libvirt.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable, NamedTuple

from .. import tree
from ..spec.field import Field, Kind
from . import values

Key = Callable[[tree.Element, int], str]


class Rules(NamedTuple):
    """What the overlay has to know of one kind's documents.

    keys: how one of several elements with the same path is told from the others (element, its place among them → key).
    types: value type of a path. units: unit that a size at this path has when it says none.
    fields: the table row of a path. implied: paths that are written because of another field.
    drops: children that lose their meaning when this attribute changes.
    """

    kind: Kind
    keys: Mapping[str, Key]
    types: Mapping[str, str]
    units: Mapping[str, str]
    fields: Mapping[str, Field]
    implied: frozenset[str]
    drops: Mapping[str, tuple[str, ...]]

    def same(self, path: str, want: str, have: str | None) -> bool:
        """Whether the declared text at this path means what the current one means."""
        if have is None:
            return False
        if want == have:
            return True
        compare = values.VALUES.get(self.types.get(path, "text"), values.VALUES["text"]).same
        return bool(compare(want) == compare(have))

    def is_secret(self, path: str) -> bool:
        """Whether the value at this path is never shown."""
        field = self.fields.get(path)
        return field is not None and field.secret


def _attribute(path: str, fallback: str = "") -> Key:
    """Key by the text at a path, lower-cased; by this word, or by the place where that is missing."""

    def key(node: tree.Element, place: int) -> str:
        return (tree.get(node, path) or "").lower() or fallback or str(place)

    return key


def _exact(path: str) -> Key:
    def key(node: tree.Element, place: int) -> str:
        return tree.get(node, path) or str(place)

    return key


def _joined(*paths: str) -> Key:
    def key(node: tree.Element, _place: int) -> str:
        return ",".join(tree.get(node, path) or "" for path in paths)

    return key


def _place(_node: tree.Element, place: int) -> str:
    return str(place)


def _hostdev(node: tree.Element, place: int) -> str:
    source = node.find("source")
    if source is None:
        return str(place)
    return ",".join("{}={}".format(*pair) for part in source.iter() for pair in sorted(part.attrib.items()))


def _namespace(node: tree.Element, _place: int) -> str:
    return str(node.tag)


def _ip_family(node: tree.Element, place: int) -> str:
    """Addresses of a network are known by family and place: the address itself may be declared anew."""
    earlier = [peer for peer in node.itersiblings("ip", preceding=True) if _family(peer) == _family(node)]
    return "{}{}".format(_family(node), "" if not earlier else ".%d" % len(earlier))


def _family(node: tree.Element) -> str:
    return str(node.get("family") or ("ipv6" if ":" in node.get("address", "") else "ipv4"))


DOMAIN_KEYS: dict[str, Key] = {
    "devices/disk": _exact("target/@dev"),
    "devices/interface": _attribute("mac/@address"),
    "devices/controller": _joined("@type", "@index"),
    "devices/filesystem": _exact("target/@dir"),
    "devices/hostdev": _hostdev,
    "devices/channel": _exact("target/@name"),
    "devices/serial": _attribute("target/@port"),
    "devices/parallel": _attribute("target/@port"),
    "devices/console": _attribute("target/@port"),
    "devices/graphics": _exact("@type"),
    "devices/video": _place,
    "devices/input": _joined("@type", "@bus"),
    "devices/sound": _place,
    "devices/audio": _attribute("@id"),
    "devices/rng": _place,
    "devices/memory": _place,
    "devices/redirdev": _place,
    "devices/smartcard": _place,
    "devices/hub": _place,
    "devices/panic": _exact("@model"),
    "devices/shmem": _exact("@name"),
    "devices/lease": _exact("key"),
    "devices/watchdog": _place,
    "devices/tpm": _place,
    "cpu/feature": _exact("@name"),
    "cpu/numa/cell": _attribute("@id"),
    "clock/timer": _exact("@name"),
    "vcpus/vcpu": _exact("@id"),
    "cputune/vcpupin": _exact("@vcpu"),
    "cputune/iothreadpin": _exact("@iothread"),
    "iothreadids/iothread": _exact("@id"),
    "numatune/memnode": _exact("@cellid"),
    "metadata/*": _namespace,
}

NETWORK_KEYS: dict[str, Key] = {
    "ip": _ip_family,
    "ip/dhcp/host": lambda node, place: (
        node.get("mac") or node.get("id") or node.get("name") or node.get("ip") or str(place)
    ).lower(),
    "dns/host": _exact("@ip"),
    "dns/txt": _exact("@name"),
    "dns/srv": _joined("@service", "@protocol", "@domain", "@target", "@port"),
    "portgroup": _exact("@name"),
    "route": _joined("@family", "@address", "@prefix", "@netmask"),
    "metadata/*": _namespace,
}

# A changed source type makes the old source meaningless; a changed bus the old address (virtManager does the same).
DOMAIN_DROPS: dict[str, tuple[str, ...]] = {
    "devices/disk/@type": ("source", "backingStore"),
    "devices/interface/@type": ("source",),
    "devices/disk/target/@bus": ("../address", "../alias"),
    "devices/rng/backend/@model": (),
}


def _rules(kind: Kind, keys: dict[str, Key], drops: dict[str, tuple[str, ...]]) -> Rules:
    types: dict[str, str] = {}
    units: dict[str, str] = {}
    rows: dict[str, Field] = {}
    implied = set()

    def enter(fields: tuple[Field, ...], above: str) -> None:
        for field in fields:
            if field.path is None:
                continue
            path = join(above, field.path)
            rows.setdefault(path, field)
            types.setdefault(path, field.type)
            if field.type == "size":
                units[path] = field.unit
            for where, _text in field.implies:
                implied.add(join(above, where))
            enter(field.fields, path)

    enter(kind.fields, "")
    return Rules(kind, keys, types, units, rows, frozenset(implied - set(rows)), drops)


def join(above: str, path: str) -> str:
    """A path below another one."""
    if path == ".":
        return above
    return f"{above}/{path}" if above else path


def for_kind(kind: Kind) -> Rules:
    """The rules of this kind, made once."""
    if kind.name not in _MADE:
        _MADE[kind.name] = _rules(kind, KEYS.get(kind.name, {}), DOMAIN_DROPS if kind.name == "domain" else {})
    return _MADE[kind.name]


KEYS: dict[str, dict[str, Key]] = {"domain": DOMAIN_KEYS, "network": NETWORK_KEYS}
_MADE: dict[str, Rules] = {}


def key_of(rules: Rules, path: str, node: tree.Element, place: int) -> str | None:
    """The key of an element among those with the same path, or None where the path has no rule."""
    rule = rules.keys.get(path) or (rules.keys.get(path.rpartition("/")[0] + "/*") if "/" in path else None)
    return None if rule is None else rule(node, place)


def read_attribute(node: tree.Element, name: str) -> str | None:
    """An attribute of an element; a prefix or netmask is told from the other one, as libvirt keeps either."""
    value: Any = node.get(name)
    if value is None and name == "prefix" and node.get("netmask"):
        return values.prefix_of(node.get("netmask"))
    return None if value is None else str(value)
