"""The stand-in's own Python: Debian 12's, with its C library, for guests whose Python is another one.

Elastic's Logstash brings its own Java; the stand-in's libraries need a Python 3.11 likewise.
"""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from lab.content import content_key
from lab.debian import bootstrap
from lab.shell import run

SUITE = "bookworm"
VERSION = "3.11"
HOME = Path("/usr/libexec/standin-python")
"""Where a guest has it; `bin/logstash` looks there first."""

LOADER = "ld-linux-x86-64.so.2"
LIBRARIES = (
    *("libc.so.6", "libm.so.6", "libz.so.1", "libexpat.so.1", "libssl.so.3", "libcrypto.so.3"),
    LOADER,
)


def fetch_python(cache: Path, progress: Callable[[str], None]) -> Path:
    """Fetch the folder that belongs at `HOME`, unless the cache has it, and return its path. Raises LabError."""
    target = cache / f"python-{content_key(Path(__file__))}"
    if target.exists():
        return target
    progress("fetching the stand-in's Python")
    with tempfile.TemporaryDirectory(dir=cache, prefix="python.") as scratch:
        root, folder = Path(scratch) / "root", Path(scratch) / "python"
        packages = f"python{VERSION}-minimal,libpython{VERSION}-stdlib"
        bootstrap(SUITE, root, "--variant=extract", f"--include={packages}")
        program = folder / "bin" / f"python{VERSION}"
        program.parent.mkdir(parents=True)
        shutil.copy(root / "usr/bin" / program.name, program)
        modules = folder / "lib" / program.name
        shutil.copytree(root / "usr/lib" / program.name, modules, ignore_dangling_symlinks=True)
        (modules / "sitecustomize.py").unlink(missing_ok=True)
        for name in LIBRARIES:
            (found,) = {path.resolve() for path in root.glob(f"**/x86_64-linux-gnu/{name}")}
            shutil.copy(found, folder / "lib" / name)
        libraries = HOME / "lib"
        # A forced path counts for the libraries of modules, too.
        run(
            *("patchelf", "--set-interpreter", libraries / LOADER),
            *("--force-rpath", "--set-rpath", libraries, program),
        )
        folder.rename(target)
    return target
