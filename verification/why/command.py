"""`verify.py why`: follows one sender's events from step to step, and names the first step that is wrong."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Any

from pyinfra.api.exceptions import PyinfraError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from verification.commandline import GOOD, WRONG, add_cluster_options, not_seen, silence_libraries
from verification.report import Status
from verification.why.run import MAX_SECONDS, SECONDS, look
from verification.why.steps import ways
from verification.why.way import STEPS, Step, Way

DOCUMENT_VERSION = 1
"""The version of the JSON document."""
_STATES = {
    Status.OK: ("ok", "green"),
    Status.WRONG: ("WRONG", "bold red"),
    Status.UNKNOWN: ("not looked at", "dim"),
}


def main(arguments: list[str]) -> int:
    """Follow a sender as the command line says; the exit status."""
    options = _parse(arguments)
    silence_libraries()
    try:
        seen = look(
            options.inventory,
            options.address,
            options.input,
            options.seconds,
            options.send,
            options.sender,
            options.cluster,
        )
    except (PyinfraError, KeyboardInterrupt) as error:
        return not_seen(str(error) or "interrupted", DOCUMENT_VERSION if options.json else None)
    found = ways(seen, options.input)
    if options.json:
        print(json.dumps(document(str(seen.sender), found), indent=2))
    else:
        _show(Console(highlight=False), str(seen.sender), found)
    return WRONG if any(way.broken for way in found) else GOOD


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="verify.py why",
        description="Follow one sender's events through the cluster, step by step, while they come, and say which step is "
        "wrong and what to do. Nothing is changed.",
        epilog="Exit status: 0 no step is wrong; 1 one is; 2 could not look.",
    )
    parser.add_argument(
        "address", nargs="?", help="the sender's IP address; with --send that of the host that sends"
    )
    parser.add_argument("input", nargs="?", help="the input's id (default: those that the sender sends to)")
    add_cluster_options(parser)
    parser.add_argument(
        "--seconds",
        type=float,
        default=SECONDS,
        help=f"how long its packets are looked for (default: {SECONDS:g}, at most {MAX_SECONDS:g})",
    )
    parser.add_argument(
        "--send", action="store_true", help="let a host of the group `senders` send meanwhile"
    )
    parser.add_argument(
        "--from",
        dest="sender",
        metavar="HOST",
        help="with --send: who sends (default: the first of the group `senders`)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    options = parser.parse_args(arguments)
    if options.address is None and not options.send:
        parser.error("which sender? Write its IP address, or --send")
    if options.sender and not options.send:
        parser.error("--from is for --send")
    return options


def document(sender: str, found: list[Way]) -> dict[str, Any]:
    """The JSON document: `version` 1, `error` null, `ok`, `sender` and `ways`: a list of `input`, `vip`, `protocol`, `port`,
    `broken` (the name of the first step that is wrong by itself, or null), `do` (what to do about it, or null) and `steps`: a
    list of `step` (a key of `verification.why.way.STEPS`), `status` (`ok`, `wrong`, or `unknown`: not looked at), `seen` and
    `do`, in words, and `follows` (wrong only because of a later step)."""
    return {
        "version": DOCUMENT_VERSION,
        "error": None,
        "ok": not any(way.broken for way in found),
        "sender": sender,
        "ways": [
            {
                "input": way.input,
                "vip": way.vip,
                "protocol": way.protocol,
                "port": way.port,
                "broken": way.broken.name if way.broken else None,
                "do": way.broken.do if way.broken else None,
                "steps": [_step(step) for step in way.steps],
            }
            for way in found
        ],
    }


def _step(step: Step) -> dict[str, Any]:
    fields = asdict(step)
    return {"step": fields.pop("name"), **fields}


def _show(console: Console, sender: str, found: list[Way]) -> None:
    for way in found:
        title = f"{sender} to {way.input}: {way.protocol} {way.vip} port {way.port}"
        table = Table(title=title, title_justify="left", box=None, show_header=False)
        for step in way.steps:
            word, style = _STATES[step.status]
            seen = f"{step.seen} (follows from a later step)" if step.follows else step.seen
            table.add_row(STEPS[step.name], Text(word, style), seen)
        console.print(table)
        if way.broken is None:
            console.print("[bold green]NO STEP IS WRONG[/]")
            continue
        console.print(f"[bold red]IT BREAKS HERE[/]: {STEPS[way.broken.name]}", soft_wrap=True)
        console.print(Text(f"! {way.broken.seen}", "bold red"), soft_wrap=True)
        console.print(Text(f"-> {way.broken.do}"), soft_wrap=True)
