# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks: the fields of https://libvirt.org/formatnetwork.html, by libvirt's element names."""

from __future__ import annotations

from .field import Kind
from .table import rows

FIELDS = rows("""
- name  name  name  create required
    Name of the network; it identifies the network.
- uuid  uuid  uuid  create
    UUID. Left out, a new network's is derived from the host and the name.
- forward  dict  forward
    How the network reaches the outside.
    - mode  text  @mode  =nat|route|open|bridge|private|vepa|passthrough|hostdev
        How the network reaches the outside. Without O(forward) it is isolated.
    - dev  name  @dev
        Only forward through this device of the host.
- bridge  dict  bridge
    The bridge on the host.
    - name  name  @name
        Name of the bridge. libvirt chooses one for a new network when left out.
    - stp  on_off  @stp
        Whether the bridge takes part in the spanning tree protocol.
    - delay  int  @delay
        Forward delay of the bridge in seconds.
    - zone  name  @zone
        Zone of firewalld that the bridge is put into.
- mtu  int  mtu/@size
    MTU of the bridge in bytes.
- domain  dict  domain
    The DNS domain of the network.
    - name  line  @name
        Name of the domain.
    - local_only  yes_no  @localOnly
        Whether names of this domain are never asked of other servers.
- dns  dict  dns  live
    The network's DNS server.
    - enable  yes_no  @enable
        Whether the network has a DNS server.
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
- ips  items  ip
    Addresses of the network, the first IPv4 one first.
    - address  cidr  .
        Address of the host on the network, with prefix length: V(192.168.122.1/24).
    - dhcp  dict  dhcp  live
        The network's DHCP server.
        - ranges  items  range  live
            Ranges of addresses given out. The list is the whole: others are removed.
            - start  ip  @start  live required
                First address.
            - end  ip  @end  live required
                Last address.
        - hosts  items  host  live
            Reserved addresses, known by MAC address.
            - mac  mac  @mac  live
                MAC address of the guest's interface.
            - name  line  @name  live
                Host name that goes with the address.
            - ip  ip  @ip  live required
                The reserved address.
            - id  line  @id  live
                DUID of the client, for IPv6.
- xml  text  -
    libvirt's own network XML. Its elements count as declared; typed fields win over it.
- autostart  bool  -  live
    Whether the network starts with the host.
- state  text  -  live =present|active|inactive|absent default=present
    V(present) defines the network and leaves it active or inactive as it is.
""")

NETWORK = Kind("network", "networks", "network", "network.rng", FIELDS)
