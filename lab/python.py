"""The stand-in's own Python: Debian 12's, with its C library, for guests whose Python is another one.

Elastic's Logstash brings its own Java; the stand-in's libraries need a Python 3.11 likewise.
"""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from lab import libraries
from lab.content import content_key
from lab.debian import bootstrap

SUITE = "bookworm"
VERSION = "3.11"
HOME = Path("/usr/libexec/standin-python")
"""Where a guest has it; `bin/logstash` looks there first."""

LIBRARIES = (
    *libraries.C_LIBRARY,
    *("libm.so.6", "libz.so.1", "libexpat.so.1", "libssl.so.3", "libcrypto.so.3"),
)


def fetch_python(cache: Path, progress: Callable[[str], None]) -> Path:
    """Fetch the folder that belongs at `HOME`, unless the cache has it, and return its path. Raises LabError."""
    target = cache / f"python-{content_key(Path(__file__), Path(libraries.__file__))}"
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
        libraries.add(program, root, LIBRARIES, folder / "lib", HOME / "lib")
        folder.rename(target)
    return target
