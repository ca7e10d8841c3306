"""The version is in one place, and the changelog tells of it."""

import re
import tomllib
from importlib import import_module
from pathlib import Path

from desired.version import VERSION

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
