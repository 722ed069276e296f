"""What is measured, stage by stage. Each stage leaves no guest behind."""

from __future__ import annotations

from figure import Figure, compare
from guests import COMMUNITY, PING, STACK, absent, bare, diskless, guests, names
from host_stage import Row, modules_on_host, work_on_host
from lab import make_volumes, remove_guests, stop_guests, template_of
from play import Play, race, run_play, sequence

PING_SAYS = ("ping", "ansible.builtin.ping")
READ_SAYS = ("read", "bare script that reads")
LOOP_SAYS = "loop of community.libvirt.virt define"


def unchanged(count: int, rounds: int, target: float | None = None) -> list[Figure]:
    """A host that already is as declared, and one guest on it that is not; as many declared as there are."""
    _have(count)
    varied = iter(range(10**6))
    changing = guests(count)

    def vary() -> None:
        changing[0]["description"] = f"round {next(varied)}"

    same, listed = {"guests": guests(count)}, {"names": names(count)}
    times = race(
        [
            Play("ping", PING),
            Play("read", bare("read"), listed),
            Play("stack", STACK, same),
            Play("check", STACK, same, check=True),
            Play("info", {"kvmfleet.libvirt.stack_info": {}}),
        ],
        rounds,
    )
    # Apart from the others, whose guests it changes.
    one = race([Play("ping", PING), Play("one", STACK, {"guests": changing}, changed=True, before=vary)], rounds)
    remove_guests()
    return [
        compare(times, ("stack", f"stack, {count} unchanged guests"), PING_SAYS, target),
        compare(times, ("stack", f"stack, {count} unchanged guests"), READ_SAYS),
        compare(times, ("check", f"stack --check, {count} unchanged"), PING_SAYS),
        compare(times, ("info", f"stack_info, {count} guests"), PING_SAYS),
        compare(one, ("one", f"stack, 1 of {count} guests changed"), PING_SAYS),
    ]


def incumbent(count: int, rounds: int, target: float | None = None) -> list[Figure]:
    """The same unchanged guests declared one by one through community.libvirt."""
    _have(count)
    documents = {"names": names(count), "template": template_of(names(1)[0])}
    times = race(
        [
            Play("ping", PING),
            Play("stack", STACK, {"guests": guests(count)}),
            Play("loop", COMMUNITY, documents, changed=None),
        ],
        rounds,
    )
    remove_guests()
    stack = ("stack", f"stack, {count} unchanged guests")
    return [
        compare(times, stack, PING_SAYS),
        compare(times, ("loop", f"{LOOP_SAYS}, {count}"), stack, target, at_least=True),
        compare(times, ("loop", f"{LOOP_SAYS}, {count}"), PING_SAYS),
    ]


def made_and_deleted(count: int, rounds: int) -> list[Figure]:
    """Guests defined that were not there, and deleted, by stack and by a bare script in turn."""
    _have(1)
    documents = {"names": names(count), "template": template_of(names(1)[0])}
    make_volumes(names(count))
    remove_guests()
    times = sequence(
        [
            Play("define", STACK, {"guests": guests(count)}, changed=True),
            Play("delete", STACK, {"guests": absent(count)}, changed=True),
            Play("bare-define", bare("define"), documents, changed=True),
            Play("bare-delete", bare("delete"), {"names": names(count)}, changed=True),
        ],
        rounds,
    )
    return [
        compare(times, ("define", f"stack, {count} new guests"), ("bare-define", "bare script that defines"), 1.5),
        compare(times, ("delete", f"stack, {count} guests deleted"), ("bare-delete", "bare script that deletes"), 1.5),
    ]


def started(count: int, rounds: int) -> list[Figure]:
    """Guests started: by stack, and by a bare script that starts all at once."""
    run_play(Play("start-define", STACK, {"guests": diskless(count, "present")}, changed=True))
    running = {"guests": diskless(count, "running")}
    times = race(
        [
            Play("start", STACK, running, changed=True, before=stop_guests),
            Play("bare-start", bare("start"), {"names": names(count)}, changed=True, before=stop_guests),
        ],
        rounds,
    )
    remove_guests()
    return [
        compare(times, ("start", f"stack, {count} guests started"), ("bare-start", "bare script, all at once"), 1.2)
    ]


def _have(count: int) -> None:
    """Have just these guests on the host, and the volumes of their disks."""
    remove_guests()
    make_volumes(names(count))
    run_play(Play("have", STACK, {"guests": guests(count)}, changed=True))


def on_host_alone(counts: list[int], rounds: int) -> list[list[Row]]:
    """Payloads and processes without Ansible around them. The last count is the largest."""
    _have(counts[0])
    modules = modules_on_host(rounds)
    _have(counts[-1])
    work = work_on_host(counts, rounds)
    remove_guests()
    return [modules, work]
