"""A program with the C library that it was linked to, for machines whose own is an older one."""

from collections.abc import Iterable
from pathlib import Path
from shutil import copy

from lab.shell import run

LOADER = "ld-linux-x86-64.so.2"
C_LIBRARY = ("libc.so.6", LOADER)


def add(program: Path, root: Path, names: Iterable[str], folder: Path, home: Path) -> None:
    """Copy these libraries and let the program use them, wherever the system's are. Raises LabError.

    + root: where the Debian that they come from is unpacked
    + folder: where they are copied to
    + home: where this folder is when the program runs
    """
    for name in names:
        (found,) = {path.resolve() for path in root.glob(f"**/x86_64-linux-gnu/{name}")}
        copy(found, folder / name)
    # A forced path counts for what the libraries and modules of the program need, too.
    run("patchelf", "--set-interpreter", home / LOADER, "--force-rpath", "--set-rpath", home, program)
