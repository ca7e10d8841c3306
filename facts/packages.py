"""Packages: what the rpm database holds, and what a repository offers."""

from __future__ import annotations

import re
import shlex

from pyinfra.api import FactBase

from facts.builtins import print_lines

_NO_PROVIDER = re.compile(r"no package provides (\S+)")
_RELEASED = re.compile(r"(?:\d+:)?(\d+\.\d+\.\d+)-\d+")


def parse_packages(output: list[str]) -> dict[str, str | None]:
    """What `rpm -q --whatprovides` finds, lines `NAME VERSION`; None for the names that no package provides."""
    packages: dict[str, str | None] = {}
    for line in output:
        if match := _NO_PROVIDER.fullmatch(line.strip()):
            packages[match[1]] = None
        elif len(words := line.split()) == 2:
            packages[words[0]] = words[1]
    return packages


class Packages(FactBase[dict[str, str | None]]):
    """
    The versions of those among these packages that are installed, and of packages that provide them; None for each that
    no package provides.

    + packages: names of packages, or of capabilities that packages provide

    .. code:: python

        {"ipvsadm": None, "keepalived": "2.2.8", "java-11-openjdk-headless": "11.0.25"}
    """

    default = dict

    def command(self, packages: list[str]) -> str:
        return (
            "LC_ALL=C rpm -q --whatprovides --queryformat '%{NAME} %{VERSION}\\n' "
            f"{shlex.join(packages)} || true"
        )

    def process(self, output: list[str]) -> dict[str, str | None]:
        return parse_packages(output)


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


class ImportedKey(FactBase[str | None]):
    """
    The SHA-256 of the file `path`, where the GPG keys in it are in the rpm database.

    rpm names keys in its own way, which differs from version to version. So the deploy notes the names when it imports
    the file.

    + path: the file with the key
    + note: the deploy's note: the line that `sha256sum` prints for that file, and the names of its keys

    .. code:: python

        "a25608891b1ff05afc52ad22908156751abba7564e8f958840539a367fe2d38a"
    """

    @staticmethod
    def default() -> str | None:
        """The value where the command says nothing."""
        return None

    def command(self, path: str, note: str) -> str:
        return (
            f"{print_lines(note)}; echo --; sha256sum {shlex.quote(path)} 2>/dev/null; "
            "rpm -q gpg-pubkey || true"
        )

    def process(self, output: list[str]) -> str | None:
        return parse_imported_key(output)


def parse_imported_key(output: list[str]) -> str | None:
    """The first word where each line before `--`, of which there are two or more, is there again after it."""
    if "--" not in output:
        return None
    middle = output.index("--")
    imported = middle > 1 and set(output[:middle]) <= set(output[middle:])
    return output[0].split()[0] if imported else None
