# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many hypervisors asked at once, each by a process of its own that is ended when its time is up.

A process, not a thread: a call to libvirt that hangs can be ended, ssh with it, and nothing of libvirt stays in the
process that Ansible forks its workers from.
"""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import signal
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple

from ansible_collections.kvmfleet.libvirt.plugins.module_utils.agent import Refused, Unreachable
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.host.agent import GuestAgent
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.plan.current import STATES

from .asking import Ask, told_by_each
from .found import Guest, Lease, Wanted, addresses, guest_of, is_wanted, leased
from .hypervisor import libvirt


class Question(NamedTuple):
    """What to ask a hypervisor. sources: where addresses come from, in this order: lease, agent, arp. address_timeout:
    seconds for those that are asked guest by guest. timeout: seconds for all.
    """

    uri: str
    wanted: Wanted
    sources: tuple[str, ...]
    address_timeout: float
    timeout: float


class Answer(NamedTuple):
    """What a hypervisor told. host: its own name. guests: all of them; addresses only of those that are wanted.
    error: why there is no answer, None when there is one. notes: why guests have no addresses, for who asks.
    """

    host: str
    guests: list[Guest]
    error: str | None
    notes: tuple[str, ...] = ()


def survey(questions: list[Question], at_once: int) -> list[Answer]:
    """The answers, in the order of the questions."""
    answers: dict[int, Answer] = {}
    waiting = list(enumerate(questions))[::-1]
    asked: dict[Connection, tuple[int, Any, float]] = {}
    while waiting or asked:
        while waiting and len(asked) < at_once:
            number, question = waiting.pop()
            end, process = _asked(question)
            asked[end] = (number, process, time.monotonic() + question.timeout)
        for end in wait(list(asked), max(0.0, min(item[2] for item in asked.values()) - time.monotonic())):
            number, process, _late = asked.pop(end)  # type: ignore[arg-type]
            answers[number] = _received(end)  # type: ignore[arg-type]
            _finish(process)
        for end in [end for end, item in asked.items() if item[2] <= time.monotonic()]:
            number, process, _late = asked.pop(end)
            answers[number] = Answer("", [], f"no answer within {questions[number].timeout:g} s")
            _finish(process)
    return [answers[number] for number in range(len(questions))]


def _asked(question: Question) -> tuple[Connection, Any]:
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(question, theirs), daemon=True)
    process.start()
    theirs.close()
    return ours, process


def _received(end: Connection) -> Answer:
    try:
        return Answer(*end.recv())
    except EOFError:
        return Answer("", [], "the process that asked it died")


def _finish(process: Any) -> None:
    """End a process and what it started, and take note of its end."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join()
    process.close()


def _answer(question: Question, end: Connection) -> None:
    """Ask and send the answer. Runs in the process of its own; nothing it or libvirt prints is seen."""
    os.setsid()
    silent = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(silent, number)
    try:
        answer = _guests(question)
    except libvirt.libvirtError as error:
        answer = Answer("", [], " ".join(str(error.get_error_message() or error).split()))
    except Exception as error:  # noqa: BLE001 - whatever is wrong with one host, it is told, and the others are served
        answer = Answer("", [], f"{type(error).__name__}: {error}")
    end.send(tuple(answer))
    end.close()
    # Threads may hang in calls for addresses that nobody waits for any more.
    os._exit(0)


def _guests(question: Question) -> Answer:
    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    opened = libvirt.open(question.uri)
    domains: dict[str, Any] = {}
    guests = []
    for domain, state in _states(opened):
        try:
            guest = guest_of(domain.XMLDesc(0), state)
        except libvirt.libvirtError:
            continue  # It went away between the list and the look at it.
        guests.append(guest)
        domains[guest["uuid"]] = domain
    running = [guest for guest in guests if guest["state"] == "running" and is_wanted(guest, question.wanted)]
    notes: list[str] = []
    for source in question.sources:
        lacking = [guest for guest in running if not guest["addresses"]]
        if lacking and source == "lease":
            _take_leases(opened, lacking)
        elif lacking:
            notes += _ask_each(question.uri, lacking, domains, source, question.address_timeout)
    return Answer(opened.getHostname(), guests, None, tuple(notes))


def _states(opened: Any) -> list[tuple[Any, str]]:
    """All guests with their states, in one call where the driver knows it."""
    try:
        told = opened.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_STATE, 0)
        return [(domain, STATES.get(stats.get("state.state", 5), "stopped")) for domain, stats in told]
    except libvirt.libvirtError as error:
        if error.get_error_code() not in (libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_ERR_INVALID_ARG):
            raise
        return [(domain, STATES.get(domain.state()[0], "stopped")) for domain in opened.listAllDomains()]


def _take_leases(opened: Any, guests: list[Guest]) -> None:
    """Addresses from the leases of all networks."""
    told: dict[str, list[Lease]] = {}
    for network in opened.listAllNetworks(libvirt.VIR_CONNECT_LIST_NETWORKS_ACTIVE):
        where = {network.name()}
        # Networks without a bridge or DHCP, and drivers without leases.
        with contextlib.suppress(libvirt.libvirtError):
            where.add(network.bridgeName())
        with contextlib.suppress(libvirt.libvirtError):
            for item in network.DHCPLeases():
                lease = Lease(frozenset(where), item["mac"] or "", item["ipaddr"], item["expirytime"])
                told.setdefault(lease.mac.lower(), []).append(lease)
    for guest in guests:
        guest["addresses"] = leased(guest, [one for part in guest["interfaces"] for one in told.get(part["mac"], ())])


def _ask_each(uri: str, guests: list[Guest], domains: Mapping[str, Any], source: str, timeout: float) -> list[str]:
    """Addresses asked guest by guest, some at once; what has not come in time is left out. What went wrong, in sentences."""
    ask = functools.partial(_by_agent, seconds=max(1, int(timeout))) if source == "agent" else _by_neighbours
    # Asking an agent that is not there costs its time-out.
    asked = {guest["uuid"]: guest for guest in guests if source != "agent" or guest["agent"]}

    def begin() -> Ask:
        opened = libvirt.open(uri)
        return lambda uuid: ask(opened.lookupByUUIDString(uuid))

    fails = (Refused, Unreachable, libvirt.libvirtError)
    told = told_by_each(list(asked), lambda uuid: ask(domains[uuid]), begin, timeout, fails)
    for uuid, answer in told.answers.items():
        asked[uuid]["addresses"] = addresses(asked[uuid], answer, source)
    failed: dict[str, list[str]] = {}
    for uuid, reason in told.reasons.items():
        failed.setdefault(reason, []).append(asked[uuid]["name"])
    return [f"no address by {source} of {', '.join(sorted(names))}: {reason}" for reason, names in failed.items()]


def _by_agent(domain: Any, seconds: int) -> list[tuple[str, str]]:
    return GuestAgent(domain, seconds).addresses()


def _by_neighbours(domain: Any) -> list[tuple[str, str]]:
    told = domain.interfaceAddresses(libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_ARP, 0)
    return [(item["hwaddr"], part["addr"]) for item in told.values() if item["hwaddr"] for part in item["addrs"] or []]
