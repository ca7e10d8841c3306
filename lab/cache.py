"""What was built is kept in the cache: the newest, and what a lab was made from."""

import shutil
from pathlib import Path

from lab.settings import namespace

BUILT = ("debian-*.tar", "image-*.ext4", "repository-*")
KEPT = 2
"""So many of each kind stay although no lab needs them: enough to go back to another branch."""

ORIGINS = ("image", "packages")
"""The files in a lab's folder that name what it was made from."""


def register(cache: Path, lab: Path) -> None:
    """Let the cache know of a lab, for as long as its folder is there."""
    labs = cache / "labs"
    labs.mkdir(exist_ok=True)
    link = labs / namespace(lab)
    link.unlink(missing_ok=True)
    link.symlink_to(lab)


def prune(cache: Path) -> None:
    """Remove what is neither among the newest of its kind nor needed by a lab."""
    needed = set()
    for lab in (cache / "labs").glob("*"):
        if lab.exists():
            needed |= {(lab / name).read_text() for name in ORIGINS if (lab / name).exists()}
        else:
            lab.unlink()
    for pattern in BUILT:
        by_age = sorted(cache.glob(pattern), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in by_age[KEPT:]:
            if str(path) in needed:
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
