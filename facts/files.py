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


def parse_files(output: list[str]) -> dict[str, FileState | None]:
    """Lines `MODE USER GROUP SHA256 PATH`; `- PATH` where there is no regular file."""
    files: dict[str, FileState | None] = {}
    for line in output:
        if line.startswith("- "):
            files[line[2:]] = None
        else:
            mode, user, group, sha256, path = line.split(" ", 4)
            files[path] = FileState(mode=mode, user=user, group=group, sha256=sha256)
    return files


class Files(FactBase[dict[str, FileState | None]]):
    """The files at `paths`, by path; None where there is no regular file. Needs root."""

    default = dict

    def command(self, paths: list[str]) -> str:
        return (
            f"for file in {shlex.join(paths)}; do "
            'if test -f "$file"; then '
            'echo "$(stat -c \'%a %U %G\' "$file") $(sha256sum <"$file" | cut -d \' \' -f 1) $file"; '
            'else echo "- $file"; fi; done'
        )

    def process(self, output: list[str]) -> dict[str, FileState | None]:
        return parse_files(output)


class Text(FactBase[list[str]]):
    """The lines of the file at `path`. Passwords are hidden before they leave the machine."""

    default = list

    def command(self, path: str) -> str:
        quoted = shlex.quote(path)
        return f"! test -f {quoted} || sed '{_SED_MASK}' {quoted}"

    def process(self, output: list[str]) -> list[str]:
        return output
