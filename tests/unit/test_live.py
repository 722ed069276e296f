# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tables say of a running guest is what is planned: what applies at once has a call, all else has none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ansible_collections.kvmfleet.libvirt.plugins.module_utils import tree
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.live import _device, _single
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.overlay import Edit, Place
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.rules import for_kind, join, key_of
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.tune import Limits, tune_calls
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.spec.field import Field
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.spec.kinds import KIND

RULES = for_kind(KIND["domain"])
PLENTY = Limits(1 << 50, 1 << 20)
VALUES = {"cpuset": "0-1", "yes_no": "yes", "size": str(1 << 30)}


def leaves(
    fields: tuple[Field, ...], above: str, lists: tuple[str, ...]
) -> Iterator[tuple[Field, str, tuple[str, ...]]]:
    """Options that are values, with their rule paths and the paths of the lists that they stand in."""
    for field in fields:
        if field.path is None or field.path.startswith("devices"):
            continue
        path = join(above, field.path)
        if field.fields:
            yield from leaves(field.fields, path, (*lists, path) if field.type == "items" else lists)
        else:
            yield field, path, lists


LEAVES = list(leaves(KIND["domain"].fields, "", ()))


def changed(field: Field, path: str, lists: tuple[str, ...]) -> Edit:
    """An edit of this option in a running guest's document."""
    trail = []
    if field.type in ("map", "fragments"):
        lists = (*lists, tree.split(path)[0] if field.type == "map" else "metadata/{urn:x}y")
        path = join(lists[-1], field.value[0]) if field.type == "map" else lists[-1]
    for place in lists:
        node = tree.element("{urn:x}y" if field.type == "fragments" else place.rpartition("/")[2])
        for name in ("vcpu", "iothread", "id", "cpuset"):
            node.set(name, "1")
        tree.put(node, "path", "/dev/sda")
        tree.put(node, path[len(place) + 1 :] or ".", "1")
        trail.append(Place(place, key_of(RULES, place, node, 0) or "1", node))
    if field.type == "fragments":
        return Edit(path, None, trail[0].node, tuple(trail))
    after = field.choices[0] if field.choices and field.type != "map" else VALUES.get(field.type, "1")
    return Edit(path, None, after, tuple(trail))


@pytest.mark.parametrize(("field", "path", "lists"), LEAVES, ids=[path for _field, path, _lists in LEAVES])
def test_an_option_that_applies_at_once_has_a_call(field: Field, path: str, lists: tuple[str, ...]) -> None:
    edit = changed(field, path, lists)
    calls, waiting = tune_calls([edit], PLENTY, RULES)
    assert bool(calls) == (field.effect == "live")
    assert all(made is edit for call in calls for made in call.edits)
    assert waiting == ([] if field.effect == "live" else [edit])


def devices() -> Iterator[tuple[Field, str, str]]:
    """Options of a device that is there, with their rule paths and the path of the device."""
    for field in KIND["domain"].fields:
        if field.path is not None and field.path.startswith("devices/") and field.fields:
            inside = field.fields
            for option, path, _lists in leaves(inside, field.path, ()):
                if option.effect == "live":
                    yield option, path, field.path


LIVE = list(devices())


@pytest.mark.parametrize(("option", "path", "device"), LIVE, ids=[path for _option, path, _device in LIVE])
def test_an_option_of_a_device_that_applies_at_once_has_a_call(option: Field, path: str, device: str) -> None:
    node = tree.element(device.rpartition("/")[2], device="cdrom")
    tree.put(node, path[len(device) + 1 :], "1")
    edit = Edit(path, None, "1", (Place(device, "a", node),))
    found = _single([edit], device, True, node) if key_of(RULES, device, node, 0) is None else _device([edit], RULES)
    assert [call.step.verb for call in found.calls] != []
    assert found.waiting == ()
