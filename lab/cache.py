"""The cache of kernels, images and repositories. It keeps the newest, and those that a lab was created from."""

import fcntl
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.settings import cache_dir, namespace

KEPT = 2
"""How many of each kind stay even if no lab needs them: enough to switch between two branches."""

ARTIFACT = re.compile(r"(?P<kind>[a-z0-9-]+)-[0-9a-f]{16}(\.\w+)?")
"""The name of a built file or folder: its kind, such as `image-el9`, and the hash of what it is built from."""

ORIGINS = "origins"
"""The file in a lab's folder that names the artifacts it was created from, one a line."""


@contextmanager
def locked_cache() -> Iterator[Path]:
    """The cache's folder, in which no other process builds until the block ends. What was left unfinished is removed."""
    cache = cache_dir()
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for unfinished in cache.glob("*.????????"):  # a folder of tempfile.TemporaryDirectory
            shutil.rmtree(unfinished)
        yield cache


def register(cache: Path, lab: Path) -> None:
    """Record a lab in the cache. The record counts for as long as the lab's folder exists."""
    labs = cache / "labs"
    labs.mkdir(exist_ok=True)
    link = labs / namespace(lab)
    link.unlink(missing_ok=True)
    link.symlink_to(lab)


def prune(cache: Path) -> None:
    """Remove every artifact that is neither among the newest of its kind nor needed by a lab."""
    needed = set()
    for lab in (cache / "labs").glob("*"):
        if lab.exists():
            origins = lab / ORIGINS
            needed |= set(origins.read_text().splitlines()) if origins.exists() else set()
        else:
            lab.unlink()
    by_kind: dict[str, list[Path]] = {}
    for path in cache.iterdir():
        if match := ARTIFACT.fullmatch(path.name):
            by_kind.setdefault(match["kind"], []).append(path)
    for paths in by_kind.values():
        paths.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        for path in paths[KEPT:]:
            if str(path) in needed:
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
