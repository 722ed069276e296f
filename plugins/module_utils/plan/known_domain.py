# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What libvirt means by the documents of domains; each entry is a fact from its source or its own test documents."""

from __future__ import annotations

from .. import tree
from . import known_machine, values
from .known import Key, Known, by_attribute, by_place, by_text
from .normal_domain import normal_domain


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
    source = tree.find(node, "source")
    if source is None:
        return str(place)
    address = tree.find(source, "address")
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
    number = values.VALUES["int"].same
    return ",".join(f"{name}={number(text)}" for part in source.iter() for name, text in sorted(part.attrib.items()))


def _console(node: tree.Element, _place: int) -> str:
    """Consoles are known by type and place among those: libvirt counts their ports itself and puts a serial one first
    (virDomainDefAddConsoleCompat).
    """
    kind = tree.get(node, "target/@type") or "serial"
    peers = node.itersiblings("console", preceding=True)
    earlier = sum((tree.get(peer, "target/@type") or "serial") == kind for peer in peers)
    return f"{kind}.{earlier}" if earlier else kind


def _input(node: tree.Element, _place: int) -> str:
    """Type, bus and the host's event device. libvirt fills the bus in (virDomainInputDefParseXML, domain_conf.c); a
    declaration says it always (guest.py).
    """
    told = (node.get("type"), node.get("bus"), tree.get(node, "source/@evdev") or tree.get(node, "source/@dev"))
    return ",".join(text for text in told if text)


DOMAIN_KEYS: dict[str, Key] = {
    **known_machine.KEYS,
    "devices/disk": by_text("target/@dev"),
    "devices/interface": by_attribute("mac/@address"),
    "devices/controller": _controller,
    "devices/filesystem": by_text("target/@dir"),
    "devices/hostdev": _hostdev,
    "devices/channel": by_text("target/@name"),
    "devices/serial": by_attribute("target/@port"),
    "devices/parallel": by_attribute("target/@port"),
    "devices/console": _console,
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
    "os/firmware/feature": by_text("@name"),
    "devices/shmem": by_text("@name"),
    "devices/lease": by_text("key"),
    "devices/watchdog": by_place,
    "devices/vsock": by_place,
    "devices/crypto": by_place,
    "devices/tpm": by_place,
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
    **known_machine.DROPS,
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
    # libvirt refuses a listen address that differs from the first <listen> (domain_conf.c).
    "devices/graphics/@listen": ("listen",),
}

# Types and units of what has no option of its own. libvirt writes sets of processors and nodes as ranges
# (virBitmapFormat), names of models and boot parameters in one case (domain_conf.c, STRCASEEQ, virStringToUpper).
DOMAIN_TYPES: dict[str, str] = {
    **dict.fromkeys(
        (
            "cpu/numa/cell/@cpus",
            "cputune/cachetune/@vcpus",
            "cputune/cachetune/monitor/@vcpus",
            "cputune/emulatorpin/@cpuset",
            "cputune/iothreadpin/@cpuset",
            "cputune/memorytune/@vcpus",
            "cputune/vcpupin/@cpuset",
            "devices/memory/source/nodemask",
            "memoryBacking/hugepages/page/@nodeset",
            "numatune/memnode/@nodeset",
            "numatune/memory/@nodeset",
            "vcpu/@cpuset",
        ),
        "cpuset",
    ),
    **dict.fromkeys(
        (
            "devices/disk/boot/@loadparm",
            "devices/hostdev/boot/@loadparm",
            "devices/interface/boot/@loadparm",
            "devices/interface/model/@type",
        ),
        "word",
    ),
    **dict.fromkeys(("devices/filesystem/@dmode", "devices/filesystem/@fmode"), "int"),
    "devices/redirfilter/usbdev/@version": "usb_version",
}

DOMAIN_UNITS: dict[str, str] = dict.fromkeys(
    ("memtune/hard_limit", "memtune/soft_limit", "memtune/swap_hard_limit", "memtune/min_guarantee"), "KiB"
)

# What libvirt reads as if it was not there (domain_conf.c, cpu_conf.c).
DOMAIN_OMITTED: dict[str, str] = {
    "cpu": "",
    "cpu/model/@fallback": "allow",
    # VIR_DOMAIN_MEMORY_PARAM_UNLIMITED.
    **dict.fromkeys(("memtune/hard_limit", "memtune/soft_limit", "memtune/swap_hard_limit"), "9007199254740991"),
    # No limit, as it is without one.
    **{f"cputune/{whose}quota": "-1" for whose in ("", "global_", "emulator_", "iothread_")},
    **dict.fromkeys(
        (
            "devices/channel/protocol/@type",
            "devices/console/protocol/@type",
            "devices/parallel/protocol/@type",
            "devices/redirdev/protocol/@type",
            "devices/rng/backend/protocol/@type",
            "devices/serial/protocol/@type",
            "devices/smartcard/protocol/@type",
        ),
        "raw",
    ),
    "devices/disk/driver/@cache": "default",
    "devices/graphics/@autoport": "no",
    "devices/interface/coalesce/rx": "",
    "devices/interface/coalesce/rx/frames/@max": "0",
    "devices/interface/driver/@queues": "1",
    "devices/redirfilter/usbdev/@class": "-1",
    "devices/redirfilter/usbdev/@product": "-1",
    "devices/redirfilter/usbdev/@vendor": "-1",
    "devices/redirfilter/usbdev/@version": "-1",
}

_OTHER_MODEL = "[model/@type and not(starts-with(translate(model/@type, 'VIRTO', 'virto'), 'virtio'))]"

# What libvirt drops of a document because of what stands beside it.
DOMAIN_DROPPED = (
    # virCPUDefFormatBuf: only a named model has a fallback.
    "cpu/model[not(text())]/@fallback",
    # virDomainDefParseBootOptions.
    "os/bootmenu[@enable='no']/@timeout",
    # virDomainNumatuneNodeParseXML; a guest whose memory is placed automatically has its processors there as well.
    "numatune/memory[@placement='auto']/@nodeset",
    "self::*[numatune/memory/@placement='auto']/vcpu[not(@cpuset)]/@placement",
    # An empty drive has no kind of source (virDomainDiskDefParseXML); what cannot be written to has no snapshots.
    "devices/disk[@device='cdrom' or @device='floppy'][not(source)]/@type",
    "devices/disk[readonly or @device='cdrom']/@snapshot[.='no']",
    "devices/disk/target[@bus!='usb']/@removable",
    # Only told of a guest that runs.
    "devices//source/seclabel[@labelskip='yes']",
    "devices/interface/source/@portid",
    # virDomainNetDefParseXML: drivers are virtio's, filters are for what goes through a tap device.
    "devices/interface/mac[@address='00:00:00:00:00:00']",
    f"devices/interface[@type!='hostdev']{_OTHER_MODEL}/driver",
    f"devices/interface{_OTHER_MODEL}/backend/@vhost",
    "devices/interface[@type='hostdev']/driver/@queues",
    "devices/interface[@type='hostdev' or @type='vhostuser']/filterref",
    # Without a path there is no mode (virDomainChrSourceDefFormat).
    "devices/*[@type='unix']/source[not(@path) and not(*)]/@mode",
    # A port is chosen anew at each start, or a socket takes its place (virDomainGraphicsDefParseXMLVNC, -Spice).
    "devices/graphics[@autoport='yes']/@port",
    "devices/graphics[@autoport='yes']/@tlsPort",
    "devices/graphics/@socket[starts-with(., '/var/lib/libvirt/qemu/')]",
    "devices/graphics[@socket]/listen[not(@type='socket')]",
    # The default of any architecture used to be called so (qemuDomainChrDefPostParse).
    "self::*[os/type/@arch!='x86_64' and os/type/@arch!='i686']/devices/serial/target/@type[.='isa-serial']",
    # virDomainDefParseXML counts consoles itself.
    "devices/console/target/@port",
    "devices/controller[@type='scsi']/@model[.='auto']",
    # There is no ACPI in such a machine (qemuDomainDefACPIPostParse).
    "self::*[starts-with(os/type/@arch, 's390')]/features/acpi",
)

DOMAIN = Known(
    DOMAIN_KEYS,
    DOMAIN_DROPS,
    DOMAIN_TYPES,
    DOMAIN_UNITS,
    {
        **DOMAIN_OMITTED,
        **known_machine.OMITTED,
        "devices/disk/source/host/@transport": "tcp",
        # Beside autoport='yes' libvirt keeps no port of SPICE (virDomainGraphicsDefFormat).
        "devices/graphics/@tlsPort": "-1",
        "devices/video/model/@primary": "no",
        # Left out with the path that libvirt makes for an agent's socket (qemuDomainChrDefDropDefaultPath).
        "devices/channel/source/@mode": "bind",
    },
    normal=normal_domain,
    # virDomainDefFormatBlkiotune.
    hollow={"blkiotune/device": "path"},
    told=(
        *DOMAIN_DROPPED,
        "@id",
        # Of the running guest; only names of the user's own last (virDomainDeviceInfoParseXML).
        "devices/*/alias[not(starts-with(@name, 'ua-'))]",
        "devices/disk/mirror",
        "devices/disk//source/@index",
        "devices/disk//backingStore/@index",
        "devices/channel/target/@state",
        "devices/disk/target/@tray",
        *known_machine.TOLD,
    ),
    spread=known_machine.SPREAD,
)
