"""Each benchmark that needs a lab measures something: run once, as small as it can be."""

import re
import sys

import pytest

from tests.lab.conftest import Cluster

RUNS = {
    "detection": ("1 --checks ours --failure killed", r"\| ours \| killed \| 1 \| (\d+) \| \1 \| \1 \|"),
    "failover": (
        "1 --vrrp default --failure keepalived-stopped",
        r"\| default \| keepalived stopped \| 1 \| (\d+) \| \1 \| \1 \|  \|",
    ),
    "flap": ("2 default", r"\| default \| 2 \| \d+ % \| \d+ \|"),
    "udp": (
        "1 100 --path ipvs",
        r"\| the VIP \(IPVS\) \| 200 B \| 100 \| 100 \| 0 \| 0 \| 0\.000 % \|\n\| the VIP \(IPVS\) \| 1000 B \| 100 .*",
    ),
    "slow_start": (
        "20 50 --way wrr",
        r"\| slow start \(`wrr`\) \| 50 \| \d+ \| 0 \(0 %\) \| 0 \|",
    ),
}
"""Arguments, and the rows of the table. The last one changes the cluster that the others measure."""


@pytest.mark.parametrize("name", RUNS)
def test_a_benchmark_measures_something(cluster: Cluster, name: str) -> None:
    arguments, rows = RUNS[name]
    done = cluster.run(sys.executable, "-m", f"bench.{name}", *arguments.split(), timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(f"^{rows}$", done.stdout, re.MULTILINE), done.stdout
