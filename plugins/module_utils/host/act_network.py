# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be done to networks: one function a verb of a plan's steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable

from .. import tree
from ..plan import ownership
from ..plan.subnets import has_own_bridge
from .connection import Connection, libvirt
from .fingerprints import fingerprinted

Args = Mapping[str, Any]


def _define(connection: Connection, _network: Any, args: Args) -> None:
    connection.open.networkDefineXML(args["xml"])


def _update(_connection: Connection, network: Any, args: Args) -> None:
    network.update(
        args["command"], args["section"], args["parent"], args["xml"], libvirt.VIR_NETWORK_UPDATE_AFFECT_LIVE
    )


def _describe(_connection: Connection, network: Any, args: Args) -> None:
    # libvirt-python has the names since 9.7, as libvirt has the elements.
    what = getattr(libvirt, "VIR_NETWORK_METADATA_" + args["what"].upper())
    network.setMetadata(what, args["text"], None, None, libvirt.VIR_NETWORK_UPDATE_AFFECT_LIVE)


def _start(connection: Connection, network: Any, _args: Args) -> None:
    network.create()
    _attach_again(connection, network)


def _restart(connection: Connection, network: Any, _args: Args) -> None:
    if network.isActive():  # Not so when an earlier run was killed in between.
        network.destroy()
    _start(connection, network, {})


def _attach_again(connection: Connection, network: Any) -> None:
    """Put the interfaces of running guests on the bridge of a network that was started.

    A network's bridge goes when it stops, and the guests' taps stay behind on none. libvirt puts a tap on a bridge when
    its interface moves to another network, not when an update says what is so already (qemuDomainChangeNetBridge in
    qemu_hotplug.c, which speaks of such orphans), so each moves away and back. The guest sees its link all the while.
    """
    name = network.name()
    found = [
        (domain, node)
        for domain in connection.open.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE)
        for node in tree.parse(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_SECURE)).iterfind("devices/interface")
        if tree.get(node, "source/@network") == name and node.find("target[@dev]") is not None
    ]
    if not found or not has_own_bridge(tree.only_read(network.XMLDesc(0))):
        return
    bridge = tree.element("network")
    bridge.append(tree.element("name", f"{name}-waiting"))
    bridge.append(tree.element("bridge", None, delay="0"))
    bridge.append(tree.element("dns", None, enable="no"))
    waiting = connection.open.networkCreateXML(tree.text_of(bridge))
    try:
        for domain, node in found:
            for place in (waiting.name(), name):
                source = node.find("source")
                for part in ("portid", "bridge"):
                    source.attrib.pop(part, None)
                source.set("network", place)
                domain.updateDeviceFlags(tree.text_of(node), libvirt.VIR_DOMAIN_AFFECT_LIVE)
    finally:
        waiting.destroy()


def _fingerprint(connection: Connection, network: Any, args: Args) -> None:
    root, owned = fingerprinted("network", network.XMLDesc(libvirt.VIR_NETWORK_XML_INACTIVE), args["raw"])
    ownership.write(root, owned)
    connection.open.networkDefineXML(tree.text_of(root))


VERBS: dict[tuple[str, str], Callable[[Connection, Any, Args], Any]] = {
    ("network", "define"): _define,
    ("network", "update"): _update,
    ("network", "describe"): _describe,
    ("network", "start"): _start,
    ("network", "restart"): _restart,
    ("network", "fingerprint"): _fingerprint,
}
