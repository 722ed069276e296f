# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Declarations as a module's argument spec hands them to the planner: defaults filled in, types converted."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.kvmfleet.libvirt.plugins.module_utils.spec.field import Field, needed_spec
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.spec.kinds import KIND, KINDS, STACK

Declared = dict[str, Any]
Stack = dict[str, list[Declared]]


class Refused(Exception):
    """The argument spec itself refuses the declaration."""


def stack_of(declared: Declared) -> Stack:
    """A stack as the stack module hands it to the planner. declared: plural kind → list of objects."""
    validated = _validated(STACK, declared)
    return {kind.plural: validated.get(kind.plural) or [] for kind in KINDS}


def stack_of_one(kind: str, item: Declared, beside: Declared) -> Stack:
    """A stack with one object as its own module declares it, and others beside it."""
    found = stack_of(beside)
    return {**found, KIND[kind].plural: [*found.get(KIND[kind].plural, []), one(kind, item)]}


def one(kind: str, declared: Declared) -> Declared:
    """One object as its module hands it to the planner."""
    return _validated(KIND[kind].fields, declared)


def _validated(fields: tuple[Field, ...], declared: Declared) -> Declared:
    result = ArgumentSpecValidator(needed_spec(fields, [declared])).validate(declared)
    if result.error_messages:
        raise Refused("; ".join(result.error_messages))
    found: Declared = result.validated_parameters
    return found
