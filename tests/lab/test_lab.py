"""The lab itself: what it leaves behind, above all when it is killed. Needs root and two minutes."""

from __future__ import annotations

import json
import os
import random
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

LAB = Path(__file__).with_name("lab")
CHECKOUT = LAB.parents[2]
IP_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")

UP = ["up", "--hosts", "2", "--releases", "bookworm,trixie"]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the lab needs root")


def lab(state: Path, *words: str) -> str:
    """What a lab command printed; it has to succeed."""
    done = subprocess.run([LAB, "--state", state, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def traces(state: Path) -> dict[str, list[str]]:
    """All that a lab may leave on the machine, by kind."""
    bridges = [record.stem for record in Path("/run/kvmfleet-lab").glob("*.json") if str(state) in record.read_text()]
    cgroups = [str(path) for bridge in bridges for path in Path("/sys/fs/cgroup").glob(f"**/kvmfleet-lab/{bridge}")]
    processes = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if str(state) in words and str(os.getpid()) != path.parts[2]:
            processes.append(words)
    mounts = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(state) in line]
    return {"claims": bridges, "cgroups": cgroups, "processes": processes, "mounts": mounts}


def network() -> dict[str, object]:
    """The interfaces, rules and forwarding of the machine."""
    links = json.loads(subprocess.check_output(["ip", "-json", "link"]))
    rules = subprocess.check_output(["iptables-save"], text=True).splitlines()
    return {
        "links": sorted(link["ifname"] for link in links),
        "rules": [line for line in rules if line.startswith("-A")],
        "ip_forward": IP_FORWARD.read_text(),
        "inotify": INOTIFY.read_text(),
    }


@pytest.fixture(scope="module")
def state() -> Iterator[Path]:
    """A lab of its own, with the checkout's cache of base trees; it has to leave nothing at the end."""
    (CHECKOUT / ".lab" / "cache").mkdir(parents=True, exist_ok=True)
    directory = CHECKOUT / ".lab" / "selftest"
    directory.mkdir()
    (directory / "cache").symlink_to(CHECKOUT / ".lab" / "cache")
    before = network()
    try:
        yield directory
        lab(directory, "down", "--purge")
        assert network() == before
        assert not any(traces(directory).values())
    finally:
        subprocess.run([LAB, "--state", directory, "down", "--purge"], check=False)


def test_up_is_idempotent_and_fast(state: Path) -> None:
    """Up twice leaves the hosts as they are, also one on which something failed meanwhile."""
    lab(state, *UP)
    ids = [lab(state, "ssh", name, "cat", "/etc/machine-id") for name in ("host1", "host2")]
    assert len(set(ids)) == 2
    lab(state, "ssh", "host1", "systemd-run --quiet --wait --unit=trace false || true")
    assert "trace.service" in lab(state, "ssh", "host1", "systemctl list-units --failed --plain --no-legend")
    started = time.monotonic()
    lab(state, *UP)
    assert time.monotonic() - started < 6
    assert [lab(state, "ssh", name, "cat", "/etc/machine-id") for name in ("host1", "host2")] == ids


def test_hosts_reach_each_other_by_name(state: Path) -> None:
    """Live migration needs ssh from host to host."""
    assert lab(state, "ssh", "host1", "ssh", "-o", "BatchMode=yes", "host2", "hostname") == "host2\n"


def test_reset_keeps_the_identity_and_nothing_else(state: Path) -> None:
    """A reset host has its id and key, and a pristine tree."""
    before = lab(state, "ssh", "host1", "cat", "/etc/machine-id")
    lab(state, "ssh", "host1", "touch", "/root/trace")
    lab(state, "reset", "host1")
    assert lab(state, "ssh", "host1", "cat", "/etc/machine-id") == before
    assert lab(state, "ssh", "host1", "ls", "/root") == ""


def test_a_host_reboots_with_its_tree(state: Path) -> None:
    """A reboot keeps the tree, as on any server."""
    lab(state, "ssh", "host2", "touch", "/root/trace")
    boot = lab(state, "ssh", "host2", "uptime", "--since")
    subprocess.run([LAB, "--state", state, "ssh", "host2", "systemctl reboot"], check=False)
    deadline = time.monotonic() + 30
    while True:
        time.sleep(0.2)
        done = subprocess.run(
            [LAB, "--state", state, "ssh", "host2", "cat /proc/1/stat; ls /root"],
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode == 0 and "trace" in done.stdout and lab(state, "ssh", "host2", "uptime", "--since") >= boot:
            break
        assert time.monotonic() < deadline, done.stderr


def test_one_host_goes_down_alone(state: Path) -> None:
    """One host may go without the others."""
    lab(state, "up", "--prefix", "extra", "--hosts", "1")
    lab(state, "down", "extra1")
    assert "extra1" not in lab(state, "status")
    assert lab(state, "ssh", "host1", "hostname") == "host1\n"


@pytest.mark.parametrize("words", [UP, ["down"], ["reset", "host1"]], ids=" ".join)
def test_killed_at_any_moment(state: Path, words: list[str]) -> None:
    """Whatever was killed, the next command puts it right."""
    chance = random.Random(77)  # noqa: S311 (moments, not secrets)
    for _round in range(8):
        lab(state, *(["down"] if words == UP else UP))
        started = subprocess.Popen([LAB, "--state", state, *words], stdout=subprocess.DEVNULL)
        time.sleep(chance.uniform(0.05, 0.4 if words[0] == "down" else 2.0))
        started.kill()
        started.wait()
        if chance.random() < 0.5:
            lab(state, "down")
            assert not any(traces(state).values())
        lab(state, *UP)


def test_two_at_the_same_time(state: Path) -> None:
    """The second of two commands waits for the first."""
    lab(state, "down")
    both = [subprocess.Popen([LAB, "--state", state, *UP], stdout=subprocess.DEVNULL) for _number in range(2)]
    assert [process.wait() for process in both] == [0, 0]
