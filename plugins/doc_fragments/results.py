# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules that declare something return: the same for all of them, so written once."""

from __future__ import annotations


class ModuleDocFragment:
    """Common attributes of the modules."""

    DOCUMENTATION: str = r"""
options: {}
attributes:
  check_mode:
    support: full
    description: Predicts what a real run does, and writes nothing.
  diff_mode:
    support: full
    description: Shows the changed fields in the words of the declaration; secrets are masked.
"""
