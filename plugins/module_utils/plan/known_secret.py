# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What libvirt means by the documents of secrets; each entry is a fact from its source or its own test documents."""

from __future__ import annotations

from .known import Known

SECRET = Known(omitted={"@ephemeral": "no", "@private": "no"})
