"""Packages for tests: a key, RPM files that it has signed, and repositories' metadata."""

from __future__ import annotations

import base64
import bz2
import gzip
import lzma
import re
import struct
from collections.abc import Callable, Mapping
from pathlib import Path

import zstandard
from pysequoia import SignatureMode, Tsk, sign

COMPRESSIONS: Mapping[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".zst": lambda data: zstandard.ZstdCompressor().compress(data),
    ".bz2": bz2.compress,
    "": lambda data: data,
}
"""How createrepo_c may compress a file, by the end of its name."""


class Signer:
    """A key, whose public half is in a file of this folder."""

    def __init__(self, folder: Path, name: str = "signer") -> None:
        self._key = Tsk.generate(f"{name} <{name}@example.com>")
        certificate = self._key.extract_certificate()
        self.fingerprint = certificate.fingerprint.upper()
        self.file = folder / f"{name}.asc"
        self.file_text = str(certificate)
        self.file.write_text(self.file_text)

    def rpm(
        self, folder: Path, name: str = "logstash", version: str = "8.19.3", *, arch: str = "x86_64"
    ) -> Path:
        """An RPM file with a header and a payload that says nothing."""
        header = _header({1000: name, 1001: version, 1002: "1", 1022: arch})
        signatures = _header({268: self._signature(header)})
        path = folder / f"{name}-{version}-1.{arch}.rpm"
        lead = b"\xed\xab\xee\xdb\x03\x00".ljust(96, b"\0")
        path.write_bytes(lead + signatures + b"\0" * (-len(signatures) % 8) + header + b"payload")
        return path

    def _signature(self, data: bytes) -> bytes:
        armored = sign(self._key.signer(), data, mode=SignatureMode.DETACHED).decode()
        lines = armored.partition("\n\n")[2].splitlines()
        return base64.b64decode("".join(line for line in lines if not re.match("[=-]", line)))


def _header(values: Mapping[int, str | bytes]) -> bytes:
    index, store = b"", b""
    for tag, value in sorted(values.items()):
        data = value if isinstance(value, bytes) else value.encode() + b"\0"
        kind, count = (7, len(data)) if isinstance(value, bytes) else (6, 1)
        index += struct.pack(">4I", tag, kind, len(store), count)
        store += data
    return b"\x8e\xad\xe8\x01" + struct.pack(">4x2I", len(values), len(store)) + index + store


def write_repository(folder: Path, *versions: str, compression: str = ".gz") -> None:
    """The metadata of a repository with these versions of Logstash, and another package, as createrepo_c writes it."""
    packages = "".join(
        f'<package type="rpm"><name>{name}</name><arch>x86_64</arch><version epoch="1" ver="{version}" rel="{release}"/></package>'
        for name, version, release in [
            ("filebeat", "8.99.0", "1"),
            *(("logstash", *_split(version)) for version in versions),
        ]
    )
    primary = f'<metadata xmlns="http://linux.duke.edu/metadata/common">{packages}</metadata>'
    name = f"repodata/abc-primary.xml{compression}"
    (folder / "repodata").mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(COMPRESSIONS[compression](primary.encode()))
    (folder / "repodata/repomd.xml").write_text(
        '<repomd xmlns="http://linux.duke.edu/metadata/repo">'
        '<data type="filelists"><location href="repodata/filelists.xml.gz"/></data>'
        f'<data type="primary"><location href="{name}"/></data></repomd>'
    )


def _split(version: str) -> tuple[str, str]:
    name, _, release = version.partition("-")
    return name, release or "1"
