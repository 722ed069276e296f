# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one room that speaks to libvirt: connect, read, act, wait. Nothing outside it imports libvirt."""

from __future__ import annotations
