"""What is measured, stage by stage. Each stage leaves no guest behind."""

from __future__ import annotations

import shlex
from functools import partial

from figure import Figure, compare
from guests import COMMUNITY, PING, STACK, absent, bare, diskless, from_image, guests, names, tiny, virt_install
from host_stage import Row, modules_on_host, work_on_host
from inside import contestants, forget_guest, have_guest, large_file
from inventories import guests_inventory, static_inventory, uri_over_ssh
from lab import (
    SPARSE,
    SPARSE_FILE,
    bring_up,
    make_image,
    make_volumes,
    on_host,
    remove_guests,
    remove_with_storage,
    sparse_file,
    ssh_words,
    stop_guests,
    template_of,
    tiny_guest,
)
from place import BIN, POOL
from play import Command, Play, race, run_play, sequence

PING_SAYS = ("ping", "ansible.builtin.ping")
READ_SAYS = ("read", "bare script that reads")
# The control machine as a host of its own.
LOCAL = {"ansible_connection": "local", "ansible_python_interpreter": str(BIN / "python")}
# Rounds of what takes minutes.
FEW = 3
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


def shut_down(count: int, rounds: int) -> list[Figure]:
    """Guests of a tiny Linux shut down by their power button: by stack, and by a bare script, all at once."""
    image = tiny_guest()
    stopped = {"guests": tiny(count, "stopped", image)}

    def booted() -> None:
        run_play(Play("boot", STACK, {"guests": tiny(count, "running", image)}, changed=True))

    times = race(
        [
            Play("stop", STACK, stopped, changed=True, before=booted),
            Play("bare-stop", bare("shutdown"), {"names": names(count)}, changed=True, before=booted),
        ],
        rounds,
    )
    remove_guests()
    return [
        compare(times, ("stop", f"stack, {count} guests shut down"), ("bare-stop", "bare script, all at once"), 1.2)
    ]


def from_one_image(count: int, rounds: int) -> list[Figure]:
    """Guests on overlays of one image, with seeds, from nothing to addresses known: by stack, and by virt-install one
    after the other. Both boot the same kernel.
    """
    image = tiny_guest()
    make_image()
    times = race(
        [
            Play("new", STACK, {"guests": from_image(count, image)}, changed=True, before=remove_with_storage),
            Command("virt-install", ssh_words(virt_install(count, image)), before=remove_with_storage),
        ],
        rounds,
    )
    remove_with_storage()
    return [
        compare(
            times,
            ("virt-install", f"virt-install, {count} guests of one image until they have addresses"),
            ("new", "stack, the same"),
        )
    ]


def inventory(count: int, rounds: int) -> list[Figure]:
    """The guests of one host as inventory, against a file that lists as many hosts."""
    _have(count)
    program = str(BIN / "ansible-inventory")
    times = race(
        [
            Command("plugin", (program, "--list", "-i", str(guests_inventory()))),
            Command("file", (program, "--list", "-i", str(static_inventory(count)))),
        ],
        rounds,
    )
    remove_guests()
    return [compare(times, ("plugin", f"inventory of {count} guests"), ("file", f"a YAML file with {count} hosts"))]


def uploaded(rounds: int) -> list[Figure]:
    """A sparse image of 4 GiB as a volume: of a file on the host, and of one on this machine through libvirt over ssh;
    against a task that copies the file on the host with cp. The latter also against tar through ssh: it knows holes.
    """
    make_volumes([])
    on_host(f"rm -f {POOL}/bench-upload.raw && {SPARSE} {SPARSE_FILE}")
    local = sparse_file()
    clear = partial(on_host, f"rm -f {POOL}/bench-upload.raw; virsh -q pool-refresh bench")
    volume = {"name": "bench-upload.raw", "pool": "bench", "format": "raw"}
    task = "kvmfleet.libvirt.volume"
    remote = {**volume, "source": {"file": str(local)}, "uri": uri_over_ssh()}
    unpack = f"tar -xSf - -C {POOL} --transform s/.*/bench-upload.raw/"
    through_ssh = f"tar -cSf - -C {local.parent} {local.name} | {shlex.join(ssh_words(unpack))}"
    times = race(
        [
            Play("file", {task: {**volume, "source": {"file": SPARSE_FILE}}}, changed=True, before=clear),
            Play("ssh", {task: remote, "delegate_to": "localhost", "vars": LOCAL}, changed=True, before=clear),
            Play(
                "cp",
                {"ansible.builtin.command": {"cmd": f"cp --sparse=always {SPARSE_FILE} {POOL}/bench-upload.raw"}},
                changed=True,
                before=clear,
            ),
            Play(
                "tar",
                {"ansible.builtin.shell": {"cmd": through_ssh}, "delegate_to": "localhost", "vars": LOCAL},
                changed=True,
                before=clear,
            ),
        ],
        rounds,
    )
    clear()
    on_host(f"rm -f {SPARSE_FILE}")
    cp = ("cp", "cp --sparse=always on the host, as a task")
    return [
        compare(times, ("file", "volume of a 4 GiB sparse file on the host"), cp, 1.5),
        compare(times, ("ssh", "volume of a 4 GiB sparse file here, over an ssh URI"), cp, 1.5),
        compare(times, ("ssh", "the same"), ("tar", "tar -S through ssh, as a task")),
    ]


def in_a_guest(rounds: int) -> list[Figure]:
    """Tasks in a guest and a file for it, over its agent and over ssh through its host."""
    have_guest()
    small = contestants("raw", [{"ansible.builtin.raw": "true"}] * 100)
    modules = contestants("modules", [{"ansible.builtin.command": "true"}] * 10)
    copied = {"src": str(large_file()), "dest": "/root/large", "mode": "0600"}
    files = contestants("file", [{"ansible.builtin.raw": "rm -f /root/large"}, {"ansible.builtin.copy": copied}])
    times = race(small, rounds) | race(modules, rounds) | race(files, min(rounds, FEW))
    forget_guest()
    return [
        compare(times, (f"{name}-agent", f"{words} over the guest's agent"), (f"{name}-ssh", "the same over ssh"))
        for name, words in (
            ("raw", "100 raw tasks"),
            ("modules", "10 tasks of a module"),
            ("file", "a file of 100 MiB"),
        )
    ]


def many_hosts(counts: tuple[int, ...], rounds: int) -> list[Figure]:
    """Unchanged guests on several hosts at once, against the same on one; each beside a ping of as many hosts."""
    hosts = bring_up(max(counts))
    everywhere = {"guests": diskless(20, "present")}
    run_play(Play("have-many", STACK, everywhere, changed=None, hosts=hosts))
    plays = [Play("hosts-1", STACK, everywhere)]
    for count in counts:
        plays.append(Play(f"hosts-{count}", STACK, everywhere, hosts=hosts[:count]))
        plays.append(Play(f"ping-{count}", PING, hosts=hosts[:count]))
    times = race(plays, rounds)
    run_play(Play("forget-many", STACK, {"guests": absent(20)}, changed=None, hosts=hosts))
    figures = []
    for count in counts:
        what = (f"hosts-{count}", f"stack, 20 unchanged on each of {count} hosts")
        figures.append(compare(times, what, ("hosts-1", "the same on one host")))
        figures.append(compare(times, what, (f"ping-{count}", f"ansible.builtin.ping, {count} hosts")))
    return figures


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
