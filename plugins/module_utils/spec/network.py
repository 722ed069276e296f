# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks: the fields of https://libvirt.org/formatnetwork.html, by libvirt's element names."""

from __future__ import annotations

from .field import Field, Kind

STATES = ("present", "active", "inactive", "absent")

FORWARD = (
    Field(
        "mode",
        path="@mode",
        choices=("nat", "route", "open", "bridge", "private", "vepa", "passthrough", "hostdev"),
        doc="How the network reaches the outside. Without O(forward) it is isolated.",
    ),
    Field("dev", "name", "@dev", doc="Only forward through this device of the host."),
)

DHCP_HOSTS = (
    Field("mac", "mac", "@mac", effect="live", doc="MAC address of the guest's interface."),
    Field("name", "line", "@name", effect="live", doc="Host name that goes with the address."),
    Field("ip", "ip", "@ip", effect="live", required=True, doc="The reserved address."),
    Field("id", "line", "@id", effect="live", doc="DUID of the client, for IPv6."),
)

DHCP = (
    Field(
        "ranges",
        "items",
        "range",
        "Ranges of addresses given out. The list is the whole: others are removed.",
        "live",
        fields=(
            Field("start", "ip", "@start", effect="live", required=True, doc="First address."),
            Field("end", "ip", "@end", effect="live", required=True, doc="Last address."),
        ),
    ),
    Field("hosts", "items", "host", "Reserved addresses, known by MAC address.", "live", fields=DHCP_HOSTS),
)

NETWORK = Kind(
    "network",
    "networks",
    "network",
    "network.rng",
    (
        Field(
            "name",
            "name",
            "name",
            required=True,
            effect="create",
            doc="Name of the network; it identifies the network.",
        ),
        Field(
            "uuid",
            "uuid",
            "uuid",
            effect="create",
            doc="UUID. Left out, a new network's is derived from the host and the name.",
        ),
        Field("forward", "dict", "forward", "How the network reaches the outside.", fields=FORWARD),
        Field(
            "bridge",
            "dict",
            "bridge",
            "The bridge on the host.",
            fields=(
                Field(
                    "name",
                    "name",
                    "@name",
                    doc="Name of the bridge. libvirt chooses one for a new network when left out.",
                ),
                Field(
                    "stp",
                    "on_off",
                    "@stp",
                    doc="Whether the bridge takes part in the spanning tree protocol.",
                ),
                Field("delay", "int", "@delay", doc="Forward delay of the bridge in seconds."),
                Field("zone", "name", "@zone", doc="Zone of firewalld that the bridge is put into."),
            ),
        ),
        Field("mtu", "int", "mtu/@size", doc="MTU of the bridge in bytes."),
        Field(
            "domain",
            "dict",
            "domain",
            "The DNS domain of the network.",
            fields=(
                Field("name", "line", "@name", doc="Name of the domain."),
                Field(
                    "local_only",
                    "yes_no",
                    "@localOnly",
                    doc="Whether names of this domain are never asked of other servers.",
                ),
            ),
        ),
        Field(
            "dns",
            "dict",
            "dns",
            "The network's DNS server.",
            "live",
            fields=(
                Field("enable", "yes_no", "@enable", doc="Whether the network has a DNS server."),
                Field(
                    "forwarders",
                    "items",
                    "forwarder",
                    "Servers that are asked. The list is the whole.",
                    fields=(
                        Field("addr", "ip", "@addr", doc="Address of the server."),
                        Field("domain", "line", "@domain", doc="Only ask it about this domain."),
                    ),
                ),
                Field(
                    "hosts",
                    "items",
                    "host",
                    "Names the server knows, by address.",
                    "live",
                    fields=(
                        Field("ip", "ip", "@ip", effect="live", required=True, doc="The address."),
                        Field("hostnames", "words", "hostname", effect="live", doc="Its names."),
                    ),
                ),
            ),
        ),
        Field(
            "ips",
            "items",
            "ip",
            "Addresses of the network, the first IPv4 one first.",
            fields=(
                Field(
                    "address",
                    "cidr",
                    ".",
                    doc="Address of the host on the network, with prefix length: V(192.168.122.1/24).",
                ),
                Field("dhcp", "dict", "dhcp", "The network's DHCP server.", "live", fields=DHCP),
            ),
        ),
        Field(
            "xml",
            "text",
            doc="libvirt's own network XML. Its elements count as declared; typed fields win over it.",
        ),
        Field("autostart", "bool", effect="live", doc="Whether the network starts with the host."),
        Field(
            "state",
            effect="live",
            choices=STATES,
            default="present",
            doc="V(present) defines the network and leaves it active or inactive as it is.",
        ),
    ),
)
