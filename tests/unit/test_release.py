"""The test of an upgrade finds the release before this one."""

from pathlib import Path

import pytest

from tests.release import check_out, git, previous


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one commit."""
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet")
    commit(folder, "0.2.0")
    return folder


def commit(repository: Path, version: str) -> None:
    """One more commit, whose only file has this version."""
    (repository / "version").write_text(version)
    git(repository, "add", "version")
    identity = ("-c", "user.name=test", "-c", "user.email=test@example.com")
    git(repository, *identity, "commit", "--quiet", "-m", version)


def test_the_newest_tag_before_the_present_commit_is_the_previous_release(repository: Path) -> None:
    for version in ("0.2.0", "0.10.0", "0.9.0"):
        commit(repository, f"released {version}")
        git(repository, "tag", f"v{version}")
    git(repository, "tag", "vip-moves")  # no release
    assert previous(repository) == "v0.10.0", "the tag of the present commit is not before it"
    commit(repository, "work")
    git(repository, "tag", "-d", "v0.10.0")
    assert previous(repository) == "v0.9.0"


@pytest.mark.long  # a shallow clone, which CI may have, does not have it
def test_without_a_tag_it_is_a_commit_of_this_project(repository: Path) -> None:
    git(repository, "tag", "v0.2.0")
    untagged = previous(repository)
    assert git(Path(__file__).parent, "cat-file", "-t", untagged) == "commit"


def test_a_shallow_clone_says_that_it_is_one(repository: Path, tmp_path: Path) -> None:
    commit(repository, "work")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{repository}", str(clone))
    with pytest.raises(AssertionError, match=r"is a shallow clone, .* git fetch --unshallow"):
        previous(clone)


def test_a_release_is_checked_out_as_it_was(repository: Path, tmp_path: Path) -> None:
    git(repository, "tag", "v0.2.0")
    commit(repository, "work")
    folder = check_out(previous(repository), tmp_path / "release", repository)
    assert [path.name for path in folder.iterdir()] == ["version"]
    assert (folder / "version").read_text() == "0.2.0"
