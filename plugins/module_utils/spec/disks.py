# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks of a domain: the fields of https://libvirt.org/formatdomain.html#hard-drives-floppy-disks-cdroms."""

from __future__ import annotations

from .parts import AUTH, DRIVE, HOSTS, IOTHREADS, PLACE, SECLABELS, VIRTIO
from .table import rows

DISK_NETWORK = rows(
    """
- protocol  text  @protocol  required =rbd|iscsi|nbd|gluster|http|https|ftp|ftps|tftp|ssh|nfs|sheepdog|vxhs
    Protocol.
- name  line  @name
    What the server calls it, for example V(pool/image) for RBD or a path for HTTPS.
- query  line  @query
    Query of an HTTP URL.
- hosts  items  host  fields=hosts
    The servers. The list is the whole list.
- auth  dict  auth  fields=auth
    Who logs in.
- snapshot  line  snapshot/@name
    Name of an RBD snapshot.
- config  path  config/@file
    The configuration file of RBD on the host.
- initiator  line  initiator/iqn/@name
    Name of the initiator, for iSCSI.
- tls  yes_no  @tls
    Whether NBD or VXHS is encrypted.
- tls_hostname  line  @tlsHostname
    The name in the server's certificate.
- reconnect_delay  int  reconnect/@delay
    Seconds for which requests wait when the connection to an NBD server is lost.
- ssl_verify  yes_no  ssl/@verify
    Whether the certificate of an HTTPS or FTPS server is verified.
- cookies  items  cookies/cookie
    Cookies for HTTP. The list is the whole list.
    - name  line  @name  required
        Name of the cookie.
    - value  text  .  secret
        Its value. It is compared, and never shown.
- readahead  int  readahead/@size
    Bytes to read ahead over HTTP, FTP or SSH.
- timeout  int  timeout/@seconds
    Seconds to wait for an HTTP, FTP or SSH server.
- known_hosts  path  knownHosts/@path
    The file with the keys of SSH servers.
- user  line  identity/@user
    User for NFS, a name or a number with a plus sign.
- group  line  identity/@group
    Group for NFS.
- ssh_user  line  identity/@username
    User for SSH with a key.
- ssh_keyfile  path  identity/@keyfile
    File with the key for SSH.
- ssh_agent  path  identity/@agentsock
    Socket of the SSH agent, in place of a file with the key.
""",
    hosts=HOSTS,
    auth=AUTH,
)

IOTUNE = rows(
    "".join(
        f"- {limit}  limit  {limit}  live\n    {doc}\n"
        for limit, doc in (
            (f"{way}_{what}_sec{burst}", f"{text} in a second{more}.")
            for burst, more in (("", ""), ("_max", " in a burst"), ("_max_length", ": seconds that a burst may last"))
            for what, noun in (("bytes", "bytes"), ("iops", "requests"))
            for way, text in (
                ("total", f"All {noun}"),
                ("read", f"{noun.capitalize()} read"),
                ("write", f"{noun.capitalize()} written"),
            )
        )
    )
) + rows("""
- size_iops_sec  int  size_iops_sec  live
    Bytes that count as one request.
- group_name  line  group_name  live
    Disks of one group share their limits.
""")

DISKS = (
    rows(
        """
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
- volume_mode  text  source/@mode  =host|direct
    How a volume of an iSCSI pool is reached, by the host or by QEMU itself.
- image_pool  name  -  create
    Pool of O(disks[].image); O(disks[].pool) when left out.
- file  path  source/@file  live implies=@type:file
    A file on the host that is the disk. A cdrom's is changed while the guest runs.
- block  path  source/@dev  implies=@type:block
    A block device on the host that is the disk.
- dir  path  source/@dir  implies=@type:dir
    A directory on the host that the guest sees as a disk with a FAT file system.
- vdpa  path  source/@dev  implies=@type:vhostvdpa
    A vhost-vdpa device on the host that is the disk, for example V(/dev/vhost-vdpa-0).
- network  dict  source  implies=@type:network fields=network
    A disk on a server, to which QEMU connects by itself.
- nvme  dict  source  implies=@type:nvme
    An NVMe device of the host that QEMU drives by itself.
    - address  pci  address  required
        Place of the device on the host's PCI bus, such as V(0000:01:00.0).
    - namespace  int  @namespace  required implies=@type:pci
        Number of the namespace, from 1.
    - managed  yes_no  @managed
        Whether libvirt takes the device from the host's driver and gives it back.
- vhostuser  dict  source  implies=@type:vhostuser
    A disk served by a process on the host, such as SPDK. The guest's memory has to be shared.
    - path  path  @path  required implies=@type:unix
        Socket of the process.
    - reconnect  yes_no  reconnect/@enabled
        Whether QEMU connects again when the connection is lost.
    - reconnect_timeout  int  reconnect/@timeout
        Seconds between two attempts.
- format  text  driver/@type
    Format of the disk's image. Found out from the volume, or V(qcow2) for a new one.
- startup_policy  text  source/@startupPolicy  live =mandatory|requisite|optional
    What happens when the guest starts and its source is not there.
- encryption  dict  source/encryption
    The image is encrypted.
    - format  text  @format  =luks|luks2|luks-any|qcow  required
        Format of the encryption.
    - engine  text  @engine  =qemu|librbd
        Who decrypts.
    - secret_uuid  uuid  secret/@uuid  implies=secret/@type:passphrase
        UUID of the libvirt secret that holds the passphrase.
    - secret_usage  line  secret/@usage  implies=secret/@type:passphrase
        Usage of that secret, in place of its UUID.
- reservations  dict  source/reservations
    Persistent reservations of a lun.
    - managed  yes_no  @managed
        Whether libvirt starts the process that makes them.
    - path  path  source/@path  implies=source/@type:unix implies=source/@mode:client
        Socket of that process, when libvirt does not start it.
- slice  dict  source/slices/slice  implies=source/slices/slice/@type:storage
    The part of the source that is the disk's image.
    - offset  int  @offset  required
        Where it begins, in bytes.
    - size  int  @size  required
        Its length in bytes.
- cache  text  driver/@cache  =default|none|writethrough|writeback|directsync|unsafe
    Cache mode of the host.
- io  text  driver/@io  =threads|native|io_uring
    How QEMU does the disk's input and output.
- discard  text  driver/@discard  =unmap|ignore
    Whether the guest's discards free space in the image.
- discard_no_unref  on_off  driver/@discard_no_unref
    Whether a qcow2 image keeps its clusters when the guest discards them.
- detect_zeroes  text  driver/@detect_zeroes  =off|on|unmap
    What becomes of zeros that the guest writes.
- error_policy  text  driver/@error_policy  =stop|report|ignore|enospace
    What happens when writing fails.
- rerror_policy  text  driver/@rerror_policy  =stop|report|ignore
    What happens when reading fails.
- copy_on_read  on_off  driver/@copy_on_read
    Whether what was read from the backing image is kept in the disk's own.
- ioeventfd  on_off  driver/@ioeventfd
    Whether another thread works on the requests.
- event_idx  on_off  driver/@event_idx
    Whether the virtio device saves interrupts.
- iothread  int  driver/@iothread
    Number of the guest's I/O thread for this disk, from 1.
- queues  int  driver/@queues
    Number of queues.
- queue_size  int  driver/@queue_size
    Requests that a queue holds.
- metadata_cache  size  driver/metadata_cache/max_size
    The most memory for the metadata of a qcow2 image, with unit.
- iotune  dict  iotune  live fields=iotune
    Limits of the disk. V(0) is no limit. A total excludes a limit for reading or writing alone.
- throttle_groups  items  throttlefilters/throttlefilter
    Groups of limits that apply one after the other, from libvirt 11.2. The list is the whole list.
    - group  line  @group  required
        Name of the group.
- serial  line  serial
    Serial number the guest sees.
- wwn  line  wwn
    World wide name the guest sees, 16 hexadecimal digits.
- vendor  line  vendor
    Vendor the guest sees on a SCSI bus, 8 characters.
- product  line  product
    Product the guest sees on a SCSI bus, 16 characters.
- rotation_rate  int  target/@rotation_rate
    Rotations in a minute the guest sees; V(1) is a disk that does not rotate.
- removable  on_off  target/@removable
    Whether a USB or SCSI disk looks removable.
- model  text  @model  =virtio|virtio-transitional|virtio-non-transitional
    Kind of virtio device.
- snapshot  text  @snapshot  =no|internal|external|manual
    How snapshots of the guest treat the disk.
- rawio  yes_no  @rawio
    Whether the guest may send any SCSI command to a lun.
- sgio  text  @sgio  =filtered|unfiltered
    Whether the kernel filters the SCSI commands to a lun.
- readonly  flag  readonly
    Whether the guest may only read the disk.
- shareable  flag  shareable
    Whether several guests may use the disk at once.
- transient  flag  transient
    Whether the guest's changes are forgotten when it stops.
- share_backing  yes_no  transient/@shareBacking
    Whether several guests may start from the same disk with O(disks[].transient).
- geometry  dict  geometry
    Geometry the guest sees.
    - cyls  int  @cyls  required
        Cylinders.
    - heads  int  @heads  required
        Heads.
    - secs  int  @secs  required
        Sectors.
    - trans  text  @trans  =auto|none|lba
        Translation of the BIOS.
- blockio  dict  blockio
    Sizes of blocks the guest sees, in bytes.
    - logical_block_size  int  @logical_block_size
        The smallest block that is read or written.
    - physical_block_size  int  @physical_block_size
        The block that is best read or written.
    - discard_granularity  int  @discard_granularity
        The smallest block that is discarded, from libvirt 10.2.
- boot_order  int  boot/@order
    Place in the boot order, from 1. Not together with O(boot).
- loadparm  line  boot/@loadparm
    What the boot loader of an s390 guest is told, of up to 8 characters.
""",
        network=DISK_NETWORK,
        iotune=IOTUNE,
    )
    + SECLABELS
    + IOTHREADS
    + VIRTIO
    + PLACE
    + DRIVE
)
