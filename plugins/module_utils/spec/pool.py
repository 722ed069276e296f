# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Storage pools: the fields of https://libvirt.org/formatstorage.html, by libvirt's element names."""

from __future__ import annotations

from .field import Kind
from .table import rows

SOURCE = rows("""
- hosts  items  host
    Servers of the storage. The list is the whole.
    - name  line  @name  required
        Name or address of the server.
    - port  int  @port
        Port.
- devices  items  device
    Devices of the host, or a target of iSCSI, known by their paths.
    - path  line  @path  required
        Path of the device, or name of the target.
    - part_separator  yes_no  @part_separator
        Whether names of partitions have a C(p) before the number, for multipath devices.
- dir  line  dir/@path
    Directory on the server.
- name  line  name
    Name of the volume group, of Ceph's or ZFS's pool, or of Gluster's volume.
- format  text  format/@type
    File system, partition table or protocol, such as V(ext4), V(gpt) or V(nfs).
- protocol_version  text  protocol/@ver
    Version of NFS.
- adapter  dict  adapter
    SCSI adapter, for O(type=scsi).
    - type  text  @type  =scsi_host|fc_host
        Kind of adapter.
    - name  line  @name
        Name of a V(scsi_host), as V(scsi_host1).
    - parentaddr  dict  parentaddr
        Where the adapter is, instead of its name, which may change at boot.
        - unique_id  int  @unique_id
            Number among the adapters at one address.
        - domain  line  address/@domain
            PCI domain, written as libvirt does, V('0x0000').
        - bus  line  address/@bus
            PCI bus.
        - slot  line  address/@slot
            Slot on the bus.
        - function  line  address/@function
            Function of the device.
    - parent  line  @parent
        Adapter that a virtual V(fc_host) is made on.
    - parent_wwnn  line  @parent_wwnn
        World-wide node name of that adapter.
    - parent_wwpn  line  @parent_wwpn
        World-wide port name of that adapter.
    - parent_fabric_wwn  line  @parent_fabric_wwn
        World-wide name of the fabric, by which that adapter is found.
    - managed  yes_no  @managed
        Whether the virtual adapter goes when the pool stops.
    - wwnn  line  @wwnn
        World-wide node name.
    - wwpn  line  @wwpn
        World-wide port name.
- initiator  line  initiator/iqn/@name
    Name by which the host introduces itself to iSCSI.
- auth  dict  auth
    How the host proves who it is.
    - type  text  @type  =chap|ceph
        Way of proving.
    - username  line  @username
        Name of the user.
    - secret_usage  line  secret/@usage
        The secret with the password, by its usage.
    - secret_uuid  uuid  secret/@uuid
        The secret with the password, by its UUID.
- vendor  line  vendor/@name
    Who made the storage.
- product  line  product/@name
    What they call it.
""")

FIELDS = rows(
    """
- name  name  name  create required
    Name of the pool; it identifies the pool.
- uuid  uuid  uuid  create
    UUID. Left out, a new pool's is derived from the host and the name.
- type  text  @type  create =dir|fs|netfs|logical|disk|iscsi|iscsi-direct|scsi|mpath|rbd|zfs|gluster|vstorage
    Kind of storage. A new pool is of V(dir) when left out. Which kinds a host knows depends on its packages.
- path  path  target/path
    Directory of the pool on the host, or the one its volumes appear in.
- permissions  dict  target/permissions  live
    Permissions of the pool's directory. They are made true while the pool is active.
    - mode  mode  mode  live
        Mode of the directory in octal, as V('0711').
    - owner  int  owner  live
        Numeric user id of the directory's owner.
    - group  int  group  live
        Numeric group id of the directory's group.
    - label  line  label  create
        SELinux label that libvirt makes the directory with.
- source  dict  source  fields=source
    Where the storage comes from.
- cow  yes_no  features/cow/@state
    Whether files are copied on write, for a V(dir) or V(fs) pool on Btrfs. libvirt leaves it as it is when left out.
- volume_allocation  text  refresh/volume/@allocation  =default|capacity
    How a volume's allocation is found out, for O(type=rbd); V(capacity) asks Ceph for less.
- mount_options  words  fs:mount_opts/fs:option/@name
    Options of the mount, for V(fs) and V(netfs). The list is the whole.
- config_options  items  rbd:config_opts/rbd:option
    Options of librados, for O(type=rbd). The list is the whole.
    - name  line  @name  required
        Name of the option.
    - value  line  @value  required
        Its value.
- build  bool  -  live
    Whether a pool that cannot be started is built first: a file system, partition table or volume group is made where its
    devices hold nothing. libvirt looks, and refuses to build over data. Directories are made in any case.
- refresh  bool  -  live
    Whether libvirt reads the pool anew before anything else, so that it knows what others put there. That is no change.
- xml  text  -
    libvirt's own pool XML. Its elements count as declared; typed fields win over it.
- autostart  bool  -  live
    Whether the pool starts with the host.
- state  text  -  live =present|active|inactive|absent default=present
    V(present) defines the pool and leaves it active or inactive as it is. V(active) also makes its directory when
    that is missing. V(absent) removes the definition; the data stays.
- remove_storage  bool  -  live
    Whether O(state=absent) also deletes all volumes of the pool and its directory. That is for active pools of O(type=dir), and is refused
    when the directory holds anything that is no volume of the pool, or when something uses one of them.
""",
    source=SOURCE,
)

POOL = Kind("pool", "pools", "pool", "storagepool.rng", FIELDS)
