"""The Logstash version being played."""

import os
from pathlib import Path
from typing import NamedTuple

HOME = Path(__file__).resolve().parents[2]
"""`/usr/share/logstash` when installed: the package lies in its `lib/`."""


class Version(NamedTuple):
    """A release, compared like a tuple: `version >= (8, 16)`."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return ".".join(map(str, self))


def played() -> Version:
    """The version to play: `LOGSTASH_STANDIN_VERSION`, else the one line of the package's `VERSION` file.

    Raises `ValueError` for anything but three numbers, `OSError` when there is no such file.
    """
    text = os.environ.get("LOGSTASH_STANDIN_VERSION") or (HOME / "VERSION").read_text().strip()
    major, minor, patch = map(int, text.split("."))
    return Version(major, minor, patch)
