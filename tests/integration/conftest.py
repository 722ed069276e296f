# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts of the lab, made ready once, and each test alone on its host: what it made is gone afterwards.

$KVMFLEET_TEST_HOSTS names two hosts of the lab's inventory, the first one for most tests: host1,host2 when unset.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

sys.path.insert(0, str(Path(__file__).parent))

pytest.register_assert_rewrite("fleet")

from fleet import AREA, NAMES, SWEEP, Host, lab_hosts, make_ready, scheduling_by_host, tiny_guest  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator


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
def lab() -> Lab:
    """The hosts of the inventory that the tests use."""
    return Lab(lab_hosts())


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
def tiny(host: Host) -> dict[str, Any]:
    """What a guest has to declare to boot the tiny Linux."""
    return tiny_guest(host)
