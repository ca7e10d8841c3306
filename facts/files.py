"""A file's content, owner and mode."""

from __future__ import annotations

import re
import shlex
from typing import TypedDict

from pyinfra.api import FactBase

_SED_MASK = r"s/\(auth_pass[[:space:]]\+\)[^[:space:]]\+/\1********/"


def mask(text: str) -> str:
    """The text with keepalived's passwords hidden."""
    return re.sub(r"(auth_pass\s+)[^\s\x1b]+", r"\1********", text)


class FileState(TypedDict):
    """A file as it is."""

    mode: str
    user: str
    group: str
    sha256: str


def parse_file(output: list[str]) -> FileState | None:
    """A line with mode, owner and group, and one with the SHA-256; None without them."""
    if len(output) < 2:
        return None
    mode, user, group = output[0].split()
    return FileState(mode=mode, user=user, group=group, sha256=output[1].split()[0])


class File(FactBase[FileState | None]):
    """The file at `path`; None where there is no regular file."""

    def command(self, path: str) -> str:
        quoted = shlex.quote(path)
        return f"! test -f {quoted} || {{ stat -c '%a %U %G' {quoted}; sha256sum <{quoted}; }}"

    def process(self, output: list[str]) -> FileState | None:
        return parse_file(output)


class Text(FactBase[list[str]]):
    """The lines of the file at `path`. Passwords are hidden before they leave the machine."""

    default = list

    def command(self, path: str) -> str:
        quoted = shlex.quote(path)
        return f"! test -f {quoted} || sed '{_SED_MASK}' {quoted}"

    def process(self, output: list[str]) -> list[str]:
        return output
