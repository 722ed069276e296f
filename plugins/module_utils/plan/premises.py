# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be so on a host for a guest to start, or a device to be attached, as far as documents name it.

libvirt says what is missing only when it is at it. What is named here is looked for before anything is written, and in check mode.
"""

from __future__ import annotations

from collections.abc import Iterator

from .. import tree
from .plan import Premise, Step
from .site import Site
from .values import pci_address, size_at

# What QEMU opens when it starts, beside disks: the path in a guest's document, and the option.
_FILES = (
    ("os/kernel", "kernel"),
    ("os/initrd", "initrd"),
    ("os/dtb", "dtb"),
    ("os/loader", "loader.path"),
    ("devices/filesystem[@type='mount']/source/@dir", "filesystems"),
    ("devices/filesystem/source/@file", "filesystems"),
    ("sysinfo/entry/@file", "sysinfo"),
)
_PINS = (
    ("vcpu/@cpuset", "vcpu_cpuset"),
    ("cputune/vcpupin/@cpuset", "cputune.vcpupin"),
    ("cputune/emulatorpin/@cpuset", "cputune.emulatorpin"),
    ("cputune/iothreadpin/@cpuset", "cputune.iothreadpin"),
)
_NODES = (("numatune/memory/@nodeset", "numatune"), ("numatune/memnode/@nodeset", "numatune"))


def of_start(where: str, root: tree.Element, live: str | None, site: Site) -> tuple[Premise, ...]:
    """What the start of a guest with this definition needs. live: the definition that it runs with until then, if it does."""
    found = [*_of_devices(where, root.findall("devices/*"), site)]
    found += [
        Premise(f"{where}: {option}", "file", path)
        for place, option in _FILES
        for path in _values(root, place)
        if not _is_made(path, site)
    ]
    found += [Premise(f"{where}: {option}", "cpus", cpus) for place, option in _PINS for cpus in _values(root, place)]
    found += [
        Premise(f"{where}: {option}", "nodes", nodes) for place, option in _NODES for nodes in _values(root, place)
    ]
    found += _of_pages(f"{where}: memory_backing.hugepages", root)
    ports = set() if live is None else {*_ports(tree.only_read(live))}
    found += [Premise(f"{where}: graphics", "port", port) for port in _ports(root) if port not in ports]
    return tuple(dict.fromkeys(found))


def _of_pages(where: str, root: tree.Element) -> Iterator[Premise]:
    """The huge pages of a guest whose memory is in pages of one size."""
    pages, memory = tree.find_all(root, "memoryBacking/hugepages/page"), root.find("memory")
    if root.find("memoryBacking/hugepages") is None or len(pages) > 1 or memory is None:
        return
    sizes = [size_at(page, "KiB", "size") for page in pages]
    yield Premise(where, "pages", f"{(sizes[0] or 0) if sizes else 0} {size_at(memory, 'KiB') or 0}")


def of_live(where: str, steps: tuple[Step, ...], site: Site) -> tuple[Premise, ...]:
    """What a running guest's new or changed devices need. A vsock that cannot be plugged waits for a restart."""
    nodes = [tree.parse(step.args["xml"]) for step in steps if step.verb in ("attach", "update_device")]
    return tuple(dict.fromkeys(_of_devices(where, [node for node in nodes if node.tag != "vsock"], site)))


def _of_devices(where: str, nodes: list[tree.Element], site: Site) -> Iterator[Premise]:
    for node in nodes:
        if node.tag == "disk":
            yield from _of_disk(f"{where}: disks[{tree.get(node, 'target/@dev')}]", node, site)
        elif node.tag == "interface":
            yield from _of_interface(f"{where}: interfaces[{tree.get(node, 'mac/@address')}]", node, site)
        elif node.tag == "hostdev" and node.get("type") == "pci":
            address = node.find("source/address")
            name = None if address is None else pci_address(address.attrib)
            if name:
                yield Premise(f"{where}: hostdevs[{name}]", "pci", name)
        elif node.tag == "vsock":
            yield Premise(f"{where}: vsock", "file", "/dev/vhost-vsock")
        elif node.tag in ("serial", "parallel") and node.get("type") in ("file", "dev"):
            path = tree.get(node, "source/@path") or ""
            needed = path if node.get("type") == "dev" else path.rpartition("/")[0]
            if needed:
                yield Premise(f"{where}: {node.tag}s", "file", needed)


def _of_disk(where: str, node: tree.Element, site: Site) -> Iterator[Premise]:
    source = node.find("source")
    path = None if source is None else source.get("file") or source.get("dev")
    # With the policy "optional" a guest starts without it.
    if path and source.get("startupPolicy") != "optional" and not _is_made(path, site):
        yield Premise(where, "file", path)
    for secret in node.iter("secret"):
        of = "volume" if secret.getparent().tag == "encryption" else secret.get("type") or ""
        name = f"{of}/{secret.get('usage')}" if secret.get("usage") else secret.get("uuid") or ""
        yield Premise(where, "secret", name)


def _of_interface(where: str, node: tree.Element, site: Site) -> Iterator[Premise]:
    link = {"bridge": "bridge", "direct": "dev"}.get(node.get("type") or "")
    name = tree.get(node, f"source/@{link}") if link else None
    if name and name not in _bridges(site):
        yield Premise(where, "link", name)
    network = tree.get(node, "source/@network")
    if node.get("type") == "network" and network and not _is_active(network, site):
        site.problems.add(where + ".network", f"network {network} is not active; declare it with state: active")
    filter_name = tree.get(node, "filterref/@filter")
    if filter_name:
        yield Premise(where + ".filter", "nwfilter", filter_name)


def _is_active(name: str, site: Site) -> bool:
    """Whether a network is or will be active, or is told otherwise to be missing."""
    state = site.networks.get(name, {}).get("state", "present")
    current = site.host.networks.get(name)
    if current is None and name not in site.networks:
        return True
    return bool(state == "active" or (state == "present" and current is not None and current.live is not None))


def _bridges(site: Site) -> set[str]:
    """The bridges of networks, which are there when they are active."""
    found = {tree.get(tree.only_read(network.inactive), "bridge/@name") for network in site.host.networks.values()}
    found |= {(item.get("bridge") or {}).get("name") for item in site.networks.values()}
    return {name for name in found if name}


def _is_made(path: str, site: Site) -> bool:
    """Whether a file is a volume of this run, of which it is told otherwise that it will not be there, or in a pool that starts."""
    return site.files.get(path) in site.volumes or any(path.startswith(place + "/") for place in _opened(site))


def _opened(site: Site) -> Iterator[str]:
    """The directories of pools that are to be started: what is in them comes with that, by a mount or as devices."""
    for name, declared in site.pools.items():
        current = site.host.pools.get(name)
        if declared["state"] == "active" and (current is None or current.live is None):
            yield site.pool_directory(name) or "/dev"


def _ports(root: tree.Element) -> Iterator[str]:
    """The ports that a guest's graphics are to listen at, as "address port"."""
    for node in tree.find_all(root, "devices/graphics[@port]"):
        if node.get("autoport") != "yes" and (node.get("port") or "").isdecimal():
            yield "{} {}".format(node.get("listen") or "127.0.0.1", node.get("port"))


def _values(root: tree.Element, place: str) -> Iterator[str]:
    path, attribute = tree.split(place)
    for node in root.findall(path) if path else [root]:
        value = node.get(attribute) if attribute else node.text
        if value and value.strip():
            yield value.strip()
