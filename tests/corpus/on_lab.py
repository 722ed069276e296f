# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Foreign documents declared on a lab host, some hundred in one task, and what goes wrong with each of them."""

from __future__ import annotations

import json
import re
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
    """What became of networks that were to become others while they ran. begun: how many ran; wrong: by update."""

    begun: int
    wrong: dict[str, str]


def updated(host: Host, updates: list[Update]) -> Updated:
    """Make networks that run what libvirt's tests make of them. None may have been without its bridge meanwhile."""
    host.put(SCRIPT, Path(__file__).with_name("on_host.py").read_bytes())
    _ask(host, {"prefix": PREFIX})
    bridge = f"{PREFIX}br0"
    begun, wrong = 0, {}
    for update in (for_a_host(update, f"{PREFIX}n0000", bridge) for update in updates):
        which = Task("ansible.builtin.raw", {"cmd": f"cat /sys/class/net/{bridge}/ifindex || true"})
        first, then = (
            Task("network", {"xml": xml, "name": f"{PREFIX}n0000", "state": "active"})
            for xml in (update.before, update.after)
        )
        gone = Task("network", {"name": f"{PREFIX}n0000", "state": "absent"})
        begin, was, run, now, again, _gone = host.play(first, which, then, which, then, gone)
        begun += not begin.failed
        found = {
            "begin": begin.msg * begin.failed,
            "run": run.msg * run.failed,
            "run: no change": "it told none" * (not run.changed),
            "pending": ", ".join(sorted(run.pending)),
            "another bridge": "it was restarted" * (was.data["stdout"] != now.data["stdout"]),
            "second run": again.msg * (again.failed or again.changed),
        }
        said = [f"{step}: {text}" for step, text in found.items() if text]
        wrong.update({update.name: said[0]} if said else {})
    return Updated(begun, wrong)


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
