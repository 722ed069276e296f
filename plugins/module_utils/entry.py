# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a module's parameters to its answer: the one way in and out of AnsibleModule."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from .host.connection import HypervisorError, MissingLibrary
from .module import new_module
from .plan.problem import Declined
from .plan.words import masked_options
from .reconcile import Run, reconcile
from .spec.field import Field, Kind
from .spec.kinds import KINDS, STACK, module_fields


def declare_stack() -> None:
    """The module that declares everything on a host."""
    module = new_module(STACK)
    _carry_out(module, STACK, {kind.plural: module.params[kind.plural] or [] for kind in KINDS})


def declare_one(kind: Kind) -> None:
    """A module that declares one object of this kind."""
    fields = module_fields(kind)
    module = new_module(fields)
    _carry_out(module, fields, {kind.plural: [_own(module.params, kind.fields)]})


def _own(params: dict[str, Any], fields: tuple[Field, ...]) -> dict[str, Any]:
    return {field.name: params[field.name] for field in fields}


def _carry_out(module: AnsibleModule, fields: tuple[Field, ...], stack: dict[str, list[dict[str, Any]]]) -> None:
    params = module.params
    invocation = {"module_args": masked_options(params, fields)}
    try:
        outcome = reconcile(stack, Run(params["uri"], module.check_mode, params["parallel"], params["on_error"]))
    except Declined as error:
        problems = [str(problem) for problem in error.problems]
        more = "" if len(problems) == 1 else f" (and {len(problems) - 1} more problems)"
        module.fail_json(msg=f"{problems[0]}{more}; nothing was changed", problems=problems, invocation=invocation)
    except (HypervisorError, MissingLibrary) as error:
        module.fail_json(msg=str(error), invocation=invocation)
    answer = {
        "invocation": invocation,
        "changed": outcome.changed,
        "objects": outcome.objects,
        "diff": outcome.diff,
        "msg": outcome.msg,
    }
    if outcome.errors:
        module.fail_json(errors=outcome.errors, **answer)
    module.exit_json(**answer)
