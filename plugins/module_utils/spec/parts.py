# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts of devices that several kinds of device have."""

from __future__ import annotations

from .table import rows

# What every virtio device takes.
VIRTIO = rows("""
- iommu  on_off  driver/@iommu
    Whether the virtio device uses the guest's IOMMU.
- ats  on_off  driver/@ats
    Whether the virtio device has address translation services.
- packed  on_off  driver/@packed
    Whether the virtio device uses packed queues.
- page_per_vq  on_off  driver/@page_per_vq
    Whether each queue of the virtio device has a page of its own.
""")

# What names a device of a guest, in its definition and beyond.
ALIAS = rows("""
- alias  alias  alias/@name
    A name of your own for the device, by which libvirt, QEMU and O(interfaces[].teaming) know it. It begins with C(ua-).
""")

PLACE = ALIAS + rows("""
- pci_address  pci  address  implies=address/@type:pci
    Place of the device on the guest's PCI bus, such as V(0000:04:00.0). libvirt chooses it when left out.
""")

ACPI_INDEX = rows("""
- acpi_index  int  acpi/@index
    The number from which systemd makes the name of the device in the guest.
""")

ROM = rows("""
- enabled  yes_no  @enabled
    Whether the device has a ROM.
- bar  on_off  @bar
    Whether the guest sees the device's own ROM.
- file  path  @file
    A file on the host that is the ROM.
""")

SECRET = rows("""
- secret_uuid  uuid  secret/@uuid
    UUID of the libvirt secret.
- secret_usage  line  secret/@usage
    Usage of the libvirt secret, in place of its UUID.
""")

AUTH = SECRET + rows("""
- username  line  @username
    Name of the user.
- type  text  secret/@type  =ceph|iscsi
    Type of the secret. New: V(ceph) for RBD, V(iscsi) for the others.
""")

# Which I/O threads a device's queues are worked on by, in place of one for all of them.
IOTHREADS = rows("""
- iothreads  items  driver/iothreads/iothread
    I/O threads that share the queues of the device, in place of a single one. The list is the whole list.
    - id  int  @id  required
        Number of the guest's I/O thread, from 1.
    - queues  words  queue/@id
        Numbers of the queues that the thread works on, from 0. All threads name theirs, or none.
""")

HOSTS = rows("""
- name  line  @name
    Name or address of the server.
- port  int  @port
    Port of the server.
- transport  text  @transport  =tcp|rdma|unix
    How the server is reached. V(tcp) when left out.
- socket  path  @socket
    Socket of the server, for the transport V(unix).
""")

TEAMING = rows("""
- type  text  @type  required =persistent|transient
    V(persistent) is the virtio interface that stays, V(transient) the host device that is taken out for a migration.
- persistent  line  @persistent
    The alias of the persistent interface, for a transient one.
""")

SECLABELS = rows("""
- seclabels  items  source/seclabel
    Security labels of the source. The list is the whole list.
    - model  line  @model
        The security driver, V(dac), V(selinux) or V(apparmor).
    - relabel  yes_no  @relabel
        Whether libvirt labels the source.
    - label  line  label
        The label.
""")

DRIVE = rows("""
- drive  dict  address  implies=address/@type:drive
    Place of the disk on the controllers of its bus (SCSI, SATA, IDE, floppy). libvirt chooses it when left out.
    - controller  int  @controller
        Number of the controller, as in O(controllers[].index).
    - bus  int  @bus
        Number of the bus.
    - target  int  @target
        Number of the target.
    - unit  int  @unit
        Number of the unit.
""")
