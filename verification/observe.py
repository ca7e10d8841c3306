"""What is seen on the nodes, read through pyinfra: facts, and nothing but facts."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

from gevent import Timeout
from pyinfra.api import Host, State

from cluster import Cluster, Node
from desired import firewalld, health, health_script, logstash, nftables, sysctl
from desired.compared import table_rules, unit_states
from desired.conflicts import others_arguments
from desired.files import desired_files
from desired.paths import MAINTENANCE, RECORD
from desired.textfile import TextFile, read_by
from desired.translation import own_table
from desired.units import desired_units, unit_names
from facts.batch import BatchFacts
from facts.certificates import Certificates
from facts.channel import HeardPeers
from facts.files import MatchingFiles
from facts.firewalld import Firewall, FirewallState
from facts.health import Check, HealthChecks, HealthState, RaisedVerdicts
from facts.heartbeat import FileAge
from facts.iptables import OwnChains
from facts.ipvs import VirtualServers, VirtualServerState
from facts.maintenance import Maintenance, MaintenanceState
from facts.nftables import TableRules
from facts.others import Others, OthersState
from facts.record import Record
from facts.selinux import SELinux, SELinuxState
from facts.services import ServiceState, UnitCondition, UnitState, UnitStates
from facts.sysctl import Sysctl, SysctlState
from facts.vrrp import AdvertSockets, LoopbackAddresses, VipInterfaces
from remote import session, snapshot
from remote.commands import read
from remote.machine import read_machine
from remote.snapshot import Request
from remote.together import for_each

LONG_TIMEOUT = 80
"""Seconds for all facts; the health checks of a node that hangs take 3 s for each input."""
NODE_TIMEOUT = 250
"""Seconds for all that is read on a node."""


@dataclass(frozen=True)
class Observation:
    """What was seen on one node. None is what could not be read."""

    left_out: bool = False
    """Whether nothing was read on purpose, because the run is for other nodes."""
    unreachable: str | None = None
    """Why nothing could be read at all."""
    no_sudo: str = ""
    """What sudo has said, where that is why."""
    el: int | None = None
    """Enterprise Linux's major version, where the project knows it."""
    own_table: bool = False
    """Whether a table of our own translates there, and no direct rules (`desired.translation`)."""
    services: dict[str, ServiceState] | None = None
    units: dict[str, UnitState] | None = None
    """Those that read files of the deploy's, by name; among the files are the staged ones."""
    conditions: dict[str, UnitCondition] | None = None
    pipeline_files: list[str] | None = None
    """The files that Logstash's next start reads into its pipelines."""
    maintenance: dict[str, MaintenanceState] | None = None
    """By address: the nodes in maintenance, as this director has it."""
    peers: dict[str, bool] | None = None
    """By address: whether the health service here hears the one there."""
    heartbeat: int | None = None
    """Seconds since the health service last renewed its verdicts; None where the file that shows it is missing."""
    sysctl: SysctlState | None = None
    selinux: SELinuxState | None = None
    firewall: FirewallState | None = None
    table: list[str] | None = None
    """The rules of the table of our own."""
    chains: list[str] | None = None
    """The rules in the kernel's own chains that come before firewalld's."""
    record: dict[str, list[str]] | None = None
    others: OthersState | None = None
    health: HealthState | None = None
    raised: list[str] | None = None
    """The verdicts that tell keepalived that an input is down, by their paths."""
    virtual_servers: list[VirtualServerState] | None = None
    held: dict[str, list[str]] | None = None
    """By VIP: the interfaces that carry it, without loopback."""
    loopback: list[str] | None = None
    """The addresses on the loopback interface."""
    certificates: dict[str, str] | None = None
    """By path: the certificates of inputs with TLS, in PEM."""
    advert_sockets: list[int] | None = None
    """The IP versions for which keepalived has sockets for adverts."""

    @cached_property
    def checks(self) -> dict[str, list[Check]]:
        """By address: what this observer's health checks found there."""
        checks: dict[str, list[Check]] = {}
        for check in self.health["checks"] if self.health else []:
            checks.setdefault(check["address"], []).append(check)
        return checks


def unit_files(cluster: Cluster, node: Node, el: int, has_nftables: bool) -> dict[str, list[TextFile]]:
    """By unit: the files of the deploy's that it reads."""
    files = desired_files(cluster, node, el, has_nftables).values()
    units = desired_units(cluster, node, el, has_nftables)
    return {unit.name: found for unit in units if (found := read_by(files, unit.name))}


def observe(
    state: State,
    cluster: Cluster,
    reasons: dict[str, str],
    left_out: Collection[str] = (),
    may_remember: bool = False,
) -> dict[str, Observation]:
    """What is seen on each node, by name. The nodes are read at the same time.

    + reasons: by name, why a host could not be connected to
    + left_out: the names of nodes that nothing is read on
    + may_remember: what the run has read with all facts of a node is not read again (`remote.snapshot`)
    """

    def observe_node(node: Node) -> tuple[str, Observation]:
        if node.name in left_out:
            return node.name, Observation(left_out=True)
        host = state.inventory.get_host(node.name)
        if not host.connected:
            return node.name, Observation(unreachable=reasons.get(node.name, "no connection by ssh"))
        try:
            with Timeout(NODE_TIMEOUT):
                return node.name, _read_all(host, cluster, node, may_remember)
        except Timeout:
            return node.name, Observation(unreachable=f"no answers within {NODE_TIMEOUT} s")

    # Not the state's own pool: under `pyinfra` this runs in it, and it may have room for one only.
    return dict(for_each(observe_node, cluster.nodes))


def release(host: Host) -> int | None:
    """A machine's Enterprise Linux, where the project knows it."""
    major = read_machine(host)["os"].get("VERSION_ID", "").split(".")[0]
    return int(major) if major.isdigit() and int(major) in health_script.PYTHON else None


def _read_all(host: Host, cluster: Cluster, node: Node, may_remember: bool) -> Observation:
    session.adjust_transport(host)
    machine = read_machine(host)
    if machine["root"] != "yes":
        said = machine["root"]
        return Observation(unreachable=f"no sudo ({said or 'no answer'})", no_sudo=said)
    el = release(host)
    with_table = el is not None and own_table(cluster, el, machine["nftables"])
    files = list(desired_files(cluster, node, el, machine["nftables"]).values()) if el else []
    lasting = lasting_facts(cluster, node, with_table, files)
    passing = _passing_facts(cluster, el)
    seen = snapshot.remembered(host, lasting) if may_remember else {}
    facts = {name: request for name, request in (lasting | passing).items() if name not in seen}
    found = read(host, BatchFacts, timeout=LONG_TIMEOUT, facts=facts)
    if found is None and "health" in facts:  # it may be what takes too long
        del facts["health"]
        found = read(host, BatchFacts, timeout=LONG_TIMEOUT, facts=facts)
    seen |= found or {}
    units: dict[str, UnitState] | None = seen.pop("units", None)
    if units is None:
        return Observation(el=el, own_table=with_table, **seen)
    services = {name: unit["service"] for name, unit in units.items()}
    readers = {file.read_by for file in files}
    return Observation(
        el=el,
        own_table=with_table,
        services=services,
        conditions={name: unit["condition"] for name, unit in units.items()},
        units={name: unit for name, unit in units.items() if name in readers} if el else None,
        **seen,
    )


def lasting_facts(
    cluster: Cluster, node: Node, with_table: bool, files: list[TextFile]
) -> dict[str, Request]:
    """What stays on a node as it is until somebody changes it, by its name in an `Observation`; `services` and
    `conditions` are among the `units`. `files` are all that the deploy writes there."""
    facts: dict[str, Request] = {
        "units": (UnitStates, unit_states(unit_names(cluster, with_table), files)),
        "pipeline_files": (MatchingFiles, {"patterns": logstash.read_patterns(cluster)}),
        "sysctl": (Sysctl, {"keys": list(sysctl.kernel_settings(cluster, node))}),
        "selinux": (SELinux, {}),
        "record": (Record, {"path": RECORD}),
        "others": (Others, others_arguments(cluster, node)),
        "loopback": (LoopbackAddresses, {}),
    }
    if paths_of_certificates := logstash.certificate_paths(cluster):
        facts["certificates"] = (Certificates, {"paths": paths_of_certificates})
    if cluster.firewall != "none":
        facts["firewall"] = (Firewall, firewalld.fact_arguments(cluster, node))
        facts["chains"] = (OwnChains, {"families": list(cluster.families)})
    if with_table:
        facts["table"] = (TableRules, table_rules(nftables.rules(cluster, node)))
    return facts


def _passing_facts(cluster: Cluster, el: int | None) -> dict[str, Request]:
    """What may be otherwise on a node in the next second, by its name in an `Observation`."""
    verdicts = [health.verdict(node, input) for node in cluster.nodes for input in cluster.input_ids]
    facts: dict[str, Request] = {
        "heartbeat": (FileAge, {"path": health.REASONS}),
        "peers": (HeardPeers, {"path": health.PEERS}),
        "maintenance": (Maintenance, {"folder": MAINTENANCE}),
        "raised": (RaisedVerdicts, {"paths": verdicts}),
        "virtual_servers": (VirtualServers, {}),
        "held": (VipInterfaces, {"vips": [str(vip) for vip in cluster.vips]}),
        "advert_sockets": (AdvertSockets, {}),
    }
    if el:
        facts["health"] = (
            HealthChecks,
            {
                "python": health_script.PYTHON[el],
                "script": health_script.CHECK,
                "user": health_script.USER,
                "reasons": health.REASONS,
                "addresses": [str(node.address) for node in cluster.nodes],
                "inputs": list(cluster.input_ids),
            },
        )
    return facts
