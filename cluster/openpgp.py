"""OpenPGP keys (RFC 9580), and what they have signed: Sequoia reads them."""

from __future__ import annotations

from collections.abc import Sequence

from pysequoia import Cert, Sig, verify


class SigningKeys:
    """The public keys of one file."""

    def __init__(self, data: bytes) -> None:
        """Raises `ValueError` where the data holds no key, or a broken one."""
        try:
            self._certificates = Cert.split_bytes(data)
            self.text = data.decode("ascii")
        except (RuntimeError, UnicodeDecodeError):
            self._certificates = []
        if not self._certificates:
            raise ValueError(
                "holds no OpenPGP key in ASCII armor; name a file that begins with -----BEGIN PGP PUBLIC KEY BLOCK-----"
            )

    @property
    def fingerprints(self) -> list[str]:
        """The keys' fingerprints, in capitals."""
        return [certificate.fingerprint.upper() for certificate in self._certificates]

    def require(self, fingerprints: Sequence[str]) -> None:
        """Raise `ValueError` where there is a key with another fingerprint than these."""
        for found in self.fingerprints:
            if found not in fingerprints:
                raise ValueError(
                    f"holds the key {found}, which is not in key_fingerprints ({', '.join(fingerprints)}); take the right file, "
                    "or, where that key is to be trusted, write its fingerprint there"
                )

    def signed(self, data: bytes, signature: bytes) -> bool:
        """Whether one of the keys has made this detached signature of the data."""
        try:
            return bool(
                verify(
                    bytes=data, store=lambda _: self._certificates, signature=Sig.from_bytes(signature)
                ).valid_sigs
            )
        except RuntimeError:
            return False
