"""The release before this state of the project, in a folder of its own: for the test of an upgrade."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
UNTAGGED = "8d060d0b2930f7a16da38d2a61ab21a36f3852a8"
"""The commit of version 0.2.0: the release before this one, as long as the repository has no earlier tag."""


def git(repository: Path, *arguments: str) -> str:
    """What git prints of this repository; it must succeed."""
    done = subprocess.run(
        ("git", "-C", str(repository), *arguments), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"git {' '.join(arguments)}: {done.stderr.strip()}"
    return done.stdout.strip()


def previous(repository: Path = ROOT) -> str:
    """The newest tag `v…` of a commit before the present one, or else `UNTAGGED`.

    A shallow clone has neither, and fails the test.
    """
    shallow = git(repository, "rev-parse", "--is-shallow-repository") == "true"
    assert not shallow, (
        f"{repository} is a shallow clone, without earlier releases: git fetch --unshallow --tags"
    )
    before = ("--merged", "HEAD", "--no-contains", "HEAD")
    tags = git(repository, "tag", "--list", "v[0-9]*", *before, "--sort=-version:refname").split()
    return tags[0] if tags else UNTAGGED


def check_out(release: str, folder: Path, repository: Path = ROOT) -> Path:
    """The files of a release in this folder, which is made."""
    folder.mkdir()
    archive = folder / "release.tar"
    git(repository, "archive", "--format=tar", f"--output={archive}", release)
    with tarfile.open(archive) as files:
        files.extractall(folder, filter="data")
    archive.unlink()
    return folder


def dependencies(checkout: Path) -> object:
    """What this state of the project needs to run."""
    return tomllib.loads((checkout / "pyproject.toml").read_text())["project"]["dependencies"]


def python_for(checkout: Path) -> str:
    """A Python with what a checked out release needs: that of the tests, or one in its folder where it needs something else."""
    if dependencies(checkout) == dependencies(ROOT):
        return sys.executable
    python = checkout / ".venv/bin/python"
    subprocess.run((sys.executable, "-m", "venv", str(checkout / ".venv")), check=True)
    subprocess.run((str(python), "-m", "pip", "install", "--quiet", str(checkout)), check=True)
    return str(python)
