"""A live view: the report again and again, with how many events each node takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cluster import Cluster, ClusterError
from desired.health_script import CHECK
from facts.events import EventCounts
from remote.commands import read
from remote.connect import connect_to_nodes
from remote.inventory import load_cluster
from remote.together import for_each
from verification.judge import judge
from verification.observe import observe
from verification.report import Report
from verification.show import parts

INTERVAL = 2.0
"""Seconds from the end of one snapshot to the next."""


@dataclass(frozen=True)
class Snapshot:
    """The cluster at one moment."""

    cluster: Cluster
    report: Report
    counts: dict[str, dict[str, int]]
    """By node, how many events each input has taken since its Logstash started."""
    time: float
    """Seconds on a clock that nobody sets."""


def take_snapshot(file: str, name: str | None = None) -> Snapshot:
    """The cluster of this inventory now: the only one, or that of this name. Raises `ClusterError` when no node can be reached."""
    state, inventory, cluster = load_cluster(file, name)
    reasons = connect_to_nodes(state, inventory, cluster)
    report = judge(cluster, observe(state, cluster, reasons))
    hosts = {node: inventory.get_host(node.name) for node in cluster.nodes if node.name not in reasons}
    found = for_each(
        lambda item: read(item[1], EventCounts, address=item[0].address, script=CHECK), [*hosts.items()]
    )
    now = time.monotonic()
    for host in hosts.values():
        host.disconnect()
    counts = {node.name: count or {} for node, count in zip(hosts, found, strict=True)}
    return Snapshot(cluster, report, counts, now)


def rates(now: Snapshot, before: Snapshot | None) -> Table:
    """Events a second by input and node: `-` where that is not known, as at first and after a restart."""
    table = Table(title="events a second", title_justify="left", box=box.SIMPLE_HEAD, collapse_padding=True)
    table.add_column("", overflow="fold")
    for name in now.report.nodes:
        table.add_column(name, justify="right")
    for id in now.cluster.input_ids:
        found = [_rate(now, before, name, id) for name in now.report.nodes]
        table.add_row(id, *("-" if rate is None else f"{rate:.0f}" for rate in found))
    return table


def _rate(now: Snapshot, before: Snapshot | None, name: str, id: str) -> float | None:
    new = now.counts.get(name, {}).get(id)
    old = before.counts.get(name, {}).get(id) if before else None
    if before is None or new is None or old is None or new < old:
        return None
    return (new - old) / (now.time - before.time)


def views(snapshot: Callable[[], Snapshot], clock: Callable[[], str]) -> Iterator[RenderableType]:
    """What is shown, snapshot after snapshot. One that fails shows the reason, and the next is taken all the same."""
    before = None
    while True:
        try:
            now = snapshot()
        except ClusterError as error:
            yield Group(Text(clock()), Text(f"nothing to be seen: {error}", "bold red"))
            before = None
            continue
        yield Group(Text(clock()), *parts(now.report, None), rates(now, before))
        before = now


def watch(file: str, name: str | None = None) -> None:
    """Show the cluster of this inventory, the only one or that of this name, until Ctrl-C. Raises `ClusterError` for an inventory that can't be used."""
    load_cluster(file, name)
    with Live(console=Console(highlight=False), screen=True, auto_refresh=False) as live:
        for view in views(lambda: take_snapshot(file, name), lambda: time.strftime("%H:%M:%S")):
            live.update(view, refresh=True)
            time.sleep(INTERVAL)
