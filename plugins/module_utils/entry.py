# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a module's parameters to its answer: the one way in and out of AnsibleModule."""

from __future__ import annotations

from typing import Any

from .host.connection import HypervisorError, MissingLibrary
from .module import Module
from .plan.problem import Declined
from .reconcile import Run, reconcile
from .spec.kinds import FETCH, INFO, KIND, KINDS, STACK, module_fields
from .unchanged import Memory


def run(name: str, given: dict[str, Any] | None = None, memory: Memory | None = None) -> None:
    """Run the module of this name. given: its parameters, where they are not those that Ansible gave to the process.
    memory: of earlier runs' plans, where the library is kept.
    """
    if name == "stack_info":
        from .tell import tell_stack  # noqa: PLC0415 - the export is most of it, and nobody else's

        tell_stack(Module(name, INFO, given))
    elif name == "volume_fetch":
        from .give import give_volume  # noqa: PLC0415 - nobody else reads what is in a volume

        give_volume(Module(name, FETCH, given))
    elif name == "stack":
        module = Module(name, STACK, given)
        _carry_out(module, {kind.plural: module.params.get(kind.plural) or [] for kind in KINDS}, memory)
    else:
        fields = module_fields(KIND[name])
        module = Module(name, fields, given)
        own = {field.name: module.params[field.name] for field in KIND[name].fields if field.name in module.params}
        _carry_out(module, {KIND[name].plural: [own]})


def _carry_out(module: Module, stack: dict[str, list[dict[str, Any]]], memory: Memory | None = None) -> None:
    params = module.params
    invocation = module.invocation()
    how = Run(params["uri"], module.check_mode, params["parallel"], params["on_error"], memory)
    try:
        outcome = reconcile(stack, how)
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
