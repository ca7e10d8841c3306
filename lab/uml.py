"""The guests' kernel: User Mode Linux of a newer Debian than its own, since a process costs a guest a third less there."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from lab.content import content_key
from lab.shell import run

SUITE = "trixie"
LIBRARIES = "usr/lib/x86_64-linux-gnu"
LOADER = "ld-linux-x86-64.so.2"


def fetch_kernel(cache: Path, progress: Callable[[str], None]) -> Path:
    """Fetch the kernel, unless the cache has it: a folder with ``linux.uml`` and ``modules/VERSION``.

    The program comes with the C library that it was linked to, since this machine's may be older.
    """
    target = cache / f"kernel-{content_key(Path(__file__))}"
    if target.exists():
        return target
    progress("fetching the guests' kernel")
    with tempfile.TemporaryDirectory(dir=cache, prefix="kernel.") as scratch:
        root, folder = Path(scratch) / "root", Path(scratch) / "kernel"
        run(
            *("mmdebstrap", "--quiet", "--mode=root", "--variant=extract", "--include=user-mode-linux"),
            *(SUITE, root),
        )
        folder.mkdir()
        shutil.move(root / "usr/lib/uml/modules", folder)
        program = folder / "linux.uml"
        shutil.move(root / "usr/bin/linux.uml", program)
        for name in ("libc.so.6", LOADER):
            shutil.copy(root / LIBRARIES / name, folder)
        run("patchelf", "--set-interpreter", target / LOADER, "--set-rpath", target, program)
        folder.rename(target)
    return target


def modules_of(kernel: Path) -> Path:
    """The folder of the kernel's modules, which has its version as its name."""
    (folder,) = (kernel / "modules").iterdir()
    return folder
