"""Runs the pyinfra-testing cases of `operations/<module>.<operation>/`, one file each."""

from pathlib import Path

from pyinfra_testing.operations import make_operation_tests

CASES = Path(__file__).parent / "operations"

for folder in sorted(CASES.iterdir()):
    globals()[folder.name] = make_operation_tests("operations", folder.name, folder)
