"""The version is in one place, and the changelog tells of it."""

import re
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from desired.version import VERSION
from tests.release import git, previous

ROOT = Path(__file__).parents[2]


def test_the_package_has_the_version_of_the_one_place() -> None:
    configuration = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert configuration["project"]["dynamic"] == ["version"]
    attribute = configuration["tool"]["setuptools"]["dynamic"]["version"]["attr"]
    module, _, name = attribute.rpartition(".")
    assert getattr(import_module(module), name) is VERSION


def test_the_changelog_begins_with_the_version() -> None:
    headings = re.findall(r"^## .*$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    versions = [
        match[1]
        for match in map(re.compile(r"## \[(.*?)\] - (?:unreleased|\d{4}-\d\d-\d\d)").fullmatch, headings)
        if match
    ]
    assert len(versions) == len(headings)
    assert not [heading for heading in headings[1:] if "unreleased" in heading], (
        "only the newest is not out yet"
    )
    assert versions[0] == VERSION
    assert versions == sorted(set(versions), reverse=True)


def section(changelog: str, version: str) -> str:
    """What a changelog says of a version."""
    _, _, text = changelog.partition(f"\n## [{version}] - ")
    assert text, f"CHANGELOG.md has no {version}"
    return text.partition("\n## [")[0].partition("\n")[2].strip()


@pytest.mark.long  # a shallow clone, which CI may have, has no earlier release
def test_what_the_changelog_says_of_a_release_stays() -> None:
    released = git(ROOT, "show", f"{previous()}:CHANGELOG.md")
    version = re.findall(r"^## \[(.*?)\]", released, re.M)[0]
    now = section((ROOT / "CHANGELOG.md").read_text(), version)
    new = set(now.splitlines()) - set(section(released, version).splitlines())
    assert now == section(released, version), (
        f"{version} is out: what is new belongs to {VERSION}: {sorted(new)}"
    )
