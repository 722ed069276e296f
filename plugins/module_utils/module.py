# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An AnsibleModule with the options of a table."""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from .plan.words import masked_options
from .spec.field import Field, argument_spec, needed_spec


def _own(params: dict[str, Any]) -> dict[str, Any]:
    """Parameters without Ansible's own."""
    return {name: value for name, value in params.items() if not name.startswith("_ansible_")}


class Module(AnsibleModule):  # type: ignore[misc]
    """A module that masks its options by itself, also when they are not what the argument spec wants. Ansible's own way,
    no_log, masks a secret's text wherever it stands: a password "web" in every name that has it.
    """

    def __init__(self, name: str, fields: tuple[Field, ...], given: dict[str, Any] | None = None) -> None:
        """fields: the module's options. given: its parameters with Ansible's own (`_ansible_…`), where they did not come to it by itself."""
        # A module lives for a second or two: looking for cycles among its objects costs more than they do.
        gc.disable()
        self._module = f"kvmfleet.libvirt.{name}"
        self._fields = fields
        self._given = given
        # All options for who asks which there are, and where the parameters are not known yet; a task needs a tenth of them.
        spec = argument_spec(fields) if given is None else needed_spec(fields, [_own(given)])
        super().__init__(argument_spec=spec, supports_check_mode=True)

    def _load_params(self) -> None:
        super()._load_params()
        if self._given is not None:
            self.params = {**self._given, "_ansible_module_name": self._module}

    def log(self, msg: str, log_args: dict[str, Any] | None = None) -> None:
        """Nothing: Ansible logs each invocation in the host's journal, where its options may be read by others.

        AnsibleModule's no_log does not prevent that; the task's no_log overwrites it.
        """

    def invocation(self) -> dict[str, Any]:
        """What the result repeats of the options, masked. Ansible shows it from -vvv on; until then the options of a thousand
        guests are not sent back.
        """
        return {"module_args": masked_options(self.params, self._fields)} if self._verbosity > 2 else {}

    def fail_json(self, msg: str, **answer: Any) -> None:
        """Fail with the options masked, and without the names of all of them where one is unknown."""
        msg = shorter(msg)
        if _SHAPE.search(msg):
            msg = next(misshapen(self._given or self.params, self._fields), msg)
        answer.setdefault("invocation", self.invocation())
        super().fail_json(msg, **answer)


# AnsibleModule's words for a value that is no mapping or list, which may not tell of which option (parameters.py in
# ansible.module_utils.common).
_SHAPE = re.compile(r"^dictionary requested|convert to (?:list|dict)|must be a list, not|cannot be converted to a dict")


def misshapen(given: Any, fields: tuple[Field, ...], path: str = "") -> Iterator[str]:
    """What has to be a mapping or a list of them and is not, in sentences without the value, which may be a secret."""
    for field in fields:
        values = [given[name] for name in (field.name, *field.aliases) if given.get(name) is not None]
        if not values or not field.fields:
            continue
        where, value = path + field.name, values[0]
        if field.type == "items" and not isinstance(value, (list, str)):
            yield f"{where} has to be a list of mappings, not {_shape(value)}"
            continue
        items = value if isinstance(value, list) else [value]
        for number, item in enumerate(items):
            at = f"{where}[{number}]" if field.type == "items" else where
            if isinstance(item, Mapping):
                yield from misshapen(item, field.fields, at + ".")
            elif not isinstance(item, str) or not ("=" in item or item.lstrip().startswith("{")):
                options = ", ".join(one.name for one in field.fields[:3])
                yield f"{at} has to be a mapping (of {options} and so on), not {_shape(item)}"


def _shape(value: Any) -> str:
    shapes = {str: "a text", bool: "a boolean", Mapping: "a mapping", list: "a list", (int, float): "a number"}
    return next((word for kind, word in shapes.items() if isinstance(value, kind)), "nothing")  # type: ignore[arg-type]


# AnsibleModule's words for an option that is none (ansible.module_utils.common.arg_spec, errors.UnsupportedError).
_UNKNOWN = re.compile(
    r"^Unsupported parameters for \((?P<module>\S+)\) module: (?P<names>.+?)\. Supported .* include: (?P<all>.+)$"
)


def shorter(msg: str) -> str:
    """A message on unknown options with the options that they may be meant for, in place of some hundred names."""
    found = _UNKNOWN.match(msg)
    if found is None:
        return msg
    from difflib import get_close_matches  # noqa: PLC0415 - only who mistypes pays for it

    known = re.findall(r"\w+", found["all"])
    names = []
    for name in found["names"].split(", "):
        alike = get_close_matches(name.rpartition(".")[2], known, 3)
        names.append(name + (f" (did you mean {', '.join(alike)}?)" if alike else ""))
    return f"there is no option {', '.join(names)}; ansible-doc {found['module']} lists those there are"
