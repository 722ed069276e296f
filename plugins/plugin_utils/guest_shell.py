# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a guest's shell is given to run, so that a command finds there what it finds after a login by ssh.

The agent has no terminal, takes input only at the start and hands output over only at the end. Output therefore goes
to files first: it may be too much for the agent, and it shows whether a password is asked for.
"""

from __future__ import annotations

from typing import Any, Callable, NamedTuple

SHELL = "/bin/sh"

# As a service, the agent may have neither a home nor a path.
_BEGIN = """
limit=$1 mark=$2 command=$3 user=$4 d=$5 prompt=$6 success=$7 tries=$8
case $HOME in /?*) ;; *) HOME=~root ;; esac
case $HOME in /*) ;; *) HOME=/root ;; esac
PATH=${PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin} USER=${USER:-root} LOGNAME=${LOGNAME:-root}
export HOME PATH USER LOGNAME
cd "$HOME" 2>/dev/null || cd /
run() {
    if [ "$user" ]; then su -s /bin/sh "$user" -c "cd 2>/dev/null; $command"; else (alone); fi
}
# As a shell of its own would, which an emulated guest needs some 20 ms to start: nothing of this script is seen.
alone() {
    unset limit mark user d prompt success tries
    eval "unset command; unset -f run alone; set --
$command"
}
trap 'rm -rf "$d"; exit 143' HUP TERM
if [ "$d" ]; then exec <"$d/stdin"; else d=$(mktemp -d "${TMPDIR:-/tmp}/.kvmfleet-XXXXXXXXXX" 2>/dev/null); fi
"""

# A guest that has no place for files has to do without them.
_PLAIN = """
[ "$d" ] || { run; exit; }
run >"$d/out" 2>"$d/err"
s=$?
"""

# The password is the first line of the input, and the rest is the command's. It is passed on when it is asked for, and
# not if it is not: root is never asked, nor is a user who needs no password. A second question means that the password
# was wrong; the end of the input is the answer to that.
_ASKED = """
[ "$d" ] || { echo "there is no place for files in the guest, which a become password needs" >&2; exit 1; }
IFS= read -r password
mkfifo "$d/in" || exit 1
# Both are there before they are looked into: the command may not have begun yet.
: >"$d/out" 2>"$d/err"
{ run <"$d/in" >"$d/out" 2>"$d/err"; echo $? >"$d/status"; } &
exec 3>"$d/in"
n=0 sent=0
until [ -s "$d/status" ] || grep -qF -e "$success" "$d/out" || [ "$n" -ge "$tries" ]; do
    asked=$(cat "$d/out" "$d/err" | grep -oF -e "$prompt" | wc -l)
    [ "$asked" -gt 1 ] && break
    [ "$asked" -gt "$sent" ] && { printf '%s\\n' "$password" >&3; sent=1; }
    sleep 0.1 2>/dev/null || sleep 1
    n=$((n + 1))
done
password=
grep -qF -e "$success" "$d/out" && cat >&3 2>/dev/null
exec 3>&-
wait
s=$(cat "$d/status")
"""

# Each program that is started costs a small task in an emulated guest some milliseconds; most commands print little or nothing.
_END = """
n=0
if [ -s "$d/out" ] || [ -s "$d/err" ]; then
    # The last line is the sum and a word for it, which is in the user's language.
    n=$(wc -c "$d/out" "$d/err")
    n=${n% *} n=${n##*[!0-9]}
fi
if [ "$n" -gt "$limit" ]; then
    printf '%s%s' "$mark" "$d"
else
    [ -s "$d/out" ] && cat "$d/out"
    [ -s "$d/err" ] && cat "$d/err" >&2
    rm -rf "$d"
fi
exit "$s"
"""

FOLDER = 'mktemp -d "${TMPDIR:-/tmp}/.kvmfleet-XXXXXXXXXX"'
"""Makes a folder that only its owner sees, and prints its name."""


class Prompt(NamedTuple):
    """How it is seen that a password is asked for, and that it was accepted. tries: tenths of a second to wait for that."""

    text: str
    success: str
    tries: int


class Call(NamedTuple):
    """A command line to run. user: as whom, root when empty. limit: how many bytes of output the agent may carry; of a
    larger output, only mark and the name of the folder that keeps it are printed. folder: one that exists already and
    holds the input in its file "stdin". prompt: the first line of the input is a password that may be asked for.
    """

    command: str
    user: str
    limit: int
    mark: str
    folder: str = ""
    prompt: Prompt | None = None


def arguments(call: Call) -> list[str]:
    """The arguments for the guest's shell."""
    script = _BEGIN + (_ASKED if call.prompt else _PLAIN) + _END
    words = ["-c", script, SHELL, str(call.limit), call.mark, call.command, call.user, call.folder]
    return [*words, call.prompt.text, call.prompt.success, str(call.prompt.tries)] if call.prompt else words


def windows_program(command: str, encode: Callable[..., Any]) -> tuple[str, list[str]]:
    """The program that carries out a command line in a Windows guest, and its arguments: there is no shell in between.

    encode: makes a command for PowerShell of a script, as Ansible's shell plugin does.
    """
    plain = {"strict_mode": False, "preserve_rc": False}
    if command.startswith("type "):
        # What is kept of a module for a look at it, piped into PowerShell: that takes cmd.
        return "cmd.exe", ["/c", *command.split(" ")]
    is_encoded = command.startswith(encode("", as_list=False, **plain))
    words: list[str] = command.split(" ") if is_encoded else encode(command, as_list=True, **plain)
    return words[0], words[1:]


def folder_of(out: bytes, mark: str) -> str | None:
    """The folder that keeps a large output; None when this is the output itself."""
    return out[len(mark) :].decode() if out.startswith(mark.encode()) else None
