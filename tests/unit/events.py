"""Events that the unit tests send and find arrived, and the verdict on them."""

import os
import sys
from pathlib import Path
from typing import Any

from cluster import Cluster
from tests.unit.clusters import make_cluster
from verification.delivery import choose_targets
from verification.events import Arrived, Sent
from verification.report import Delivery, Report, Row, VipReport
from verification.tally import tally

SOURCE = "10.77.0.101"
"""The sender's address."""

Numbers = dict[str, list[int]]
"""By node: the numbers of the events that arrived there."""

GOOD: Numbers = {"stash1": [1, 3], "stash2": [2, 4]}


def pythons() -> list[str]:
    """The Python that runs the tests, and old ones where they are at hand."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    old = [path for version in ("2.7", "3.6") for path in sorted(pyenv.glob(f"{version}.*/bin/python"))[:1]]
    return [sys.executable, *map(str, old)]


def report(cluster: Cluster, *pool: str, rows: tuple[Row, ...] = ()) -> Report:
    """All is well; `pool` takes the events of every input, by default every node that may."""
    vips = {
        str(vip): VipReport(
            ("stash1",),
            {
                server.input_id: pool or tuple(real.node.name for real in server.real_servers if real.weight)
                for server in cluster.virtual_servers
            },
        )
        for vip in cluster.vips
    }
    return Report(tuple(node.name for node in cluster.nodes), vips, rows, ())


def judged(
    cluster: Cluster,
    arrived: dict[int, Numbers],
    sent: dict[int, Sent] | None = None,
    counts: dict[str, dict[str, int]] | None = None,
    pool: tuple[str, ...] = (),
    count: int = 4,
    unread: tuple[str, ...] = (),
) -> Delivery:
    """The verdict on the numbers that arrived on each node, by target; four are sent to each."""
    targets = choose_targets(cluster, count)
    found = {node.name: Arrived() for node in cluster.nodes if node.name not in unread}
    for index, numbers in arrived.items():
        for name, came in numbers.items():
            found[name].events += [(index, number) for number in came]
    for name, counted in (counts or {}).items():
        found[name].counts = counted
    results = {target.index: Sent(count, source=SOURCE) for target in targets} | (sent or {})
    return tally(cluster, report(cluster, *pool), "5eed", "sender", targets, results, found)


def own_pipeline(folder: Path) -> Cluster:
    """A cluster with two VIPs and a pipeline with files of the user's, for input `a`."""
    pipelines = folder / "pipelines"
    pipelines.mkdir()
    (pipelines / "output.conf").write_text("output { stdout {} }\n")
    return make_cluster(
        folder,
        pipelines=pipelines,
        vip=["10.77.0.10", "10.77.0.20"],
        inputs=[{"id": "a", "port": 5514}, {"id": "b", "port": 5515, "pipeline": "other"}],
    )


def one_input(folder: Path, **input: Any) -> Cluster:
    """A cluster with one input, of these settings."""
    return make_cluster(folder, inputs=[{"id": "a", "port": 5514, **input}])
