# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Has users who may speak to libvirt by SASL, with a password (SCRAM), in a database of libvirt's own. Users that
others put into it stay; passwords are given to saslpasswd2 alone. What was there before is remembered, and comes back
when no user is declared any more.

Prints {"changed": [sentences], "conf": whether libvirt's SASL configuration changed, "problem": ""} as JSON.

usage: sasl.py <<< '{"users": [{"name": "alice", "password": "…"}], "check": false}'
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

CONF = Path("/etc/sasl2/libvirt.conf")
DATABASE = Path("/etc/libvirt/passwd.db")
RECORD = Path("/var/lib/kvmfleet/sasl.json")
SETTINGS = {"mech_list": "scram-sha-256", "sasldb_path": str(DATABASE)}


class Refused(Exception):
    """A program of SASL could not do what it was asked."""


def configured(text: str) -> str:
    """The SASL configuration of libvirt with our settings in the place of others of the same name."""
    for name, value in SETTINGS.items():
        line = re.compile(rf"^{name}[ \t]*:.*\n?", re.MULTILINE)
        if not re.search(rf"^{name}: {re.escape(value)}$", text, re.MULTILINE) or len(line.findall(text)) != 1:
            text = line.sub("", text)
            text += ("\n" if text and not text.endswith("\n") else "") + f"{name}: {value}\n"
    return text


def digest(password: str, salt: str = "") -> str:
    """By which a password is known again, as the database is not for reading."""
    salt = salt or secrets.token_hex(16)
    made = hashlib.pbkdf2_hmac("sha256", password.encode(), bytes.fromhex(salt), 200_000)
    return f"{salt}${made.hex()}"


def is_of(password: str, known: str) -> bool:
    """Whether a digest is that of a password."""
    return hmac.compare_digest(digest(password, known.partition("$")[0]), known)


def users_there() -> list[str]:
    """Names in the database."""
    if not DATABASE.exists() or not shutil.which("sasldblistusers2"):
        return []
    told = subprocess.run(
        ["sasldblistusers2", "-f", str(DATABASE)], check=False, stdout=subprocess.PIPE, text=True
    ).stdout
    return [line.partition("@")[0] for line in told.splitlines() if ": userPassword" in line]


def give(name: str, password: str) -> None:
    """Put a user with a password into the database."""
    _call(["saslpasswd2", "-p", "-c", "-a", "libvirt", "-f", str(DATABASE), name], password)
    DATABASE.chmod(0o600)


def take(name: str) -> None:
    """Take a user out of the database."""
    _call(["saslpasswd2", "-d", "-a", "libvirt", "-f", str(DATABASE), name])


def _call(command: list[str], given: str = "") -> None:
    done = subprocess.run(command, input=given, check=False, capture_output=True, text=True)
    if done.returncode:
        raise Refused(f"{' '.join(command)}: {done.stderr.strip()}")


def plan(users: dict[str, str], there: list[str], ours: dict[str, str]) -> tuple[list[str], list[str]]:
    """Whom to give a password, and whom to take out: who was ours and is no longer declared."""
    give = [
        name
        for name, password in users.items()
        if name not in there or name not in ours or not is_of(password, ours[name])
    ]
    return give, [name for name in ours if name not in users and name in there]


def main(asked: dict[str, Any]) -> dict[str, Any]:
    """Do it; what to print."""
    record = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {"users": {}}
    there_conf = CONF.read_text(encoding="utf-8") if CONF.exists() else ""
    wanted = {user["name"]: user["password"] for user in asked["users"] or []}
    if wanted and not shutil.which("saslpasswd2") and not asked["check"]:
        return {"changed": [], "conf": False, "problem": "there is no saslpasswd2 on this host"}
    former = record.get("conf", there_conf)
    conf = configured(there_conf) if wanted else former if there_conf == configured(former) else there_conf
    coming, going = plan(wanted, users_there(), record["users"])
    told = [f"{name} has another password or is new" for name in coming] + [f"{name} is gone" for name in going]
    told += [f"{CONF} is another"] if conf != there_conf else []
    if not asked["check"]:
        if wanted and "conf" not in record:
            _remember({"users": {}, "conf": there_conf})
        if conf != there_conf:
            CONF.parent.mkdir(exist_ok=True)
            CONF.write_text(conf, encoding="utf-8")
        kept = {name: known for name, known in record["users"].items() if name in wanted}
        for name in coming:
            give(name, wanted[name])
            kept[name] = digest(wanted[name])
        for name in going:
            take(name)
        _remember({"users": kept, "conf": former} if wanted else {})
    return {"changed": told, "conf": conf != there_conf, "problem": ""}


def _remember(record: dict[str, Any]) -> None:
    """Keep the record, root's alone; it goes with its last entry."""
    if not record:
        RECORD.unlink(missing_ok=True)
        return
    RECORD.parent.mkdir(exist_ok=True)
    handle = os.open(RECORD, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    try:
        answer = main(json.load(sys.stdin))
    except Refused as refused:
        answer = {"changed": [], "conf": False, "problem": str(refused)}
    print(json.dumps(answer))
