"""What `verify.py` and its subcommands have in common on the command line."""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys

import gevent

from verification.show import failure

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


def add_cluster_options(parser: argparse.ArgumentParser) -> None:
    """The options that name one cluster."""
    parser.add_argument("--inventory", default="inventory.py", metavar="FILE", help="default: inventory.py")
    parser.add_argument("--cluster", metavar="NAME", help="which of several clusters in the inventory")


def parse_confirmed(parser: argparse.ArgumentParser, arguments: list[str]) -> argparse.Namespace:
    """Parse the arguments of a subcommand that asks before it begins, with the options for that: nobody can be asked in a JSON
    document."""
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--json", action="store_true", help="one JSON document as the result; with --yes")
    options = parser.parse_args(arguments)
    if options.json and not options.yes:
        parser.error("--json can't ask whether to go on; give --yes with it")
    return options


def interrupt_on_signals() -> None:
    """Have SIGINT and SIGTERM raise `KeyboardInterrupt` here, also where whoever started this had them ignored."""
    for number in (signal.SIGINT, signal.SIGTERM):
        gevent.signal_handler(number, gevent.getcurrent().throw, KeyboardInterrupt)


def not_seen(error: str, version: int | None) -> int:
    """Report that nothing could be looked at, as a JSON document of this version, or in a line; the exit status."""
    if version is not None:
        print(json.dumps({**failure(error), "version": version}))
    else:
        print(f"verify: {error}", file=sys.stderr)
    return NOT_SEEN
