# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module that issues certificates: it keeps a CA in a folder, which many hosts' tasks may use at the same time."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import os
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from . import pki

if TYPE_CHECKING:
    from collections.abc import Iterator


def issue() -> None:
    """Issue a certificate, if the current one does not do."""
    module = AnsibleModule(
        argument_spec={
            "folder": {"type": "path", "required": True},
            "ca_name": {"type": "str", "default": "kvmfleet"},
            "passphrase": {"type": "str", "no_log": True},
            "names": {"type": "list", "elements": "str", "required": True},
            "request": {"type": "str", "default": ""},
            "current": {"type": "str", "default": ""},
            "days": {"type": "int", "default": 365},
            "renew_days": {"type": "int", "default": 30},
        },
        supports_check_mode=True,
    )
    if pki.MISSING:
        module.fail_json(msg=missing_required_lib("cryptography"), exception=pki.MISSING)
    if not module.params["names"] or module.params["days"] <= module.params["renew_days"]:
        module.fail_json(msg="names must not be empty, and days must be more than renew_days")
    try:
        module.exit_json(**answer(module.params, module.check_mode, datetime.datetime.now(datetime.timezone.utc)))
    except (pki.Refused, OSError) as error:
        module.fail_json(msg=f"{module.params['folder']}: {error}")


def answer(params: dict[str, Any], check_mode: bool, now: datetime.datetime) -> dict[str, Any]:
    """What the module returns. Raises Refused and OSError."""
    told = {"changed": True, "ca": "", "certificate": params["current"], "expires": ""}
    made, ca = False, _there(params)
    if ca is None and check_mode:
        return {**told, "reason": "there is no CA yet"}
    if ca is None:
        made, ca = _make(params, now)
    told["ca"] = ca.certificate_pem.decode()
    request, current = params["request"].encode(), params["current"].encode()
    if check_mode and not request:
        return {**told, "reason": "the host has no key yet"}
    reason = pki.why_issue(ca, current, request, params["names"], params["renew_days"], now)
    if reason and not check_mode:
        told["certificate"] = pki.issued(ca, request, params["names"], params["days"], now).decode()
    if told["certificate"] and not (reason and check_mode):
        told["expires"] = pki.end_of(told["certificate"].encode())
    return {**told, "changed": made or bool(reason), "reason": reason}


def _there(params: dict[str, Any]) -> pki.Authority | None:
    """The CA of the folder, if there is one."""
    paths = [os.path.join(params["folder"], name) for name in ("ca.pem", "ca.key")]
    # The key is written first: where the certificate is, both are.
    if not os.path.exists(paths[0]):
        return None
    pem, key = (_bytes(path) for path in paths)
    return pki.authority(pem, key, (params["passphrase"] or "").encode())


def _make(params: dict[str, Any], now: datetime.datetime) -> tuple[bool, pki.Authority]:
    """The CA, made by whoever comes first; and whether that was us."""
    folder = params["folder"]
    os.makedirs(folder, mode=0o700, exist_ok=True)
    with _alone(folder):
        there = _there(params)
        if there:
            return False, there
        ca = pki.new_authority(params["ca_name"], (params["passphrase"] or "").encode(), now)
        _write(os.path.join(folder, "ca.key"), ca.key_pem, 0o600)
        _write(os.path.join(folder, "ca.pem"), ca.certificate_pem, 0o644)
    return True, ca


@contextlib.contextmanager
def _alone(folder: str) -> Iterator[None]:
    """One at a time; the lock ends with the process, whatever ends that."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _bytes(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _write(path: str, content: bytes, mode: int) -> None:
    """The whole file or none of it, readable by others only if it may be, at no moment more."""
    part = f"{path}.part"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(part)
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(handle)
    os.rename(part, path)
