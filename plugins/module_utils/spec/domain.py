# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Domains (guests): the fields of https://libvirt.org/formatdomain.html, by libvirt's element names."""

from __future__ import annotations

from .field import Field, Kind

STATES = ("present", "running", "stopped", "paused", "absent", "restarted", "reset")

CPU = (
    Field(
        "mode",
        path="@mode",
        doc="How the guest's CPU relates to the host's.",
        choices=("custom", "host-model", "host-passthrough", "maximum"),
    ),
    Field("model", path="model", doc="A named CPU model such as V(qemu64) or V(EPYC), for O(cpu.mode=custom)."),
    Field(
        "check",
        path="@check",
        doc="How strictly the CPU that the guest gets is compared with the one asked for.",
        choices=("none", "partial", "full"),
    ),
    Field(
        "features",
        "items",
        "feature",
        "CPU features to add or take away.",
        fields=(
            Field("name", path="@name", doc="Name of the feature, for example V(vmx).", required=True),
            Field(
                "policy",
                path="@policy",
                doc="What becomes of it.",
                choices=("force", "require", "optional", "disable", "forbid"),
            ),
        ),
    ),
)

DISKS = (
    Field(
        "target",
        "name",
        "target/@dev",
        required=True,
        effect="create",
        doc="Name of the disk in the guest, such as V(vda); it identifies the disk.",
    ),
    Field(
        "bus",
        path="target/@bus",
        doc="Bus of the disk. A new disk gets V(virtio), or V(sata) for a cdrom.",
        choices=("virtio", "scsi", "sata", "ide", "usb", "fdc", "nvme"),
    ),
    Field(
        "device",
        path="@device",
        effect="create",
        doc="What the guest sees.",
        choices=("disk", "cdrom", "floppy", "lun"),
    ),
    Field(
        "image",
        doc="Name of a volume on which this disk is an overlay. The overlay is made as a qcow2 volume named "
        "after the guest and O(disks[].target) when it is not there; the image itself is never written to.",
        effect="create",
    ),
    Field(
        "size",
        "size",
        effect="live",
        doc="Virtual size of the disk's own volume, with unit (V(20 GiB)). A volume that is smaller is grown; "
        "none is ever shrunk here. With neither O(disks[].image) nor O(disks[].volume) an empty qcow2 volume is made.",
    ),
    Field(
        "volume",
        "name",
        "source/@volume",
        effect="create",
        implies=(("@type", "volume"),),
        doc="Name of a volume that is the disk. It must exist or be declared, or be made here by O(disks[].size).",
    ),
    Field(
        "pool",
        "name",
        "source/@pool",
        effect="create",
        doc="Pool of the disk's volume; V(default) when left out.",
    ),
    Field("image_pool", "name", effect="create", doc="Pool of O(disks[].image); O(disks[].pool) when left out."),
    Field(
        "file",
        "path",
        "source/@file",
        effect="live",
        implies=(("@type", "file"),),
        doc="A file on the host that is the disk. A cdrom's is changed while the guest runs.",
    ),
    Field(
        "block",
        "path",
        "source/@dev",
        effect="restart",
        implies=(("@type", "block"),),
        doc="A block device on the host that is the disk.",
    ),
    Field(
        "format",
        path="driver/@type",
        effect="restart",
        doc="Format of the disk's image. Found out from the volume, or V(qcow2) for a new one.",
    ),
    Field(
        "cache",
        path="driver/@cache",
        doc="Cache mode of the host.",
        choices=("default", "none", "writethrough", "writeback", "directsync", "unsafe"),
    ),
    Field(
        "io",
        path="driver/@io",
        doc="How QEMU does the disk's input and output.",
        choices=("threads", "native", "io_uring"),
    ),
    Field(
        "discard",
        path="driver/@discard",
        doc="Whether the guest's discards free space in the image.",
        choices=("unmap", "ignore"),
    ),
    Field("serial", "line", "serial", doc="Serial number the guest sees."),
    Field("readonly", "flag", "readonly", doc="Whether the guest may only read the disk."),
    Field("shareable", "flag", "shareable", doc="Whether several guests may use the disk at once."),
    Field("boot_order", "int", "boot/@order", doc="Place in the boot order, from 1. Not together with O(boot)."),
)

INTERFACES = (
    Field(
        "name",
        "line",
        effect="create",
        doc="A name of your own that identifies the interface in this declaration. Without it and without "
        "O(interfaces[].mac) an interface is known by its network and its place among those on the same network.",
    ),
    Field(
        "network",
        "name",
        "source/@network",
        effect="live",
        implies=(("@type", "network"),),
        doc="Name of a libvirt network.",
    ),
    Field(
        "bridge",
        "name",
        "source/@bridge",
        effect="live",
        implies=(("@type", "bridge"),),
        doc="Name of a bridge on the host.",
    ),
    Field(
        "mac",
        "mac",
        "mac/@address",
        effect="create",
        doc="MAC address. Left out, it is derived from the host and the guest's name and stays the same.",
    ),
    Field("model", path="model/@type", doc="Device the guest sees. A new interface gets V(virtio)."),
    Field(
        "address",
        "ip",
        effect="live",
        doc="IP address the guest gets by DHCP: a reservation for this interface's MAC address on O(interfaces[].network).",
    ),
    Field("link", path="link/@state", effect="live", doc="State of the link.", choices=("up", "down")),
    Field("mtu", "int", "mtu/@size", doc="MTU of the link in bytes."),
    Field("boot_order", "int", "boot/@order", doc="Place in the boot order, from 1."),
)

CHARACTER_TYPES = (
    "pty",
    "unix",
    "file",
    "dev",
    "tcp",
    "udp",
    "null",
    "stdio",
    "vc",
    "pipe",
    "spicevmc",
    "spiceport",
)

SERIALS = (
    Field("type", path="@type", doc="What is at the host's end.", choices=CHARACTER_TYPES),
    Field("path", path="source/@path", doc="Path of the file, device or socket at the host's end."),
    Field("port", "int", "target/@port", doc="Number of the port in the guest, from 0."),
    Field("log", "path", "log/@file", doc="A file on the host to which all output is written as well."),
)

CONSOLES = (
    *SERIALS,
    Field(
        "target",
        path="target/@type",
        doc="Kind of device in the guest.",
        choices=("serial", "virtio", "sclp"),
    ),
)

CHANNELS = (
    Field(
        "name",
        path="target/@name",
        required=True,
        effect="create",
        doc="Name of the channel in the guest, such as V(org.qemu.guest_agent.0); it identifies the channel.",
    ),
    Field(
        "type",
        path="@type",
        doc="What is at the host's end. A new one gets V(unix).",
        choices=CHARACTER_TYPES,
    ),
    Field(
        "target",
        path="target/@type",
        doc="Kind of device in the guest. A new one gets V(virtio).",
        choices=("virtio", "xen"),
    ),
    Field("path", path="source/@path", doc="Path of the socket at the host's end."),
)

GRAPHICS = (
    Field("type", path="@type", required=True, effect="create", doc="Protocol.", choices=("vnc", "spice")),
    Field("listen", path="@listen", doc="Address that QEMU listens on, V(127.0.0.1) when left out."),
    Field("port", "int", "@port", doc="Port; V(-1) lets libvirt choose one."),
    Field("autoport", "yes_no", "@autoport", doc="Whether libvirt chooses the port."),
    Field("keymap", path="@keymap", doc="Keyboard layout."),
    Field(
        "password",
        path="@passwd",
        effect="live",
        secret=True,
        doc="Password. It is compared, and never shown.",
    ),
)

VIDEOS = (
    Field(
        "model",
        path="model/@type",
        required=True,
        doc="Video device the guest sees, for example V(virtio) or V(vga).",
    ),
    Field("vram", "int", "model/@vram", doc="Video memory in KiB."),
    Field("heads", "int", "model/@heads", doc="Number of screens."),
)

RNGS = (
    Field("model", path="@model", doc="Device the guest sees. A new one gets V(virtio)."),
    Field(
        "backend",
        path="backend/@model",
        doc="Where the randomness comes from. A new one gets V(random).",
        choices=("random", "egd", "builtin"),
    ),
    Field("source", path="backend", doc="Device for O(rngs[].backend=random). A new one gets V(/dev/urandom)."),
)

TPM = (
    Field("model", path="@model", doc="Device the guest sees.", choices=("tpm-tis", "tpm-crb", "tpm-spapr")),
    Field(
        "backend",
        path="backend/@type",
        doc="What stands behind it. A new one gets V(emulator).",
        choices=("emulator", "passthrough"),
    ),
    Field("version", path="backend/@version", doc="Version of the TPM.", choices=("1.2", "2.0")),
)

CLOUD_INIT = (
    Field(
        "user_data",
        "raw",
        secret=True,
        doc="User data: a mapping (written as C(#cloud-config)) or a text that is passed on as it is. Never shown.",
    ),
    Field(
        "meta_data",
        "raw",
        doc="Meta data, a mapping. V(instance-id) and V(local-hostname) are filled in when left out.",
    ),
    Field("network_config", "raw", secret=True, doc="Network configuration, a mapping (version 2) or a text."),
    Field("vendor_data", "raw", secret=True, doc="Vendor data: a mapping or a text."),
    Field("pool", "name", doc="Pool of the seed's volume; V(default) when left out."),
)

WAIT_FOR = (
    Field(
        "address",
        "bool",
        default=False,
        doc="Wait until an address of the guest is known (DHCP lease, or guest agent).",
    ),
    Field("agent", "bool", default=False, doc="Wait until the QEMU guest agent answers."),
    Field("timeout", "int", default=300, doc="Seconds to wait at the most."),
)

DOMAIN = Kind(
    "domain",
    "domains",
    "domain",
    "domain.rng",
    (
        Field(
            "name",
            "name",
            "name",
            required=True,
            effect="create",
            doc="Name of the guest; it identifies the guest.",
            aliases=("guest",),
        ),
        Field(
            "uuid",
            "uuid",
            "uuid",
            effect="create",
            doc="UUID. Left out, a new guest's is derived from the host and the name.",
        ),
        Field("title", "line", "title", effect="live", doc="A short title."),
        Field("description", "text", "description", effect="live", doc="A description for people."),
        Field(
            "memory",
            "size",
            "memory",
            unit="KiB",
            doc="Memory of the guest at boot, with unit (V(2 GiB)). Needed for a new guest.",
        ),
        Field(
            "current_memory",
            "size",
            "currentMemory",
            unit="KiB",
            effect="live",
            doc="Memory the guest has now (balloon), with unit. Follows O(memory) when left out.",
        ),
        Field("vcpus", "int", "vcpu", doc="Number of virtual CPUs."),
        Field("cpu", "dict", "cpu", doc="The virtual CPU.", fields=CPU),
        Field(
            "virt_type",
            path="@type",
            effect="create",
            doc="Hypervisor. V(auto) takes V(kvm) for a new guest where the host offers it, else V(qemu) (emulation), "
            "and leaves an existing guest as it is.",
            choices=("auto", "kvm", "qemu", "test"),
        ),
        Field(
            "arch",
            path="os/type/@arch",
            effect="create",
            doc="Architecture, V(x86_64) and so on; the host's when left out.",
        ),
        Field("machine", path="os/type/@machine", doc="Machine type. A new x86_64 guest gets V(q35)."),
        Field(
            "firmware",
            path="os/@firmware",
            effect="create",
            doc="Firmware. A new guest gets V(bios).",
            choices=("bios", "efi"),
        ),
        Field(
            "boot",
            "words",
            "os/boot/@dev",
            doc="Boot order by kind of device, such as V([hd, network]).",
            choices=("hd", "cdrom", "network", "fd"),
        ),
        Field("kernel", "path", "os/kernel", doc="A kernel on the host to boot directly."),
        Field("initrd", "path", "os/initrd", doc="The initial RAM disk for O(kernel)."),
        Field("cmdline", "line", "os/cmdline", doc="The kernel's command line for O(kernel)."),
        Field(
            "on_poweroff",
            path="on_poweroff",
            doc="What happens when the guest powers off.",
            choices=("destroy", "restart", "preserve", "rename-restart"),
        ),
        Field(
            "on_reboot",
            path="on_reboot",
            doc="What happens when the guest reboots.",
            choices=("destroy", "restart", "preserve", "rename-restart"),
        ),
        Field(
            "on_crash",
            path="on_crash",
            doc="What happens when the guest crashes.",
            choices=(
                "destroy",
                "restart",
                "preserve",
                "rename-restart",
                "coredump-destroy",
                "coredump-restart",
            ),
        ),
        Field("disks", "items", "devices/disk", "Disks, cdroms and floppies.", "live", fields=DISKS),
        Field("interfaces", "items", "devices/interface", "Network interfaces.", "live", fields=INTERFACES),
        Field("serials", "items", "devices/serial", "Serial ports. A new guest gets one.", fields=SERIALS),
        Field("consoles", "items", "devices/console", "Consoles.", fields=CONSOLES),
        Field(
            "channels",
            "items",
            "devices/channel",
            "Channels between host and guest. A new guest gets the guest agent's.",
            "live",
            fields=CHANNELS,
        ),
        Field(
            "graphics",
            "items",
            "devices/graphics",
            "Graphical displays. None unless declared.",
            fields=GRAPHICS,
        ),
        Field("videos", "items", "devices/video", "Video devices.", fields=VIDEOS),
        Field(
            "rngs",
            "items",
            "devices/rng",
            "Random number generators. A new guest gets one.",
            "live",
            fields=RNGS,
        ),
        Field("tpm", "dict", "devices/tpm", "The Trusted Platform Module.", fields=TPM),
        Field(
            "cloud_init",
            "dict",
            effect="restart",
            fields=CLOUD_INIT,
            doc="A NoCloud seed for cloud-init, made as a volume and attached as a cdrom. The same content gives the same bytes.",
        ),
        Field(
            "xml",
            "text",
            effect="restart",
            doc="libvirt's own domain XML. Its elements count as declared; typed fields win over it. "
            "A new guest that is declared with it gets none of this collection's default devices.",
        ),
        Field("autostart", "bool", effect="live", doc="Whether the guest starts with the host."),
        Field(
            "state",
            effect="live",
            choices=STATES,
            default="present",
            doc="V(present) defines the guest and leaves its power as it is. V(stopped) asks the guest to shut down and waits. "
            "V(absent) removes the definition and keeps the disks. V(restarted) and V(reset) act on every run.",
        ),
        Field(
            "restart",
            effect="live",
            choices=("never", "if_needed"),
            default="never",
            doc="Whether a running guest may be shut down and started again when a change needs it. "
            "With V(never) such changes wait for the guest's next start and are reported as pending.",
        ),
        Field("wait_for", "dict", effect="live", fields=WAIT_FOR, doc="What to wait for when the guest runs."),
        Field("timeout", "int", effect="live", default=120, doc="Seconds that a guest has to shut down."),
        Field(
            "force",
            "bool",
            effect="live",
            default=False,
            doc="Whether a guest that did not shut down in time is switched off.",
        ),
        Field(
            "remove_storage",
            "bool",
            effect="live",
            default=False,
            doc="With O(state=absent): delete the guest's own volumes too. Never a cdrom image that others use, a backing file "
            "or anything outside a pool.",
        ),
    ),
)
