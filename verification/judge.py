"""The verdict on a cluster, from what was seen on its nodes. Pure: it reads nothing itself."""

from __future__ import annotations

from cluster import Cluster
from desired.units import unit_names
from verification import balance, machines
from verification.finding import Observations
from verification.observe import Observation
from verification.report import Problem, Report, Status, VipReport


def judge(cluster: Cluster, observations: Observations) -> Report:
    """The report on what was seen on each of the cluster's nodes, by name."""
    vips = {str(vip): _vip_report(cluster, observations, str(vip)) for vip in cluster.vips}
    judged = [
        machines.ssh(cluster, observations),
        *(machines.service(cluster, observations, unit) for unit in unit_names(cluster)),
        machines.kernel(cluster, observations),
        machines.selinux(cluster, observations),
        machines.firewall(cluster, observations),
        *(balance.health(cluster, observations, input) for input in cluster.input_ids),
        *(balance.ipvs(cluster, observations, server) for server in cluster.virtual_servers),
        *(balance.vip(cluster, observations, instance) for instance in cluster.vrrp_instances),
    ]
    return Report(
        nodes=tuple(node.name for node in cluster.nodes),
        vips=vips,
        rows=tuple(row for row, _ in judged),
        problems=(
            *(Problem(Status.WARNING, "inventory", None, *_what_and_mend(line)) for line in cluster.warnings),
            *(problem for _, problems in judged for problem in problems),
            *balance.drained(cluster, observations),
            *balance.slow(cluster, observations),
            *balance.no_script(observations),
            *balance.parted(cluster, vips),
            *balance.strangers(cluster, observations),
            *balance.nobody_takes(cluster, vips),
        ),
    )


def _what_and_mend(warning: str) -> tuple[str, str]:
    """What the model warns of, and its mend."""
    what, _, mend = warning.rpartition("; ")
    return what, mend


def _vip_report(cluster: Cluster, observations: Observations, vip: str) -> VipReport:
    holders = balance.holding(observations, vip)
    director = observations[holders[0]] if len(holders) == 1 else Observation()
    servers = [server for server in cluster.virtual_servers if str(server.vip) == vip]
    return VipReport(holders, {server.input_id: balance.pool(server, director) for server in servers})
