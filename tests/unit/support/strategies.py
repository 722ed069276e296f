# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Declarations made up by hypothesis from the tables of fields themselves, so that a new row is tried at once."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from ansible_collections.kvmfleet.libvirt.plugins.module_utils.spec.field import Field

Declared = dict[str, Any]

# Values that mean something, so that some declarations are carried out; the rest is noise.
NAMES = ("default", "lab", "web1", "vda", "vdb", "sda", "base.qcow2", "web1.qcow2", "eth0", "br0")
SIZES = ("1 GiB", "2048 MiB", "1.5 GB", "20 GiB", "4194304 KiB", "lots", "5", "-1 GiB", "")
ADDRESSES = ("192.168.122.10", "192.168.122.1", "10.0.0.1", "fd00::1", "nonsense", "")
CIDRS = ("192.168.122.1/24", "10.0.0.1/255.0.0.0", "fd00::1/64", "10.0.0.1", "x/24")
PCI = ("0000:03:10.1", "04:00.0", "0000:0A:1f.7", "3:0:0", "")
MACS = ("52:54:00:c5:1e:02", "52-54-00-00-00-01", "52:54:00:00:00:02", "01:00:00:00:00:00", "zz")
PATHS = ("/var/lib/libvirt/images/web1.qcow2", "/srv/x.raw", "/srv", "relative", "/a/../b", "")
UUIDS = ("4dea22b3-1d52-d8f3-2516-782e98ab3fa0", "11111111-2222-4333-8444-555555555555", "nonsense")
XMLS = (
    "<domain><vcpu>2</vcpu></domain>",
    "<domain><memory unit='x'>y</memory></domain>",
    "<domain><devices><disk><target dev='vda'/></disk><graphics type='vnc' passwd='s3cret'/></devices></domain>",
    "<domain><devices><interface><mac address='zz'/></interface><?pi x='y'?></devices></domain>",
    "<domain><os><boot dev='hd'/></os></domain>",
    "<network><ip address='10.0.0.1' netmask='255.0.255.0'/></network>",
    "<network><ip address='x'><dhcp><range start='a' end='b'/><host ip='c'/></dhcp></ip><mtu size='²'/></network>",
    "<pool type='netfs'><source><dir path='/x'/></source></pool>",
    "<volume><capacity unit='q'>1</capacity></volume>",
    "<x",
)
TEXT = st.one_of(st.sampled_from(NAMES), st.text(max_size=5))


def declared(fields: tuple[Field, ...], name: str | None = None) -> st.SearchStrategy[Declared]:
    """Declarations of these fields; options that are required, or have a default, are always there."""
    always = {field.name: _value(field) for field in fields if field.required or field.default is not None}
    if name is not None:
        always["name"] = st.just(name)
    others = {field.name: _value(field) for field in fields if field.name not in always}
    return st.fixed_dictionaries(always, optional=others)


def _value(field: Field) -> st.SearchStrategy[Any]:
    if field.choices and field.type not in ("words", "map"):
        return st.sampled_from(field.choices)
    if field.type == "items":
        return st.lists(declared(field.fields), max_size=2)
    if field.type == "dict":
        return declared(field.fields)
    if field.type == "map":
        keys = st.sampled_from((*field.choices, "", "x y")) if field.choices else TEXT
        return st.dictionaries(keys, _PLAIN[field.value[1]], max_size=2)
    return _PLAIN[field.type] if field.name != "xml" else st.sampled_from(XMLS)


_PLAIN: dict[str, st.SearchStrategy[Any]] = {
    "text": TEXT,
    "line": TEXT,
    "name": TEXT,
    "path": st.sampled_from(PATHS),
    "unset": st.lists(
        st.sampled_from(["title", "cache", "bandwidth", "iotune.read_bytes_sec", "cputune", "uuid", "nothing", "a.b"]),
        max_size=2,
    ),
    "alias": st.sampled_from(["ua-one", "ua-two", "one", "ua-ö"]),
    "mac": st.sampled_from(MACS),
    "pci": st.sampled_from(PCI),
    "limit": st.integers(0, 3),
    "octal": st.sampled_from(("0644", "420", "")),
    "uuid": st.sampled_from(UUIDS),
    "int": st.integers(-1, 5000),
    "hex": st.sampled_from(("0x3", "0x0003", "0xC52B", "1133", "")),
    "cpuset": st.sampled_from(("0", "0-3", "0,1,2", "0-3,^2", "nonsense", "")),
    "fragments": st.lists(
        st.sampled_from(("<a:x xmlns:a='urn:a'>1</a:x>", "<a:x xmlns:a='urn:a'/>", "<x/>", "<x", "")), max_size=2
    ),
    "size": st.sampled_from(SIZES),
    "cidr": st.sampled_from(CIDRS),
    "ip": st.sampled_from(ADDRESSES),
    "yes_no": st.booleans(),
    "on_off": st.booleans(),
    "flag": st.booleans(),
    "bool": st.booleans(),
    "float": st.floats(0, 1),
    "mode": st.sampled_from((0o711, 0o2770, "0711", "755", 711, True, "", "lots", -1)),
    "raw": st.one_of(TEXT, st.dictionaries(st.text(max_size=3), TEXT, max_size=2), st.lists(TEXT, max_size=2)),
    "words": st.lists(st.one_of(st.sampled_from(("hd", "network", "a")), TEXT), max_size=3),
}
