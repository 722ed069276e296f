# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How values are written in libvirt's documents, and when two texts mean the same.

A value type is a name used in the field tables. Each knows how to turn a user's value into the document's text,
the text back into what a user would write, and the text into a form in which equal means equal.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Any, Callable, NamedTuple

# https://libvirt.org/formatdomain.html#memory-allocation and virScaleInteger in libvirt's util/virutil.c.
UNITS: dict[str, int] = {"b": 1, "byte": 1, "bytes": 1}
for _power, _letter in enumerate("kmgtpe", start=1):
    UNITS[_letter] = UNITS[_letter + "ib"] = 1024**_power
    UNITS[_letter + "b"] = 1000**_power

_SIZE = re.compile(r"^\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]+)\s*$")
_MAC = re.compile(r"^[0-9a-f]{2}(:[0-9a-f]{2}){5}$")
_CPUSET = re.compile(r"^\^?\d{1,5}(-\d{1,5})?(,\^?\d{1,5}(-\d{1,5})?)*$")
_PCI = re.compile(r"^(?:([0-9a-f]{4,8}):)?([0-9a-f]{2}):([01][0-9a-f])\.([0-7])$")
_HEX = re.compile(r"^0x[0-9a-f]{1,16}$")
_OCTAL = re.compile(r"^0[0-7]{3,4}$")
_MODE = re.compile(r"^0?[0-7]{3}$")
_UUID = re.compile(r"^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$")


_LARGEST = (1 << 63) - 1
_SECTOR = 512


def size_bytes(text: str) -> int:
    """A size with its unit in bytes, rounded up to a whole byte. Raises ValueError when there is no unit or number."""
    match = _SIZE.match(text)
    if match is None:
        if text.strip().isdecimal():
            number = text.strip()
            units = ("bytes", "KiB") if int(number) >= UNITS["m"] else ("MiB", "GiB")
            raise ValueError(f"{text!r} has no unit; write for example '{number} {units[0]}' or '{number} {units[1]}'")
        raise ValueError(f"{text!r} is not a size; write a number and a unit, for example '512 MiB' or '20 GiB'")
    number, unit = match.groups()
    if unit.lower() not in UNITS:
        raise ValueError(
            f"{text!r} has the unknown unit {unit!r}; known are bytes, KiB, MiB, GiB, TiB and KB, MB, GB, TB"
        )
    factor = UNITS[unit.lower()]
    whole, _dot, fraction = number.partition(".")
    shift: int = 10 ** len(fraction)
    count = -(-int(whole + fraction) * factor // shift)
    if count > _LARGEST:
        raise ValueError(f"{text!r} is more than the 8 EiB that libvirt can count")
    return count


def whole(size: int) -> int:
    """A size in bytes, rounded up to sectors."""
    return -(-size // _SECTOR) * _SECTOR


def size_text(count: int) -> str:
    """A number of bytes as a person writes it, exactly: the largest binary unit that leaves no remainder."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        factor = UNITS[unit.lower()]
        if count and count % factor == 0:
            return f"{count // factor} {unit}"
    return f"{count} bytes"


def scaled(text: str, unit: str) -> int:
    """A document's number in this unit, in bytes. Raises ValueError if it is not a number or the unit is unknown."""
    factor = UNITS.get(unit.lower())
    if factor is None:
        raise ValueError(f"unknown unit {unit!r}")
    return int(text) * factor


def size_at(node: Any, unit: str, attribute: str | None = None) -> int | None:
    """The size in an element's text, or in this attribute of it, in bytes; None when there is none, or it is no size.

    unit: the one that counts when the element names none.
    """
    text = (node.get(attribute) if attribute else node.text) or ""
    try:
        return scaled(text.strip(), node.get("unit") or unit)
    except ValueError:
        return None


class Value(NamedTuple):
    """A value type. encode: user's value to the document's text (raises ValueError); decode: the text to the user's
    value; same: the text to the form that is compared.
    """

    encode: Callable[[Any], str]
    decode: Callable[[str], Any]
    same: Callable[[str], Any]


_ALIAS = re.compile(r"ua-[a-zA-Z0-9_-]+")


def _alias(value: Any) -> str:
    """A name for a device: libvirt drops without a word what does not begin like this (virDomainDeviceInfoParseXML)."""
    if not _ALIAS.fullmatch(str(value)):
        raise ValueError(f"{value!r} is no alias: one begins with 'ua-' and has letters, digits, '-' and '_'")
    return str(value)


def _line(value: Any) -> str:
    text = _text(value)
    if "\n" in text:
        raise ValueError("must be a single line")
    return text


def _text(value: Any) -> str:
    text = str(value)
    if any(ord(char) < 32 and char not in "\n\t" for char in text):
        raise ValueError("holds a control character")
    if any(0xD800 <= ord(char) <= 0xDFFF or char in "\ufffe\uffff" for char in text):
        raise ValueError("holds a character that XML cannot hold")
    return text


# libvirt keeps NAME.xml and the like, and a file's name has 255 bytes at the most.
NAME_LENGTH = 240


def _name(value: Any) -> str:
    text = _line(value)
    if not text.strip():
        raise ValueError("is empty")
    if "\t" in text:
        # XML makes a space of it where it stands in an attribute, such as a disk's path.
        raise ValueError("holds a tab")
    if "/" in text or text in (".", ".."):
        raise ValueError(f"{text!r} is not a name: it may not hold '/' nor be '.' or '..'")
    if len(text.encode()) > NAME_LENGTH:
        raise ValueError(f"is longer than {NAME_LENGTH} bytes")
    return text


def _path(value: Any) -> str:
    text = _line(value)
    if not text.startswith("/"):
        raise ValueError(f"{text!r} is not an absolute path")
    if ".." in text.split("/"):
        raise ValueError(f"{text!r} holds '..'")
    return text


def _mac(value: Any) -> str:
    text = str(value).strip().lower().replace("-", ":")
    if not _MAC.match(text):
        raise ValueError(f"{value!r} is not a MAC address such as 52:54:00:12:34:56")
    if text == "00:00:00:00:00:00":
        raise ValueError(f"{value!r} is no address of an interface")
    if int(text[:2], 16) & 1:
        raise ValueError(f"{value!r} is a multicast address; a guest needs a unicast one")
    return text


def _uuid(value: Any) -> str:
    text = str(value).strip().lower()
    if not _UUID.match(text):
        raise ValueError(f"{value!r} is not a UUID")
    return text


# An address on a PCI bus has these attributes, each written with as many hexadecimal digits.
PCI = {"domain": 4, "bus": 2, "slot": 2, "function": 1}


def pci_attributes(value: Any) -> dict[str, str]:
    """A PCI address such as "0000:03:10.1" as libvirt's attributes. Raises ValueError."""
    match = _PCI.match(str(value).strip().lower())
    if match is None:
        raise ValueError(f"{value!r} is not a PCI address such as 0000:03:10.1")
    return {name: f"0x{int(part or '0', 16):0{PCI[name]}x}" for name, part in zip(PCI, match.groups())}


def pci_address(attributes: Mapping[str, str]) -> str | None:
    """Attributes as the PCI address that they are, whatever base they are written in; None when they are none."""
    try:
        domain, bus, slot, function = (int(attributes.get(name, "0"), 0) for name in PCI)
    except ValueError:
        return None
    return f"{domain:04x}:{bus:02x}:{slot:02x}.{function:x}" if "slot" in attributes else None


def _hex(value: Any) -> str:
    text = str(value).strip().lower()
    if not _HEX.match(text):
        raise ValueError(f"{value!r} is not a hexadecimal number; write it in quotes, for example '0x046d'")
    return text


def _octal(value: Any) -> str:
    text = str(value).strip()
    if not _OCTAL.match(text):
        raise ValueError(f"{value!r} is not a mode; write it in quotes, for example '0644'")
    return text


def _in_base(base: int) -> Callable[[str], Any]:
    def number(text: str) -> Any:
        try:
            return int(text, base)
        except ValueError:
            return text

    return number


def _integer(value: Any) -> str:
    try:
        return str(int(value))
    except ValueError:
        raise ValueError(f"{value!r} is not a whole number") from None


def _ip(value: Any) -> str:
    try:
        return str(ipaddress.ip_address(str(value)))
    except ValueError as error:
        raise ValueError(f"{value!r} is not an IP address") from error


def cidr(value: Any) -> str:
    """An address with its prefix length, in its canonical form. Raises ValueError."""
    text = str(value)
    if "/" not in text:
        raise ValueError(f"{text!r} has no prefix length; write for example '192.168.122.1/24'")
    try:
        return ipaddress.ip_interface(text).with_prefixlen
    except ValueError as error:
        raise ValueError(f"{text!r} is not an address with a prefix length: {error}") from error


def _mode(value: Any) -> str:
    """A directory's mode. YAML takes 0711 for the number 457; what cannot be such a number is refused, as 711 is.

    libvirt knows no bits beyond 0777 (virStorageDefParsePerms in storage_conf.c).
    """
    if isinstance(value, int) and not isinstance(value, bool):
        if not 0o700 <= value <= 0o777:
            raise ValueError(f"the number {value} is no mode; write it as a string, '0711'")
        return f"{value:04o}"
    if not _MODE.match(str(value)):
        raise ValueError(f"{value!r} is not a mode in octal, from '0000' to '0777'")
    return f"{int(value, 8):04o}"


def _yes_no(value: Any) -> str:
    return "yes" if _boolean(value) else "no"


def _on_off(value: Any) -> str:
    return "on" if _boolean(value) else "off"


def _boolean(value: Any) -> bool:
    """A truth value; in a mapping Ansible leaves it as it was written."""
    text = str(value).lower()
    if text not in ("yes", "on", "1", "true", "no", "off", "0", "false"):
        raise ValueError(f"{value!r} is neither true nor false")
    return _truth(text)


def _truth(text: str) -> bool:
    return text in ("yes", "on", "1", "true")


def number(text: str) -> Any:
    """Numbers are equal whatever their base or leading zeros; what is no number is compared as it stands."""
    try:
        return int(text, 0) if text.lower().startswith("0x") else int(text)
    except ValueError:
        return text


def _fraction(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text


def _address(text: str) -> Any:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return text


# So many processors, and threads of a kind, has no guest and no host (VIR_DOMAIN_CPUMASK_LEN): what counts more is absurd, and
# is not counted.
MOST = 16384


def _cpuset(value: Any) -> str:
    text = str(value).replace(" ", "")
    if not _CPUSET.match(text):
        raise ValueError(f"{value!r} is not a set of numbers such as '0-3,^2,8'")
    if _numbers(text) == text:
        raise ValueError(f"{value!r} has numbers beyond {MOST - 1}, the last one that libvirt counts")
    return text


def _numbers(text: str) -> Any:
    """A set of numbers, whatever way it is written: libvirt writes "0,1,2,5" as "0-2,5" (virBitmapFormat). A text that is
    none, or has numbers that nobody counts, is itself.
    """
    if not _CPUSET.match(text.replace(" ", "")) or any(int(number) >= MOST for number in re.findall(r"\d+", text)):
        return text
    found: set[int] = set()
    for part in text.replace(" ", "").split(","):
        first, _dash, last = part.lstrip("^").partition("-")
        numbers = range(int(first), int(last or first) + 1)
        found = found.difference(numbers) if part.startswith("^") else found.union(numbers)
    return frozenset(found)


def _usb_version(text: str) -> str:
    """9.4 is 9.40 (virDomainRedirFilterUSBVersionHelper)."""
    major, _dot, minor = text.partition(".")
    return f"{major}.{minor:0<2}"


def _identity(text: str) -> str:
    return text


def _lower(text: str) -> str:
    return text.lower()


def duid(text: str) -> str:
    """A DUID as dnsmasq reads it, which takes one digit for a byte as well (parse_hex in its util.c); libvirt keeps it as it was
    written.
    """
    return ":".join(part.lower().zfill(2) for part in text.split(":"))


def _no_slash(text: str) -> str:
    """A path with single slashes and none at its end; POSIX leaves two at the beginning a meaning (virFileSanitizePath)."""
    plain = re.sub("//+", "/", text)
    return ("/" if re.match("//(?!/)", text) else "") + (plain.rstrip("/") or "/")


VALUES: dict[str, Value] = {
    "text": Value(_text, _identity, str.strip),
    "line": Value(_line, _identity, str.strip),
    "name": Value(_name, _identity, _identity),
    "path": Value(_path, _identity, _no_slash),
    "alias": Value(_alias, _identity, _identity),
    "mac": Value(_mac, _lower, _lower),
    "uuid": Value(_uuid, _lower, _lower),
    "int": Value(_integer, number, number),
    "limit": Value(_integer, number, number),
    "float": Value(str, _fraction, _fraction),
    "ip": Value(_ip, _identity, _address),
    "yes_no": Value(_yes_no, _truth, _truth),
    "on_off": Value(_on_off, _truth, _truth),
    "cpuset": Value(_cpuset, _identity, _numbers),
    "hex": Value(_hex, _lower, _in_base(16)),
    "octal": Value(_octal, _identity, _in_base(8)),
    "mode": Value(_mode, _identity, _in_base(8)),
    "raw": Value(str, _identity, _identity),
    # Only compared, never declared by an option.
    "word": Value(_text, _identity, _lower),
    "duid": Value(_line, duid, duid),
    "usb_version": Value(_text, _identity, _usb_version),
}


def prefix_of(netmask: str) -> str:
    """A netmask as a prefix length: libvirt writes whichever of the two it was given."""
    return str(ipaddress.ip_network("0.0.0.0/" + netmask).prefixlen)
