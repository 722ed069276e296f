# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the module volume_fetch."""

from __future__ import annotations

from ansible_collections.kvmfleet.libvirt.plugins.module_utils.spec.kinds import FETCH
from ansible_collections.kvmfleet.libvirt.plugins.plugin_utils.documentation import options_text


class ModuleDocFragment:
    """Options, written from the table of fields."""

    DOCUMENTATION: str = options_text(FETCH)
