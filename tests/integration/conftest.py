# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts of the lab, made ready once, and each test alone on its host: what it made is gone afterwards.

$KVMFLEET_TEST_HOSTS names two hosts of the lab's inventory, the first one for most tests: host1,host2 when unset.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent))

pytest.register_assert_rewrite("fleet")

from fleet import AREA, NAMES, ROOT, Host, make_ready, scheduling_by_host  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

LAB = ROOT / ".lab"
# Removes all that a test can have made. A pool goes with its directory only below the tests' own area.
SWEEP = """
for name in $(virsh -q list --all --name | grep ^it); do
    virsh -q destroy $name; virsh -q managedsave-remove $name
    for snapshot in $(virsh -q snapshot-list --name $name); do
        virsh -q snapshot-delete --metadata $name $snapshot
    done
    virsh -q undefine --nvram --checkpoints-metadata $name
done
for name in $(virsh -q net-list --all --name | grep ^it); do
    virsh -q net-destroy $name; virsh -q net-undefine $name
done
for name in $(virsh -q pool-list --all --name | grep ^it); do
    virsh -q pool-destroy $name; virsh -q pool-undefine $name
done
for round in 1 2; do
    for name in $(virsh -q nwfilter-list | awk '$2 ~ /^it/ {print $2}'); do virsh -q nwfilter-undefine $name; done
done
for secret in $(virsh -q secret-list | awk '{print $1}'); do virsh -q secret-undefine $secret; done
rm -rf AREA/it*
""".replace("AREA", AREA)


def pytest_configure(config: pytest.Config) -> None:
    """Marks of these tests."""
    config.addinivalue_line("markers", "both: run on both hosts, not only on the first one")
    config.addinivalue_line("markers", "newer: run on the second host, whose libvirt is the newer one")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every test that takes a host runs on the first, those marked `both` on the second too, `newer` there alone."""
    if "host" in metafunc.fixturenames:
        marked = [name for name in ("both", "newer") if metafunc.definition.get_closest_marker(name) is not None]
        names = {"both": NAMES, "newer": NAMES[-1:]}[marked[0]] if marked else NAMES[:1]
        metafunc.parametrize("host", names, indirect=True, scope="session")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With xdist, each host has a worker of its own: two tests at once would find each other's objects."""
    return scheduling_by_host(config, log)


class Lab(NamedTuple):
    """Hosts by name."""

    hosts: dict[str, Host]


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """The hosts of the inventory that the tests use."""
    inventory = LAB / "inventory.yml"
    if not inventory.exists():
        pytest.exit("there is no lab: tests/lab/lab up --hosts 2 --releases bookworm,trixie", returncode=1)
    known = yaml.safe_load(inventory.read_text(encoding="utf-8"))["kvm_hosts"]["hosts"]
    # ssh's control sockets have a limit of 108 characters.
    scratch = Path(subprocess.check_output(["mktemp", "-d", "/tmp/kvmfleet-XXXXXX"], text=True).strip())
    hosts = {name: Host(name, known[name]["lab_release"], inventory, scratch) for name in NAMES}
    return Lab(hosts)


@pytest.fixture(scope="session")
def host(lab: Lab, request: pytest.FixtureRequest) -> Host:
    """The host of this test, with what the modules need installed."""
    found = lab.hosts[request.param]
    make_ready(found)
    found.sh(SWEEP, check=False)
    return found


@pytest.fixture(scope="session")
def settled(lab: Lab) -> dict[str, Any]:
    """What was on each host before the first test ran on it."""
    return {}


@pytest.fixture(autouse=True)
def alone(request: pytest.FixtureRequest, settled: dict[str, Any]) -> Iterator[None]:
    """After each test, nothing of it is left, and what was there before is as it was."""
    if "host" not in request.fixturenames:
        yield
        return
    host: Host = request.getfixturevalue("host")
    before = settled.setdefault(host.name, host.see().all)
    yield
    host.sh(SWEEP, check=False)
    after = host.see().all
    assert after == before, "a test left something on its host, or changed what was there"


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name of the test's own, to be used as it is and as a prefix. Short: a bridge's name has 15 characters."""
    return f"it{request.session.items.index(request.node):03d}"


@pytest.fixture
def subnet(request: pytest.FixtureRequest) -> str:
    """The first three numbers of a subnet of the test's own."""
    number = request.session.items.index(request.node)
    return f"10.{90 + number // 250}.{number % 250}"


@pytest.fixture
def pool(host: Host, name: str) -> str:
    """A pool, made by virsh, whose directory is AREA/NAME."""
    host.sh(f"mkdir -p {AREA} && virsh -q pool-create-as {name}p dir --target {AREA}/{name} --build")
    host.sh(
        f"virsh -q pool-dumpxml {name}p > /tmp/{name}.xml && virsh -q pool-define /tmp/{name}.xml && rm /tmp/{name}.xml"
    )
    return f"{name}p"


@pytest.fixture
def net(host: Host, name: str, subnet: str) -> str:
    """An isolated network, made by virsh, with the address SUBNET.1 and a DHCP range from SUBNET.100 on."""
    text = f"<network><name>{name}n</name><bridge name='{name}br' delay='0'/><dns enable='no'/>"
    text += f"<ip address='{subnet}.1' prefix='24'>"
    text += f"<dhcp><range start='{subnet}.100' end='{subnet}.200'/></dhcp></ip></network>"
    host.put(f"{AREA}/{name}.xml", text.encode())
    host.sh(f"virsh -q net-define {AREA}/{name}.xml && virsh -q net-start {name}n")
    return f"{name}n"


@pytest.fixture(scope="session")
def tiny(host: Host, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a guest has to declare to boot the tiny Linux."""
    folder = tmp_path_factory.mktemp(f"tiny-{host.release}")
    script = ROOT / "tests" / "lab" / "guest.py"
    subprocess.run([sys.executable, script, "--out", folder, "--release", host.release], check=True, stdout=2)
    for file in ("vmlinuz", "initrd.img"):
        host.put(f"{AREA}/tiny/{file}", (folder / file).read_bytes())
    return {
        "memory": "256 MiB",
        "vcpus": 1,
        "virt_type": "qemu",
        "cpu": {"mode": "maximum"},
        "kernel": f"{AREA}/tiny/vmlinuz",
        "initrd": f"{AREA}/tiny/initrd.img",
        "cmdline": (folder / "cmdline").read_text(encoding="utf-8").strip(),
    }
