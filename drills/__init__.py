"""Failures on purpose, on a running cluster, with every event counted: `verify.py drill`."""
