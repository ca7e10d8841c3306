"""The programs that run on a node, with the Python that the node has."""

import subprocess
import sys
from pathlib import Path

import pytest

FILES = sorted((Path(__file__).parents[2] / "files").glob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=[file.name for file in FILES])
@pytest.mark.parametrize("target", ["2.7-", "3.6-"])
def test_a_program_for_nodes_needs_no_newer_python_than_they_have(target: str, file: Path) -> None:
    """vermin tells it from the syntax, so those Pythons need not be here."""
    done = subprocess.run(
        [sys.executable, "-c", "import vermin; vermin.main()", "--violations", f"-t={target}", str(file)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stdout
