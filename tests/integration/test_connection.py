# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks in guests through their agents. The tiny guest has a shell and no Python: raw and script work there."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from fleet import ROOT, Host, Task, environment, until
from inside import inventory, play, reach

READY: dict[str, Any] = {"agent": True, "timeout": 120}

# Moves a file into a guest and back, as copy and fetch do where there is Python.
MOVE = """
import hashlib, os, sys
from ansible.plugins.loader import connection_loader, init_plugin_loader
from ansible.playbook.play_context import PlayContext
init_plugin_loader([])
uri, guest, sockets, folder = sys.argv[1:]
connection = connection_loader.get("kvmfleet.libvirt.guest_agent", PlayContext(), "/dev/null")
connection.set_options(direct={"uri": uri, "guest": guest, "sockets": sockets})
for size in (0, 1, 98304, 98305, 5 << 20):
    data = os.urandom(size)
    open(f"{folder}/there", "wb").write(data)
    connection.put_file(f"{folder}/there", "/tmp/it is here")
    connection.fetch_file("/tmp/it is here", f"{folder}/back")
    assert open(f"{folder}/back", "rb").read() == data, size
data = os.urandom(300000)
assert connection.exec_command("cat; echo e >&2; exit 7", in_data=data) == (7, data, b"e\\n")
for call in (connection.put_file, connection.fetch_file):
    try:
        call(*(f"{folder}/there", "/no/such") if call == connection.put_file else ("/no/such", f"{folder}/back"))
    except Exception as error:
        print(type(error).__name__, error)
print(connection.exec_command("ls -A /tmp | grep -c kvmfleet")[1].decode())
connection.close()
"""

# A user, and a root with a password, for which busybox asks. Without single quotes, in which it travels.
USERS = """
echo "root:HASH:0:0:root:/root:/bin/sh" >/etc/passwd
echo "it:x:1000:1000:it:/tmp:/bin/sh" >>/etc/passwd
echo root:x:0: >/etc/group; echo it:x:1000: >>/etc/group
chmod u+s /bin/busybox; chmod 1777 /tmp; mkdir -p /root
"""


@pytest.mark.both
def test_commands_and_files_of_any_size(
    host: Host, name: str, tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.run("domain", name=name, **tiny, state="running", wait_for=READY)
    uri = reach(host, monkeypatch, tmp_path)
    script = tmp_path / "script.sh"
    script.write_text('#!/bin/sh\necho "$1 $(id -u) $WORDS"\n')
    (status, first), (_status, large), (_third, ran) = play(
        host,
        # It has no table of users, which says where root's home is.
        inventory(tmp_path, uri, {name: {"ansible_remote_tmp": "/tmp"}}),
        name,
        {"ansible.builtin.raw": "echo out; echo err >&2; pwd; exit 3"},
        {"ansible.builtin.raw": "head -c 9000000 /dev/zero | tr '\\0' x; echo err >&2"},
        {"ansible.builtin.script": f"{script} given", "environment": {"WORDS": "of the task"}},
    )
    assert status == "failed"
    assert (first["rc"], first["stdout_lines"], first["stderr_lines"]) == (3, ["out", "/root"], ["err"])
    assert (large["stdout"] == "x" * 9_000_000, large["stderr_lines"]) == (True, ["err"])
    assert ran["stdout_lines"] == ["given 0 of the task"]
    done = subprocess.run(
        [sys.executable, "-c", MOVE, uri, name, host.scratch, tmp_path],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    refused, missing, left = done.stdout.splitlines()[:3]
    assert refused.startswith("AnsibleError ")
    assert "/no/such cannot be written" in refused
    assert missing.startswith("AnsibleError ")
    assert "/no/such cannot be read" in missing
    # The one that is there belongs to the command that counts.
    assert left == "1"


def test_a_user_becomes_root_with_a_password(
    host: Host, name: str, tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The right password is given when it is asked for, and a wrong one or none is told as such; it is never shown."""
    host.run("domain", name=name, **tiny, state="running", wait_for=READY)
    hashed = host.sh("openssl passwd -6 s3cret-right").strip()
    host.inside(name, USERS.replace("HASH", hashed.replace("$", "\\$")))
    hosts = inventory(tmp_path, reach(host, monkeypatch, tmp_path), {name: {"ansible_remote_tmp": "/tmp"}})
    ask = {"ansible.builtin.raw": "id -un"}
    become = {"become": True, "become_method": "ansible.builtin.su"}
    answers = play(
        host,
        hosts,
        name,
        ask,
        {**ask, **become, "vars": {"ansible_become_password": "s3cret-right"}},
        {**ask, **become, "vars": {"ansible_become_password": "s3cret-wrong"}},
        vars={"ansible_user": "it"},
    )
    (_ok, plain), (status, root), (refused, wrong) = answers
    assert plain["stdout_lines"] == ["it"]
    assert (status, root["stdout_lines"]) == ("ok", ["root"])
    assert refused == "failed"
    assert "s3cret" not in str(answers)
    assert "ncorrect" in str(wrong)


def test_a_guest_that_cannot_be_reached_says_why(
    host: Host, name: str, tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = {"memory": "64 MiB", "virt_type": "qemu"}
    mute = f"<domain type='qemu'><name>{name}m</name><memory unit='MiB'>64</memory><os><type>hvm</type></os></domain>"
    host.play(
        Task("domain", {"name": f"{name}a", **tiny, "state": "running", "wait_for": READY}),
        Task("domain", {"name": f"{name}d", **silent, "state": "running"}),
        Task("domain", {"name": f"{name}m", "xml": mute, "state": "running"}),
        Task("domain", {"name": f"{name}o", **silent, "state": "stopped"}),
        Task("domain", {"name": f"{name}p", **silent, "state": "paused"}),
    )
    uri = reach(host, monkeypatch, tmp_path)
    guests = {f"{name}{letter}": {} for letter in "admopx"}
    guests[f"{name}h"] = {"ansible_guest_agent_uri": "qemu+tcp://127.0.0.1:1/system"}
    hosts = inventory(tmp_path, uri, guests)
    # The agent of the first guest is started anew, and may run nothing from then on.
    block = "sed -i 's/--statedir/--blacklist=guest-exec --statedir/' /sbin/agent;"
    block += " setsid sh -c 'sleep 1; killall qemu-ga' >/dev/null 2>&1 &"
    ((status, told),) = play(host, hosts, f"{name}a", {"ansible.builtin.raw": block})
    assert (status, told["rc"]) == ("ok", 0)

    def said() -> dict[str, str]:
        answers = play(host, hosts, "all", {"ansible.builtin.raw": "true"}, ignore_unreachable=True)
        assert {status for status, _result in answers} <= {"unreachable", "ok"}, answers
        texts = [result["msg"] for _status, result in answers if "guest " in result.get("msg", "")]
        return {text.partition("guest ")[2].split()[0]: text for text in texts}

    forbids = "does not allow guest-exec"
    found = until(
        lambda: forbids in (told := said()).get(f"{name}a", "") and told, "the first agent forbids to run", 90
    )
    for letter, part in {
        "a": forbids,
        "d": "agent is not connected",
        "m": "has no channel org.qemu.guest_agent.0",
        "o": "is stopped, not running",
        "p": "is paused, not running",
        "x": "Domain not found",
        "h": "unable to connect to server",
    }.items():
        assert part in found[f"{name}{letter}"], found[f"{name}{letter}"]


def test_an_agent_that_hangs_and_a_guest_that_reboots_under_a_command(
    host: Host, name: str, net: str, tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks is told in time, and libvirt's daemon is left with all of its workers. At last, it hangs itself."""
    plugged_off = {"interfaces": [{"network": net, "link": "down"}]}
    host.run("domain", name=name, **tiny, **plugged_off, state="running", wait_for=READY)
    uri = reach(host, monkeypatch, tmp_path)
    hosts = inventory(tmp_path, uri, {name: {"ansible_guest_agent_timeout": 4}})
    began = time.monotonic()
    hang = {"ansible.builtin.raw": "(sleep 1; killall -STOP qemu-ga) & sleep 50"}
    ((status, told),) = play(host, hosts, name, hang)
    assert (status, "its agent does not answer" in told["msg"]) == ("unreachable", True), told
    found = tmp_path / "guests.yml"
    found.write_text(yaml.safe_dump({"plugin": "kvmfleet.libvirt.guests", "uris": [uri], "names": [name]}))
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-inventory"), "-i", found, "--host", name, "-vv"],
        env={**environment(tmp_path / "record"), "ANSIBLE_VERBOSE_TO_STDERR": "true"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["kvmfleet"]["addresses"] == []
    assert f"{uri}: no address by agent of {name}: " in done.stderr
    (late,) = host.play(Task("domain", {"name": name, "state": "running", "wait_for": {"address": True, "timeout": 8}}))
    assert f"guest {name} has no address after 8 s" in late.msg
    assert "its agent does not answer" in late.msg
    assert time.monotonic() - began < 120
    workers = dict(line.split(":") for line in host.sh("virt-admin srv-threadpool-info libvirtd").split("\n") if line)
    counts = {key.strip(): int(value) for key, value in workers.items()}
    assert counts["freeWorkers"] == counts["nWorkers"]
    host.virsh(f"reset {name}")
    host.run("domain", name=name, state="running", wait_for=READY)
    *_before, (status, told) = play(host, hosts, name, {"ansible.builtin.raw": "(sleep 1; reboot -f) & sleep 50"})
    assert status == "unreachable", told
    assert "its agent is not connected" in told["msg"] or "its agent was restarted" in told["msg"], told
    host.sh("kill -STOP $(pidof libvirtd)")
    try:
        *_before, (status, told) = play(host, hosts, name, {"ansible.builtin.raw": "true"})
    finally:
        host.sh("kill -CONT $(pidof libvirtd)")
    assert (status, "libvirt did not answer within 4 s" in told["msg"]) == ("unreachable", True), told
