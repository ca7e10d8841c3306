"""The cache of kernels, images and repositories. It keeps the newest, and those that a lab was created from."""

import shutil
from pathlib import Path

from lab.settings import namespace

BUILT = ("kernel-*", "debian-*.tar", "image-*.ext4", "repository-*")
KEPT = 2
"""How many of each kind stay even if no lab needs them: enough to switch between two branches."""

ORIGINS = ("kernel", "image", "packages")
"""The files in a lab's folder that name the kernel, the image and the repository it was created from."""


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
