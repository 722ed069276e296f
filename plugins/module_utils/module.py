# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An AnsibleModule with the options of a table."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule

from .spec.field import Field, argument_spec


def new_module(fields: tuple[Field, ...]) -> AnsibleModule:
    """The module with these options. Its invocation is not logged on the host: it may hold what nobody should read there."""
    return AnsibleModule(argument_spec=argument_spec(fields), supports_check_mode=True, no_log=True)
