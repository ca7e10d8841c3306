"""What runs on a node as a program of its own, with the Python that is there."""

import subprocess
import sys
from pathlib import Path

import pytest

FILES = sorted((Path(__file__).parents[2] / "files").glob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=[file.name for file in FILES])
@pytest.mark.parametrize("target", ["2.7-", "3.6-"])
def test_no_newer_python_is_needed(target: str, file: Path) -> None:
    """Also where those Pythons are not at hand."""
    done = subprocess.run(
        [sys.executable, "-c", "import vermin; vermin.main()", "--violations", f"-t={target}", str(file)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stdout
