"""An RPM file: what it is a package of, and its signature.

The format is that of rpm 4 (https://rpm-software-management.github.io/rpm/manual/format_v4.html): a lead, the header with
signatures, the header with the metadata, and the payload, whose digest is in that header.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

_LEAD = 96
_LEAD_MAGIC = b"\xed\xab\xee\xdb"
_HEADER_MAGIC = b"\x8e\xad\xe8\x01"
_LIMIT = 64 << 20
"""Bytes of a header at most: rpm itself refuses 256 MB, and Logstash's has 3."""
_NAME, _VERSION, _RELEASE, _ARCH, _SOURCE = 1000, 1001, 1002, 1022, 1106
_DSA, _RSA = 267, 268
"""Signatures of the header with the metadata: by DSA or EdDSA, and by RSA."""


class RpmError(Exception):
    """What is wrong with an RPM file, and what to do."""


@dataclass(frozen=True)
class RpmFile:
    """A package in a local file."""

    path: Path
    name: str
    version: str
    release: str
    arch: str
    size: int

    @property
    def file_name(self) -> str:
        """Its usual file name."""
        return f"{self.name}-{self.version}-{self.release}.{self.arch}.rpm"

    @property
    def sha256(self) -> str:
        """The SHA-256 of the whole file, in hexadecimal."""
        return _sha256(self.path, self.path.stat().st_mtime_ns)


@lru_cache
def _sha256(path: Path, _: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class Signed:
    """A package with its signed part."""

    rpm: RpmFile
    header: bytes
    signature: bytes | None


class _Header:
    """A header: values by tag."""

    def __init__(self, file: BinaryIO) -> None:
        """Raises `ValueError` where none begins here."""
        intro = file.read(16)
        if len(intro) != 16 or not intro.startswith(_HEADER_MAGIC):
            raise ValueError
        count, size = struct.unpack(">8x2I", intro)
        if 16 * count + size > _LIMIT:
            raise ValueError
        index, self._store = file.read(16 * count), file.read(size)
        if len(self._store) != size:
            raise ValueError
        self.bytes = intro + index + self._store
        entries = (struct.unpack(">4I", index[place : place + 16]) for place in range(0, len(index), 16))
        self._entries = {tag: (offset, length) for tag, _, offset, length in entries}

    def text(self, tag: int) -> str:
        """Raises `ValueError` where there is no such text."""
        if tag not in self._entries:
            raise ValueError
        begin = self._entries[tag][0]
        return self._store[begin : self._store.index(b"\0", begin)].decode("ascii")

    def binary(self, tag: int) -> bytes | None:
        if tag not in self._entries:
            return None
        begin, length = self._entries[tag]
        return self._store[begin : begin + length]

    def has(self, tag: int) -> bool:
        return tag in self._entries


def read_rpm(path: Path) -> Signed:
    """What an RPM file says of itself. Raises `RpmError` and `OSError`."""
    try:
        with path.open("rb") as file:
            if not file.read(_LEAD).startswith(_LEAD_MAGIC):
                raise ValueError
            signatures = _Header(file)
            file.read(-len(signatures.bytes) % 8)
            header = _Header(file)
            size = file.seek(0, 2)
        name, version, release, arch = (header.text(tag) for tag in (_NAME, _VERSION, _RELEASE, _ARCH))
    except (ValueError, struct.error):  # UnicodeDecodeError among them
        raise RpmError("is not an RPM, or a part of one; fetch it again") from None
    if header.has(_SOURCE):
        raise RpmError("is a source package; take the one that is built of it")
    return Signed(
        RpmFile(path, name, version, release, arch, size),
        header.bytes,
        signatures.binary(_RSA) or signatures.binary(_DSA),
    )
