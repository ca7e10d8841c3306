"""The certificates of inputs with TLS: read from the operator's folder, checked, and made ready for the nodes.

Every function raises `ValueError` with the path and what to do; no key is in its text.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from pydantic import SecretStr

from cluster.errors import listed

# Only where there are certificates: this module is part of each start, and to import x509 takes long.
if TYPE_CHECKING:
    from cryptography import x509

_KEY = re.compile(r"-----BEGIN ([A-Z ]*)PRIVATE KEY-----.*?-----END \1PRIVATE KEY-----", re.DOTALL)
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True)
class TlsFiles:
    """What the nodes get for an input with TLS, as PEM."""

    certificate: str
    """The input's own certificate, and those between it and its CA."""
    key: SecretStr
    """Its private key in PKCS #8, the form that all of Logstash's inputs read."""
    ca: str | None
    """The certificates of the CAs that sign the senders' certificates."""
    fingerprint: str
    """The SHA-256 of the input's own certificate, in hexadecimal."""
    client: SecretStr | None = None
    """The certificate and the key, as PEM, that `verify.py --send` shows; the nodes do not get it."""

    @property
    def ends(self) -> datetime:
        """When the first of the input's certificates ends."""
        return earliest_end(self.certificate)


@dataclass(frozen=True)
class ApiFiles:
    """What the nodes get for a secured API."""

    username: str | None
    """Of the login; None without one."""
    password: SecretStr | None
    keystores: dict[str, SecretStr]
    """By node's name: the keystore, in PKCS #12 and base64. Empty without TLS."""
    keystore_password: SecretStr | None
    ca: str | None
    """The certificates of the CAs that sign the API's, as PEM."""
    certificates: dict[str, str]
    """By node's name: the certificates in its keystore, as PEM."""


@dataclass(frozen=True)
class Keystore:
    """A keystore of an API, as it was read."""

    content: SecretStr
    """The file in base64."""
    certificates: list[x509.Certificate]
    """Its own certificate, and those between it and its CA."""


def read_keystore(data: bytes, password: str) -> Keystore:
    """A keystore in PKCS #12. Raises `ValueError`: what is wrong with it, and what to do."""
    if data.startswith(b"\xfe\xed\xfe\xed"):
        raise ValueError(
            "is a keystore in Java's own format; make one in PKCS #12 of it "
            "(`keytool -importkeystore -srckeystore OLD -destkeystore NEW -deststoretype pkcs12`)"
        )
    if data.startswith(b"-----BEGIN"):
        raise ValueError(
            "is PEM, and Logstash's API takes a keystore; make one of it "
            "(`openssl pkcs12 -export -in CERTIFICATE -inkey KEY -out KEYSTORE`)"
        )
    from cryptography.hazmat.primitives.serialization.pkcs12 import load_pkcs12

    try:
        found = load_pkcs12(data, password.encode())
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError(
            "can't be opened with the KEYSTORE_PASSWORD in api.secrets; correct that, or name a keystore in PKCS #12"
        ) from None
    if found.key is None or found.cert is None:
        raise ValueError("holds no certificate with its private key; name a keystore that has both")
    certificates = [found.cert.certificate, *(each.certificate for each in found.additional_certs)]
    return Keystore(SecretStr(base64.b64encode(data).decode() + "\n"), certificates)


def signed_by(chain: Sequence[x509.Certificate], authorities: Sequence[x509.Certificate]) -> bool:
    """Whether one of these CAs has signed the first certificate of a chain, directly or by way of the others in it."""
    current = chain[0]
    for _ in chain:
        if current in authorities or any(_signs(authority, current) for authority in authorities):
            return True
        issuer = next((each for each in chain if each != current and _signs(each, current)), None)
        if issuer is None:
            return False
        current = issuer
    return False


def _signs(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def read_certificates(text: str) -> list[x509.Certificate]:
    """The certificates in a PEM file, in its order. Raises `ValueError` where there is none, or a broken one."""
    from cryptography import x509

    found = [x509.load_pem_x509_certificate(block.encode()) for block in _CERTIFICATE.findall(text)]
    if not found:
        raise ValueError("no certificate")
    return found


def earliest_end(text: str) -> datetime:
    """When the first of a PEM file's certificates ends. Raises `ValueError`."""
    return min(certificate.not_valid_after_utc for certificate in read_certificates(text))


def pem(certificates: Iterable[x509.Certificate]) -> str:
    """These certificates as the text of a file."""
    return "".join(certificate.public_bytes(Encoding.PEM).decode() for certificate in certificates)


def private_key(text: str, own: x509.Certificate) -> str:
    """The private key in a PEM file, in PKCS #8. Raises `ValueError`: what is wrong with it, and what to do."""
    block = _KEY.search(text)
    if block is None:
        raise ValueError("holds no private key in PEM; name the file that has the certificate's key")
    if "ENCRYPTED" in block[0]:
        raise ValueError(
            "is protected by a password; write the key without it into a file that only you may read "
            "(`openssl pkey -in OLD -out NEW`)"
        )
    try:
        key = load_pem_private_key(block[0].encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("holds a private key that can't be read; name the certificate's key") from None
    spki = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if key.public_key().public_bytes(*spki) != own.public_key().public_bytes(*spki):
        raise ValueError("is the key of another certificate; name the one that belongs to it")
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def fingerprint(certificate: x509.Certificate) -> str:
    """Its SHA-256 in hexadecimal."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def uncovered(certificate: x509.Certificate, names: Iterable[str]) -> str | None:
    """Of these names and addresses, the first that a certificate is not for (RFC 6125), in words; None where there is none."""
    from cryptography import x509

    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        hosts = [name.lower() for name in alternatives.get_values_for_type(x509.DNSName)]
        addresses = [str(address) for address in alternatives.get_values_for_type(x509.IPAddress)]
    except x509.ExtensionNotFound:
        hosts, addresses = [], []
    for name in names:
        if name not in addresses and not any(_covers(host, name.lower()) for host in hosts):
            return f"is for {listed([*hosts, *addresses]) or 'no name (subjectAltName)'}, and not for {name}"
    return None


def _covers(pattern: str, name: str) -> bool:
    """A wildcard stands for the first label."""
    if pattern.startswith("*."):
        first, _, rest = name.partition(".")
        return bool(first) and rest == pattern[2:] and not _is_address(name)
    return pattern == name


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def out_of_date(text: str, now: datetime | None = None) -> str | None:
    """Of the certificates in a PEM file, the first that is not valid now, in words; None where there is none."""
    now = now or datetime.now(UTC)
    for certificate in read_certificates(text):
        whose = certificate.subject.rfc4514_string() or "a certificate without a name"
        if now > certificate.not_valid_after_utc:
            return f"has expired: {whose}, on {certificate.not_valid_after_utc:%Y-%m-%d}"
        if now < certificate.not_valid_before_utc:
            return f"is not valid yet: {whose}, from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC on"
    return None
