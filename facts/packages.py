"""What the rpm database holds."""

from __future__ import annotations

import re
import shlex

from pyinfra.api import FactBase

_NO_PROVIDER = re.compile(r"no package provides (\S+)")


def parse_missing(output: list[str]) -> list[str]:
    """The names that `rpm -q --whatprovides` finds no package for, in its order."""
    return [match[1] for line in output if (match := _NO_PROVIDER.fullmatch(line.strip()))]


class Missing(FactBase[list[str]]):
    """Those of these packages (or of what packages provide, such as `java`) that are not installed."""

    default = list

    def command(self, packages: list[str]) -> str:
        return f"LC_ALL=C rpm -q --whatprovides {shlex.join(packages)} || true"

    def process(self, output: list[str]) -> list[str]:
        return parse_missing(output)


class KeyImported(FactBase[bool]):
    """Whether the GPG key in the file `path` is in the rpm database; False without that file.

    rpm names keys its own way, which varies with its version. So the file is imported into an
    empty database of its own, and the names there are compared with the real one's.
    """

    default = bool

    def command(self, path: str) -> str:
        key = shlex.quote(path)
        return (
            f"! test -f {key} || {{ scratch=$(mktemp -d); rpm --dbpath $scratch --import {key};"
            " echo file; rpm --dbpath $scratch -q gpg-pubkey; rm -rf $scratch;"
            " echo database; rpm -q gpg-pubkey; } || true"
        )

    def process(self, output: list[str]) -> bool:
        return parse_key_imported(output)


def parse_key_imported(output: list[str]) -> bool:
    """Whether all keys listed between `file` and `database` are listed again after `database`."""
    if "database" not in output:
        return False
    middle = output.index("database")
    keys = [
        [line for line in part if line.startswith("gpg-pubkey-")]
        for part in (output[:middle], output[middle:])
    ]
    return bool(keys[0]) and set(keys[0]) <= set(keys[1])
