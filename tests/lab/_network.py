"""The lab's network: one bridge with a private /24, and the way out for the hosts on it.

Several labs (checkouts) may be up on one machine. Each claims a bridge and a subnet by a record in
/run/kvmfleet-lab, written before the machine is changed, so that whatever was done can be undone.
"""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path
from typing import NamedTuple

from _machine import LabError, boot_id, held, read_json, run, write

REGISTRY = Path("/run/kvmfleet-lab")
IP_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
# All hosts share the machine's limit for root: each systemd, libvirtd and dnsmasq holds some, and 128 serve four hosts.
INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
INOTIFY_AT_LEAST = 4096
LABS_AT_MOST = 10


class Network(NamedTuple):
    """A lab's claim: its number on this machine, and what the two settings were before the first lab came."""

    number: int
    lab: str
    boot_id: str
    ip_forward: str
    inotify: str = ""

    @property
    def bridge(self) -> str:
        """The name of the bridge."""
        return f"kvmlab{self.number}"

    @property
    def subnet(self) -> ipaddress.IPv4Network:
        """The addresses of the lab."""
        return ipaddress.IPv4Network(f"10.213.{77 + self.number}.0/24")

    @property
    def gateway(self) -> str:
        """The machine's own address on the bridge."""
        return str(self.subnet[1])


def current(lab: Path) -> Network | None:
    """The claim a lab holds on this machine since it was booted, or None."""
    for network in claims():
        if network.lab == str(lab):
            return network
    return None


def claims() -> list[Network]:
    """What the labs on this machine hold; those from before a reboot mean nothing any more."""
    found = [Network(**read_json(path)) for path in sorted(REGISTRY.glob("kvmlab*.json"))]
    return [network for network in found if network.boot_id == boot_id()]


def claim(lab: Path) -> Network:
    """The network of a lab: the one it holds, else the first that collides with nothing on this machine."""
    with held(REGISTRY):
        held_already = current(lab)
        if held_already:
            return held_already
        others = claims()
        before = others[0] if others else None
        forward = before.ip_forward if before else IP_FORWARD.read_text().strip()
        inotify = before.inotify if before else INOTIFY.read_text().strip()
        for number in range(LABS_AT_MOST):
            network = Network(number, str(lab), boot_id(), forward, inotify)
            if number not in [other.number for other in others] and not collision(network):
                write(record(network), json.dumps(network._asdict()))
                return network
    raise LabError(f"no bridge name and subnet out of {LABS_AT_MOST} is free on this machine")


def record(network: Network) -> Path:
    """The file that holds a claim."""
    return REGISTRY / f"{network.bridge}.json"


def collision(network: Network) -> bool:
    """Whether the machine has an interface of that name or a route that shares addresses with the subnet."""
    if Path("/sys/class/net", network.bridge).exists():
        return True
    routes = json.loads(run(["ip", "-json", "-4", "route", "show", "table", "all"]))
    targets = [route["dst"] for route in routes if route["dst"] != "default"]
    return any(network.subnet.overlaps(ipaddress.IPv4Network(target, strict=False)) for target in targets)


def rules(network: Network) -> list[list[str]]:
    """The iptables rules, as table and chain and the rest: hosts reach out, under the machine's address."""
    note = ["-m", "comment", "--comment", f"kvmfleet-lab {network.bridge}"]
    subnet = str(network.subnet)
    return [
        ["nat", "POSTROUTING", "-s", subnet, "!", "-d", subnet, *note, "-j", "MASQUERADE"],
        ["filter", "FORWARD", "-i", network.bridge, *note, "-j", "ACCEPT"],
        ["filter", "FORWARD", "-o", network.bridge, *note, "-j", "ACCEPT"],
    ]


def iptables(action: str, rule: list[str]) -> bool:
    """Whether iptables did that to the rule: -C (is it there?), -I or -D."""
    table, chain, *rest = rule
    try:
        run(["iptables", "-w", "-t", table, action, chain, *rest])
    except LabError:
        if action == "-C":
            return False
        raise
    return True


def bring_up(network: Network) -> None:
    """Make bridge, address, rules and forwarding be there, whatever part of it is there already."""
    if not Path("/sys/class/net", network.bridge).exists():
        run(["ip", "link", "add", network.bridge, "type", "bridge"])
    run(["ip", "address", "replace", f"{network.gateway}/{network.subnet.prefixlen}", "dev", network.bridge])
    run(["ip", "link", "set", network.bridge, "up"])
    for rule in rules(network):
        if not iptables("-C", rule):
            iptables("-I", rule)
    IP_FORWARD.write_text("1")
    if int(INOTIFY.read_text()) < INOTIFY_AT_LEAST:
        INOTIFY.write_text(str(INOTIFY_AT_LEAST))


def take_down(network: Network) -> None:
    """Undo `bring_up`, and end the claim; forwarding is put back by the last lab of the machine."""
    for rule in rules(network):
        while iptables("-C", rule):
            iptables("-D", rule)
    delete_link(network.bridge)
    with held(REGISTRY):
        if claims() == [network]:
            IP_FORWARD.write_text(network.ip_forward)
            if network.inotify:
                INOTIFY.write_text(network.inotify)
        record(network).unlink()
        if not any(REGISTRY.iterdir()):
            REGISTRY.rmdir()


def delete_link(name: str) -> None:
    """Delete an interface if it is there."""
    if Path("/sys/class/net", name).exists():
        try:
            run(["ip", "link", "delete", name])
        except LabError:
            if Path("/sys/class/net", name).exists():
                raise
