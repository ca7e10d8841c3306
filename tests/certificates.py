"""Certificates for tests, as an operator has them beside the inventory."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import cast

import trustme
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, load_pem_private_key
from cryptography.hazmat.primitives.serialization.pkcs12 import (
    PKCS12PrivateKeyTypes,
    serialize_key_and_certificates,
)
from cryptography.x509 import load_pem_x509_certificate


class Authority:
    """A CA, whose certificates are written into a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca = trustme.CA()
        self.ca_file = folder / "ca.pem"
        self.ca.cert_pem.write_to_path(self.ca_file)

    def issue(
        self,
        name: str,
        *names: str,
        not_before: datetime | None = None,
        not_after: datetime | None = None,
        key_type: trustme.KeyType = trustme.KeyType.ECDSA,
    ) -> dict[str, str]:
        """`NAME.pem` and `NAME.key`, for these names and addresses: the settings that name them."""
        made = self.ca.issue_cert(*names, not_before=not_before, not_after=not_after, key_type=key_type)
        certificate, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        certificate.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
        made.private_key_pem.write_to_path(key)
        return {"certificate": str(certificate), "key": str(key)}

    def keystore(self, name: str, password: str, *names: str, not_after: datetime | None = None) -> Path:
        """`NAME.p12` for these names and addresses, with this password."""
        made = self.ca.issue_cert(*names, not_after=not_after)
        key = cast(PKCS12PrivateKeyTypes, load_pem_private_key(made.private_key_pem.bytes(), None))
        certificate = load_pem_x509_certificate(made.cert_chain_pems[0].bytes())
        path = self.folder / f"{name}.p12"
        path.write_bytes(
            serialize_key_and_certificates(
                name.encode(), key, certificate, None, BestAvailableEncryption(password.encode())
            )
        )
        return path
