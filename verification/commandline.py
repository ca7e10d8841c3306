"""What `verify.py` and its subcommands have in common on the command line."""

from __future__ import annotations

import logging

GOOD, WRONG, NOT_SEEN = 0, 1, 2
"""Exit status: all is good; something is wrong; it could not look, or was not done."""


def silence_libraries() -> None:
    """Keep pyinfra and paramiko from logging: what they log is in the result."""
    for name in ("pyinfra", "paramiko"):
        logging.getLogger(name).addHandler(logging.NullHandler())
        logging.getLogger(name).propagate = False


def confirmed() -> bool:
    """Ask the user whether to go on. Without an answer it is no."""
    try:
        return input("Go on? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False
