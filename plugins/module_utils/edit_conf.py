# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module that edits libvirt's configuration files: all of them are judged before the first is written."""

from __future__ import annotations

import json
import os
import tempfile
from typing import Any, NamedTuple

from ansible.module_utils.basic import AnsibleModule

from .libvirt_conf import Former, Malformed, edited, entries, known_options, problems, settled

SECRET = ("vnc_password", "spice_password")
"""Options of qemu.conf that nobody should read."""
HIDDEN = "********"


class Conf(AnsibleModule):  # type: ignore[misc]
    """A module that does not log its invocation in the host's journal: there may be passwords in it."""

    def log(self, msg: str, log_args: dict[str, Any] | None = None) -> None:
        """Nothing."""


class File(NamedTuple):
    """A configuration file: its name without the ending, path, text (None if it is not there), what libvirt knows of it."""

    name: str
    path: str
    text: str | None
    known: dict[str, str]


class Edit(NamedTuple):
    """What becomes of a file: the options that are written, the text before and after, and what to remember."""

    file: File
    options: dict[str, Any]
    before: str
    after: str
    ours: dict[str, Former]


def edit_conf() -> None:
    """Make the options of libvirt's files what is declared."""
    module = Conf(
        argument_spec={
            "files": {"type": "dict", "required": True},
            "daemons": {"type": "list", "elements": "str", "default": []},
            "folder": {"type": "path", "default": "/etc/libvirt"},
            "lenses": {"type": "path", "default": "/usr/share/augeas/lenses"},
            "record": {"type": "path"},
        },
        supports_check_mode=True,
    )
    declared = by_file(module.params["files"], module.params["daemons"])
    for options in declared.values():
        if isinstance(options, dict):
            module.no_log_values.update(str(options[name]) for name in SECRET if options.get(name))
    record = module.params["record"]
    known = remembered(_text(record) if record else None)
    files = [
        _read(name, module.params["folder"], module.params["lenses"]) for name in dict.fromkeys([*declared, *known])
    ]
    # A file that is gone since has nothing to go back to.
    files = [file for file in files if file.name in declared or file.text is not None]
    wrong = [problem for file in files for problem in _problems(file, declared.get(file.name, {}))]
    if wrong:
        more = "" if len(wrong) == 1 else f" (and {len(wrong) - 1} more problems)"
        module.fail_json(msg=f"{wrong[0]}{more}; nothing was changed", problems=wrong)
    edits = [_planned(file, declared.get(file.name, {}), known.get(file.name, {})) for file in files]
    changed = [edit for edit in edits if edit.after != edit.before]
    ours = {edit.file.name: edit.ours for edit in edits if edit.ours}
    if not module.check_mode:
        # What was before is not to be lost where the run breaks off between two files.
        both = {name: {**known.get(name, {}), **ours.get(name, {})} for name in {**known, **ours}}
        _remember(module, record, known, both)
        for edit in changed:
            _write(module, edit.file.path, edit.after)
        _remember(module, record, both, ours)
    diff = [
        {
            "before_header": edit.file.path,
            "after_header": edit.file.path,
            "before": told(edit.before, edit.options),
            "after": told(edit.after, edit.options),
        }
        for edit in changed
    ]
    module.exit_json(changed=bool(changed), files=[edit.file.name for edit in changed], diff=diff)


def by_file(files: dict[str, Any], daemons: list[str]) -> dict[str, Any]:
    """Options by file, with those of `daemon` in the file of each daemon; what is said for one daemon counts there."""
    own = {name: options or {} for name, options in files.items() if name != "daemon"}
    shared = files.get("daemon") or {}
    if not isinstance(shared, dict):
        return {**own, "daemon": shared}
    for name in daemons if shared else []:
        of_one = own.get(name, {})
        own[name] = {**shared, **of_one} if isinstance(of_one, dict) else of_one
    return own


def told(text: str, options: dict[str, Any]) -> str:
    """The lines of these options, for a diff."""
    lines = [
        f"{entry.name} = {HIDDEN}\n" if entry.name in SECRET else text[entry.start : entry.end].rstrip() + "\n"
        for entry in entries(text)
        if entry.name in options
    ]
    return "".join(lines)


def remembered(text: str | None) -> dict[str, dict[str, Former]]:
    """What a record holds, by file and option. A record that is not whole holds nothing."""
    try:
        told_before = json.loads(text or "{}")
        return {
            name: {option: Former(*former) for option, former in options.items()}
            for name, options in told_before.items()
        }
    except (ValueError, TypeError, AttributeError):
        return {}


def _remember(
    module: AnsibleModule, record: str | None, known: dict[str, dict[str, Former]], ours: dict[str, dict[str, Former]]
) -> None:
    """Keep the record; it goes with its last entry. There may be passwords in it, as in the files."""
    if not record or ours == known:
        return
    if ours:
        os.makedirs(os.path.dirname(record), exist_ok=True)
        _write(module, record, json.dumps(ours, indent=1, sort_keys=True) + "\n")
    elif os.path.exists(record):
        os.unlink(record)


def _planned(file: File, declared: dict[str, Any], known: dict[str, Former]) -> Edit:
    before = file.text or ""
    options, ours = settled(before, declared, known)
    return Edit(file, options, before, edited(before, options), ours)


def _read(name: str, folder: str, lenses: str) -> File:
    path = os.path.join(folder, f"{name}.conf")
    lens = next(filter(None, (_text(os.path.join(lenses, f"{kind}{name}.aug")) for kind in ("", "libvirtd_"))), "")
    return File(name, path, _text(path), known_options(lens))


def _text(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return None


def _problems(file: File, options: Any) -> list[str]:
    where = f"{file.name}.conf"
    if "/" in file.name or not isinstance(options, dict):
        return [f"{where}: options are a mapping of names and values, by the file's name without .conf"]
    if file.text is None and not file.known:
        return [f"{where}: this libvirt has no such file"]
    try:
        entries(file.text or "")
    except Malformed as error:
        return [f"{file.path}: {error}"]
    return [f"{where}: {problem}" for problem in problems(options, file.known)]


def _write(module: AnsibleModule, path: str, text: str) -> None:
    """Replace the file as a whole; it keeps its owner and mode, a new one is root's alone."""
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    if os.path.exists(path):
        module.atomic_move(temporary, path)
    else:
        os.rename(temporary, path)
