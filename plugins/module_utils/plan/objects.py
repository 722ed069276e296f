# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What planning any kind of object has in common: overlay, ownership and the words for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable, NamedTuple

from .. import tree
from ..spec.field import Field, Kind, given_fields
from . import ownership
from .document import below, declared_document, raw_document
from .overlay import ABSENT, Edit, Place, overlay
from .plan import Change, Step
from .problem import Problems
from .rules import Rules, for_kind, join, keys_among
from .site import Site
from .words import edits_in_words, key_in_words, path_in_words


class Wanted(NamedTuple):
    """A declaration ready to be overlaid. document: typed fields and raw XML together. keys: what it owns.
    lists: paths of the lists that are declared, so that what left them is removed. raw: digest of the raw XML.
    exclusive: paths of the lists that hold nothing but what is declared.
    """

    kind: Kind
    where: str
    document: tree.Element
    typed: tree.Element
    keys: frozenset[str]
    lists: frozenset[str]
    raw: str | None
    exclusive: frozenset[str] = frozenset()

    @property
    def rules(self) -> Rules:
        """The rules of this kind's documents."""
        return for_kind(self.kind)


def wanted(
    kind: Kind,
    declared: Mapping[str, Any],
    lists: frozenset[str],
    problems: Problems,
    complete: Callable[[tree.Element], None] | None = None,
) -> Wanted:
    """The declaration of one object. lists: the paths that list_paths found in what the user wrote.
    complete: fills in what raw XML leaves out and the object is known by.
    """
    rules = for_kind(kind)
    where = "{} {}".format(kind.name, declared["name"])
    without_raw = {name: value for name, value in declared.items() if name != "xml"}
    typed = declared_document(kind, without_raw, where, problems)
    keys = _check_twice(typed, rules, where, problems)
    exclusive = _exclusive(kind, declared, where, problems)
    raw = raw_document(kind, declared.get("xml"), where, problems)
    if raw is None:
        return Wanted(kind, where, typed, typed, keys, lists, None, exclusive)
    ownership.strip(raw)
    for path in rules.known.told:
        tree.erase(raw, path)
    digest = ownership.fingerprint(raw, rules)
    rules.known.normal(raw)
    if complete is not None:
        complete(raw)
    keys |= frozenset(ownership.RAW + key for key in ownership.keys_of(raw, rules))
    overlay(raw, typed, rules)
    return Wanted(kind, where, raw, typed, keys, lists, digest, exclusive)


def _exclusive(kind: Kind, declared: Mapping[str, Any], where: str, problems: Problems) -> frozenset[str]:
    """The paths of the lists that shall hold nothing but what is declared. One that is not declared is a problem."""
    named = declared.get("exclusive")
    if not named:
        return frozenset()
    found = {field.name: field.path for field in kind.fields if field.name in named}
    for name in found:
        if declared.get(name) is None:
            problems.add(where + ": exclusive", f"{name} is not declared; an empty list says that there shall be none")
    return frozenset(path for path in found.values() if path)


def _check_twice(typed: tree.Element, rules: Rules, where: str, problems: Problems) -> frozenset[str]:
    """The owned keys of what is declared. A problem for each entry of a list that is declared twice: those of disks and
    interfaces are found where they are made concrete.
    """
    trails = {ownership.key(trail): trail for trail in ownership.places(typed, rules)}
    for trail in trails.values():
        if not trail[-1].key.endswith("#2") or trail[0].path in ("devices/disk", "devices/interface"):
            continue
        first = (*trail[:-1], trail[-1]._replace(key=trail[-1].key.rpartition("#")[0]))
        if ownership.key(first) in trails:
            problems.add(
                below(where, path_in_words(Edit(trail[-1].path, None, None, first), rules)), "is declared twice"
            )
    return frozenset(trails)


def list_paths(fields: tuple[Field, ...], declared: Mapping[str, Any], above: str = "") -> frozenset[str]:
    """Rule paths of the lists of items that a user declared, nested ones included."""
    found: list[str] = []
    for field, value in given_fields(fields, declared):
        if field.path is None:
            continue
        path = join(above, field.path)
        if field.type == "map":
            found.append(tree.split(path)[0])
        elif field.type == "items":
            found.append(path)
            for item in value:
                found.extend(list_paths(field.fields, item, path))
        elif field.type == "dict":
            found.extend(list_paths(field.fields, value, path))
    return frozenset(found)


def overlaid(want: Wanted, root: tree.Element, owned: ownership.Owned | None = None) -> tuple[list[Edit], bool]:
    """Make the declaration true in a document of the host: the edits, and whether raw XML was told apart by fingerprint.

    What was declared before and is not any more is taken out first, so that its place is free.
    owned: what was declared before, where the document itself does not say it.
    """
    owned = owned or ownership.read(root)
    settled = (
        want.raw is not None
        and owned.declared == want.raw
        and owned.definition == ownership.fingerprint(root, want.rules)
        and not _secrets_differ(want, root)
    )
    edits = ownership.remove_undeclared(root, want.rules, doomed(want, owned.keys) | _others(want, root))
    edits += overlay(root, want.typed if settled else want.document, want.rules)
    if want.raw is not None and not settled:
        # Laid over the raw XML, typed fields have lost what they say that there shall not be.
        edits += overlay(root, want.typed, want.rules)
    return edits, settled


def _secrets_differ(want: Wanted, root: tree.Element) -> bool:
    """Whether a secret is declared anew: fingerprints are of documents without their secrets."""
    probe = overlay(tree.parse(tree.text_of(root)), want.document, want.rules)
    return any(want.rules.is_secret(edit.path) for edit in probe)


def running(
    want: Wanted, live: tree.Element, inactive: tree.Element, owned: ownership.Owned, settled: bool
) -> list[Edit]:
    """What differs between the declaration and a running object, made true in its document.

    inactive: the definition with the declaration in it. owned: what its ownership said before; a network that runs has
    none of its own. settled: whether raw XML needed no edits in the definition. What libvirt says of such XML in other
    words is no difference of the running object either, and one that was started since it was declared so has none.
    """
    ours = ownership.read(live)
    if settled and ours.declared == want.raw:
        edits = ownership.remove_undeclared(live, want.rules, _others(want, live))
        return edits + overlay(live, want.typed, want.rules)
    edits, _settled = overlaid(want, live, ours._replace(keys=ours.keys | owned.keys))
    if not settled:
        return edits
    same = [_told(edit) for edit in overlay(tree.parse(tree.text_of(inactive)), want.document, want.rules)]
    return [edit for edit in edits if _told(edit) not in same]


def _told(edit: Edit) -> tuple[Any, ...]:
    """An edit by value, for comparing edits of two documents."""
    return (edit.path, [place[:2] for place in edit.trail], _text(edit.before), _text(edit.after))


def _text(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_text(part) for part in value]
    return value if value is None or isinstance(value, str) else tree.text_of(value)


def doomed(want: Wanted, owned: frozenset[str]) -> frozenset[str]:
    """The owned keys that are not declared any more although their list, or raw XML, is."""
    plain = {_plain(key) for key in want.keys}
    gone = set()
    for key in owned:
        if key.startswith(ownership.KEPT) or _plain(key) in plain:
            continue
        if key.startswith(ownership.RAW):
            if want.raw is not None:
                gone.add(_plain(key))
        elif _path(key) in want.lists:
            gone.add(key)
    return frozenset(gone)


def _others(want: Wanted, root: tree.Element) -> frozenset[str]:
    """The keys of what stands undeclared in the lists that shall hold nothing else."""
    return frozenset(ownership.key((place,)) for path in want.exclusive for place in _undeclared(want, root, path))


def owned_after(want: Wanted, owned: ownership.Owned) -> ownership.Owned:
    """Ownership once the declaration is written: what is declared, and what was owned in lists not declared now."""
    gone = doomed(want, owned.keys)
    kept = frozenset(key for key in owned.keys if key.startswith(ownership.KEPT) or _plain(key) not in gone)
    return ownership.Owned(kept | want.keys, None, None, instance=owned.instance, made=owned.made)


def _plain(key: str) -> str:
    return key[len(ownership.RAW) :] if key.startswith(ownership.RAW) else key


def _path(key: str) -> str:
    """The rule path of an owned key: "ip[ipv4]/dhcp/host[x]" → "ip/dhcp/host"."""
    text, depth = "", 0
    for char in key:
        depth += {"[": 1, "]": -1}.get(char, 0)
        if depth == 0 and char != "]":
            text += char
    return text


def fingerprint_step(want: Wanted) -> tuple[Step, ...]:
    """After a define from raw XML: note what libvirt made of it, so that the next run can tell that nothing changed."""
    return (
        ()
        if want.raw is None
        else (Step("fingerprint", {"raw": want.raw}, f"note what was declared for {want.where}"),)
    )


def undeclared(want: Wanted, root: tree.Element) -> tuple[str, ...]:
    """What is in the declared lists of a document without being declared, in the user's words."""
    paths = [path for path in sorted(want.lists) if path.startswith("devices/")]
    return tuple(key_in_words(place, want.rules) for path in paths for place in _undeclared(want, root, path))


def _undeclared(want: Wanted, root: tree.Element, path: str) -> list[Place]:
    """The entries of a list in a document that are not declared."""
    entries = [node for node in tree.find_all(want.document, path) if not node.get(ABSENT)]
    declared = set(keys_among(want.rules, path, entries) or [])
    nodes = tree.find_all(root, path)
    keys = keys_among(want.rules, path, nodes) or []
    return [Place(path, key, node) for key, node in zip(keys, nodes) if key not in declared]


def check_uuid(want: Wanted, root: tree.Element, before: str | None, site: Site) -> None:
    """A problem if the declaration would give an existing object another UUID. before: the one it has, None when new."""
    after = tree.get(root, "uuid")
    if before is not None and after != before:
        site.problems.add(want.where + ": uuid", f"is {before} and cannot be changed to {after}")


def effect_of(edit: Edit, rules: Rules) -> str:
    """When an edit becomes true: the effect of the nearest field, "restart" where there is none.

    That a list changes while a guest runs says that its entries come and go, and nothing of what is in one of them.
    """
    path = edit.path
    while path:
        field = rules.fields.get(path)
        if field is not None:
            return "restart" if field.type == "items" and path != edit.path else field.effect
        path = path.rpartition("/")[0]
    return "restart"


def changes_of(edits: list[Edit], rules: Rules, effect: str | None = None) -> tuple[Change, ...]:
    """Edits as changes in the user's words. effect: for all of them, or each field's own when None.

    What is created had nothing before, whatever defaults the declaration was laid over.
    """
    return tuple(
        Change(path, None if effect == "create" else before, after, effect or effect_of(edit, rules))
        for path, before, after, edit in edits_in_words(edits, rules)
        if effect != "create" or after is not None
    )


def by_name(items: list[dict[str, Any]], kind: Kind, problems: Problems) -> dict[str, dict[str, Any]]:
    """Declarations by name; a name that is declared twice is a problem."""
    found: dict[str, dict[str, Any]] = {}
    for item in items:
        if item["name"] in found:
            problems.add("{} {}".format(kind.name, item["name"]), "is declared twice")
        found[item["name"]] = item
    return found
