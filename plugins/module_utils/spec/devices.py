# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Devices of a domain: the fields of https://libvirt.org/formatdomain.html#devices."""

from __future__ import annotations

from .table import rows

DISKS = rows("""
- target  name  target/@dev  create required
    Name of the disk in the guest, such as V(vda); it identifies the disk.
- bus  text  target/@bus  =virtio|scsi|sata|ide|usb|fdc|nvme
    Bus of the disk. A new disk gets V(virtio), or V(sata) for a cdrom.
- device  text  @device  create =disk|cdrom|floppy|lun
    What the guest sees.
- image  text  -  create
    Name of a volume on which this disk is an overlay. The overlay is made as a qcow2 volume named after the guest
    and O(disks[].target) when it is not there; the image itself is never written to.
- size  size  -  live
    Virtual size of the disk's own volume, with unit (V(20 GiB)). A volume that is smaller is grown; none is ever
    shrunk here. With neither O(disks[].image) nor O(disks[].volume) an empty qcow2 volume is made.
- volume  name  source/@volume  create implies=@type:volume
    Name of a volume that is the disk. It must exist or be declared, or be made here by O(disks[].size).
- pool  name  source/@pool  create
    Pool of the disk's volume; V(default) when left out.
- image_pool  name  -  create
    Pool of O(disks[].image); O(disks[].pool) when left out.
- file  path  source/@file  live implies=@type:file
    A file on the host that is the disk. A cdrom's is changed while the guest runs.
- block  path  source/@dev  implies=@type:block
    A block device on the host that is the disk.
- format  text  driver/@type
    Format of the disk's image. Found out from the volume, or V(qcow2) for a new one.
- cache  text  driver/@cache  =default|none|writethrough|writeback|directsync|unsafe
    Cache mode of the host.
- io  text  driver/@io  =threads|native|io_uring
    How QEMU does the disk's input and output.
- discard  text  driver/@discard  =unmap|ignore
    Whether the guest's discards free space in the image.
- serial  line  serial
    Serial number the guest sees.
- readonly  flag  readonly
    Whether the guest may only read the disk.
- shareable  flag  shareable
    Whether several guests may use the disk at once.
- boot_order  int  boot/@order
    Place in the boot order, from 1. Not together with O(boot).
""")

INTERFACES = rows("""
- name  line  -  create
    A name of your own that identifies the interface in this declaration. Without it and without
    O(interfaces[].mac) an interface is known by its network and its place among those on the same network.
- network  name  source/@network  live implies=@type:network
    Name of a libvirt network.
- bridge  name  source/@bridge  live implies=@type:bridge
    Name of a bridge on the host.
- mac  mac  mac/@address  create
    MAC address. Left out, it is derived from the host and the guest's name and stays the same.
- model  text  model/@type
    Device the guest sees. A new interface gets V(virtio).
- address  ip  -  live
    IP address the guest gets by DHCP: a reservation for this interface's MAC address on O(interfaces[].network).
- link  text  link/@state  live =up|down
    State of the link.
- mtu  int  mtu/@size
    MTU of the link in bytes.
- boot_order  int  boot/@order
    Place in the boot order, from 1.
""")

SERIALS = rows("""
- type  text  @type  =pty|unix|file|dev|tcp|udp|null|stdio|vc|pipe|spicevmc|spiceport
    What is at the host's end.
- path  text  source/@path
    Path of the file, device or socket at the host's end.
- port  int  target/@port
    Number of the port in the guest, from 0.
- log  path  log/@file
    A file on the host to which all output is written as well.
""")

CONSOLES = SERIALS + rows("""
- target  text  target/@type  =serial|virtio|sclp
    Kind of device in the guest.
""")

CHANNELS = rows("""
- name  text  target/@name  create required
    Name of the channel in the guest, such as V(org.qemu.guest_agent.0); it identifies the channel.
- type  text  @type  =pty|unix|file|dev|tcp|udp|null|stdio|vc|pipe|spicevmc|spiceport
    What is at the host's end. A new one gets V(unix).
- target  text  target/@type  =virtio|xen
    Kind of device in the guest. A new one gets V(virtio).
- path  text  source/@path
    Path of the socket at the host's end.
""")

GRAPHICS = rows("""
- type  text  @type  create required =vnc|spice
    Protocol.
- listen  text  @listen
    Address that QEMU listens on, V(127.0.0.1) when left out.
- port  int  @port
    Port; V(-1) lets libvirt choose one.
- autoport  yes_no  @autoport
    Whether libvirt chooses the port.
- keymap  text  @keymap
    Keyboard layout.
- password  text  @passwd  live secret
    Password. It is compared, and never shown.
""")

VIDEOS = rows("""
- model  text  model/@type  required
    Video device the guest sees, for example V(virtio) or V(vga).
- vram  int  model/@vram
    Video memory in KiB.
- heads  int  model/@heads
    Number of screens.
""")

RNGS = rows("""
- model  text  @model
    Device the guest sees. A new one gets V(virtio).
- backend  text  backend/@model  =random|egd|builtin
    Where the randomness comes from. A new one gets V(random).
- source  text  backend
    Device for O(rngs[].backend=random). A new one gets V(/dev/urandom).
""")

TPM = rows("""
- model  text  @model  =tpm-tis|tpm-crb|tpm-spapr
    Device the guest sees.
- backend  text  backend/@type  =emulator|passthrough
    What stands behind it. A new one gets V(emulator).
- version  text  backend/@version  =1.2|2.0
    Version of the TPM.
""")
