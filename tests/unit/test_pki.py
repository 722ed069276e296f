# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A CA issues what OpenSSL believes, renews it in time, and keeps its key to itself."""

from __future__ import annotations

import datetime
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.kvmfleet.libvirt.plugins.module_utils import pki
from ansible_collections.kvmfleet.libvirt.plugins.module_utils.issue import answer

NOW = datetime.datetime(2026, 11, 26, 12, 0, tzinfo=datetime.timezone.utc)
DAY = datetime.timedelta(days=1)
NAMES = ["hv1.example.org", "192.0.2.7"]


def openssl(*words: str, stdin: str = "") -> str:
    return subprocess.run(["openssl", *words], input=stdin, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def request_pem() -> str:
    key = openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
    return openssl("req", "-new", "-key", "/dev/stdin", "-subj", "/CN=whoever", stdin=key)


def params(folder: Path, request: str, **other: Any) -> dict[str, Any]:
    return {
        "folder": str(folder / "pki"),
        "ca_name": "fleet",
        "passphrase": None,
        "names": NAMES,
        "request": request,
        "current": "",
        "days": 365,
        "renew_days": 30,
        **other,
    }


def test_what_is_issued_is_believed_for_its_names_and_both_usages(tmp_path: Path, request_pem: str) -> None:
    told = answer(params(tmp_path, request_pem), False, NOW)
    assert (told["changed"], told["reason"], told["expires"]) == (True, "there is none", "2027-11-26T12:00:00Z")
    (tmp_path / "host.pem").write_text(told["certificate"])
    at = ("-attime", str(int(NOW.timestamp())), "-CAfile", str(tmp_path / "pki" / "ca.pem"), "-x509_strict")
    for purpose in ("sslserver", "sslclient"):
        openssl("verify", *at, "-purpose", purpose, "-verify_hostname", NAMES[0], str(tmp_path / "host.pem"))
        openssl("verify", *at, "-purpose", purpose, "-verify_ip", NAMES[1], str(tmp_path / "host.pem"))
    with pytest.raises(subprocess.CalledProcessError):
        openssl("verify", *at, "-verify_hostname", "hv2.example.org", str(tmp_path / "host.pem"))
    assert "Subject: CN = hv1.example.org" in openssl("x509", "-in", str(tmp_path / "host.pem"), "-noout", "-text")
    assert (tmp_path / "pki" / "ca.key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "pki").stat().st_mode & 0o777 == 0o700


def test_second_run_changes_nothing_until_the_end_is_near(tmp_path: Path, request_pem: str) -> None:
    first = answer(params(tmp_path, request_pem), False, NOW)
    again = params(tmp_path, request_pem, current=first["certificate"])
    for later in (0, 1, 334):
        told = answer(again, False, NOW + later * DAY)
        assert (told["changed"], told["certificate"], told["ca"]) == (False, first["certificate"], first["ca"])
    told = answer(again, False, NOW + 335 * DAY)
    assert (told["changed"], told["reason"]) == (True, "it expires in 30 days")
    assert told["certificate"] != first["certificate"]
    assert answer(again, False, NOW + 400 * DAY)["reason"] == "it expires in 0 days"


def test_other_names_another_key_and_another_ca_are_reasons(tmp_path: Path, request_pem: str) -> None:
    first = answer(params(tmp_path, request_pem), False, NOW)["certificate"]

    def reason(folder: Path = tmp_path, request: str = request_pem, **other: Any) -> str:
        told = answer(params(folder, request, **{"current": first, **other}), False, NOW)
        assert told["changed"] == bool(told["reason"])
        return str(told["reason"])

    assert reason() == ""
    assert reason(names=NAMES[::-1]) == ""
    assert reason(names=[*NAMES, "hv1"]) == "the host has other names"
    assert reason(current="nonsense") == "the one that is there cannot be read"
    assert reason(folder=tmp_path / "other") == "the one that is there is from another CA"
    key = openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
    other = openssl("req", "-new", "-key", "/dev/stdin", "-subj", "/CN=x", stdin=key)
    assert reason(request=other) == "the host has another key"


def test_check_mode_foretells_and_makes_nothing(tmp_path: Path, request_pem: str) -> None:
    assert answer(params(tmp_path, ""), True, NOW)["reason"] == "there is no CA yet"
    assert list(tmp_path.iterdir()) == []
    first = answer(params(tmp_path, request_pem), False, NOW)
    told = answer(params(tmp_path, ""), True, NOW)
    assert (told["changed"], told["reason"]) == (True, "the host has no key yet")
    told = answer(params(tmp_path, request_pem), True, NOW)
    assert (told["changed"], told["certificate"]) == (True, "")
    told = answer(params(tmp_path, request_pem, current=first["certificate"]), True, NOW)
    assert told["changed"] is False


def test_passphrase_locks_the_key(tmp_path: Path, request_pem: str) -> None:
    answer(params(tmp_path, request_pem, passphrase="open sesame"), False, NOW)
    assert "ENCRYPTED" in (tmp_path / "pki" / "ca.key").read_text()
    with pytest.raises(pki.Refused, match="wants a passphrase"):
        answer(params(tmp_path, request_pem), False, NOW)
    with pytest.raises(pki.Refused, match="another passphrase"):
        answer(params(tmp_path, request_pem, passphrase="sesame"), False, NOW)
    answer(params(tmp_path, request_pem, passphrase="open sesame"), False, NOW)


def test_request_that_is_forged_or_none_is_refused(tmp_path: Path, request_pem: str) -> None:
    with pytest.raises(pki.Refused, match="cannot be read"):
        answer(params(tmp_path, "nonsense"), False, NOW)
    der = bytearray(
        subprocess.run(
            ["openssl", "req", "-outform", "DER"], input=request_pem.encode(), check=True, capture_output=True
        ).stdout
    )
    der[der.index(b"whoever")] ^= 1
    forged = subprocess.run(["openssl", "req", "-inform", "DER"], input=bytes(der), check=True, capture_output=True)
    with pytest.raises(pki.Refused, match="not signed"):
        answer(params(tmp_path, forged.stdout.decode()), False, NOW)


def test_hosts_that_come_at_once_get_one_ca(tmp_path: Path, request_pem: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(lambda _: answer(params(tmp_path, request_pem), False, NOW), range(16)))
    assert len({item["ca"] for item in told}) == 1


def test_ca_that_ends_too_soon_is_told(tmp_path: Path, request_pem: str) -> None:
    answer(params(tmp_path, request_pem), False, NOW)
    with pytest.raises(pki.Refused, match="the CA itself expires"):
        answer(params(tmp_path, request_pem), False, NOW + 365 * 20 * DAY)
