"""The report on a cluster, once it has settled."""

from __future__ import annotations

import time
from collections.abc import Collection

from pyinfra.api import State

from cluster import Cluster
from desired.majors import undecided, with_seen_major
from remote import snapshot
from remote.machine import read_machine
from remote.together import for_each
from verification.judge import judge
from verification.observe import observe
from verification.report import Report

SETTLING = 15
"""Seconds that keepalived may take to follow the changes of a deploy: `delay_loop`, `misc_timeout` and an election."""
PATIENCE = 4
"""Seconds for what verify.py happens to see in the midst of a change, so that it answers within 10 s."""


def inspect(
    state: State,
    cluster: Cluster,
    reasons: dict[str, str],
    left_out: Collection[str] = (),
    settling: float = SETTLING,
) -> Report:
    """The report on the cluster, once keepalived has had `settling` seconds. For `reasons` and `left_out`, see `observe`.

    After a run that has changed nothing, what it has read already counts, where all is well by that.
    """
    start = time.monotonic()
    cluster = _with_major(state, cluster, left_out)
    if snapshot.remembers(state):
        report = judge(cluster, observe(state, cluster, reasons, left_out, may_remember=True))
        if report.ok:
            return report
    while True:
        began = time.monotonic()
        report = judge(cluster, observe(state, cluster, reasons, left_out))
        now = time.monotonic()
        # Another look takes as long as this one: where it would end too late, there is none.
        if not report.may_settle or now - start + (now - began) > settling:
            return report
        time.sleep(1)


def _with_major(state: State, cluster: Cluster, left_out: Collection[str]) -> Cluster:
    """The cluster with the major version of Logstash that its nodes have, where the inventory names none."""
    if not undecided(cluster):
        return cluster
    hosts = [state.inventory.get_host(node.name) for node in cluster.nodes if node.name not in left_out]
    hosts = [host for host in hosts if host.connected]
    found = for_each(read_machine, hosts)
    return with_seen_major(
        cluster, {host.name: machine["logstash"] for host, machine in zip(hosts, found, strict=True)}
    )
