"""What is to be seen on the nodes, read through pyinfra: facts, and nothing but facts."""

from __future__ import annotations

import time
from typing import Any

from gevent import Timeout
from gevent.pool import Group
from pyinfra.api import FactBase, Host, State
from pyinfra.api.facts import get_fact

from cluster import Cluster, Node
from facts.firewalld import RichRules
from facts.health import Health
from facts.ipvs import VirtualServers
from facts.machine import Machine
from facts.selinux import Boolean
from facts.services import Services
from facts.sysctl import Sysctl
from facts.vrrp import Interfaces
from operations import keepalived, selinux, session, sysctl
from verification.judge import UNITS, Observation, Report, judge

COMMAND_TIMEOUT = 40
"""Seconds for one command on a node."""
NODE_TIMEOUT = 120
"""Seconds for all that is read on a node."""
SETTLING = 15
"""Seconds that keepalived may take to follow a change: `delay_loop`, `misc_timeout` and an election."""


def inspect(state: State, cluster: Cluster, reasons: dict[str, str]) -> Report:
    """The report on what is seen, once keepalived has had its time. For `reasons`, see `observe`."""
    start = time.monotonic()
    while True:
        report = judge(cluster, observe(state, cluster, reasons))
        if not report.may_settle or time.monotonic() - start > SETTLING:
            return report
        time.sleep(1)


def observe(state: State, cluster: Cluster, reasons: dict[str, str]) -> dict[str, Observation]:
    """What is seen on each node, by name. The nodes are read at the same time.

    `reasons` tells, by name, why a host could not be connected to.
    """

    def look(node: Node) -> tuple[str, Observation]:
        host = state.inventory.get_host(node.name)
        if not host.connected:
            return node.name, Observation(unreachable=reasons.get(node.name, "no connection by ssh"))
        try:
            with Timeout(NODE_TIMEOUT):
                return node.name, _look(host, cluster)
        except Timeout:
            return node.name, Observation(unreachable=f"no answers within {NODE_TIMEOUT} s")

    # Not the state's own pool: under `pyinfra` this runs in it, and it may have one place only.
    return dict(Group().map(look, cluster.nodes))


def read(host: Host, fact: type[FactBase[Any]], **arguments: Any) -> Any:
    """A fact of this host; its default when that fails, which takes no host out of the run."""
    kwargs = {"_timeout": COMMAND_TIMEOUT, **arguments}
    return get_fact(host.state, host, fact, kwargs=kwargs, apply_failed_hosts=False)


def _look(host: Host, cluster: Cluster) -> Observation:
    session.fast(host)
    # Without sudo: where it asks for a password, pyinfra would too.
    machine = read(host, Machine, _sudo=False)
    if machine["root"] != "yes" and not host.data.get("_sudo_password"):
        return Observation(unreachable=f"no sudo ({machine['root'] or 'no answer'})")
    major = machine["os"].get("VERSION_ID", "").split(".")[0]
    python = keepalived.PYTHON.get(int(major)) if major.isdigit() else None
    health = python and read(
        host,
        Health,
        python=python,
        script=keepalived.SCRIPT,
        user=keepalived.SCRIPT_USER,
        addresses=[str(node.address) for node in cluster.nodes],
        inputs=[input.id for input in cluster.inputs],
    )
    return Observation(
        services=read(host, Services, units=list(UNITS)),
        sysctl=read(host, Sysctl, keys=list(sysctl.SETTINGS)),
        selinux=read(host, Boolean, boolean=selinux.BOOLEAN),
        firewall=read(host, RichRules, interface=cluster.interface),
        health=health or None,
        virtual_servers=read(host, VirtualServers),
        interfaces=read(host, Interfaces, vip=str(cluster.vip)),
    )
