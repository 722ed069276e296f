"""Plays of one task, timed: the whole command, as a user waits for it, and the task in it."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import lab
from place import BENCHMARKS, BIN, CACHE, ROOT


class Seconds(NamedTuple):
    """How long one run took. command: all of ansible-playbook. task: from the task's begin to its result.
    controller: processor time of ansible-playbook and all that it started.
    """

    command: float
    task: float
    controller: float


class Play(NamedTuple):
    """One contestant of a comparison.

    task: the task as in a playbook. variables: the play's own. changed: what the task must answer for its time to
    count; None where a peer's answer is its own affair. hosts: where it runs, on all at once. before: what is done
    first, untimed.
    """

    name: str
    task: Mapping[str, Any]
    variables: Mapping[str, Any] = {}
    changed: bool | None = False
    check: bool = False
    hosts: tuple[str, ...] = (lab.HOST,)
    before: Callable[[], object] | None = None


class Command(NamedTuple):
    """A contestant that is no play. words: the command, whose exit status must be 0; before: what is done first."""

    name: str
    words: tuple[str, ...]
    before: Callable[[], object] | None = None


class WrongAnswer(Exception):
    """A task failed, or did something other than what was to be timed."""


def race(plays: Sequence[Play | Command], rounds: int) -> dict[str, list[Seconds]]:
    """Run the plays in turn, as often as asked, and give each one's times by round.

    The order turns from round to round, so that nobody is always the one who runs after the longest.
    """
    found: dict[str, list[Seconds]] = {play.name: [] for play in plays}
    for number in range(rounds):
        turn = number % len(plays)
        for play in [*plays[turn:], *plays[:turn]]:
            found[play.name].append(run(play))
    return found


def sequence(plays: Sequence[Play | Command], rounds: int) -> dict[str, list[Seconds]]:
    """The same for plays that need each other's work: the order stays."""
    found: dict[str, list[Seconds]] = {play.name: [] for play in plays}
    for _round in range(rounds):
        for play in plays:
            found[play.name].append(run(play))
    return found


def run(contestant: Play | Command) -> Seconds:
    """Run a contestant once. Raises WrongAnswer."""
    return run_play(contestant) if isinstance(contestant, Play) else _run_command(contestant)


def _run_command(command: Command) -> Seconds:
    if command.before:
        command.before()
    seconds, controller, log, status = _timed(list(command.words), _environment(CACHE / "times.json"))
    if status:
        raise WrongAnswer(f"{command.name}: {log[-3000:]}")
    return Seconds(seconds, seconds, controller)


def run_play(play: Play) -> Seconds:
    """Run a play once. Raises WrongAnswer."""
    if play.before:
        play.before()
    book, times = _write(play), CACHE / "times.json"
    times.unlink(missing_ok=True)
    command = [str(BIN / "ansible-playbook"), "-i", str(lab.INVENTORY), str(book)] + ["--check"] * play.check
    seconds, controller, log, _status = _timed([*command, "--forks", str(len(play.hosts))], _environment(times))
    answers = [json.loads(line) for line in times.read_text(encoding="utf-8").splitlines()] if times.exists() else []
    answer: dict[str, Any] = {"failed": True, "msg": "no result"}
    if len(answers) == len(play.hosts):
        # What is told of several hosts is what is told of the last one, unless one failed.
        answer = next((each for each in answers if each["failed"]), answers[-1])
    if answer["failed"]:
        raise WrongAnswer(f"{play.name}: {answer['msg']}\n{log[-3000:]}")
    if play.changed is not None and answer["changed"] != play.changed:
        raise WrongAnswer(f"{play.name}: changed={answer['changed']}: {answer['msg']}")
    return Seconds(seconds, float(answer["seconds"]), controller)


def _timed(command: list[str], environment: Mapping[str, str]) -> tuple[float, float, str, int]:
    """Seconds by the clock, seconds of processor time, what the command printed, and its exit status."""
    with tempfile.TemporaryFile(mode="w+", encoding="utf-8") as log:
        began = time.monotonic()
        process = subprocess.Popen(command, cwd=ROOT, env=dict(environment), stdout=log, stderr=log)
        _pid, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        log.seek(0)
        return seconds, usage.ru_utime + usage.ru_stime, log.read(), process.returncode


def _write(play: Play) -> Path:
    """The playbook as a file, its variables beside it as those of all hosts, which Ansible reads once (the files of
    a play's vars_files four times). As JSON, which costs it less to read than YAML.
    """
    folder = CACHE / "plays" / play.name
    book, variables = folder / "play.yml", folder / "group_vars" / "all.json"
    variables.parent.mkdir(parents=True, exist_ok=True)
    variables.write_text(json.dumps(play.variables), encoding="utf-8")
    head = {"hosts": list(play.hosts), "gather_facts": False, "tasks": [{"name": play.name, **play.task}]}
    book.write_text(json.dumps([head]), encoding="utf-8")
    return book


def _environment(times: Path) -> dict[str, str]:
    """The checkout's ansible.cfg, the peers' collection, and one ssh connection that all plays share."""
    collections = (ROOT / ".ansible-collections", CACHE / "peers")
    return {
        **os.environ,
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": ":".join(map(str, collections)),
        "ANSIBLE_LIBRARY": str(BENCHMARKS / "modules"),
        "ANSIBLE_CALLBACK_PLUGINS": str(BENCHMARKS / "callbacks"),
        "ANSIBLE_CALLBACKS_ENABLED": "bench_times",
        "ANSIBLE_SSH_ARGS": "-C -o ControlMaster=auto -o ControlPersist=600s",
        "BENCH_TIMES": str(times),
    }
