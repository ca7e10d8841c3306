"""Runs the pyinfra-testing cases of `facts/<module>.<Fact>/`, one file each."""

from pathlib import Path

from pyinfra_testing.facts import make_fact_tests

CASES = Path(__file__).parent / "facts"

for folder in sorted(CASES.iterdir()):
    globals()[folder.name] = make_fact_tests("facts", folder.name, folder)
