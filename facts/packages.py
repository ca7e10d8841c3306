"""Packages: what the rpm database holds, and what a repository offers."""

from __future__ import annotations

import re
import shlex

from pyinfra.api import FactBase

_NO_PROVIDER = re.compile(r"no package provides (\S+)")
_RELEASED = re.compile(r"(?:\d+:)?(\d+\.\d+\.\d+)-\d+")


def parse_missing(output: list[str]) -> list[str]:
    """The names that `rpm -q --whatprovides` finds no package for, in the order of its output."""
    return [match[1] for line in output if (match := _NO_PROVIDER.fullmatch(line.strip()))]


class MissingPackages(FactBase[list[str]]):
    """
    The packages among these, or the capabilities that packages provide, that are not installed.

    .. code:: python

        ["ipvsadm", "keepalived"]
    """

    default = list

    def command(self, packages: list[str]) -> str:
        return f"LC_ALL=C rpm -q --whatprovides {shlex.join(packages)} || true"

    def process(self, output: list[str]) -> list[str]:
        return parse_missing(output)


class PackageVersion(FactBase[str | None]):
    """
    The version of an installed package; None where it is not installed.

    .. code:: python

        "8.19.3"
    """

    def command(self, package: str) -> str:
        return f"rpm -q --queryformat '%{{VERSION}}\\n' {shlex.quote(package)} || true"

    def process(self, output: list[str]) -> str | None:
        return output[0].strip() if output and " " not in output[0].strip() else None


def version_key(version: str) -> tuple[int, ...]:
    """A version such as `8.19.3` as numbers, for comparing."""
    return tuple(int(number) for number in re.findall(r"\d+", version))


def parse_offered(output: list[str]) -> list[str]:
    """The releases, no candidates or snapshots, in lines `EPOCH:VERSION-RELEASE`: versions, the newest
    last."""
    matches = (_RELEASED.fullmatch(line.strip()) for line in output)
    return sorted({match[1] for match in matches if match}, key=version_key)


class OfferedVersions(FactBase[list[str]]):
    """
    The versions of a package that a repository has now, the newest last; none where it can't be read.

    + manager: `dnf`, or `yum` on Enterprise Linux 7

    .. code:: python

        ["8.9.2", "8.19.3"]
    """

    default = list

    def command(self, package: str, repository: str, manager: str) -> str:
        return (
            f"LC_ALL=C {manager} --quiet --disablerepo='*' --enablerepo={repository} --setopt=metadata_expire=1"
            f" list --showduplicates {package} 2>/dev/null"
            f""" | awk '$1 ~ "^{package}[.]" && $3 == "{repository}" {{ print $2 }}'"""
        )

    def process(self, output: list[str]) -> list[str]:
        return parse_offered(output)


class KeyImported(FactBase[bool]):
    """
    Whether the GPG key in the file `path` is in the rpm database; False without that file.

    rpm names keys in its own way, which differs from version to version. So the file is imported into an
    empty database, and the names there are compared with those in the real one.

    .. code:: python

        True
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
