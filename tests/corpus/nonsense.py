# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules of filters that libvirt's tests hold to see that it drops what is absurd in them.

No run comes so far: libvirt's schema is asked first, and refuses them. The other rules of such a filter are kept.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from lxml import etree
from source import SCHEMAS

from ansible_collections.kvmfleet.libvirt.plugins.module_utils import tree
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.spec.kinds import KIND


def absurd(root: tree.Element, folder: Path) -> list[int]:
    """The places of those rules of a filter that libvirt's schema of this release refuses."""
    schema = _schema(folder)
    rules = tree.find_all(root, "rule")
    return [place for place, rule in enumerate(rules) if not schema.validate(_alone(rule))]


def without_rules(root: tree.Element, places: list[int]) -> tree.Element:
    """A filter without the rules at these places."""
    rules = tree.find_all(root, "rule")
    for place in places:
        root.remove(rules[place])
    return root


@cache
def _schema(folder: Path) -> etree.RelaxNG:
    return etree.RelaxNG(etree.parse(str(folder / SCHEMAS / KIND["nwfilter"].schema)))


def _alone(rule: tree.Element) -> tree.Element:
    root = tree.element("filter", None, name="one")
    root.append(tree.parse(tree.text_of(rule)))
    return root
