"""A live view: the report again and again, with how many events each node takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from gevent.pool import Group as Greenlets
from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cluster import Cluster, ClusterError
from facts.events import EventCounts
from remote import reach
from remote.commands import read
from verification.judge import judge
from verification.observe import observe
from verification.report import Report
from verification.show import parts

INTERVAL = 2.0
"""Seconds from the end of one look to the next."""


@dataclass(frozen=True)
class Look:
    """One look at the cluster."""

    cluster: Cluster
    report: Report
    counts: dict[str, dict[str, int]]
    """By node, how many events each input has taken since its Logstash started."""
    when: float
    """Seconds on a clock that nobody sets."""


def look(file: str) -> Look:
    """What is to be seen now. Raises `ClusterError` when nothing is."""
    state, inventory, cluster = reach.load(file)
    reasons = reach.connect_to_nodes(state, inventory, cluster)
    report = judge(cluster, observe(state, cluster, reasons))
    hosts = {node: inventory.get_host(node.name) for node in cluster.nodes if node.name not in reasons}
    found = Greenlets().map(
        lambda item: read(item[1], EventCounts, address=item[0].address), [*hosts.items()]
    )
    when = time.monotonic()
    for host in hosts.values():
        host.disconnect()
    counts = {node.name: each or {} for node, each in zip(hosts, found, strict=True)}
    return Look(cluster, report, counts, when)


def rates(now: Look, before: Look | None) -> Table:
    """Events a second by input and node: `-` where that is not known, as at the first look and after a restart."""
    table = Table(title="events a second", title_justify="left", box=box.SIMPLE_HEAD, collapse_padding=True)
    table.add_column("", overflow="fold")
    for name in now.report.nodes:
        table.add_column(name, justify="right")
    for id in now.cluster.input_ids:
        found = [_rate(now, before, name, id) for name in now.report.nodes]
        table.add_row(id, *("-" if rate is None else f"{rate:.0f}" for rate in found))
    return table


def _rate(now: Look, before: Look | None, name: str, id: str) -> float | None:
    new = now.counts.get(name, {}).get(id)
    old = before.counts.get(name, {}).get(id) if before else None
    if before is None or new is None or old is None or new < old:
        return None
    return (new - old) / (now.when - before.when)


def views(see: Callable[[], Look], clock: Callable[[], str]) -> Iterator[RenderableType]:
    """What is shown, look after look. A look that sees nothing says why, and the next one is made all the same."""
    before = None
    while True:
        try:
            now = see()
        except ClusterError as error:
            yield Group(Text(clock()), Text(f"nothing to be seen: {error}", "bold red"))
            before = None
            continue
        yield Group(Text(clock()), *parts(now.report, None), rates(now, before))
        before = now


def watch(file: str) -> None:
    """Show it until Ctrl-C. Raises `ClusterError` for an inventory that can't be used."""
    reach.load(file)
    with Live(console=Console(highlight=False), screen=True, auto_refresh=False) as live:
        for view in views(lambda: look(file), lambda: time.strftime("%H:%M:%S")):
            live.update(view, refresh=True)
            time.sleep(INTERVAL)
