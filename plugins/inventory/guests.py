# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: guests
short_description: Guests of libvirt hosts as inventory
version_added: "0.1.0"
description:
  - Finds the guests of many hypervisors at once, with the addresses by which they are reached, and groups them.
  - The file's name is C(guests.yml) or ends in C(.guests.yml), or C(.yaml).
  - What is known of a guest is in one variable, C(kvmfleet), with the keys C(name), C(uuid), C(host), C(uri), C(state), C(title), C(description), C(memory)
    (bytes), C(vcpus), C(arch), C(os), C(os_id), C(tags), C(metadata), C(interfaces), C(networks), C(addresses) and C(agent) (whether the guest's agent is
    connected).
  - C(ansible_host) is set where an address is known. C(ansible_guest_agent_uri) and C(ansible_guest_agent_guest) are set for
    P(kvmfleet.libvirt.guest_agent#connection).
  - A guest is called by its name. If several hosts have a guest of the same name, each of them is called C(NAME.HOST); the filters do not matter for that.
    A guest that several hosts know by one UUID, as after a migration, is there where it is active.
  - A guest whose name means something else to Ansible (C(all), C(localhost), a group that is there, one of the hypervisors) is called C(NAME.HOST) as well.
  - A hypervisor that is given by two URIs is asked twice, and its guests are there once.
  - HOST is the host that the URI names, or the hypervisor's own name if the URI is local. If several URIs share it, those after the first one get C(-2),
    C(-3) and so on.
  - Tags and metadata are read from the guest's own metadata, the element C(guest) of the namespace C(urn:kvmfleet:libvirt:guest), with elements C(tag) and
    C(entry key="…"). The operating system is what libosinfo's metadata say, which virt-install and virt-manager write.
  - Nothing that a guest or its definition says is taken for a template.
author:
  - kvmfleet contributors (@kvmfleet)
requirements:
  - libvirt-python on the control node
  - lxml on the control node
extends_documentation_fragment:
  - constructed
  - inventory_cache
options:
  plugin:
    description: Marks the file as this plugin's.
    type: str
    required: true
    choices: [kvmfleet.libvirt.guests]
  uris:
    description: libvirt's URIs of the hypervisors. V(qemu:///system), the control node itself, if neither they nor O(hosts) are given.
    type: list
    elements: str
    default: []
  hosts:
    description:
      - The hypervisors by a pattern of Ansible's, such as V(kvm_hosts) or V(kvm_hosts:!spare), among the hosts of O(inventory). They are asked beside O(uris).
      - HOST, in C(NAME.HOST), in groups and in C(kvmfleet.host), is then the host's name in that inventory.
    type: str
  inventory:
    description:
      - Inventory files, or folders, that know the O(hosts), with the variables beside them. Needed with O(hosts). Relative ones start from this file's folder.
      - May be the folder that this file is in; it is left out then.
    type: list
    elements: str
    default: []
  host_uri:
    description:
      - An expression that gives the URI of each of O(hosts) from its variables, C(inventory_hostname) among them.
      - libvirt starts ssh itself and takes no options for it, so C(ansible_ssh_common_args) does not count. What it says belongs into C(~/.ssh/config).
    type: str
    default: >-
      'qemu:///system' if ansible_connection | default('') == 'local' else
      'qemu+ssh://' ~ (ansible_user ~ '@' if ansible_user | default('') else '')
      ~ ('[' ~ ansible_host ~ ']' if ':' in ansible_host | default('') else ansible_host | default(inventory_hostname))
      ~ (':' ~ ansible_port if ansible_port | default('') else '') ~ '/system'
      ~ ('?keyfile=' ~ ansible_ssh_private_key_file if ansible_ssh_private_key_file | default('') else '')
  forks:
    description: How many hypervisors are asked at once.
    type: int
    default: 20
  timeout:
    description: Seconds that each hypervisor has to answer.
    type: float
    default: 15
  unreachable:
    description:
      - What a hypervisor that does not answer means, V(warning) or V(error). The guests of the others are served with V(warning) only.
      - An incomplete answer is not cached.
    type: str
    choices: [warning, error]
    default: warning
  address_sources:
    description:
      - Where addresses are looked for, in this order, until one has any.
      - V(lease) asks each network once for its DHCP leases. V(agent) asks the agent of each guest whose agent is connected. V(arp) asks the hypervisor's
        neighbours table for each guest.
    type: list
    elements: str
    choices: [lease, agent, arp]
    default: [lease, agent, arp]
  address_timeout:
    description:
      - Seconds that the guests of one hypervisor have to tell their addresses, for each of V(agent) and V(arp). Those that have not by then have none.
      - Where some hang, the others are asked by more connections. C(-vv) says why guests have no addresses.
    type: float
    default: 5
  address_family:
    description: Which address becomes C(ansible_host), if the guest has both kinds.
    type: str
    choices: [ipv4, ipv6]
    default: ipv4
  states:
    description: Only guests in these states. All when empty.
    type: list
    elements: str
    choices: [running, paused, stopped, crashed, pmsuspended]
    default: []
  names:
    description: Only guests whose name fits one of these shell patterns. A pattern with V(!) in front leaves guests out.
    type: list
    elements: str
    default: []
  tags:
    description: Only guests that have all of these tags.
    type: list
    elements: str
    default: []
  metadata:
    description: Only guests whose metadata entries have these values.
    type: dict
    default: {}
  full_names:
    description: Call every guest C(NAME.HOST), so that no name depends on what other hosts have, or on which of them answer.
    type: bool
    default: false
  group:
    description: Group of all guests.
    type: str
    default: kvm_guests
  group_by:
    description: Which groups are made, such as C(host_hv1), C(state_running), C(network_default), C(os_debian12) and C(tag_web).
    type: list
    elements: str
    choices: [host, state, network, os, tag]
    default: [host, state, network, os, tag]
  agent:
    description:
      - For which guests C(ansible_connection) is set to P(kvmfleet.libvirt.guest_agent#connection).
      - V(without_address) takes those that have no address, but an agent that is connected.
    type: str
    choices: [never, without_address, always]
    default: never
  jump:
    description: Set C(ansible_ssh_common_args) so that ssh reaches each guest through its hypervisor, where its URI leads there by ssh.
    type: bool
    default: false
"""

EXAMPLES = r"""
# guests.yml: all running guests of two hosts, reached through their hosts
plugin: kvmfleet.libvirt.guests
uris:
  - qemu+ssh://root@hv1.example.org/system
  - qemu+ssh://root@hv2.example.org/system
states: [running]
jump: true
---
# guests.yml: the guests of the hosts that the inventory beside it knows as kvm_hosts
plugin: kvmfleet.libvirt.guests
hosts: kvm_hosts
inventory: [hosts.yml]
---
# web.guests.yml: the guests tagged "web", by their addresses on one network
plugin: kvmfleet.libvirt.guests
uris: [qemu:///system]
tags: [web]
compose:
  ansible_host: (kvmfleet.addresses | selectattr('network', 'eq', 'lan') | first).address
keyed_groups:
  - {key: kvmfleet.metadata.owner, prefix: owner}
---
# island.guests.yml: guests without a network are reached through their agents
plugin: kvmfleet.libvirt.guests
agent: without_address
"""

import difflib
import hashlib
import re
from pathlib import Path
from typing import Any

from ansible import constants, template
from ansible.errors import AnsibleError, AnsibleParserError
from ansible.inventory.manager import InventoryManager
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable
from ansible.utils.unsafe_proxy import wrap_var
from ansible.vars.manager import VariableManager

from ansible_collections.kvmfleet.libvirt.plugins.module_utils import tree
from ansible_collections.kvmfleet.libvirt.plugins.plugin_utils import found, hypervisor
from ansible_collections.kvmfleet.libvirt.plugins.plugin_utils.survey import Answer, Question, survey

# Since ansible-core 2.19, only what is marked as such is taken for a template.
IS_MARKED = hasattr(template, "trust_as_template")


def untrusted(value: Any) -> Any:
    """A value of the hypervisor's, which is never taken for a template.

    What cannot be one is left as it is: ansible-inventory writes what is marked as a mapping, even as the name of a host in a group.
    """
    if IS_MARKED:
        return value
    if isinstance(value, dict):
        return {key: untrusted(item) for key, item in value.items()}
    if isinstance(value, list):
        return [untrusted(item) for item in value]
    return wrap_var(value) if isinstance(value, str) and "{" in value else value


def trusted(expression: str) -> Any:
    """The option host_uri, also where it is the default: the text of this file, or of whoever wrote the inventory."""
    return template.trust_as_template(expression) if IS_MARKED else expression


# The files that are being read: an inventory may lie in the folder in which it looks for its hosts.
_READING: set[str] = set()

AGENT = "kvmfleet.libvirt.guest_agent"
_FILE = re.compile(r"(^|[/.])guests\.ya?ml$")


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):
    """Guests of libvirt hosts."""

    NAME = "kvmfleet.libvirt.guests"

    def verify_file(self, path: str) -> bool:
        """Whether the file's name is one of this plugin's."""
        return bool(super().verify_file(path) and _FILE.search(path))

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        """Put the guests into the inventory."""
        if path in _READING:
            return
        super().parse(inventory, loader, path, cache)
        self._check(self._read_config_data(path))
        _READING.add(path)
        try:
            named = self._named_hosts(path)
        finally:
            _READING.discard(path)
        uris = [*(str(uri) for uri in self.get_option("uris")), *named.values()]
        if not uris:
            uris = ["qemu:///system"]
        self._add_guests(uris, list(named), self._kept(path, uris, cache))

    def _check(self, given: dict[str, Any]) -> None:
        """Refuse what Ansible lets pass: an option with a slip in its name would select all guests."""
        known = constants.config.get_configuration_definitions("inventory", self._load_name)
        for name in given:
            if name not in known:
                near = difflib.get_close_matches(str(name), known, 1)
                raise AnsibleParserError(f"there is no option {name}" + (f"; is {near[0]} meant?" if near else ""))
        for name in ("uris", "inventory", "names", "tags"):
            if any(item is None or not str(item) for item in self.get_option(name)):
                raise AnsibleParserError(f"{name} has an empty entry")
        for key, value in self.get_option("metadata").items():
            if value is None:
                raise AnsibleParserError(f"metadata has no value for {key}")

    def _named_hosts(self, path: str) -> dict[str, str]:
        """The URIs of the hosts that the pattern names, by host."""
        pattern, sources = self.get_option("hosts"), self.get_option("inventory")
        if not pattern:
            return {}
        if not sources:
            raise AnsibleParserError("hosts needs inventory: the files that know these hosts")
        places = [str(Path(path).parent / source) for source in sources]
        for place in places:
            if not Path(place).exists():
                raise AnsibleParserError(f"there is no inventory {place}")
        other = InventoryManager(loader=self.loader, sources=places)
        variables = VariableManager(loader=self.loader, inventory=other)
        hosts = other.get_hosts(pattern)
        if not hosts:
            raise AnsibleParserError(f"no host of {', '.join(places)} fits the pattern {pattern}")
        return {host.name: self._uri_of(host.name, variables.get_vars(host=host)) for host in hosts}

    def _uri_of(self, name: str, variables: dict[str, Any]) -> str:
        try:
            return str(self._compose(trusted(self.get_option("host_uri")), variables))
        except AnsibleError as error:
            raise AnsibleParserError(f"host_uri gives no URI for {name}: {error}") from error

    def _add_guests(self, uris: list[str], named: list[str], answers: list[Answer]) -> None:
        """Put the guests into the inventory. named: the names of the last of these hosts in another inventory."""
        for uri, answer in zip(uris, answers):
            self._complain(uri, answer)
        names = [""] * (len(uris) - len(named)) + named
        hosts = found.labels(
            [
                name or hypervisor.host_name(uri) or item.host or "localhost"
                for name, uri, item in zip(names, uris, answers)
            ]
        )
        guests = found.without_left_behind(
            found.once(
                (answer.host, {**guest, "uri": uri, "host": host})
                for uri, host, answer in zip(uris, hosts, answers)
                for guest in sorted(answer.guests, key=lambda one: one["name"])
            )
        )
        self.inventory.add_group(self._group(self.get_option("group")))
        wanted = self._wanted()
        taken = {*constants.LOCALHOST, *self.inventory.groups, *hosts}
        taken.update(group for guest in guests for group in self._groups(guest))
        for guest, name in zip(guests, found.called(guests, self.get_option("full_names"), taken)):
            if found.is_wanted(guest, wanted):
                self._add(guest, name)

    def _wanted(self) -> found.Wanted:
        option = self.get_option
        names = tuple(option("names"))
        return found.Wanted(frozenset(option("states")), names, frozenset(option("tags")), option("metadata"))

    def _kept(self, path: str, uris: list[str], cache: bool) -> list[Answer]:
        """The answers of all hypervisors, from the cache if there is one and it may be used."""
        try:
            hypervisor.require_libvirt()
        except hypervisor.MissingLibrary as error:
            raise AnsibleParserError(str(error)) from None
        if tree.LXML_ERROR is not None:
            raise AnsibleParserError(f"the Python library lxml is missing on the control node: {tree.LXML_ERROR}")
        questions = self._questions(uris)
        digest = hashlib.sha256(repr([questions, sorted(found.facts())]).encode()).hexdigest()[:12]
        key = f"{self.get_cache_key(path)}_{digest}"
        use = self.get_option("cache")
        remembered = self._remembered(key) if use and cache else None
        if remembered is not None:
            return remembered
        answers = survey(questions, max(1, self.get_option("forks")))
        if use and all(item.error is None for item in answers):
            self._cache[key] = [list(item) for item in answers]
        return answers

    def _remembered(self, key: str) -> list[Answer] | None:
        """What the cache has; None when it has nothing of use, which is no reason to be without guests."""
        try:
            answers = [Answer(*item) for item in self._cache[key]]
            whole = all(found.facts() <= set(guest) for answer in answers for guest in answer.guests)
        except KeyError:
            return None
        except (AnsibleError, TypeError) as error:
            whole = False
            self.display.vv(f"cache of the guests: {error}")
        if not whole:
            self.display.warning("the cache of the guests cannot be read, and the hypervisors are asked instead")
        return answers if whole else None

    def _questions(self, uris: list[str]) -> list[Question]:
        option = self.get_option
        more = (tuple(option("address_sources")), float(option("address_timeout")), float(option("timeout")))
        return [Question(uri, self._wanted(), *more) for uri in uris]

    def _complain(self, uri: str, answer: Answer) -> None:
        for note in answer.notes:
            self.display.vv(f"{uri}: {note}")
        if answer.error is None:
            return
        message = f"{uri} was not asked for its guests: {answer.error}"
        if self.get_option("unreachable") == "error":
            raise AnsibleParserError(message)
        self.display.warning(message)

    def _add(self, guest: found.Guest, name: str) -> None:
        # So is its name, which becomes inventory_hostname.
        self.inventory.add_host(untrusted(name), group=self._group(self.get_option("group")))
        for key, value in self._variables(guest).items():
            # Titles, descriptions and tags are other people's texts: never templates.
            self.inventory.set_variable(name, key, untrusted(value))
        for group in self._groups(guest):
            self.inventory.add_host(name, group=self.inventory.add_group(group))
        strict = self.get_option("strict")
        variables = self.inventory.get_host(name).get_vars()
        self._set_composite_vars(self.get_option("compose"), variables, name, strict=strict)
        variables = self.inventory.get_host(name).get_vars()
        self._add_host_to_composed_groups(self.get_option("groups"), variables, name, strict=strict)
        self._add_host_to_keyed_groups(self.get_option("keyed_groups"), variables, name, strict=strict)

    def _group(self, name: str) -> str:
        return str(self._sanitize_group_name(name))

    def _groups(self, guest: found.Guest) -> list[str]:
        """The groups of a guest, by the words of group_by."""
        values = {
            "host": [guest["host"]],
            "state": [guest["state"]],
            "network": guest["networks"],
            "os": [guest["os"]] if guest["os"] else [],
            "tag": guest["tags"],
        }
        return [self._group(f"{word}_{value}") for word in self.get_option("group_by") for value in values[word]]

    def _variables(self, guest: found.Guest) -> dict[str, Any]:
        address = found.preferred(guest, self.get_option("address_family"))
        agent = self.get_option("agent")
        through = hypervisor.jump(guest["uri"]) if self.get_option("jump") else None
        by_agent = agent == "always" or (agent == "without_address" and guest["agent"] and not address)
        return {
            "kvmfleet": guest,
            "ansible_guest_agent_uri": guest["uri"],
            "ansible_guest_agent_guest": guest["uuid"],
            **({"ansible_host": address} if address else {}),
            **({"ansible_ssh_common_args": through} if through else {}),
            **({"ansible_connection": AGENT} if by_agent else {}),
        }
