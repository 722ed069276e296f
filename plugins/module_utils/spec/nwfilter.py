# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Network filters: the fields of https://libvirt.org/formatnwfilter.html, by libvirt's element names."""

from __future__ import annotations

from .field import Kind
from .table import rows

PROTOCOLS = (
    "mac|vlan|stp|arp|rarp|ip|ipv6|tcp|udp|sctp|icmp|igmp|all|esp|ah|udplite|"
    "tcp-ipv6|udp-ipv6|sctp-ipv6|icmpv6|all-ipv6|esp-ipv6|ah-ipv6|udplite-ipv6"
)

FIELDS = rows(f"""
- name  name  @name  create required
    Name of the filter; it identifies the filter. libvirt's own ones, such as V(clean-traffic), are left alone.
- uuid  uuid  uuid  create
    UUID. Left out, a new filter's is derived from the host and the name.
- chain  line  @chain  live
    Chain that the rules stand in: V(root), or a name that begins with V(mac), V(vlan), V(stp), V(arp), V(rarp), V(ipv4)
    or V(ipv6).
- priority  int  @priority  live
    Place of the chain among others, from -1000 to 1000; a lower one comes first.
- filterrefs  items  -  live
    Other filters whose rules count here. The list is the whole.
    - filter  name  @filter  live required
        Name of the filter.
    - parameters  items  parameter  live
        Values of variables in it. A variable with several values stands here several times.
        - name  line  @name  live required
            Name of the variable.
        - value  line  @value  live required
            Its value.
- rules  items  -  live
    Rules. The list is the whole.
    - action  text  @action  live required =drop|reject|accept|return|continue
        What becomes of a packet that fits.
    - direction  text  @direction  live required =in|out|inout
        Whether packets to the guest, from it, or both are looked at.
    - priority  int  @priority  live
        Place of the rule among others, V(500) when left out; a lower one comes first.
    - statematch  bool  -  live
        Whether replies to what the guest began count as well, which they do when left out.
    - protocol  text  -  live ={PROTOCOLS}
        Protocol of the packets. A rule without one fits all.
    - match  raw  -  live
        What else a packet has to have, a mapping of libvirt's attributes of the protocol, such as V(dstportstart),
        V(srcipaddr) or V(state). C(match) with the value V(no) turns it round.
- xml  text  -
    libvirt's own filter XML. Its elements count as declared; typed fields win over it, a list of rules over its rules.
- state  text  -  live =present|absent default=present
    V(absent) removes the filter, and fails while a guest or another filter uses it.
""")

NWFILTER = Kind("nwfilter", "nwfilters", "filter", "nwfilter.rng", FIELDS)
