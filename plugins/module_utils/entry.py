# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a module's parameters to its answer: the one way in and out of AnsibleModule."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from .host.connection import HypervisorError, MissingLibrary
from .plan.problem import Declined
from .reconcile import Run, gather, reconcile
from .spec.field import Field, Kind
from .spec.kinds import INFO, KINDS, STACK, module_fields, module_spec


def declare_stack() -> None:
    """The module that declares everything on a host."""
    module = AnsibleModule(**module_spec(STACK))
    _carry_out(module, {kind.plural: module.params[kind.plural] or [] for kind in KINDS})


def declare_one(kind: Kind) -> None:
    """A module that declares one object of this kind."""
    module = AnsibleModule(**module_spec(module_fields(kind)))
    _carry_out(module, {kind.plural: [_own(module.params, kind.fields)]})


def tell_stack() -> None:
    """The module that tells what is on a host, in the shape in which the stack module takes it."""
    module = AnsibleModule(**module_spec(INFO))
    patterns = {kind.plural: module.params[kind.plural] for kind in KINDS}
    try:
        stack = gather(module.params["uri"], patterns)
    except (HypervisorError, MissingLibrary) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, stack=stack)


def _own(params: dict[str, Any], fields: tuple[Field, ...]) -> dict[str, Any]:
    return {field.name: params[field.name] for field in fields}


def _carry_out(module: AnsibleModule, stack: dict[str, list[dict[str, Any]]]) -> None:
    params = module.params
    try:
        outcome = reconcile(stack, Run(params["uri"], module.check_mode, params["parallel"], params["on_error"]))
    except Declined as error:
        problems = [str(problem) for problem in error.problems]
        more = "" if len(problems) == 1 else " (and %d more problems)" % (len(problems) - 1)
        module.fail_json(msg=f"{problems[0]}{more}; nothing was changed", problems=problems)
    except (HypervisorError, MissingLibrary) as error:
        module.fail_json(msg=str(error))
    answer = {
        "changed": outcome.changed,
        "objects": outcome.objects,
        "diff": outcome.diff,
        "msg": outcome.msg,
    }
    if outcome.errors:
        module.fail_json(errors=outcome.errors, **answer)
    module.exit_json(**answer)
