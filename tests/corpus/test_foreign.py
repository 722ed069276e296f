# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Foreign documents: the name alone changes nothing, one option changes that one thing, and nonsense is declined."""

from __future__ import annotations

import random
import traceback
from typing import Any, Callable

import pytest
from exceptions import reasons, unexpected
from foreign import foreign
from pairs import SETS, pairs
from planned import EMPTY, declared, host_with, named, plan_of
from source import RELEASES, documents

from ansible_collections.kvmfleet.libvirt.plugins.module_utils import tree
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan import ownership
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.export import export_host
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.newborn import device_memory
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.problem import Declined
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.stack import plan_stack
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.values import size_at
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.spec.kinds import KIND
from ansible_collections.kvmfleet.libvirt.tests.unit.support.declarations import Refused, stack_of

Count = Callable[[str], None]


def _outputs(kind: str) -> dict[str, str]:
    """What libvirt makes of its documents, by their names."""
    return {f"{release}/{pair.name}": pair.current for release in RELEASES for pair in pairs(kind, documents(release))}


@pytest.mark.parametrize("kind", SETS)
def test_the_name_alone_changes_nothing(kind: str, count: Count) -> None:
    found = _outputs(kind)
    for xml in found.values():
        (plan,) = plan_of(kind, host_with(kind, xml), named(kind, xml)).objects
        assert (plan.changes, plan.steps, plan.pending) == ((), (), ())
    count(f"{kind}: {len(found)} documents with their name alone, all unchanged")


@pytest.mark.parametrize("kind", SETS)
def test_what_is_exported_changes_nothing(kind: str, count: Count) -> None:
    found = _outputs(kind)
    wrong = {}
    for name, xml in found.items():
        host = host_with(kind, xml)
        stack = stack_of({KIND[kind].plural: export_host(host)[KIND[kind].plural]})
        changes = [change for item in plan_stack(stack, host).objects for change in item.changes]
        if changes:
            wrong[name] = str(changes)
    known = [name for name in found if name in reasons("export")]
    count(f"{kind}: {len(found)} documents exported and declared, {len(wrong)} changed, {len(known)} exceptions")
    assert unexpected("export", wrong, found) == []


MEMORY = 123 << 20


def test_one_option_leaves_the_rest_as_it_is(count: Count) -> None:
    """The description, then the memory of each guest is changed: nothing else in its definition is another.

    The memory of a guest with several NUMA nodes is theirs, and libvirt counts it: such a declaration is declined.
    """
    found = _outputs("domain")
    of_nodes = 0
    for xml in found.values():
        # What libvirt counts it counts anew with each definition.
        assert _described(xml) == _without(xml, "description", *(["memory"] if _is_recounted(xml) else []))
        if len(tree.parse(xml).findall("cpu/numa/cell")) > 1:
            of_nodes += 1
            with pytest.raises(Declined, match="the NUMA nodes"):
                _defined(xml, memory=f"{MEMORY} bytes")
        else:
            assert _remembering(xml) == _without(xml, *MEMORIES)
    count(
        f"domain: {len(found)} documents with another description, {len(found) - of_nodes} with another memory, "
        f"{of_nodes} with that of their NUMA nodes; all else as it was"
    )


def _is_recounted(xml: str) -> bool:
    """Whether the memory of a guest is not that of its NUMA nodes and devices, which libvirt puts in its place."""
    root = tree.parse(xml)
    nodes = sum(size_at(cell, "KiB", "memory") or 0 for cell in root.findall("cpu/numa/cell"))
    return nodes > 0 and size_at(root.find("memory"), "KiB") != nodes + device_memory(root.findall("devices/memory"))


MEMORIES = ("memory", "currentMemory", "cpu/numa/cell")


def _described(xml: str) -> bytes:
    after = _defined(xml, description="of the corpus")
    assert tree.get(tree.parse(after), "description") == "of the corpus"
    return _without(after, "description", *(["memory"] if _is_recounted(xml) else []))


def _remembering(xml: str) -> bytes:
    after = tree.parse(_defined(xml, memory=f"{MEMORY} bytes", current_memory=f"{MEMORY} bytes"))
    devices = device_memory(after.findall("devices/memory"))
    assert [int(tree.get(after, tag) or 0) << 10 for tag in MEMORIES[:2]] == [MEMORY + devices, MEMORY]
    return _without(tree.text_of(after), *MEMORIES)


def _defined(xml: str, **options: Any) -> str:
    """The definition that is written when these options are declared."""
    (plan,) = plan_of("domain", host_with("domain", xml), {**named("domain", xml), **options}).objects
    (step,) = plan.steps
    assert step.verb == "define"
    return str(step.args["xml"])


def _without(xml: str, *tags: str) -> bytes:
    root = tree.parse(xml)
    ownership.strip(root)
    for path in tags:
        tree.erase(root, path)
    if root.find("metadata") is not None and tree.is_bare(root.find("metadata")):
        tree.remove(root.find("metadata"))
    return tree.canonical(root)


EVERY = 2
"""Every so many documents one is broken: libvirt has the same ones in several forms."""

NONSENSE = (
    "",
    " ",
    "-1",
    "0",
    "99999999999999999999999999",
    "x" * 300,
    "\u00b2",
    "0x",
    "1-",
    "^",
    "é",
    "a/b",
    "..",
    "-",
)


def _broken(xml: str, dice: random.Random) -> str:
    """A copy of a document that nobody would write: parts are missing, twice there, empty or absurd."""
    root = tree.parse(xml)
    for _turn in range(dice.randint(1, 4)):
        node = dice.choice([node for node in root.iter() if node.tag != "name" or node.getparent() is not root])
        act = dice.choice(("drop attribute", "attribute", "text", "drop", "twice", "empty", "unit"))
        if act == "drop attribute" and node.attrib:
            del node.attrib[dice.choice(sorted(node.attrib))]
        elif act == "attribute" and node.attrib:
            node.set(dice.choice(sorted(node.attrib)), dice.choice(NONSENSE))
        elif act == "text":
            node.text = dice.choice(NONSENSE)
        elif act == "unit":
            node.set("unit", dice.choice(("KiB", "furlong", "", "b")))
        elif node is not root and act == "drop":
            tree.remove(node)
        elif node is not root and act == "twice":
            node.addnext(tree.parse(tree.text_of(node)))
        elif act == "empty":
            for part in [*node]:
                node.remove(part)
    return tree.text_of(root)


@pytest.mark.parametrize("kind", SETS)
def test_nonsense_is_planned_or_declined(kind: str, count: Count) -> None:
    """Whatever is declared, over whatever is there: a plan, or a refusal that says why."""
    dice = random.Random(f"corpus {kind}")
    tried = declined = 0
    crashed = []
    for document in foreign(kind)[::EVERY]:
        broken = _broken(document.xml, dice)
        for host, xml in (
            (host_with(kind, document.xml), broken),
            (EMPTY, broken),
            (host_with(kind, broken), document.xml),
        ):
            tried += 1
            try:
                plan_of(kind, host, {**declared(kind, xml), "name": document.name})
            except (Declined, Refused):
                declined += 1
            except Exception:  # noqa: BLE001 - each of them is what is looked for
                crashed.append(f"{document.origin}: {traceback.format_exc()[-600:]}\n{broken}")
    count(f"{kind}: {tried} broken documents, {declined} declined, {len(crashed)} crashed")
    assert crashed == []
