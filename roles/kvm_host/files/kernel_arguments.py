# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts arguments on the kernel's command line in the distribution's own way, for the next boot. Never boots.

grub_drop_in   a file of ours in /etc/default/grub.d, which Debian and its kin read
grub_file      GRUB_CMDLINE_LINUX in /etc/default/grub; a comment beside it remembers which arguments are ours
grubby         the boot loader's entries, through grubby; a file remembers which arguments are ours

Prints {"changed": bool, "missing": [arguments that the running kernel has not]} as JSON.

usage: kernel_arguments.py '{"way": "grub_drop_in", "arguments": ["a=b"], "update": ["update-grub"], "check": false}'
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

DROP_IN = Path("/etc/default/grub.d/60-kvmfleet.cfg")
GRUB = Path("/etc/default/grub")
OURS = Path("/etc/kvmfleet-kernel-arguments")
HEAD = "# Written by kvmfleet.libvirt.kvm_host.\n"
MARK = "# kvmfleet.libvirt.kvm_host: "
_LINE = re.compile(
    r"^(?P<name>GRUB_CMDLINE_LINUX=)(?P<quote>[\"']?)(?P<words>[^\"'\n]*)(?P=quote)[ \t]*$", re.MULTILINE
)


def drop_in(arguments: list[str]) -> str:
    """Our file, empty for no arguments."""
    return f'{HEAD}GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX {" ".join(arguments)}"\n' if arguments else ""


def grub_file(text: str, arguments: list[str]) -> str:
    """/etc/default/grub with these arguments and without those that were ours before. Others' stay, in their order."""
    marks = [line[len(MARK) :].split() for line in text.splitlines() if line.startswith(MARK)]
    before = {word for words in marks for word in words}
    text = "".join(line for line in text.splitlines(keepends=True) if not line.startswith(MARK))
    lines = list(_LINE.finditer(text))
    words = [word for word in (lines[-1]["words"].split() if lines else []) if word not in before]
    ours = [word for word in arguments if word not in words]
    line = f'GRUB_CMDLINE_LINUX="{" ".join([*words, *ours])}"'
    mark = f"{MARK}{' '.join(ours)}\n" if ours else ""
    if not lines:
        return text + (mark + line + "\n" if ours else "")
    if not ours and not before:
        return text
    return text[: lines[-1].start()] + mark + line + text[lines[-1].end() :]


def grubby(told: str, before: list[str], arguments: list[str]) -> tuple[list[str], list[str]]:
    """Arguments to add to and to remove from all entries, by what `grubby --info=ALL` tells of each."""
    entries = [found.split() for found in re.findall(r'^args="(.*)"$', told, re.MULTILINE)]
    add = [word for word in arguments if any(word not in entry for entry in entries)]
    gone = [word for word in before if word not in arguments and any(word in entry for entry in entries)]
    return add, gone


def missing(arguments: list[str], command_line: str) -> list[str]:
    """Arguments that the running kernel was not given."""
    return [word for word in arguments if word not in command_line.split()]


def put(way: str, arguments: list[str], update: list[str], check: bool) -> bool:
    """Do it; whether there was, or in a check would be, something to do."""
    if way == "grubby":
        return _put_by_grubby(arguments, check)
    path = DROP_IN if way == "grub_drop_in" else GRUB
    there = path.read_text(encoding="utf-8") if path.exists() else ""
    wanted = drop_in(arguments) if way == "grub_drop_in" else grub_file(there, arguments)
    if wanted == there:
        return False
    if not check:
        path.parent.mkdir(exist_ok=True)
        _write(path, wanted)
        try:
            subprocess.run(update, check=True, stdout=subprocess.DEVNULL)
        except BaseException:
            # What the boot loader did not take up would look as if it were done.
            _write(path, there)
            raise
    return True


def _write(path: Path, text: str) -> None:
    """A file of its own goes with its last line."""
    if text:
        path.write_text(text, encoding="utf-8")
    else:
        path.unlink()


def _put_by_grubby(arguments: list[str], check: bool) -> bool:
    told = subprocess.run(["grubby", "--info=ALL"], check=True, stdout=subprocess.PIPE, text=True).stdout
    before = OURS.read_text(encoding="utf-8").split() if OURS.exists() else []
    add, gone = grubby(told, before, arguments)
    for option, words in (("--args", add), ("--remove-args", gone)):
        if words and not check:
            subprocess.run(["grubby", "--update-kernel=ALL", f"{option}={' '.join(words)}"], check=True)
    ours = [word for word in arguments if word in add or word in before]
    if not check and ours:
        OURS.write_text("\n".join(ours) + "\n", encoding="utf-8")
    elif not check and OURS.exists():
        OURS.unlink()
    return bool(add or gone)


def main(asked: dict[str, Any]) -> None:
    """Do it and tell."""
    needed = "grubby" if asked["way"] == "grubby" else asked["update"][0]
    if not shutil.which(needed, path="/usr/sbin:/usr/bin:/sbin:/bin"):
        raise SystemExit(
            f"there is no {needed} on this host: it boots in another way; give the kernel its arguments there"
        )
    changed = put(asked["way"], asked["arguments"], asked["update"], asked["check"])
    command_line = Path("/proc/cmdline").read_text(encoding="utf-8")
    print(json.dumps({"changed": changed, "missing": missing(asked["arguments"], command_line)}))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
