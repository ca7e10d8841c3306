"""What is to be seen on the nodes, read through pyinfra: facts, and nothing but facts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gevent import Timeout
from gevent.pool import Group
from pyinfra.api import FactBase, Host, State
from pyinfra.api.facts import get_fact

from cluster import Cluster, Node
from facts.firewalld import Rules, RulesState
from facts.health import Health, HealthState
from facts.ipvs import VirtualServers, VirtualServerState
from facts.machine import Machine, MachineState
from facts.record import Record
from facts.selinux import SELinux, SELinuxState
from facts.services import Services, ServiceState, Units, UnitState
from facts.sysctl import Sysctl, SysctlState
from facts.together import Together
from facts.vrrp import Held, Loopback
from operations import health, keepalived, logstash, session, sysctl, vip
from operations.files import TextFile
from templates import meant

COMMAND_TIMEOUT = 40
"""Seconds for one command on a node."""
LONG_TIMEOUT = 80
"""Seconds for one that does many things; a node that hangs takes the health checks 3 s for each input."""
NODE_TIMEOUT = 250
"""Seconds for all that is read on a node."""


@dataclass(frozen=True)
class Observation:
    """What was seen on one node. None is what could not be read."""

    unreachable: str | None = None
    """Why nothing could be read at all."""
    el: int | None = None
    """Enterprise Linux's major version, where the project knows it."""
    services: dict[str, ServiceState] | None = None
    units: dict[str, UnitState] | None = None
    """Those that read files of the deploy's, by name; among the files are the staged ones."""
    sysctl: SysctlState | None = None
    selinux: SELinuxState | None = None
    firewall: RulesState | None = None
    record: dict[str, list[str]] | None = None
    health: HealthState | None = None
    virtual_servers: list[VirtualServerState] | None = None
    held: dict[str, list[str]] | None = None
    """By VIP: the interfaces that carry it, but for loopback."""
    loopback: list[str] | None = None
    """The addresses on the loopback interface."""


def units(cluster: Cluster) -> tuple[str, ...]:
    """The services that the cluster needs on each node."""
    own = (vip.UNIT,) if "dr" in cluster.forwardings else ()
    wall = ("firewalld",) if cluster.firewall == "firewalld" else ()
    return (logstash.UNIT, "keepalived", *own, *wall)


def read_by(cluster: Cluster, node: Node, el: int) -> dict[str, list[TextFile]]:
    """By unit: the files of the deploy's that it reads."""
    files = meant(cluster, node, el).values()
    return {
        unit: found for unit in units(cluster) if (found := [file for file in files if file.read_by == unit])
    }


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
                return node.name, _look(host, cluster, node)
        except Timeout:
            return node.name, Observation(unreachable=f"no answers within {NODE_TIMEOUT} s")

    # Not the state's own pool: under `pyinfra` this runs in it, and it may have one place only.
    return dict(Group().map(look, cluster.nodes))


def read(host: Host, fact: type[FactBase[Any]], timeout: int = COMMAND_TIMEOUT, **arguments: Any) -> Any:
    """A fact of this host; its default when that fails, which takes no host out of the run."""
    kwargs = {"_timeout": timeout, **arguments}
    return get_fact(host.state, host, fact, kwargs=kwargs, apply_failed_hosts=False)


def release(host: Host) -> int | None:
    """A machine's Enterprise Linux, where the project knows it."""
    return _release(read(host, Machine, _sudo=False))


def _release(machine: MachineState) -> int | None:
    major = machine["os"].get("VERSION_ID", "").split(".")[0]
    return int(major) if major.isdigit() and int(major) in keepalived.PYTHON else None


def _look(host: Host, cluster: Cluster, node: Node) -> Observation:
    session.fast(host)
    # Without sudo: where it asks for a password, pyinfra would too.
    machine = read(host, Machine, _sudo=False)
    if machine["root"] != "yes" and not host.data.get("_sudo_password"):
        return Observation(unreachable=f"no sudo ({machine['root'] or 'no answer'})")
    el = _release(machine)
    wanted: dict[str, tuple[type[FactBase[Any]], dict[str, Any]]] = {
        "services": (Services, {"units": list(units(cluster))}),
        "sysctl": (Sysctl, {"keys": list(sysctl.settings(cluster))}),
        "selinux": (SELinux, {}),
        "record": (Record, {}),
        "virtual_servers": (VirtualServers, {}),
        "held": (Held, {"vips": [str(vip) for vip in cluster.vips]}),
        "loopback": (Loopback, {}),
    }
    if cluster.firewall != "none":
        wanted["firewall"] = (Rules, {"interface": cluster.interface})
    if el:
        paths = {
            unit: [path for file in files for path in (file.path, file.staged)]
            for unit, files in read_by(cluster, node, el).items()
        }
        wanted["units"] = (Units, {"units": paths})
    return Observation(
        el=el,
        health=_health(host, cluster, el) if el else None,
        **(read(host, Together, timeout=LONG_TIMEOUT, facts=wanted) or {}),
    )


def _health(host: Host, cluster: Cluster, el: int) -> HealthState | None:
    state: HealthState | None = read(
        host,
        Health,
        timeout=LONG_TIMEOUT,
        python=keepalived.PYTHON[el],
        script=keepalived.SCRIPT,
        user=keepalived.SCRIPT_USER,
        reasons=health.REASONS,
        addresses=[str(node.address) for node in cluster.nodes],
        inputs=list(dict.fromkeys(server.input_id for server in cluster.virtual_servers)),
    )
    return state
