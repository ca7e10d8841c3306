"""What a program imports before all else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
from importlib import metadata

def read_and_count(**group):
    reads.append(group)
    return read(**group)

reads, read, metadata.entry_points = [], metadata.entry_points, read_and_count
import remote.green
from gevent import monkey
print(len(reads), monkey.is_module_patched("socket"), metadata.entry_points is read_and_count)
"""


def test_the_standard_library_is_gevents_after_one_look_at_what_packages_offer() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=Path(__file__).parents[2], capture_output=True, text=True
    )
    assert done.stdout.split() == ["1", "True", "True"], done.stderr
