# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What libvirt means by rules of network filters and references to them (conf/nwfilter_conf.c, nwfilter_params.c)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Any, Callable

from .. import tree
from . import values

# What libvirt writes, or means, where nothing is said.
_USUAL = {"priority": "500", "statematch": "true"}
_ETHERTYPES = {"arp": 0x0806, "rarp": 0x8035, "ipv4": 0x0800, "ipv6": 0x86DD, "vlan": 0x8100}
_OPCODES = [
    "request",
    "reply",
    "request_reverse",
    "reply_reverse",
    "drarp_request",
    "drarp_reply",
    "drarp_error",
    "inarp_request",
    "arp_nak",
]
_ARP = {word: number for number, word in enumerate(_OPCODES, start=1)}
_IP = {"icmp": 1, "igmp": 2, "tcp": 6, "udp": 17, "esp": 50, "ah": 51, "icmpv6": 58, "sctp": 132, "udplite": 136}
_TCP = ("fin", "syn", "rst", "psh", "ack", "urg")
# Texts that are kept as they stand, or in which letters count.
_TEXTS = frozenset(("comment", "ipset"))
# The first of the iterators that go through a variable's values, which is meant where none is named.
_ITERATOR = "[@0]"


def meaning(node: tree.Element) -> Any:
    """A rule or reference in a form in which equal means equal."""
    if node.tag == "filterref":
        return node.get("filter"), _parameters(node)
    said = {**_USUAL, **node.attrib}
    stateless = said.pop("statematch").lower() in ("false", "0")
    # Elements of one rule are one condition; libvirt writes those that must not fit as a second one.
    conditions = {
        name: (_value(name, text, part.tag), part.get("match") == "no")
        for part in node
        for name, text in part.attrib.items()
        if name != "match"
    }
    return (
        {name: values.number(text.lower()) for name, text in said.items()},
        stateless,
        node[0].tag if len(node) else None,
        conditions,
    )


def is_stateless(rule: tree.Element) -> bool:
    """Whether replies to what the guest began do not count."""
    return bool(meaning(rule)[1])


def _parameters(node: tree.Element) -> dict[str, list[str]]:
    """Values by variable: libvirt keeps the order of the values of one, and sorts the variables."""
    found: dict[str, list[str]] = {}
    for part in tree.find_all(node, "parameter"):
        found.setdefault(part.get("name") or "", []).append(part.get("value") or "")
    return found


def _value(name: str, text: str, protocol: str) -> Any:
    """A value of a condition, whatever words it is told in."""
    if text.startswith("$"):
        plain = re.sub(r"\s+", "", text)
        return plain[: -len(_ITERATOR)] if plain.endswith(_ITERATOR) else plain
    if name in _TEXTS:
        return text
    plain = text.strip().lower()
    if (protocol, name) in _WORDS:
        return _WORDS[protocol, name](plain)
    for pattern, read in _READ:
        if pattern.search(name):
            return read(plain)
    return values.number(plain)


def _one_of(numbers: Mapping[str, int]) -> Callable[[str], Any]:
    return lambda text: numbers.get(text, values.number(text))


def _states(text: str) -> frozenset[str]:
    found = frozenset(re.split(r"[\s,]+", text)) - {""}
    return frozenset(("none",)) if "none" in found else found


def _flags(text: str) -> tuple[frozenset[str], frozenset[str]]:
    """The flags of TCP that are looked at, and those of them that have to be set."""
    looked, _slash, wanted = text.partition("/")
    return _some_flags(looked), _some_flags(wanted)


def _some_flags(text: str) -> frozenset[str]:
    found = frozenset(re.split(r"[\s,]+", text)) - {"", "none"}
    return frozenset(_TCP) if "all" in found else found


def _mac(text: str) -> str:
    """A MAC address with two digits in each part: libvirt reads those that have one."""
    return ":".join(part.zfill(2) for part in text.split(":"))


def _address(text: str) -> Any:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return text


def _mask(text: str) -> Any:
    """A netmask as its prefix length."""
    try:
        return bin(int(ipaddress.ip_address(text))).count("1") if {".", ":"} & set(text) else values.number(text)
    except ValueError:
        return text


_WORDS: Mapping[tuple[str, str], Callable[[str], Any]] = {
    ("mac", "protocolid"): _one_of(_ETHERTYPES),
    ("vlan", "encap-protocol"): _one_of(_ETHERTYPES),
    ("arp", "opcode"): _one_of(_ARP),
    ("rarp", "opcode"): _one_of(_ARP),
    ("ip", "protocol"): _one_of(_IP),
    ("ipv6", "protocol"): _one_of(_IP),
    ("tcp", "flags"): _flags,
    ("tcp-ipv6", "flags"): _flags,
}
_READ: tuple[tuple[re.Pattern[str], Callable[[str], Any]], ...] = (
    (re.compile(r"^state$"), _states),
    (re.compile(r"^gratuitous$"), lambda text: text in ("true", "yes", "1")),
    (re.compile(r"mac(addr|mask)$|-address(-mask)?$"), _mac),
    (re.compile(r"ip(addr|from|to)$"), _address),
    (re.compile(r"ipmask$"), _mask),
)
