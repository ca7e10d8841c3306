"""`verify.py drill`: lists the drills, shows what one would do, or does one and shows its result."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Any

from pyinfra.api.exceptions import PyinfraError
from rich.console import Console
from rich.table import Table

from drills.catalogue import DRILLS, find
from drills.run import RATE, TAIL, Outcome, Plan, prepare, run
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
    """List the drills, or do one as the command line says; the exit status."""
    options = _parse(arguments)
    silence_libraries()
    console = Console(highlight=False)
    if options.name is None:
        console.print(_catalogue())
        return GOOD
    try:
        drill = find(options.name)
        plan = prepare(options.inventory, drill, options.on, options.sender, options.rate, options.cluster)
        if not options.json:
            console.print("\n".join(_plan(plan)), soft_wrap=True)
        if options.dry:
            return GOOD
        if not options.yes and not confirmed():
            return NOT_SEEN
        interrupt_on_signals()
        outcome = run(plan, (lambda line: None) if options.json else console.print)
    except (PyinfraError, KeyboardInterrupt) as error:
        return not_seen(str(error) or "interrupted; it is undone", None)
    if options.json:
        print(json.dumps(document(outcome), indent=2))
    else:
        _show(console, outcome)
    return WRONG if outcome.faults else GOOD


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="verify.py drill",
        description="Let something fail on purpose on a running cluster, count every event, and undo it. "
        "Without a name: list the drills.",
        epilog="Exit status: 0 all was as expected; 1 it was not; 2 it was not done.",
    )
    parser.add_argument("name", nargs="?", help="which drill")
    add_cluster_options(parser)
    parser.add_argument("--on", metavar="NODE", help="where (default: the node that holds the VIP)")
    parser.add_argument(
        "--rate", type=float, default=RATE, help=f"events a second meanwhile (default: {RATE})"
    )
    parser.add_argument(
        "--from", dest="sender", metavar="HOST", help="who sends (default: the first of the group `senders`)"
    )
    parser.add_argument("--dry", action="store_true", help="show what would be done, and do nothing")
    return parse_confirmed(parser, arguments)


def _catalogue() -> Table:
    table = Table("drill", "a node", "what is expected", box=None)
    for drill in DRILLS:
        table.add_row(drill.name, drill.what, drill.expect)
    return table


def _plan(plan: Plan) -> list[str]:
    drill = plan.drill
    lines = [
        f"{plan.node.name}, the {plan.role}, {drill.what}.",
        f"Expected: {drill.expect}",
        f"On {plan.node.name}: {drill.do}",
    ]
    if drill.undo:
        seen = "once verify.py has reported it, and " if drill.until_seen else ""
        lines.append(f"Undone {seen}by {plan.node.name} itself after {plan.lasts} s: {drill.undo}")
    server = plan.target.server
    lines.append(
        f"{plan.sender} sends {plan.rate:g} events a second to {server.input_id} at {server.vip}, until {TAIL} s after its end "
        f"and until the cluster is whole again, for {plan.seconds} s at most."
    )
    return lines


def _show(console: Console, outcome: Outcome) -> None:
    loss = outcome.loss
    table = Table(box=None, show_header=False)
    where = ", ".join(f"{name} {number}" for name, number in loss.received.items())
    table.add_row("sent", str(loss.sent))
    table.add_row("received", where)
    table.add_row(
        "lost",
        f"{loss.lost}"
        + (f", within {loss.span:.0f} ms; all of them for {loss.gap:.0f} ms" if loss.lost else ""),
    )
    table.add_row("twice", str(loss.duplicated))
    table.add_row("out of order", str(loss.reordered))
    if outcome.healed is not None:
        table.add_row("whole again", f"{outcome.healed:.0f} s after its end")
    for what in dict.fromkeys(problem.what for problem in outcome.seen):
        table.add_row("verify.py reported", what)
    console.print(table)
    verdict = "[bold red]NOT AS EXPECTED[/]" if outcome.faults else "[bold green]AS EXPECTED[/]"
    console.print("; ".join([verdict, *outcome.faults]), soft_wrap=True)


def document(outcome: Outcome) -> dict[str, Any]:
    """The JSON document: `version` 1, `ok`, `drill`, `node`, `loss` with the fields of `drills.result.Loss`, `seen`
    (what verify.py reported meanwhile, in words), `reasons` (the same as words of the health script's `REASONS`), `healed` (seconds, or null), `faults` (in words)."""
    return {
        "version": DOCUMENT_VERSION,
        "ok": not outcome.faults,
        "drill": outcome.drill.name,
        "node": outcome.node,
        "loss": asdict(outcome.loss),
        "seen": list(dict.fromkeys(problem.what for problem in outcome.seen)),
        "reasons": sorted({problem.reason for problem in outcome.seen if problem.reason}),
        "healed": outcome.healed,
        "faults": outcome.faults,
    }
