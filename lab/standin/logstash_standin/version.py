"""The simulated version of Logstash."""

import os
from pathlib import Path
from typing import NamedTuple

HOME = Path(__file__).resolve().parents[2]
"""`/usr/share/logstash` when installed: this package is in its folder `lib`."""


class Version(NamedTuple):
    """A version, which compares like a tuple: `version >= (8, 16)`."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return ".".join(map(str, self))


def simulated_version() -> Version:
    """`LOGSTASH_STANDIN_VERSION`, or else the version in the package's file `VERSION`.

    Raises `ValueError` for anything but three numbers, `OSError` when there is no such file.
    """
    text = os.environ.get("LOGSTASH_STANDIN_VERSION") or (HOME / "VERSION").read_text().strip()
    major, minor, patch = map(int, text.split("."))
    return Version(major, minor, patch)
