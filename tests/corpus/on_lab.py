# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Foreign documents declared on a lab host, some hundred in one task, and what goes wrong with each of them."""

from __future__ import annotations

import json
import re
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fleet import Host, Result, Task
from foreign import GUESTS, PREFIX, Document, foreign
from planned import KEYS, declared, named
from updates import Update, for_a_host

from ansible_collections.kvmfleet.libvirt.plugins.module_utils.spec.kinds import KIND, KINDS

if TYPE_CHECKING:
    from collections.abc import Iterable

SCRIPT = "/tmp/kvmfleet-corpus.py"
_NAME = re.compile(rf"\b{PREFIX}[a-z]\d+")
_TOLD = ("changed", "changes", "state")


class Verdict(NamedTuple):
    """What a host says to the documents of one kind. declared: how many were; outside: those that libvirt takes
    although they do not fit its schema; wrong: by name, what went wrong, each with the step it did in.
    """

    documents: dict[str, Document]
    declared: int
    refused: dict[str, str]
    outside: list[str]
    wrong: dict[str, str]


SAMPLE = {"domain": 12, "network": 1, "nwfilter": 4, "pool": 1, "secret": 1, "volume": 5}
"""Of so many documents of a kind one is declared, unless all are: spread over all folders, the same each time. Those of
other programs always are.
"""


def crowded(host: Host, since: str) -> str:
    """What libvirt's daemon said since then of a client with too many requests, on which it may hang up."""
    lines = host.sh(f"journalctl -q --no-pager -u libvirtd --since @{since}").splitlines()
    return "\n".join(line for line in lines if "max requests limit" in line or "keepalive" in line)


def verdict(host: Host, kind: str, *, whole: bool) -> Verdict:
    """Declare the documents that libvirt defines on this host, in all the ways in which nothing may go wrong."""
    every = foreign(kind)
    sample = {document.origin for document in every[:: 1 if whole else SAMPLE[kind]]}
    documents = {item.name: item for item in every if item.origin in sample or item.origin.startswith(GUESTS)}
    host.put(SCRIPT, Path(__file__).with_name("on_host.py").read_bytes())
    question = {
        "prefix": PREFIX,
        "kind": kind,
        "documents": {name: document.xml for name, document in documents.items()},
        "keys": {f"/{PREFIX}-{number}": key.uuid for number, key in enumerate(KEYS.values())},
    }
    answer = json.loads(_ask(host, question))
    wrong: dict[str, str] = {}
    for batch in answer["batches"]:
        if batch:
            _Batch(host, kind, {name: documents[name].xml for name in batch}, wrong).declare()
    _ask(host, {"prefix": PREFIX})
    declared = sum(map(len, answer["batches"]))
    return Verdict(documents, declared, answer["refused"], answer["outside"], wrong)


def _ask(host: Host, question: dict[str, Any]) -> str:
    return host.sh(f"python3 {SCRIPT}", stdin=json.dumps(question).encode())  # type: ignore[no-any-return]


class Updated(NamedTuple):
    """What became of networks that were to become others while they ran. refused: updates of networks that libvirt does
    not define; wrong: what went wrong, by update.
    """

    refused: list[str]
    wrong: dict[str, str]


def updated(host: Host, updates: list[Update]) -> Updated:
    """Make networks that run what libvirt's tests make of them. None may have been without its bridge meanwhile."""
    bridge = f"{PREFIX}br0"
    here = {f"{PREFIX}n{place:04}": update for place, update in enumerate(updates)}
    here = {name: for_a_host(update, name, bridge) for name, update in here.items()}
    host.put(SCRIPT, Path(__file__).with_name("on_host.py").read_bytes())
    question = {"kind": "network", "documents": {name: update.before for name, update in here.items()}}
    refused = set(json.loads(_ask(host, {"prefix": PREFIX, **question}))["refused"])
    left = {name: update for name, update in here.items() if name not in refused}
    results = iter(host.play(*(task for name, update in left.items() for task in _update_tasks(name, update, bridge))))
    told = {update.name: _said(*islice(results, _TASKS)) for update in left.values()}
    return Updated([here[name].name for name in sorted(refused)], {name: said for name, said in told.items() if said})


_TASKS = 6


def _update_tasks(name: str, update: Update, bridge: str) -> list[Task]:
    which = Task("ansible.builtin.raw", {"cmd": f"cat /sys/class/net/{bridge}/ifindex || true"})
    first, then = (
        Task("network", {"xml": xml, "name": name, "state": "active"}) for xml in (update.before, update.after)
    )
    return [first, which, then, which, then, Task("network", {"name": name, "state": "absent"})]


def _said(begin: Result, was: Result, run: Result, now: Result, again: Result, gone: Result) -> str:
    """What went wrong with one update, empty when nothing did."""
    failed = [result.msg for result in (begin, run, again, gone) if result.failed]
    found = {
        "no change": not run.changed,
        f"pending: {sorted(run.pending)}": bool(run.pending),
        "the network was restarted": was.data["stdout"] != now.data["stdout"],
        f"second run: {again.msg}": again.changed,
    }
    return "; ".join([*failed, *(text for text, holds in found.items() if holds)])


ONE_OPTION = {"domain": {"description": "of the corpus"}, "secret": {"description": "of the corpus"}}
"""What is changed alone of each of them, by kind, and has to be the only change."""
BESIDE: dict[str, dict[str, Any]] = {"secret": {"value": "of the corpus"}, "volume": {"pool": PREFIX}}
"""What is declared beside each document, by kind."""


class _Batch:
    """Documents that can be on a host at once, by name. wrong: where to note what goes wrong."""

    def __init__(self, host: Host, kind: str, documents: dict[str, str], wrong: dict[str, str]) -> None:
        self.host = host
        self.kind = kind
        self.plural = KIND[kind].plural
        self.documents = documents
        self.wrong = wrong

    def declare(self) -> None:
        """Check, run, run again, name alone, export, declare the export, remove."""
        checked = self._checked()
        run, again, alone, info = self.host.play(
            self._task(self._declared()),
            self._task(self._declared()),
            self._task(self._named()),
            Task("stack_info", {kind.plural: [f"*{PREFIX}*"] for kind in KINDS}),
        )
        self._note("run", self._failed(run))
        self._note("run: no change", {name for name in self.documents if not _told(run, name).get("changed")})
        self._note("check", {name for name in self.documents if _brief(checked, name) != _brief(run, name)})
        self._note("second run", self._failed(again) | self._changed(again))
        self._note("name alone", self._failed(alone) | self._changed(alone))
        exported = info.data["stack"][self.plural]
        exported = [item for item in exported if _document(item["name"])]
        there = {_document(item["name"]) for item in exported}
        self._note("run", dict.fromkeys(set(self.documents) - there, "is not there afterwards"))
        applied, described, removed = self.host.play(
            self._task(exported),
            self._task({**item, **ONE_OPTION.get(self.kind, {})} for item in self._named()),
            self._task({**item, "state": "absent"} for item in self._named()),
        )
        self._note("export", self._failed(applied) | self._changed(applied))
        if self.kind in ONE_OPTION:
            told = {name: sorted(change["path"] for change in _told(described, name)["changes"]) for name in there}
            wanted = sorted(ONE_OPTION[self.kind])
            self._note("one option", {name: str(paths) for name, paths in told.items() if paths != wanted})
        self._note("removal", self._failed(removed))

    def _checked(self) -> Result:
        """What check mode tells, once the documents that are declined have been left out."""
        while True:
            (checked,) = self.host.play(self._task(self._declared(), check=True))
            if not checked.failed:
                return checked  # type: ignore[no-any-return]
            found = {name: problem for problem in checked.data["problems"] for name in _NAME.findall(problem)[:1]}
            assert set(found) & set(self.documents), checked.data
            self.wrong.update({name: f"declined: {problem}" for name, problem in found.items()})
            for name in found:
                self.documents.pop(name, None)

    def _declared(self) -> Iterable[dict[str, Any]]:
        return ({**declared(self.kind, xml), **BESIDE.get(self.kind, {})} for xml in self.documents.values())

    def _named(self) -> Iterable[dict[str, Any]]:
        where = {"pool": PREFIX} if self.kind == "volume" else {}
        return ({**named(self.kind, xml), **where} for xml in self.documents.values())

    def _task(self, items: Iterable[dict[str, Any]], *, check: bool = False) -> Task:
        return Task("stack", {self.plural: list(items), "on_error": "continue"}, check)

    def _failed(self, result: Result) -> dict[str, str]:
        """The errors of a run by the name of the object; one that cannot be told apart is ours."""
        if not result.failed:
            return {}
        texts = result.data.get("errors") or result.data.get("problems") or [result.msg]
        found = {name: text for text in texts for name in _NAME.findall(text)[:1]}
        assert found, result.data
        return found

    def _changed(self, result: Result) -> dict[str, str]:
        return {
            _document(item["name"]): "; ".join(
                "{path}: {before!r} -> {after!r}".format(**change) for change in item["changes"]
            )
            for item in result.data.get("objects", [])
            if item["changed"]
        }

    def _note(self, step: str, found: Iterable[str]) -> None:
        for name in found:
            text = found[name] if isinstance(found, dict) else ""
            self.wrong.setdefault(name, f"{step}: {text}".rstrip(": "))


def _document(name: str) -> str:
    """The document that an object is of, by its name in a result or an export; empty when it is of none."""
    return "".join(_NAME.findall(name)[:1])


def _told(result: Result, name: str) -> dict[str, Any]:
    return next((item for item in result.data.get("objects", []) if _document(item["name"]) == name), {})


def _brief(result: Result, name: str) -> list[Any]:
    told = _told(result, name)
    return [told.get(key) for key in _TOLD]
