# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of fields: a mistake in one is found here, not on a user's host."""

from __future__ import annotations

import pytest

from ansible_collections.kvmfleet.libvirt.plugins.module_utils.spec.field import ANSIBLE_TYPES, Field, walk
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.spec.kinds import KINDS
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.spec.table import rows

INSIDE = (Field("b", "int", "@b"),)

ROWS = [field for kind in KINDS for _name, field in walk(kind.fields)]


def test_a_row_says_all_of_a_field() -> None:
    (field,) = rows(
        """
- a  dict  x/y  live required secret =p|q default=p alias=aa unit=KiB implies=@type:file implies=@z:1 fields=inside
    First line,
    second line.
    - c  bool  -  create default=true
        Inside.
""",
        inside=INSIDE,
    )
    inside = (*INSIDE, Field("c", "bool", None, "Inside.", "create", default=True))
    assert field == Field(
        "a",
        "dict",
        "x/y",
        "First line, second line.",
        "live",
        ("p", "q"),
        "p",
        True,
        True,
        ("aa",),
        (("@type", "file"), ("@z", "1")),
        inside,
        "KiB",
    )


def test_rows_stand_side_by_side_or_inside() -> None:
    fields = rows("- a  dict  a\n  - b  int  b\n  - c  int  c  default=3\n- d  text  d\n")
    assert [name for name, _field in walk(fields)] == ["a", "a.b", "a.c", "d"]
    assert fields[0].fields[1].default == 3


@pytest.mark.parametrize("text", ["- a  text  a  sometimes", "- a  text", "  - a  text  a\n- b  text  b"])
def test_what_is_no_table_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"row|unpack|nothing"):
        rows(text)


def test_every_row_has_a_type_that_is_known_and_says_what_it_is() -> None:
    assert {field.type for field in ROWS} <= set(ANSIBLE_TYPES)
    assert [field.name for field in ROWS if not field.doc.endswith(".")] == []
    assert [field.name for field in ROWS if bool(field.fields) != (field.type in ("dict", "items"))] == []


def test_defaults_are_of_their_type_and_choices_have_them() -> None:
    types = {"bool": bool, "int": int}
    assert [f.name for f in ROWS if f.default is not None and not isinstance(f.default, types.get(f.type, str))] == []
    assert [f.name for f in ROWS if f.default is not None and f.choices and f.default not in f.choices] == []
