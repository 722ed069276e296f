# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Devices of a domain that stand on something of the host, https://libvirt.org/formatdomain.html#devices:
network interfaces, host devices, file systems, controllers and leases. Disks have a file of their own.
"""

from __future__ import annotations

from .parts import ACPI_INDEX, AUTH, HOSTS, IOTHREADS, PLACE, ROM, TEAMING, VIRTIO
from .table import rows

BANDWIDTH = rows("""
- average  int  @average  live
    KiB in a second on average.
- peak  int  @peak  live
    KiB in a second at the most.
- burst  int  @burst  live
    KiB that may be sent at the peak speed.
""")

OFFLOADS = rows("""
- csum  on_off  @csum
    Checksums.
- tso4  on_off  @tso4
    TCP segmentation over IPv4.
- tso6  on_off  @tso6
    TCP segmentation over IPv6.
- ecn  on_off  @ecn
    Explicit congestion notification.
- ufo  on_off  @ufo
    UDP fragmentation.
""")

INTERFACES = (
    rows(
        """
- name  line  -  create
    A name of your own that identifies the interface in this declaration. Without it and without
    O(interfaces[].mac) an interface is known by its network and its place among those on the same network.
- network  name  source/@network  live implies=@type:network
    Name of a libvirt network.
- bridge  name  source/@bridge  live implies=@type:bridge
    Name of a bridge on the host.
- hostdev  pci  source/address  implies=@type:hostdev implies=source/address/@type:pci
    Place of a network card of the host on its PCI bus, such as V(0000:03:10.1), that the guest gets.
- type  text  @type  =direct|user|ethernet|vhostuser|vdpa|internal|mcast|server|client|udp|null
    What the interface is connected to. Not together with O(interfaces[].network), O(interfaces[].bridge) or
    O(interfaces[].hostdev), which say it themselves.
- dev  line  source/@dev
    Device of the host: the one below a macvtap for V(direct), the vdpa device for V(vdpa), the one to use for
    V(user) with passt.
- mode  text  source/@mode  =vepa|bridge|private|passthrough|server|client
    Mode of a macvtap, or of the socket for V(vhostuser).
- path  path  source/@path  implies=source/@type:unix
    Socket for V(vhostuser).
- reconnect  yes_no  source/reconnect/@enabled
    Whether a lost connection to the socket of V(vhostuser) is made again.
- reconnect_timeout  int  source/reconnect/@timeout
    Seconds between two attempts.
- source_name  line  source/@name
    Name of the internal network, for V(internal).
- source_address  ip  source/@address
    Address of the socket for V(mcast), V(server), V(client) or V(udp).
- source_port  int  source/@port
    Port of that socket.
- local_address  ip  source/local/@address
    Address of this end, for V(udp).
- local_port  int  source/local/@port
    Port of this end, for V(udp).
- managed  yes_no  @managed
    Whether libvirt takes O(interfaces[].hostdev) from the host's driver and gives it back.
- portgroup  line  source/@portgroup
    Port group of the network.
- mac_table  text  source/@macTableManager  =kernel|libvirt
    Who keeps the bridge's table of MAC addresses.
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
- target  line  target/@dev
    Name of the host's end, of up to 15 characters. Names that begin with C(vnet) are libvirt's own.
- target_managed  yes_no  target/@managed
    Whether libvirt makes the host's end of an interface of the type V(ethernet).
- backend  text  backend/@type  =default|passt
    What connects an interface of the type V(user).
- backend_log  path  backend/@logFile
    Log of passt.
- backend_tap  path  backend/@tap
    Path of the tun device in place of V(/dev/net/tun).
- backend_vhost  path  backend/@vhost
    Path of the vhost device in place of V(/dev/vhost-net).
- port_forwards  items  portForward
    Ports of the host that passt forwards to the guest. The list is the whole list.
    - proto  text  @proto  =tcp|udp  required
        Protocol.
    - address  ip  @address
        Address of the host; all when left out.
    - dev  line  @dev
        Device of the host; all when left out.
    - ranges  items  range
        The ports; all when left out.
        - start  int  @start  required
            First port of the host.
        - end  int  @end
            Last port of the host.
        - to  int  @to
            First port of the guest, the same when left out.
        - exclude  yes_no  @exclude
            Whether these are not forwarded.
- ips  items  ip
    Addresses that passt or LXC gives the guest. The list is the whole list.
    - address  cidr  .  required
        Address with prefix length.
    - peer  ip  @peer
        Address of the other end.
- routes  items  route
    Routes of an LXC guest. The list is the whole list.
    - address  cidr  .  required
        Destination with prefix length.
    - gateway  ip  @gateway  required
        The gateway.
    - metric  int  @metric
        The metric.
- host_ips  items  source/ip
    Addresses of the host's end, for V(ethernet). The list is the whole list.
    - address  cidr  .  required
        Address with prefix length.
    - peer  ip  @peer
        Address of the guest's end.
- host_routes  items  source/route
    Routes over the host's end, for V(ethernet). The list is the whole list.
    - address  cidr  .  required
        Destination with prefix length.
    - gateway  ip  @gateway  required
        The gateway.
    - metric  int  @metric
        The metric.
- bandwidth  dict  bandwidth  live
    Limits.
    - inbound  dict  inbound  live fields=bandwidth
        What the guest receives.
        - floor  int  @floor  live
            KiB in a second that are guaranteed, on a network of libvirt's own that has a limit.
    - outbound  dict  outbound  live fields=bandwidth
        What the guest sends.
- vlan  dict  vlan  live
    VLANs of the interface, on Open vSwitch, SR-IOV cards, or bridges from libvirt 11.0.
    - trunk  yes_no  @trunk  live
        Whether a single VLAN is a trunk as well.
    - tags  items  tag  live
        The VLANs; several make a trunk. The list is the whole list.
        - id  int  @id  required live
            Number of the VLAN.
        - native_mode  text  @nativeMode  =tagged|untagged live
            How the native VLAN is sent.
- filter  line  filterref/@filter  live
    Name of a network filter.
- filter_parameters  items  filterref/parameter  live
    Variables of O(interfaces[].filter). The list is the whole list.
    - name  line  @name  required live
        Name of the variable.
    - value  line  @value  required live
        One of its values.
- isolated  yes_no  port/@isolated  live
    Whether the interface reaches no other isolated one on the same bridge.
- trust_guest_rx_filters  yes_no  @trustGuestRxFilters  live
    Whether the host follows the MAC addresses that the guest sets.
- coalesce  int  coalesce/rx/frames/@max  live
    Packets after which the host's end is interrupted.
- virtualport  dict  virtualport
    The port of a virtual switch.
    - type  text  @type  =openvswitch|802.1Qbg|802.1Qbh|midonet
        Kind of switch.
    - interfaceid  uuid  parameters/@interfaceid
        UUID of the interface for Open vSwitch or MidoNet.
    - profileid  line  parameters/@profileid
        Name of a port profile.
    - managerid  int  parameters/@managerid
        Manager, for 802.1Qbg.
    - typeid  int  parameters/@typeid
        Type, for 802.1Qbg.
    - typeidversion  int  parameters/@typeidversion
        Version of the type, for 802.1Qbg.
    - instanceid  uuid  parameters/@instanceid
        Instance, for 802.1Qbg.
- driver  text  driver/@name  =qemu|vhost|vfio|kvm|xen
    Who moves the packets, or the driver of a host device.
- driver_model  line  driver/@model
    Driver of the host, of its kind, for O(interfaces[].hostdev), such as V(mlx5_vfio_pci), from libvirt 10.0.
- queues  int  driver/@queues
    Number of queues.
- rx_queue_size  int  driver/@rx_queue_size
    Size of a receive queue.
- tx_queue_size  int  driver/@tx_queue_size
    Size of a send queue.
- txmode  text  driver/@txmode  =iothread|timer
    How packets are sent.
- ioeventfd  on_off  driver/@ioeventfd
    Whether another thread works on the requests.
- event_idx  on_off  driver/@event_idx
    Whether the virtio device saves interrupts.
- rss  on_off  driver/@rss
    Whether packets are spread over the queues by their hash.
- rss_hash_report  on_off  driver/@rss_hash_report
    Whether the hash is reported to the guest.
- host_offloads  dict  driver/host  fields=offloads
    What the host does for the guest.
    - gso  on_off  @gso
        Generic segmentation.
    - mrg_rxbuf  on_off  @mrg_rxbuf
        Merged receive buffers.
- guest_offloads  dict  driver/guest  fields=offloads
    What the guest does.
- sndbuf  int  tune/sndbuf
    Bytes that the host's end holds for sending.
- script  path  script/@path
    Program that sets up the host's end, for V(ethernet).
- downscript  path  downscript/@path
    Program that takes the host's end down, for V(ethernet).
- rom  dict  rom  fields=rom
    ROM from which the guest boots over the network.
- teaming  dict  teaming  fields=teaming
    Two interfaces that the guest uses as one.
- boot_order  int  boot/@order
    Place in the boot order, from 1.
- loadparm  line  boot/@loadparm
    What the boot loader of an s390 guest is told, of up to 8 characters.
""",
        bandwidth=BANDWIDTH,
        offloads=OFFLOADS,
        rom=ROM,
        teaming=TEAMING,
    )
    + VIRTIO
    + PLACE
    + ACPI_INDEX
)

HOSTDEVS = (
    rows(
        """
- pci  pci  source/address  create implies=@type:pci
    Place of a device on the host's PCI bus, such as V(0000:03:00.0).
- usb  dict  source  create implies=@type:usb
    A USB device of the host, by vendor and product, or by bus and device.
    - vendor  hex  vendor/@id  create
        Vendor, such as V(0x046d).
    - product  hex  product/@id  create
        Product, such as V(0xc52b).
    - bus  int  address/@bus  create
        Number of the bus.
    - device  int  address/@device  create
        Number of the device on its bus.
    - guest_reset  text  @guestReset  =off|uninitialized|on
        What a reset by the guest does.
- mdev  uuid  source/address/@uuid  create implies=@type:mdev
    UUID of a mediated device of the host.
- scsi  dict  source  create implies=@type:scsi
    A SCSI device of the host, or one behind iSCSI.
    - adapter  line  adapter/@name  create
        Adapter of the host, such as V(scsi_host0).
    - bus  int  address/@bus  create
        Number of the bus.
    - target  int  address/@target  create
        Number of the target.
    - unit  int  address/@unit  create
        Number of the unit.
    - iscsi  line  @name  create implies=@protocol:iscsi
        Name of an iSCSI unit, in place of adapter, bus, target and unit.
    - hosts  items  host  fields=hosts
        The iSCSI server. The list is the whole list.
    - auth  dict  auth  fields=auth
        Who logs in to the iSCSI server.
    - initiator  line  initiator/iqn/@name
        Name of the iSCSI initiator.
- scsi_host  line  source/@wwpn  create implies=@type:scsi_host implies=source/@protocol:vhost
    World wide name of a vhost SCSI target, such as V(naa.5123456789abcde0).
- managed  yes_no  @managed
    Whether libvirt takes the device from the host's driver and gives it back. A new PCI device gets V(true).
- model  text  @model  =vfio-pci|vfio-ccw|vfio-ap|virtio|virtio-transitional|virtio-non-transitional
    Kind of device. A new mediated device gets V(vfio-pci).
- driver  text  driver/@name  =vfio|kvm|xen
    Who gives the PCI device to the guest.
- driver_model  line  driver/@model
    Which driver of its kind, such as V(mlx5_vfio_pci), from libvirt 10.0.
- display  on_off  @display
    Whether a mediated device has a display.
- ramfb  on_off  @ramfb
    Whether a mediated device has a display at boot.
- startup_policy  text  source/@startupPolicy  =mandatory|requisite|optional
    What happens when the guest starts and the device is not there.
- rawio  yes_no  @rawio
    Whether the guest may send any SCSI command.
- sgio  text  @sgio  =filtered|unfiltered
    Whether the kernel filters the SCSI commands.
- readonly  flag  readonly
    Whether the guest may only read the SCSI device.
- shareable  flag  shareable
    Whether several guests may use the SCSI device at once.
- teaming  dict  teaming  fields=teaming
    The device and an interface that the guest uses as one.
- rom  dict  rom  fields=rom
    ROM of the device.
- boot_order  int  boot/@order
    Place in the boot order, from 1.
- loadparm  line  boot/@loadparm
    What the boot loader of an s390 guest is told, of up to 8 characters.
""",
        hosts=HOSTS[:2],
        auth=AUTH,
        rom=ROM,
        teaming=TEAMING,
    )
    + PLACE
    + ACPI_INDEX
)

FILESYSTEMS = (
    rows(
        """
- target  line  target/@dir  create required
    The tag by which the guest mounts it, or the directory in a container; it identifies the file system.
- source  path  source/@dir  implies=@type:mount
    A directory on the host.
- socket  path  source/@socket  implies=@type:mount
    Socket of a virtiofs daemon that you start yourself, in place of O(filesystems[].source).
- file  path  source/@file  implies=@type:file
    A file on the host, for a container.
- block  path  source/@dev  implies=@type:block
    A block device on the host, for a container.
- template  line  source/@name  implies=@type:template
    An OpenVZ template.
- ram  int  source/@usage  implies=@type:ram
    Size of a file system in memory in KiB, for a container.
- driver  text  driver/@type  =virtiofs|path|handle|loop|nbd|ploop|mtp
    How it reaches the guest: V(virtiofs), V(path) for 9p, the others for containers. virtiofs needs memory that
    is shared.
- format  text  driver/@format
    Format of O(filesystems[].file) or O(filesystems[].block).
- write_policy  text  driver/@wrpolicy  =immediate
    Whether 9p writes to the host's disk at once.
- queue_size  int  driver/@queue
    Requests that the queue of virtiofs holds.
- accessmode  text  @accessmode  =passthrough|mapped|squash
    How owners and modes are kept. A new one gets V(passthrough).
- multidevs  text  @multidevs  =default|remap|forbid|warn
    What 9p does with several devices below the directory.
- fmode  octal  @fmode
    Mode of new files with 9p, such as V(0644).
- dmode  octal  @dmode
    Mode of new directories with 9p.
- model  text  @model  =virtio|virtio-transitional|virtio-non-transitional
    Kind of virtio device.
- readonly  flag  readonly
    Whether the guest may only read it.
- space_hard_limit  size  space_hard_limit
    The most space that a container may use.
- space_soft_limit  size  space_soft_limit
    Space that a container may use for long.
- binary  dict  binary
    The virtiofs daemon.
    - path  path  @path
        Its program; found out when left out.
    - xattr  on_off  @xattr
        Whether extended attributes are kept.
    - cache  text  cache/@mode  =none|always
        What is cached.
    - sandbox  text  sandbox/@mode  =namespace|chroot
        How the daemon is locked in.
    - lock_posix  on_off  lock/@posix
        Whether POSIX locks reach the host.
    - lock_flock  on_off  lock/@flock
        Whether flock locks reach the host.
    - thread_pool  int  thread_pool/@size
        Number of threads.
    - openfiles  int  openfiles/@max
        The most open files, from libvirt 10.6.
- idmap  dict  idmap
    Users and groups of the guest as those of the host, from libvirt 10.0. The lists are the whole lists.
    - uids  items  uid  fields=ids
        Users.
    - gids  items  gid  fields=ids
        Groups.
- boot_order  int  boot/@order
    Place in the boot order, from 1.
- loadparm  line  boot/@loadparm
    What the boot loader of an s390 guest is told, of up to 8 characters.
""",
        ids=rows("""
- start  int  @start  required
    First number in the guest.
- target  int  @target  required
    First number on the host.
- count  int  @count  required
    How many.
"""),
    )
    + VIRTIO
    + PLACE
)

CONTROLLERS = (
    rows("""
- type  text  @type  create required =ide|fdc|scsi|sata|usb|ccid|virtio-serial|pci|xenbus|isa
    Bus of the controller.
- index  int  @index  create
    Number among the controllers of this type, from 0; both identify the controller. V(0) when left out, and needed
    for V(pci).
- model  text  @model
    Kind of controller, for example V(virtio-scsi), V(qemu-xhci) or V(pcie-root-port).
- ports  int  @ports
    Number of ports of a USB or virtio-serial controller.
- vectors  int  @vectors
    Number of interrupt vectors of a virtio-serial controller.
- max_grant_frames  int  @maxGrantFrames
    The most grant frames of V(xenbus).
- max_event_channels  int  @maxEventChannels
    The most event channels of V(xenbus).
- queues  int  driver/@queues
    Number of queues of virtio-scsi.
- cmd_per_lun  int  driver/@cmd_per_lun
    The most commands in flight for a unit.
- max_sectors  int  driver/@max_sectors
    The most sectors in a command.
- ioeventfd  on_off  driver/@ioeventfd
    Whether another thread works on the requests.
- iothread  int  driver/@iothread
    Number of the guest's I/O thread for virtio-scsi, from 1.
- device  text  model/@name
    QEMU's device for a PCI controller.
- chassis  int  target/@chassis
    Number of the chassis of a PCIe port.
- chassis_nr  int  target/@chassisNr
    Number of the chassis of a PCI bridge.
- port  int  target/@port
    Number of the port of a PCIe port.
- bus_nr  int  target/@busNr
    Bus number of an expander bus.
- target_index  int  target/@index
    Number of a pSeries host bridge.
- hotplug  on_off  target/@hotplug
    Whether devices can be plugged into a PCIe port.
- node  int  target/node
    NUMA node of an expander bus.
- pcihole64  size  pcihole64  unit=KiB
    Size of the 64-bit hole of a PCI root.
""")
    + IOTHREADS
    + VIRTIO
    + PLACE
)

LEASES = rows("""
- key  line  key  create required
    Name of the lease; it identifies it.
- lockspace  line  lockspace  required
    Lock space of the lease.
- path  path  target/@path  required
    File with the leases.
- offset  int  target/@offset
    Place in the file in bytes.
""")
