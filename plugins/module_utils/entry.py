# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a module's parameters to its answer: the one way in and out of AnsibleModule."""

from __future__ import annotations

from typing import Any, Dict, List, Tuple

from ansible.module_utils.basic import AnsibleModule

from .host.connection import HypervisorError, MissingLibrary
from .plan.problem import Declined
from .reconcile import Run, reconcile
from .spec.field import Field, Kind
from .spec.kinds import KINDS, STACK, module_fields, module_spec


def declare_stack() -> None:
    """The module that declares everything on a host."""
    module = AnsibleModule(**module_spec(STACK))
    _carry_out(module, {kind.plural: module.params[kind.plural] or [] for kind in KINDS})


def declare_one(kind: Kind) -> None:
    """A module that declares one object of this kind."""
    module = AnsibleModule(**module_spec(module_fields(kind)))
    _carry_out(module, {kind.plural: [_own(module.params, kind.fields)]})


def _own(params: Dict[str, Any], fields: Tuple[Field, ...]) -> Dict[str, Any]:
    return {field.name: params[field.name] for field in fields}


def _carry_out(module: AnsibleModule, stack: Dict[str, List[Dict[str, Any]]]) -> None:
    params = module.params
    try:
        outcome = reconcile(stack, Run(params["uri"], module.check_mode, params["parallel"], params["on_error"]))
    except Declined as error:
        problems = [str(problem) for problem in error.problems]
        more = "" if len(problems) == 1 else " (and %d more problems)" % (len(problems) - 1)
        module.fail_json(msg="%s%s; nothing was changed" % (problems[0], more), problems=problems)
    except (HypervisorError, MissingLibrary) as error:
        module.fail_json(msg=str(error))
    answer = {"changed": outcome.changed, "objects": outcome.objects, "diff": outcome.diff, "msg": outcome.msg}
    if outcome.errors:
        module.fail_json(errors=outcome.errors, **answer)
    module.exit_json(**answer)
