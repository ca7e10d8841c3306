"""`verify.py capacity`: asks, ramps up, and says where the first event was lost."""

from __future__ import annotations

import argparse
import json
from typing import Any

from pyinfra.api.exceptions import PyinfraError
from rich.console import Console
from rich.table import Table

from verification.capacity.result import PLACES, Capacity, Step
from verification.capacity.run import FIRST, LIMIT, MAX_SECONDS, MOST, SECONDS, Plan, prepare, ramp
from verification.commandline import (
    GOOD,
    NOT_SEEN,
    WRONG,
    add_cluster_options,
    confirmed,
    interrupt_on_signals,
    not_seen,
    parse_confirmed,
    silence_libraries,
)

DOCUMENT_VERSION = 1
"""The version of the JSON document."""


def main(arguments: list[str]) -> int:
    """Measure as the command line says; the exit status."""
    options = _parse(arguments)
    silence_libraries()
    console = Console(highlight=False)
    try:
        plan = prepare(
            options.inventory,
            options.input,
            options.sender,
            options.most,
            options.seconds,
            options.cluster,
        )
        if not options.json:
            console.print(_question(plan), soft_wrap=True)
        if not options.yes and not confirmed():
            return NOT_SEEN
        interrupt_on_signals()
        capacity = ramp(plan, lambda step: None if options.json else console.print(_line(step)))
    except (PyinfraError, KeyboardInterrupt) as error:
        what = str(error) or "interrupted; nothing more is sent"
        return not_seen(what, DOCUMENT_VERSION if options.json else None)
    if options.json:
        print(json.dumps(document(capacity), indent=2))
    else:
        _show(console, capacity)
    return WRONG if capacity.end == "loss" else GOOD


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="verify.py capacity",
        description="Let a host of the group `senders` send faster and faster to one input at the VIP, until the first event "
        "is lost, and say where that was.",
        epilog="Exit status: 0 none was lost up to the highest rate; 1 some were, and it says where; 2 it was not done.",
    )
    parser.add_argument("input", nargs="?", help="the input's id (default: the first that takes text by UDP)")
    add_cluster_options(parser)
    parser.add_argument(
        "--most",
        type=float,
        default=MOST,
        metavar="RATE",
        help=f"events a second at most, {FIRST:g} to {LIMIT:g} (default: {MOST:g})",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=SECONDS,
        help=f"how long each rate is sent, up to {MAX_SECONDS:g} (default: {SECONDS:g})",
    )
    parser.add_argument(
        "--from", dest="sender", metavar="HOST", help="who sends (default: the first of the group `senders`)"
    )
    return parse_confirmed(parser, arguments)


def _question(plan: Plan) -> str:
    server = plan.target.server
    return (
        f"{plan.sender.name} sends to {server.input_id} at {server.vip}: {plan.rates[0]:g} events a second at first, then twice as "
        f"many each time, {plan.rates[-1]:g} at most, each for {plan.seconds:g} s, until one is lost.\n"
        f"These are up to {plan.events} lines of text in your pipeline, and while events are lost, those of your devices are, too."
    )


def _line(step: Step) -> str:
    share = ", ".join(f"{name} {number}" for name, number in step.received.items())
    behind = sum(step.waiting.values())
    waits = f"; {behind} bytes waited at the end" if behind else ""
    return f"{step.real_rate:.0f} events a second: {step.sent} sent, {step.lost} lost ({share}){waits}"


def _show(console: Console, capacity: Capacity) -> None:
    table = Table(box=None, show_header=False)
    if kept := capacity.kept_up:
        table.add_row("kept up with", f"{kept.real_rate:.0f} events a second")
    if whole := capacity.lossless:
        table.add_row("none lost at", f"{whole.real_rate:.0f} events a second, for {whole.seconds:.0f} s")
    last = capacity.steps[-1]
    if mend := capacity.mend:
        table.add_row("first lost at", f"{last.real_rate:.0f} events a second: {last.lost} of {last.sent}")
        for name, number in last.places.items():
            table.add_row("", f"{number}: {PLACES[name]}")
        table.add_row("what to do", mend)
    elif capacity.end == "sender":
        table.add_row("the end", f"{capacity.sender} can't send faster; a faster one may find more: --from")
    else:
        table.add_row("the end", "the highest rate that was allowed: --most")
    console.print(table)


def document(capacity: Capacity) -> dict[str, Any]:
    """The JSON document: `version` 1, `error` null, `ok` (none was lost), `sender`, `input`, `vip`, `end` (`loss`, `sender` or
    `most`), `kept_up` and `lossless` (the highest rate of each in events a second, or null), `place` (a key of
    `verification.capacity.result.PLACES`, or null), `do` (in words, or null), and `steps`: a list of `rate` (as chosen), `real_rate`, `sent`,
    `seconds`, `received` by node, `lost`, `places` (numbers by place) and `waiting` (bytes in the sockets at the end of the sending, by node)."""
    return {
        "version": DOCUMENT_VERSION,
        "error": None,
        "ok": capacity.end != "loss",
        "sender": capacity.sender,
        "input": capacity.input,
        "vip": capacity.vip,
        "end": capacity.end,
        "kept_up": capacity.kept_up.real_rate if capacity.kept_up else None,
        "lossless": capacity.lossless.real_rate if capacity.lossless else None,
        "place": capacity.steps[-1].place,
        "do": capacity.mend,
        "steps": [
            {
                "rate": step.rate,
                "real_rate": step.real_rate,
                "sent": step.sent,
                "seconds": step.seconds,
                "received": step.received,
                "lost": step.lost,
                "places": step.places,
                "waiting": step.waiting,
            }
            for step in capacity.steps
        ],
    }
