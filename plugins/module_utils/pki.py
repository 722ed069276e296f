# Copyright (c) 2026, kvmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small certificate authority for hosts that speak TLS with each other. Pure: bytes in, bytes out, the clock is given.

What a certificate has to be like is what libvirt and QEMU check when they load one (virnettlscontext.c, tlscredsx509.c):
a CA with the key usage to sign, an end entity with the usages of a server and of a client, and a host's names.
"""

from __future__ import annotations

import datetime
import ipaddress
from typing import TYPE_CHECKING, Any, NamedTuple

try:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    MISSING = ""
except ImportError as error:
    MISSING = str(error)

if TYPE_CHECKING:
    from collections.abc import Iterable

YEARS_OF_CA = 20
BACKDATED = datetime.timedelta(hours=1)
"""A host's clock may be behind the controller's."""


class Refused(Exception):
    """What is wrong with a CA, a request or a passphrase."""


class Authority(NamedTuple):
    """A CA: its certificate and private key, and both as PEM."""

    certificate: Any
    key: Any
    certificate_pem: bytes
    key_pem: bytes


def new_authority(name: str, passphrase: bytes, now: datetime.datetime) -> Authority:
    """A CA of its own, with a key that is encrypted if there is a passphrase."""
    key = ec.generate_private_key(ec.SECP384R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + datetime.timedelta(days=365 * YEARS_OF_CA))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA384())
    )
    locked = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    key_pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked)
    return Authority(certificate, key, certificate.public_bytes(serialization.Encoding.PEM), key_pem)


def authority(certificate_pem: bytes, key_pem: bytes, passphrase: bytes) -> Authority:
    """The CA that somebody made before. Raises Refused."""
    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem)
        key = serialization.load_pem_private_key(key_pem, passphrase or None)
    except TypeError:
        raise Refused("the CA's key " + ("has no passphrase" if passphrase else "wants a passphrase")) from None
    except ValueError:
        raise Refused("the CA cannot be read: damaged, or another passphrase") from None
    if _bytes_of(certificate.public_key()) != _bytes_of(key.public_key()):
        raise Refused("the CA's key does not belong to its certificate")
    return Authority(certificate, key, certificate_pem, key_pem)


def issued(ca: Authority, request_pem: bytes, names: Iterable[str], days: int, now: datetime.datetime) -> bytes:
    """A certificate for the key of a request: the first name is its common name, all are its alternative names.

    Nothing but the key is taken from the request. Raises Refused.
    """
    names = list(names)
    until = now + datetime.timedelta(days=days)
    if until > _end(ca.certificate):
        raise Refused("the CA itself expires before that: another one has to take its place")
    key = _request(request_pem).public_key()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])]))
        .issuer_name(ca.certificate.subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(until)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(x509.SubjectAlternativeName(_alternatives(names)), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.key.public_key()), critical=False)
        .sign(ca.key, hashes.SHA384())
    )
    return bytes(certificate.public_bytes(serialization.Encoding.PEM))


def why_issue(
    ca: Authority, current_pem: bytes, request_pem: bytes, names: Iterable[str], renew_days: int, now: datetime.datetime
) -> str:
    """Why a certificate has to be issued, or "" if the current one is good for more than `renew_days`."""
    if not current_pem.strip():
        return "there is none"
    try:
        current = x509.load_pem_x509_certificate(current_pem)
    except ValueError:
        return "the one that is there cannot be read"
    try:
        ca.key.public_key().verify(
            current.signature, current.tbs_certificate_bytes, ec.ECDSA(current.signature_hash_algorithm)
        )
    except (InvalidSignature, TypeError, ValueError):
        return "the one that is there is from another CA"
    if _bytes_of(current.public_key()) != _bytes_of(_request(request_pem).public_key()):
        return "the host has another key"
    there = current.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    if set(there) != set(_alternatives(names)):
        return "the host has other names"
    left = _end(current) - now
    return f"it expires in {max(left.days, 0)} days" if left <= datetime.timedelta(days=renew_days) else ""


def end_of(certificate_pem: bytes) -> str:
    """When a certificate expires, in UTC."""
    return _end(x509.load_pem_x509_certificate(certificate_pem)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _request(pem: bytes) -> Any:
    try:
        request = x509.load_pem_x509_csr(pem)
    except ValueError:
        raise Refused("the request cannot be read") from None
    if not request.is_signature_valid:
        raise Refused("the request is not signed with the key that is in it")
    return request


def _alternatives(names: Iterable[str]) -> list[Any]:
    found: list[Any] = []
    for name in names:
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            found.append(x509.DNSName(name))
    return found


def _usage(*, signs_certificates: bool) -> Any:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=not signs_certificates,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _bytes_of(key: Any) -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return bytes(key.public_bytes(serialization.Encoding.DER, form))


def _end(certificate: Any) -> datetime.datetime:
    """Aware also where cryptography is older than 42."""
    found: datetime.datetime | None = getattr(certificate, "not_valid_after_utc", None)
    return found or certificate.not_valid_after.replace(tzinfo=datetime.timezone.utc)
