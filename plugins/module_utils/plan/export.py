# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is on a host in the shape that a stack accepts: typed fields, and raw XML for what has none.

Exported and applied again it changes nothing.
"""

from __future__ import annotations

import copy
from typing import Any

from .. import tree
from ..spec.field import Field, Kind
from ..spec.kinds import KIND
from . import ownership, values
from .current import Domain, Filter, Host, Network, Pool, Secret, Volume
from .newborn import device_memory
from .nwfilter import LISTS, OF_LIBVIRT, entry_in_words
from .rules import Rules, for_kind, join, key_of
from .words import is_implied, map_value, read_value

Exported = dict[str, Any]

# The types of options that say what several elements do.
_OF_SEVERAL = ("map", "words", "fragments")

# An address with its prefix length, as libvirt writes it.
ADDRESS = ("address", "prefix", "netmask", "family")


def export_host(host: Host) -> dict[str, list[Exported]]:
    """Everything of the host that was read in full, by plural kind, sorted by name."""
    return {
        "secrets": [_secret(host.secrets[name]) for name in sorted(host.secrets)],
        "nwfilters": [_nwfilter(host.nwfilters[name]) for name in sorted(host.nwfilters) if name not in OF_LIBVIRT],
        "pools": [_pool(host.pools[name]) for name in sorted(host.pools)],
        "networks": [_network(host.networks[name]) for name in sorted(host.networks)],
        "volumes": [_volume(volume, host) for pool in sorted(host.pools) for volume in _volumes(host.pools[pool])],
        "domains": [_domain(host.domains[name], _reserved(host)) for name in sorted(host.domains)],
    }


def _reserved(host: Host) -> dict[tuple[str, str], str]:
    """The addresses reserved for guests by us: (network, MAC address) → IP address."""
    found = {}
    for network in host.networks.values():
        root = tree.parse(network.inactive)
        keys = ownership.read(root).keys
        for node in tree.find_all(root, "ip/dhcp/host"):
            mac = (node.get("mac") or "").lower()
            if ownership.RESERVATION + mac in keys:
                found[(network.name, mac)] = str(node.get("ip"))
    return found


def _volumes(pool: Pool) -> list[Volume]:
    return [volume for _name, volume in sorted(pool.volumes.items()) if volume is not None]


def _secret(secret: Secret) -> Exported:
    """A secret without its value, which is never told."""
    kind, _slash, name = secret.name.partition("/")
    root = tree.parse(secret.inactive)
    tree.erase(root, "usage")
    return dict(export(KIND["secret"], tree.text_of(root)), type=kind, name=name, state="present")


def _nwfilter(found: Filter) -> Exported:
    root = tree.parse(found.inactive)
    told: Exported = {"state": "present"}
    for option, tag in LISTS.items():
        nodes = tree.find_all(root, tag)
        if tag == "rule" and any(len(node) > 1 for node in nodes):
            continue  # What fits and what must not are two elements; an option says one of them.
        told[option] = [entry_in_words(node) for node in nodes]
        for node in nodes:
            root.remove(node)
    return dict(export(KIND["nwfilter"], tree.text_of(root)), **told)


def _pool(pool: Pool) -> Exported:
    return dict(
        export(KIND["pool"], pool.inactive),
        autostart=pool.autostart,
        state="active" if pool.live else "inactive",
    )


def _network(network: Network) -> Exported:
    return dict(
        export(KIND["network"], network.inactive),
        autostart=network.autostart,
        state="active" if network.live else "inactive",
    )


def _domain(domain: Domain, reserved: dict[tuple[str, str], str]) -> Exported:
    state = {
        "running": "running",
        "paused": "paused",
        "stopped": "stopped",
        "saved": "stopped",
    }.get(domain.state, "present")
    found = dict(export(KIND["domain"], domain.inactive), autostart=domain.autostart, state=state)
    devices = device_memory(tree.parse(domain.inactive).findall("devices/memory"))
    if devices and found.get("memory"):
        found["memory"] = values.size_text(values.size_bytes(found["memory"]) - devices)
    for item in found.get("interfaces", []):
        address = reserved.get((item.get("network", ""), item.get("mac", "").lower()))
        if address:
            item["address"] = address
    return found


def _volume(volume: Volume, host: Host) -> Exported:
    found: Exported = {
        "name": volume.name,
        "pool": volume.pool,
        "state": "present",
    }
    if volume.capacity:  # A directory is told to have none.
        found["size"] = values.size_text(volume.capacity)
    if volume.format:
        found["format"] = volume.format
    for pool in host.pools.values():
        for other in _volumes(pool):
            if volume.backing and other.path == volume.backing:
                found.update({"backing": other.name, "backing_pool": other.pool})
    return found


def export(kind: Kind, xml: str) -> Exported:
    """One definition as a declaration. Secrets are left out: what is not declared is left as it is."""
    root = tree.parse(xml)
    ownership.strip(root)
    rules = for_kind(kind)
    found = _take(root, kind.fields, rules, "")
    for path in rules.known.told:
        tree.erase(root, path)
    if len(root) or root.attrib:
        found["xml"] = tree.text_of(root)
    return found


def _take(node: tree.Element, fields: tuple[Field, ...], rules: Rules, above: str) -> Exported:
    """Move what has a field out of an element into a declaration."""
    found: Exported = {}
    for field in _perhaps(node, fields):
        value = _take_field(node, field, rules, join(above, field.path or ""))
        if value is not None:
            found[field.name] = value
    return found


def _perhaps(node: tree.Element, fields: tuple[Field, ...]) -> list[Field]:
    """The fields of which there can be anything, by the attributes and the children: most of some thousand are not used."""
    known = _INDEX.get(id(fields))
    if known is None:
        known = _INDEX[id(fields)] = (fields, _indexed(fields))
    found = []
    for tag, nodes in {"": [node], **tree.by_tag(node)}.items():
        for place, attribute in known[1].get(tag, ()):
            if attribute is None or any(attribute in child.attrib for child in nodes):
                found.append(place)
    return [fields[place] for place in sorted(found)]


# By table: the table, and for each tag the places of its fields whose paths begin with it, with the attribute of that
# element that they end with. "" stands for the element itself.
_INDEX: dict[int, tuple[tuple[Field, ...], dict[str, list[tuple[int, str | None]]]]] = {}


def _indexed(fields: tuple[Field, ...]) -> dict[str, list[tuple[int, str | None]]]:
    found: dict[str, list[tuple[int, str | None]]] = {}
    for place, field in enumerate(fields):
        if field.path is not None:
            where, attribute = tree.split(field.path)
            head = "" if where == "." else where.partition("/")[0]
            own = attribute if where in (".", head) else None
            found.setdefault(head.partition("[")[0], []).append((place, own))
    return found


def _take_field(node: tree.Element, field: Field, rules: Rules, at: str) -> Any:
    path = field.path or "."
    if field.type == "items":
        return _take_items(node, field, rules, at)
    where = tree.split(path)[0]
    if where != "." and field.type not in _OF_SEVERAL and len(tree.find_all(node, where)) > 1:
        return None  # An option says one of them, and what stays as XML would be taken for that one.
    if field.type == "dict":
        child = tree.find(node, path)
        if child is None or not is_implied(node, field):
            return None
        taken = _take(child, field.fields, rules, at)
        if taken:
            _erase_implied(node, field)
        _remove_bare(child, node)
        return taken or None
    if field.type == "map":
        return _take_map(node, field)
    value = read_value(node, field)
    if value is None or (field.choices and not _is_choice(value, field)) or not _is_accepted(value, field):
        return None
    if field.type == "pci":
        for name in values.PCI:
            _erase(node, f"{path}/@{name}")
    else:
        _erase(node, path, field.type)
    _erase_implied(node, field)
    return None if field.secret else value


def _erase_implied(node: tree.Element, field: Field) -> None:
    for where, _text in field.implies:
        _erase(node, where)


def _take_map(node: tree.Element, field: Field) -> Exported | None:
    """The entries of a map that say nothing but a key and a value."""
    where, attribute = tree.split(field.path or "")
    found: Exported = {}
    for child in tree.find_all(node, where):
        key, value, rest = child.get(attribute), map_value(child, field), copy.deepcopy(child)
        for place in (f"@{attribute}", field.value[0]):
            _erase(rest, place)
        if key and value is not None and tree.is_bare(rest) and (not field.choices or key in field.choices):
            found[key] = value
            above = child.getparent()
            tree.remove(child)
            _remove_bare(above, node)
    return found or None


def _take_items(node: tree.Element, field: Field, rules: Rules, at: str) -> list[Exported] | None:
    """The items of a list. What an item has beside its fields stays, under the key by which it is found again."""
    children = tree.find_all(node, field.path or "")
    rests = [copy.deepcopy(child) for child in children]
    items = [_take(rest, field.fields, rules, at) for rest in rests]
    keys = [key_of(rules, at, child, place) for place, child in enumerate(children)]
    if not items or not all(_complete(item, field) for item in items) or _any_twice(keys):
        return None
    keep_all = False
    for place, (child, rest) in enumerate(zip(children, rests)):
        if not tree.is_bare(rest):
            keep_all = keep_all or not _restore_key(rest, child, field, rules, at, place)
    for child, rest in zip(children, rests):
        parent = child.getparent()
        parent.replace(child, rest)
        if tree.is_bare(rest) and not keep_all:
            parent.remove(rest)
    return items


def _restore_key(rest: tree.Element, whole: tree.Element, field: Field, rules: Rules, at: str, place: int) -> bool:
    """Put back what identifies an item; False if only its place does, so that its peers have to stay as well."""
    wanted = key_of(rules, at, whole, place)
    for option in field.fields:
        if option.type == "cidr":
            rest.attrib.update({part: whole.get(part) for part in ADDRESS if whole.get(part)})
        text = tree.get(whole, option.path) if option.path else None
        if key_of(rules, at, rest, place) == wanted and wanted != str(place):
            return True
        if text and option.path:
            tree.put(rest, option.path, text)
    if wanted is None or wanted == str(place):
        return False
    if key_of(rules, at, rest, place) != wanted:
        # Its key is made of what stands deeper: all of it says the same twice.
        rest.attrib.update(whole.attrib)
        rest[:] = [copy.deepcopy(child) for child in whole]
    return True


def _any_twice(keys: list[str | None]) -> bool:
    """Whether two entries have one key: as options they would be one declared twice."""
    told = [key for key in keys if key is not None]
    return len(set(told)) < len(told)


def _complete(item: Exported, field: Field) -> bool:
    return all(option.name in item for option in field.fields if option.required)


def _is_choice(value: Any, field: Field) -> bool:
    return all(word in field.choices for word in (value if isinstance(value, list) else [value]))


def _is_accepted(value: Any, field: Field) -> bool:
    """Whether the option takes this value: other hypervisors have paths with a drive's letter."""
    try:
        if field.type in values.VALUES:
            values.VALUES[field.type].encode(value)
    except ValueError:
        return False
    return True


def _erase(node: tree.Element, path: str, kind: str = "text") -> None:
    """Take a value of this type out, and the elements that are empty without it."""
    where, attribute = tree.split(path)
    if kind == "fragments":
        for child in tree.find_all(node, path + "/*"):
            tree.remove(child)
    if kind == "cidr":
        for name in ADDRESS:
            node.attrib.pop(name, None)
        return
    for found in tree.find_all(node, where):
        if attribute:
            found.attrib.pop(attribute, None)
            if kind == "size":
                found.attrib.pop("unit", None)
        else:
            found.text = None
            found.attrib.pop("unit", None)
        _remove_bare(found, node)


def _remove_bare(node: tree.Element, top: tree.Element) -> None:
    """Take an element that is empty now out, and those above it that are empty then, up to this one."""
    while node is not top and tree.is_bare(node) and node.getparent() is not None:
        above = node.getparent()
        above.remove(node)
        node = above
