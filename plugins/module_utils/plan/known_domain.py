# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What libvirt means by the documents of domains; each entry is a fact from its source or its own test documents."""

from __future__ import annotations

from .. import tree
from . import values
from .known import Key, Known, by_attribute, by_place, by_tag, by_text


def _controller(node: tree.Element, _place: int) -> str:
    """Controllers are known by type and index; the four of one USB 2 bus share an index and differ in model. libvirt gives
    the first one that says no index the index 0; among PCI controllers that is the root, which is always there.
    """
    model = node.get("model") or ""
    index = node.get("index") or ("" if node.get("type") == "pci" else "0")
    return ",".join([node.get("type") or "", index, *([model] if model.startswith("ich9") else [])])


def _hostdev(node: tree.Element, place: int) -> str:
    """What it is on the host, in the words of lspci and lsusb. A USB device is known by vendor and product if it says
    them: a running guest's definition then says its address as well.
    """
    source = node.find("source")
    if source is None:
        return str(place)
    address = source.find("address")
    attributes = {} if address is None else address.attrib
    pci = values.pci_address(attributes)
    vendor, product = (tree.get(source, tag + "/@id") for tag in ("vendor", "product"))
    if pci is not None:
        return pci
    if vendor and product:
        return ":".join(text.lower().replace("0x", "").zfill(4) for text in (vendor, product))
    outer = [tree.get(source, path) for path in ("adapter/@name", "@name", "@wwpn")]
    inner = [attributes.get(name, "").lower() for name in ("uuid", "bus", "device", "target", "unit")]
    told = [text for text in (*outer, *inner) if text]
    if told:
        return ":".join(told)
    return ",".join("{}={}".format(*pair) for part in source.iter() for pair in sorted(part.attrib.items()))


def _input(node: tree.Element, _place: int) -> str:
    """Type, bus and the host's event device. libvirt fills the bus in (virDomainInputDefParseXML, domain_conf.c); a
    declaration says it always (guest.py).
    """
    told = (node.get("type"), node.get("bus"), tree.get(node, "source/@evdev") or tree.get(node, "source/@dev"))
    return ",".join(text for text in told if text)


DOMAIN_KEYS: dict[str, Key] = {
    "devices/disk": by_text("target/@dev"),
    "devices/interface": by_attribute("mac/@address"),
    "devices/controller": _controller,
    "devices/filesystem": by_text("target/@dir"),
    "devices/hostdev": _hostdev,
    "devices/channel": by_text("target/@name"),
    "devices/serial": by_attribute("target/@port"),
    "devices/parallel": by_attribute("target/@port"),
    "devices/console": by_attribute("target/@port"),
    "devices/graphics": by_text("@type"),
    "devices/video": by_place,
    "devices/input": _input,
    "devices/sound": by_place,
    "devices/audio": by_attribute("@id"),
    "devices/rng": by_place,
    "devices/memory": by_place,
    "devices/redirdev": by_place,
    "devices/smartcard": by_place,
    "devices/hub": by_place,
    "devices/panic": by_text("@model"),
    "devices/shmem": by_text("@name"),
    "devices/lease": by_text("key"),
    "devices/watchdog": by_place,
    "devices/vsock": by_place,
    "devices/crypto": by_place,
    "devices/tpm": by_place,
    "cpu/feature": by_text("@name"),
    "cpu/numa/cell": by_attribute("@id"),
    "clock/timer": by_text("@name"),
    "vcpus/vcpu": by_text("@id"),
    "cputune/vcpupin": by_text("@vcpu"),
    "cputune/iothreadpin": by_text("@iothread"),
    "iothreadids/iothread": by_text("@id"),
    "numatune/memnode": by_text("@cellid"),
    "metadata/*": by_tag,
}

# A changed source type makes the old source meaningless; a changed bus the old address (virt-manager does the same).
_NETWORK: tuple[str, ...] = (
    "host",
    "auth",
    "snapshot",
    "config",
    "initiator",
    "ssl",
    "cookies",
    "readahead",
    "timeout",
    "identity",
)
_NETWORK += ("knownHosts", "reconnect", "@query", "@tls", "@tlsHostname")
_SECRETS = (
    "devices/disk/source/encryption/secret",
    "devices/disk/source/auth/secret",
    "devices/hostdev/source/auth/secret",
)
_CHARACTER = ("serial", "parallel", "console", "channel", "redirdev", "smartcard")
DOMAIN_DROPS: dict[str, tuple[str, ...]] = {
    "devices/disk/@type": ("source", "backingStore"),
    "devices/disk/source/@protocol": _NETWORK,
    # Each of these is known by UUID or by usage, not both.
    **{
        f"{path}/@{name}": (f"@{other}",) for path in _SECRETS for name, other in (("uuid", "usage"), ("usage", "uuid"))
    },
    "devices/interface/@type": ("source", "@managed", "virtualport", "backend", "portForward"),
    # A model has none of another one's memory, and libvirt fills in its own.
    "devices/video/model/@type": ("@ram", "@vram", "@vram64", "@vgamem", "acceleration"),
    "devices/vsock/cid/@address": ("@auto",),
    "devices/vsock/cid/@auto": ("@address",),
    "devices/rng/backend/@model": ("source", "protocol", "@type"),
    "devices/tpm/backend/@type": ("@version", "@persistent_state", "device", "encryption", "source"),
    "devices/audio/@type": ("input", "output"),
    **{f"devices/{tag}/@type": ("source", "protocol") for tag in _CHARACTER},
    "devices/disk/target/@bus": ("../address", "../alias"),
    # Each of these belongs to one mode; libvirt refuses them with another (conf/cpu_conf.c).
    "cpu/@mode": ("@check", "@match", "@migratable"),
    # libvirt refuses a listen address that differs from the first <listen> (domain_conf.c).
    "devices/graphics/@listen": ("listen",),
}

DOMAIN = Known(
    DOMAIN_KEYS,
    DOMAIN_DROPS,
    omitted={
        "cpu/model/@fallback": "allow",
        "devices/parallel/protocol/@type": "raw",
        "devices/disk/source/host/@transport": "tcp",
        # Beside autoport='yes' libvirt keeps no port of SPICE (virDomainGraphicsDefFormat).
        "devices/graphics/@tlsPort": "-1",
        "devices/video/model/@primary": "no",
        # Left out with the path that libvirt makes for an agent's socket (qemuDomainChrDefDropDefaultPath).
        "devices/channel/source/@mode": "bind",
    },
    told=(
        "@id",
        "devices/disk/mirror",
        "devices/disk//source/@index",
        "devices/disk//backingStore/@index",
        "devices/channel/target/@state",
        "devices/disk/target/@tray",
        "seclabel/imagelabel",
    ),
)
