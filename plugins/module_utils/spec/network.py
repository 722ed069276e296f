# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks: the fields of https://libvirt.org/formatnetwork.html, by libvirt's element names."""

from __future__ import annotations

from .field import Field, Kind
from .table import rows

VLAN = rows("""
- trunk  yes_no  @trunk
    Whether frames keep their tags. That several tags make a trunk goes without saying.
- tags  items  tag
    The VLANs. The list is the whole.
    - id  int  @id  required
        Number of the VLAN.
    - native_mode  text  @nativeMode  =tagged|untagged
        That this is the VLAN of frames without a tag, and whether they get one on the way out.
""")

BANDWIDTH = rows(
    """
- inbound  dict  inbound  fields=rate
    Traffic into guests.
- outbound  dict  outbound  fields=rate
    Traffic out of guests.
""",
    rate=rows("""
- average  int  @average
    Average rate in KiB a second.
- peak  int  @peak
    Highest rate in KiB a second.
- burst  int  @burst
    Amount in KiB that may pass at the highest rate.
- floor  int  @floor
    Rate in KiB a second that is guaranteed; for inbound traffic only.
"""),
)

VIRTUALPORT = rows("""
- type  text  @type  =openvswitch|midonet|802.1Qbg|802.1Qbh
    Kind of switch. Left out, the guest's interface says it.
- interfaceid  uuid  parameters/@interfaceid
    UUID of the port, for V(openvswitch) and V(midonet).
- profileid  line  parameters/@profileid
    Name of the port profile, for V(openvswitch) and V(802.1Qbh).
- managerid  int  parameters/@managerid
    Number of the VSI manager, for V(802.1Qbg).
- typeid  int  parameters/@typeid
    Number of the VSI type, for V(802.1Qbg).
- typeidversion  int  parameters/@typeidversion
    Version of the VSI type, for V(802.1Qbg).
- instanceid  uuid  parameters/@instanceid
    UUID of the VSI instance, for V(802.1Qbg).
""")

LEASE = rows("""
- expiry  int  @expiry  live required
    How long a lease lasts; V(0) is for ever.
- unit  text  @unit  live =seconds|minutes|hours
    Unit of the time; V(minutes) when left out.
""")


def _live(fields: tuple[Field, ...]) -> tuple[Field, ...]:
    """The same fields where a change of them is true at once."""
    return tuple(field._replace(effect="live", fields=_live(field.fields)) for field in fields)


PARTS = {"vlan": VLAN, "bandwidth": BANDWIDTH, "virtualport": VIRTUALPORT}
PARTS.update({f"live_{name}": _live(part) for name, part in PARTS.items()}, lease=LEASE)

FIELDS = rows(
    """
- name  name  name  create required
    Name of the network; it identifies the network.
- uuid  uuid  uuid  create
    UUID. Left out, a new network's is derived from the host and the name.
- title  line  title  live
    A short title. libvirt has it since 9.7.
- description  text  description  live
    A description. libvirt has it since 9.7.
- ipv6  yes_no  @ipv6
    Whether guests may speak IPv6 to each other on a network without an IPv6 address of its own.
- trust_guest_rx_filters  yes_no  @trustGuestRxFilters
    Whether the host follows what guests say of the addresses they listen to.
- forward  dict  forward
    How the network reaches the outside.
    - mode  text  @mode  =none|nat|route|open|bridge|private|vepa|passthrough|hostdev
        How the network reaches the outside. Without O(forward) a new network is isolated, and with V(none) any one.
    - dev  name  @dev
        Only forward through this device of the host.
    - interfaces  items  interface  live
        Devices of the host that guests are spread over, for the modes V(bridge), V(private), V(vepa) and
        V(passthrough), or the one that traffic leaves by.
        - dev  name  @dev  live required
            Name of the device.
    - nat  dict  nat
        Addresses and ports that guests get outside, for O(forward.mode=nat).
        - ipv6  yes_no  @ipv6
            Whether IPv6 is translated as well.
        - address  dict  address
            Range of addresses.
            - start  ip  @start  required
                First address.
            - end  ip  @end  required
                Last address.
        - port  dict  port
            Range of ports; 1024 to 65535 when left out.
            - start  int  @start  required
                First port.
            - end  int  @end  required
                Last port.
    - pf  name  pf/@dev
        Device of the host whose SR-IOV virtual functions guests get.
    - addresses  items  address
        PCI devices that guests get, instead of O(forward.pf). The numbers are written as libvirt does, V('0x1f').
        - domain  line  @domain  required implies=@type:pci
            PCI domain.
        - bus  line  @bus  required
            PCI bus.
        - slot  line  @slot  required
            Slot on the bus.
        - function  line  @function  required
            Function of the device.
    - driver  dict  driver
        Driver of the host for these devices.
        - name  text  @name  =kvm|vfio
            Name of the backend.
        - model  line  @model
            Kernel module. libvirt has it since 10.0.
    - managed  yes_no  @managed
        Whether libvirt takes the devices from the host's driver and gives them back.
- virtualport  dict  virtualport  fields=virtualport
    Port on a switch such as Open vSwitch that guests get.
- bridge  dict  bridge
    The bridge on the host.
    - name  name  @name
        Name of the bridge. libvirt chooses one for a new network when left out.
    - stp  on_off  @stp
        Whether the bridge takes part in the spanning tree protocol.
    - delay  int  @delay
        Forward delay of the bridge in seconds.
    - mac_table_manager  text  @macTableManager  =kernel|libvirt
        Who fills the bridge's table of MAC addresses.
    - zone  name  @zone
        Zone of firewalld that the bridge is put into.
- mtu  int  mtu/@size
    MTU of the bridge in bytes.
- mac  mac  mac/@address
    MAC address of the bridge. libvirt chooses one for a new network when left out.
- domain  dict  domain
    The DNS domain of the network.
    - name  line  @name
        Name of the domain.
    - local_only  yes_no  @localOnly
        Whether names of this domain are never asked of other servers.
    - register  yes_no  @register
        Whether systemd-resolved is told to ask the network's DNS server. libvirt has it since 10.1.
- dns  dict  dns  live
    The network's DNS server.
    - enable  yes_no  @enable
        Whether the network has a DNS server.
    - forward_plain_names  yes_no  @forwardPlainNames
        Whether names without a dot are asked of other servers.
    - forwarders  items  forwarder
        Servers that are asked. The list is the whole.
        - addr  ip  @addr
            Address of the server.
        - domain  line  @domain
            Only ask it about this domain.
    - hosts  items  host  live
        Names the server knows, by address.
        - ip  ip  @ip  live required
            The address.
        - hostnames  words  hostname  live
            Its names.
    - txts  items  txt  live
        TXT records, by name.
        - name  line  @name  live required
            Name of the record.
        - value  line  @value  live required
            Its text.
    - srvs  items  srv  live
        SRV records, by service, protocol, domain, target and port.
        - service  line  @service  live required
            Name of the service.
        - protocol  text  @protocol  live required =tcp|udp
            Protocol of the service.
        - domain  line  @domain  live
            Domain of the service.
        - target  line  @target  live
            Host that offers it.
        - port  int  @port  live
            Port on the host.
        - priority  int  @priority  live
            Priority of the host.
        - weight  int  @weight  live
            Weight among hosts of the same priority.
- bandwidth  dict  bandwidth  fields=bandwidth
    Limits of all guests on the network together.
- vlan  dict  vlan  fields=vlan
    VLANs of the guests, where the switch behind the network knows them.
- port  dict  port
    The ports of guests.
    - isolated  yes_no  @isolated
        Whether guests reach the host and the outside only, and not each other.
- portgroups  items  portgroup  live
    Classes of guests' interfaces, by name. A change concerns interfaces that are attached from then on.
    - name  name  @name  live required
        Name of the class.
    - default  yes_no  @default  live
        Whether interfaces that name none belong to it.
    - trust_guest_rx_filters  yes_no  @trustGuestRxFilters  live
        Whether the host follows what these guests say of the addresses they listen to.
    - virtualport  dict  virtualport  live fields=live_virtualport
        Port on a switch that they get.
    - bandwidth  dict  bandwidth  live fields=live_bandwidth
        Limits of each of them.
    - vlan  dict  vlan  live fields=live_vlan
        VLANs they are in.
- ips  items  ip
    Addresses of the network, the first IPv4 one first. DHCP serves one block of each family.
    - address  cidr  .
        Address of the host on the network, with prefix length: V(192.168.122.1/24).
    - local_ptr  yes_no  @localPtr
        Whether reverse look-ups of these addresses are never asked of other servers.
    - tftp  path  tftp/@root
        Directory on the host that guests may read by TFTP.
    - dhcp  dict  dhcp  live
        The network's DHCP server.
        - ranges  items  range  live
            Ranges of addresses given out. The list is the whole: others are removed.
            - start  ip  @start  live required
                First address.
            - end  ip  @end  live required
                Last address.
            - lease  dict  lease  live fields=lease
                How long leases last.
        - hosts  items  host  live
            Reserved addresses, known by MAC address; without one by O(ips[].dhcp.hosts[].id), else by name.
            - mac  mac  @mac  live
                MAC address of the guest's interface.
            - name  line  @name  live
                Host name that goes with the address.
            - ip  ip  @ip  live required
                The reserved address.
            - id  line  @id  live
                DUID of the client, for IPv6.
            - lease  dict  lease  live fields=lease
                How long its lease lasts.
        - bootp  dict  bootp
            What guests boot from by network.
            - file  line  @file  required
                Name of the file on the server.
            - server  line  @server
                Address or name of the server; the host itself when left out.
- routes  items  route
    Static routes of the host into networks behind a guest.
    - address  cidr  .
        The network that is reached, with prefix length: V(10.1.0.0/16).
    - gateway  ip  @gateway  required
        Address of the guest that leads there.
    - metric  int  @metric
        Preference of the route.
- dnsmasq_options  words  dnsmasq:options/dnsmasq:option/@value
    Lines for dnsmasq's configuration that libvirt passes on as they are. The list is the whole.
- xml  text  -
    libvirt's own network XML. Its elements count as declared; typed fields win over it.
- autostart  bool  -  live
    Whether the network starts with the host.
- state  text  -  live =present|active|inactive|absent default=present
    V(present) defines the network and leaves it active or inactive as it is. V(inactive) and V(absent) are refused while guests run on it,
    unless they are stopped, removed or moved to another network in the same run.
- restart  text  -  live =never|if_needed default=never
    Whether a running network may be stopped and started again when a change needs it. Guests are cut off for a moment
    and their interfaces are put back on its bridge. With V(never) such changes wait for the network's next start and
    are reported as pending, with the guests that are attached.
""",
    **PARTS,
)

NETWORK = Kind("network", "networks", "network", "network.rng", FIELDS)
