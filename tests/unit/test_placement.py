# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests on hosts: whatever is asked for, the rules hold, and hosts that come and go move little."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ansible_collections.kvmfleet.libvirt.plugins.plugin_utils.placement import UNLIMITED, NoRoom, Size, placed

NAMES = st.text("abc123", min_size=1, max_size=4)
GUESTS = st.dictionaries(NAMES, st.builds(Size, st.integers(1, 64), st.integers(1, 8)), max_size=20)
HOSTS = st.dictionaries(NAMES, st.builds(Size, st.integers(16, 512), st.integers(4, 64)), min_size=1, max_size=6)
FREE = st.lists(NAMES, min_size=1, max_size=8, unique=True).map(lambda names: dict.fromkeys(names, UNLIMITED))


@given(GUESTS, HOSTS, st.lists(st.lists(NAMES, max_size=4), max_size=3), st.randoms(use_true_random=False))
def test_the_rules_hold(
    guests: dict[str, Size], hosts: dict[str, Size], apart: list[list[str]], chance: random.Random
) -> None:
    try:
        found = placed(guests, hosts, apart)
    except NoRoom:
        assume(condition=False)
    assert set(found) == set(guests)
    for host, room in hosts.items():
        here = [name for name in guests if found[name] == host]
        assert sum(guests[name].memory for name in here) <= room.memory
        assert sum(guests[name].vcpus for name in here) <= room.vcpus
        for group in apart:
            assert len([name for name in here if name in group]) <= 1
    shuffled = [dict(chance.sample(list(items.items()), len(items))) for items in (guests, hosts)]
    assert placed(shuffled[0], shuffled[1], apart) == found
    assert placed(guests, hosts, apart, found) == found


@given(GUESTS, FREE, NAMES)
def test_a_host_that_comes_draws_guests_to_itself_only(
    guests: dict[str, Size], hosts: dict[str, Size], new: str
) -> None:
    before, after = placed(guests, hosts), placed(guests, {**hosts, new: UNLIMITED})
    assert {after[name] for name in guests if before[name] != after[name]} <= {new}


def test_a_host_that_comes_draws_its_share() -> None:
    guests = {f"guest{number}": Size(1, 1) for number in range(1000)}
    hosts = {f"host{number}": UNLIMITED for number in range(9)}
    before, after = placed(guests, hosts), placed(guests, {**hosts, "host9": UNLIMITED})
    moved = sum(before[name] != after[name] for name in guests)
    assert 60 <= moved <= 140
    shares = [list(before.values()).count(host) for host in hosts]
    assert min(shares) > 70
    assert max(shares) < 155


@pytest.mark.parametrize(("fill", "most"), [(0.6, 30), (0.8, 40), (0.9, 50)])
def test_where_room_is_scarce_few_guests_move_as_well(fill: float, most: int) -> None:
    """Of 200 guests on ten hosts; the share of an eleventh is 18."""
    chance = random.Random(1)
    guests = {f"guest{number}": Size(chance.choice([2, 4, 8, 16]), 1) for number in range(200)}
    room = Size(sum(size.memory for size in guests.values()) / fill / 10, 1e9)
    hosts = {f"host{number}": room for number in range(10)}
    before, after = placed(guests, hosts), placed(guests, {**hosts, "host10": room})
    assert 0 < sum(before[name] != after[name] for name in guests) <= most


def test_a_host_with_more_memory_gets_more() -> None:
    guests = {f"guest{number}": Size(0, 1) for number in range(1000)}
    found = placed(guests, {"small": Size(10 << 30, 1e9), "large": Size(30 << 30, 1e9)})
    assert 700 < list(found.values()).count("large") < 800


def test_current_places_are_kept_while_they_are_allowed() -> None:
    guests = {f"db{number}": Size(1, 1) for number in range(3)}
    hosts = {"a": UNLIMITED, "b": UNLIMITED, "c": UNLIMITED}
    now = {"db0": "a", "db1": "a", "db2": "gone"}
    assert {name: placed(guests, hosts, [], now)[name] for name in ("db0", "db1")} == {"db0": "a", "db1": "a"}
    apart = placed(guests, hosts, [["db*"]], now)
    assert apart["db0"] == "a"
    assert sorted(apart.values()) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("guests", "hosts", "apart", "reason"),
    [
        ({"a": Size(2, 1)}, {"h": Size(1, 9)}, [], "h has not enough memory left"),
        ({"a": Size(1, 3)}, {"h": Size(9, 2)}, [], "h has not enough vcpus left"),
        ({"a": Size(1, 1), "b": Size(1, 1)}, {"h": UNLIMITED}, [["*"]], "h has another guest of the same group"),
        ({"a": Size(1, 1)}, {}, [], "there is none"),
    ],
)
def test_what_fits_nowhere_is_named_with_the_reason(guests: Any, hosts: Any, apart: Any, reason: str) -> None:
    with pytest.raises(NoRoom, match=reason):
        placed(guests, hosts, apart)
