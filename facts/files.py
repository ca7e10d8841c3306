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
    """A file as it is: `mode` in octal, `sha256` of its content in hexadecimal."""

    mode: str
    user: str
    group: str
    sha256: str


def parse_files(output: list[str]) -> dict[str, FileState]:
    """Lines `MODE USER GROUP PATH`, then `--` and lines `SHA256  PATH`: the files that are in both parts."""
    if "--" not in output:
        return {}
    middle = output.index("--")
    sums = {path: sha256 for sha256, path in (line.split("  ", 1) for line in output[middle + 1 :])}
    files = {}
    for line in output[:middle]:
        mode, user, group, path = line.split(" ", 3)
        if path in sums:
            files[path] = FileState(mode=mode, user=user, group=group, sha256=sums[path])
    return files


class Files(FactBase[dict[str, FileState]]):
    """
    The files at `paths` that exist, by path. Needs root.

    Two processes read them all: on a small machine a process costs more than reading a file.

    .. code:: python

        {
            "/etc/logstash/logstash.yml": {
                "mode": "644",
                "user": "root",
                "group": "root",
                "sha256": "9e26bf369911c45c243c684147b23fc9e1dcfcf257d299a1c632016a6fcd33f4",
            },
        }
    """

    default = dict

    def command(self, paths: list[str]) -> str:
        quoted = shlex.join(paths)
        return (
            f"find {quoted} -maxdepth 0 -type f -printf '%m %u %g %p\\n' 2>/dev/null; echo --; "
            f"sha256sum {quoted} 2>/dev/null || true"
        )

    def process(self, output: list[str]) -> dict[str, FileState]:
        return parse_files(output)


class FileText(FactBase[list[str]]):
    """
    The lines of the file at `path`. keepalived's passwords are hidden before they leave the machine.

    .. code:: python

        ["authentication {", "    auth_pass ********", "}"]
    """

    default = list

    def command(self, path: str) -> str:
        quoted = shlex.quote(path)
        return f"! test -f {quoted} || sed '{_SED_MASK}' {quoted}"

    def process(self, output: list[str]) -> list[str]:
        return output


class MatchingFiles(FactBase[list[str]]):
    """
    The files that these patterns of the shell match. The shell looks for them itself.

    .. code:: python

        ["/etc/logstash/conf.d/logstash-ha.conf", "/etc/logstash/conf.d/other.conf"]
    """

    default = list

    def command(self, patterns: list[str]) -> str:
        return f'for file in {" ".join(patterns)}; do [ ! -f "$file" ] || echo "$file"; done'

    def process(self, output: list[str]) -> list[str]:
        return output
