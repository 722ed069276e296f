# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pages of the documentation that are made from the tables of fields."""

from __future__ import annotations

from ansible_collections.kvmfleet.libvirt.plugins.module_utils.spec.field import walk
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.spec.kinds import KINDS

EFFECTS = {"live": "at once", "restart": "at the next start", "create": "when it is made"}

HEAD = """\
# When a change takes effect

Every option of each kind of object, where it stands in libvirt's document, and when a change of it becomes true for
an object that is running. *At once*: the running object is changed where the hypervisor and the guest allow it, and
what they decline waits for a restart, and the result says so. *At the next start*: the definition is changed, and the
difference is reported as pending on every run until it is true. *When it is made*: identifies the object, or says how
it comes into being; a change to what is there already is refused or without effect, as the option's documentation
says.

Made from the tables of fields by `pytest tests/unit/test_pages.py --regenerate`.
"""


def effects_page() -> str:
    """docs/effects.md."""
    lines = [HEAD]
    for kind in KINDS:
        lines += [
            f"## {kind.plural}",
            "",
            "| option | in libvirt's document | a change takes effect |",
            "|---|---|---|",
        ]
        above: list[str] = []
        for name, field in walk(kind.fields):
            depth = name.count(".")
            above[depth:] = [] if field.path is None else [field.path]
            if field.fields:
                continue
            path = "/".join(part for part in above if part != ".") if field.path is not None else ""
            effect = "as that of what it holds" if name == "xml" else EFFECTS[field.effect]
            lines.append("| `{}` | {} | {} |".format(name, f"`{path}`" if path else "", effect))
        lines.append("")
    return "\n".join(lines)
