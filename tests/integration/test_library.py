# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How modules come to their host: from the library that is kept there, else as any other module."""

from __future__ import annotations

import contextlib
import os
import re
from typing import Any

import pytest
from fleet import Host, Task

CACHE = "/root/.cache/kvmfleet.libvirt"
NOTHING = {kind: [] for kind in ("secrets", "nwfilters", "pools", "networks", "volumes", "domains")}
ASK = Task("stack_info", NOTHING)


def kept(host: Host, folder: str = CACHE) -> list[str]:
    """The files in the library's folder."""
    return host.sh(f"ls -A {folder} 2>/dev/null || true").split()


@pytest.fixture
def bare(host: Host) -> Host:
    """The host without any library."""
    host.sh(f"rm -rf {CACHE}")
    return host


@pytest.mark.both
def test_it_is_sent_once_and_kept(bare: Host) -> None:
    first, second = bare.play(ASK, ASK)
    assert first.data["stack"] == second.data["stack"] == NOTHING
    (archive,) = kept(bare)
    assert re.fullmatch(r"[0-9a-f]{64}-cpython-3\d+\.zip", archive)
    assert bare.sh(f"stat -c %a:%U {CACHE} {CACHE}/*").split() == ["700:root", "600:root"]
    stamp = bare.sh(f"stat -c %i:%y {CACHE}/*")
    bare.play(ASK)
    assert bare.sh(f"stat -c %i:%y {CACHE}/*") == stamp


def test_options_are_those_of_the_module(bare: Host, name: str) -> None:
    for _sent in range(2):
        wrong, lacking = bare.play(Task("pool", {"name": name, "autstart": True}), Task("network", {"state": "absent"}))
        assert "there is no option autstart (did you mean autostart" in wrong.msg
        assert "ansible-doc kvmfleet.libvirt.pool" in wrong.msg
        assert lacking.msg == "missing required arguments: name"


def test_module_defaults_of_the_group_reach_it(bare: Host) -> None:
    defaults = {"group/kvmfleet.libvirt.libvirt": {"uri": "test:///default"}}
    (told,) = bare.play(Task("stack_info", {**NOTHING, "domains": ["*"]}), module_defaults=defaults)
    assert [guest["name"] for guest in told.data["stack"]["domains"]] == ["test"]


def test_a_damaged_one_is_replaced(bare: Host) -> None:
    bare.play(ASK)
    (archive,) = kept(bare)
    whole = bare.sh(f"sha256sum < {CACHE}/{archive}")
    bare.sh(f"truncate -s -5000 {CACHE}/{archive}")
    (told,) = bare.play(ASK)
    assert told.data["stack"] == NOTHING
    assert bare.sh(f"sha256sum < {CACHE}/{archive}") == whole


def test_one_that_others_could_have_written_is_not_used(bare: Host) -> None:
    bare.play(ASK)
    bare.sh(f"chmod 777 {CACHE}")
    (told,) = bare.play(ASK)
    assert told.data["stack"] == NOTHING
    assert "library of kvmfleet.libvirt not kept" in bare.output
    assert "is not this account's alone" in bare.output


def test_a_full_disk_is_no_reason_to_fail(bare: Host) -> None:
    bare.sh(f"mkdir -p -m 700 {CACHE} && mount -t tmpfs -o size=16k,mode=700 none {CACHE}")
    try:
        (told,) = bare.play(ASK)
        assert told.data["stack"] == NOTHING
        assert "No space left on device" in bare.output
        assert kept(bare) == []
    finally:
        bare.sh(f"umount {CACHE}")


@pytest.mark.parametrize("way", ["variable", "async"])
def test_without_it_nothing_stays_on_the_host(bare: Host, way: str) -> None:
    keywords = {"variable": {"vars": {"kvmfleet_libvirt_keep": False}}, "async": {}}[way]
    (told,) = bare.play(ASK._replace(seconds=60 if way == "async" else 0), **keywords)
    assert told.data["stack"] == NOTHING
    assert kept(bare) == []


def test_another_account_has_its_own(bare: Host) -> None:
    bare.sh("id keeper 2>/dev/null || useradd -m keeper")
    uri = {"uri": "test:///default"}
    (told,) = bare.play(Task("stack_info", {**NOTHING, **uri}), become=True, become_user="keeper")
    assert told.data["stack"] == NOTHING
    assert kept(bare) == []
    assert len(kept(bare, "/home/keeper/.cache/kvmfleet.libvirt")) == 1
    bare.sh("userdel -r keeper 2>/dev/null || true")


def test_an_account_without_a_home_is_served_as_by_any_module(bare: Host) -> None:
    uri = {"uri": "test:///default"}
    (told,) = bare.play(Task("stack_info", {**NOTHING, **uri}), become=True, become_user="nobody")
    assert told.data["stack"] == NOTHING
    assert "this account may not write there" in bare.output
    assert "keep_library" not in bare.output


def test_secrets_in_options_stay_hidden(bare: Host, name: str) -> None:
    secret = {"type": "ceph", "name": name, "value": "V4lue-hidden"}
    for check in (True, False):
        bare.play(Task("secret", secret, check))
        assert "V4lue-hidden" not in bare.output
    assert "V4lue-hidden" not in bare.sh("journalctl --no-pager -q -o cat -n 300")


def _on_terminal(host: Host, task: Task, **keywords: Any) -> str:
    """What a play prints when its output is a terminal."""
    ours, theirs = os.openpty()
    process = host.begin(task, output=theirs, **keywords)
    os.close(theirs)
    printed = b""
    with contextlib.suppress(OSError):
        while part := os.read(ours, 1 << 16):
            printed += part
    os.close(ours)
    assert process.wait() == 0, printed.decode()[-4000:]
    return printed.decode()


def test_a_long_run_says_what_it_is_at_to_a_terminal_alone(bare: Host, name: str) -> None:
    # Diskless guests that nobody answers the power button in: each takes the whole of its deadline to go.
    guests = [{"name": f"{name}{number}", "memory": "64 MiB", "state": "running"} for number in range(2)]
    bare.run("stack", domains=guests)
    going = [{"name": guest["name"], "state": "absent", "timeout": 4, "force": True} for guest in guests]
    task = Task("stack", {"domains": going, "parallel": 1})
    said = re.findall(rf"{bare.name}: (\d of 2 done); at work on domain {name}(\d)", _on_terminal(bare, task))
    assert said[:1] == [("0 of 2 done", "0")]
    assert ("1 of 2 done", "1") in said
    assert not [file for file in kept(bare) if file.startswith("progress-")]
    bare.run("stack", domains=guests)
    bare.play(task)
    assert "of 2 done" not in bare.output
    bare.run("stack", domains=guests)
    assert "of 2 done" not in _on_terminal(bare, task, vars={"kvmfleet_libvirt_progress": False})
