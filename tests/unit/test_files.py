"""The programs that run on a node, with the Python that the node has."""

import subprocess
import sys
from pathlib import Path

import pytest

FILES = sorted((Path(__file__).parents[2] / "files").glob("*.py"))


@pytest.mark.parametrize("target", ["2.7-", "3.6-"])
def test_the_programs_for_nodes_need_no_newer_python_than_they_have(target: str) -> None:
    """vermin tells it from the syntax, so those Pythons need not be here; and which file and line it is."""
    vermin = [sys.executable, "-c", "import vermin; vermin.main()", "--processes=1", "--violations"]
    done = subprocess.run(
        [*vermin, f"-t={target}", *map(str, FILES)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout
