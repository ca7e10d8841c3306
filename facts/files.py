"""A file's content, owner and mode."""

from __future__ import annotations

import re
import shlex
from typing import TypedDict

from pyinfra.api import FactBase

_AUTH_PASS = r"(auth_pass[ \t]+)[^ \t\n\x1b]+", r"\1********"
_URL = r"(://[^/@ \t\n]*:)[^/@ \t\n]+@", r"\1********@"
_NAMES = ("password", "passwd", "passphrase", "secret", "token", "api_key", "cloud_auth")
_NAMED = rf"(({'|'.join(_NAMES)})[a-z0-9_.-]*[\"']?[ \t]*"
# A variable such as ${NAME} is no secret.
_VALUE = r"[ \t]*[\"']?)([^$>\"' \t\n\x1b]|\$[^{\n])[^\n\x1b]*", r"\1********"
_IN_LOGS = (_AUTH_PASS, _URL, (f"{_NAMED}=>{_VALUE[0]}", _VALUE[1]))
_IN_FILES = (_AUTH_PASS, _URL, (f"{_NAMED}(=>|=|:){_VALUE[0]}", _VALUE[1]))
"""Extended regular expressions that Python and GNU sed read alike, and what takes their place."""
_HINTS = (*_NAMES, "auth_pass", "://")
"""One of them is in every text that has something to hide; but to Python some letters beyond ASCII are other spellings of these."""


def _masked(text: str, rules: tuple[tuple[str, str], ...]) -> str:
    if text.isascii():
        folded = text.lower()
        if not any(hint in folded for hint in _HINTS):  # as in nearly all that is logged
            return text
    for pattern, replacement in rules:
        text = re.sub(pattern, replacement, text, flags=re.IGNORECASE)
    return text


def mask(text: str) -> str:
    """A message with its passwords hidden: keepalived's, those in URLs, and the values of a pipeline's options for secrets."""
    return _masked(text, _IN_LOGS)


def mask_file(text: str) -> str:
    """A file's text with its passwords hidden: also the values of all settings whose names say that they are secret."""
    return _masked(text, _IN_FILES)


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
    The lines of the file at `path`. Passwords are hidden (`mask_file`) before they leave the machine.

    .. code:: python

        ["authentication {", "    auth_pass ********", "}"]
    """

    default = list

    def command(self, path: str) -> str:
        quoted = shlex.quote(path)
        script = "; ".join(f"s#{pattern}#{replacement}#gI" for pattern, replacement in _IN_FILES)
        return f"! test -f {quoted} || sed -r {shlex.quote(script)} {quoted}"

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
