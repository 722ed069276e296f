# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""libvirt's configuration files are edited in place, and nothing that was not named changes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kvmfleet.libvirt.plugins.module_utils.edit_conf import by_file, remembered, told
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.libvirt_conf import (
    Former,
    Malformed,
    edited,
    entries,
    known_options,
    problems,
    settled,
)

SHIPPED = """\
# Master libvirt daemon configuration file
#
#max_clients = 5000

# The devices
#cgroup_device_acl = [
#    "/dev/null", "/dev/full", "/dev/zero",
#    "/dev/random"
#]
#user = "root"

   security_driver = "apparmor"  # kept by hand
hugetlbfs_mount = [
  "/dev/hugepages", # small
  "/dev/hugepages1G",
]
"""

LENS = """
   let int_entry      (kw:string) = [ key kw . value_sep . int_val ]
   let a = int_entry "max_clients" | bool_entry "dump_guest_core"
                 | str_entry  "user"
   let b = str_array_entry "cgroup_device_acl" | limits_entry "max_core"
"""


def values(text: str) -> dict[str, Any]:
    return {entry.name: entry.value for entry in entries(text)}


def test_every_kind_of_value_is_read() -> None:
    assert values(SHIPPED) == {
        "security_driver": "apparmor",
        "hugetlbfs_mount": ["/dev/hugepages", "/dev/hugepages1G"],
    }
    assert values('a=-1\nb = \'"\'\nc = """two\nlines"""\nd = []') == {"a": -1, "b": '"', "c": "two\nlines", "d": []}


@pytest.mark.parametrize("text", ["what\n", "a = b\n", 'a = "open\n', "a = [ 1 ]\n", "a = 1 2\n", "a = [ \n"])
def test_what_libvirt_cannot_read_is_told_with_its_line(text: str) -> None:
    with pytest.raises(Malformed, match="line 2 "):
        entries("x = 1\n" + text)


def test_new_option_stands_below_its_sample() -> None:
    text = edited(SHIPPED, {"max_clients": 10, "cgroup_device_acl": ["/dev/null", "/dev/kvm"], "unheard_of": True})
    assert "#max_clients = 5000\nmax_clients = 10\n" in text
    assert '#]\ncgroup_device_acl = [ "/dev/null", "/dev/kvm" ]\n#user' in text
    assert text.endswith("]\nunheard_of = 1\n")


def test_what_is_so_already_is_left_to_the_byte() -> None:
    assert (
        edited(SHIPPED, {"security_driver": "apparmor", "hugetlbfs_mount": ["/dev/hugepages", "/dev/hugepages1G"]})
        == SHIPPED
    )
    assert edited(SHIPPED, {"max_clients": None, "never_seen": None}) == SHIPPED
    assert edited("dump_guest_core = 1\n", {"dump_guest_core": True}) == "dump_guest_core = 1\n"


def test_change_replaces_one_option_and_its_double() -> None:
    text = edited("a = 1\nb = 2\na = 3\n", {"a": 4})
    assert text == "a = 4\nb = 2\n"
    assert edited("a = 1\nb = 2\na = 3\n", {"a": 1}) == "a = 1\nb = 2\n"
    assert edited("a = 1\nb = 2", {"a": None, "c": "x"}) == 'b = 2\nc = "x"\n'


WORDS = st.text(st.characters(blacklist_characters="\"'\n\r", blacklist_categories=["Cs", "Cc"]))


@given(
    st.dictionaries(
        st.sampled_from(["max_clients", "user", "security_driver", "hugetlbfs_mount", "cgroup_device_acl", "other"]),
        st.none() | st.integers() | WORDS | st.lists(WORDS),
    )
)
def test_what_is_written_is_read_again_and_written_once(options: dict[str, Any]) -> None:
    text = edited(SHIPPED, options)
    assert edited(text, options) == text
    expected = {**values(SHIPPED), **options}
    assert values(text) == {name: value for name, value in expected.items() if value is not None}
    comments = [line for line in SHIPPED.splitlines() if line.startswith("#")]
    assert [line for line in text.splitlines() if line.startswith("#")] == comments


def test_options_are_held_to_libvirts_own_description() -> None:
    known = known_options(LENS)
    assert known == {
        "max_clients": "int",
        "dump_guest_core": "bool",
        "user": "str",
        "cgroup_device_acl": "list",
        "max_core": "limit",
    }
    fitting = {
        "max_clients": 1,
        "dump_guest_core": False,
        "user": "q",
        "cgroup_device_acl": ["a"],
        "max_core": "unlimited",
    }
    assert problems(fitting, known) == []
    assert problems(dict.fromkeys(known), known) == []
    wrong = {
        "max_client": 1,
        "max_clients": "1",
        "user": 770,
        "cgroup_device_acl": "a",
        "max_core": True,
        "dump_guest_core": 2,
    }
    assert problems(wrong, known) == [
        "max_client is no option of this libvirt (did you mean max_clients, max_core?)",
        "max_clients wants a number",
        "user wants a string",
        "cgroup_device_acl wants a list of strings",
        'max_core wants a number or "unlimited"',
        "dump_guest_core wants true or false",
    ]
    assert problems({"anything": {"a": 1}, "text": "two\nlines"}, {}) == [
        "anything wants a number, a string or a list of strings",
        "text: libvirt's files can hold neither line breaks nor both kinds of quotes in a string",
    ]


def test_options_of_all_daemons_yield_to_those_of_one() -> None:
    files = {"daemon": {"log_level": 2, "max_clients": 9}, "virtqemud": {"log_level": 1}, "qemu": {"user": "q"}}
    assert by_file(files, ["virtqemud", "virtnetworkd"]) == {
        "qemu": {"user": "q"},
        "virtqemud": {"log_level": 1, "max_clients": 9},
        "virtnetworkd": {"log_level": 2, "max_clients": 9},
    }


def test_diff_shows_what_was_named_and_no_password() -> None:
    text = 'a = 1\nvnc_password = "geheim"\nuser = "q"\n'
    assert told(text, {"vnc_password": "neu", "user": "r"}) == 'vnc_password = ********\nuser = "q"\n'


def test_options_go_back_to_what_they_were_before_the_first_change() -> None:
    stock = 'a = 1\nb = "theirs"\n# c = 3\n'
    options, ours = settled(stock, {"a": 2, "b": "theirs", "c": 4}, {})
    assert ours == {"a": Former(1, 2), "c": Former(None, 4)}
    first = edited(stock, options)
    options, ours = settled(first, {"a": 5, "c": 4}, ours)
    assert ours == {"a": Former(1, 5), "c": Former(None, 4)}
    second = edited(first, options)
    options, ours = settled(second, {}, ours)
    assert (options, ours) == ({"a": 1, "c": None}, {})
    assert edited(second, options) == stock


def test_what_somebody_else_changed_since_stays() -> None:
    assert settled("a = 9\n", {}, {"a": Former(1, 2)}) == ({}, {})
    assert settled("", {}, {"a": Former(None, 2)}) == ({}, {})
    assert settled("a = 9\n", {"a": 3}, {"a": Former(1, 2)}) == ({"a": 3}, {"a": Former(1, 3)})


def test_option_that_was_taken_out_comes_back() -> None:
    _options, ours = settled("a = 1\n", {"a": None}, {})
    assert ours == {"a": Former(1, None)}
    assert settled("", {}, ours) == ({"a": 1}, {})


def test_record_that_is_not_whole_holds_nothing() -> None:
    assert remembered('{"qemu": {"user": ["root", "q"]}}') == {"qemu": {"user": Former("root", "q")}}
    assert remembered(None) == remembered('{"qemu": {"user": ') == remembered('{"qemu": {"user": [1]}}') == {}
