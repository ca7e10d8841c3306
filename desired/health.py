"""The health service: what it reads, and where keepalived reads its verdicts (the recipe's step 8)."""

from __future__ import annotations

import posixpath

from cluster import Cluster, Node
from cluster.buffers import COLD_SECONDS
from desired.health_script import (
    ACCESS,
    CHECK,
    PREVIOUS_ACCESS,
    PYTHON,
    USER,
    access_file,
    check_script,
    starts,
)
from desired.paths import DRAINED, STATE, VERSION_FILE, staged
from desired.render import program, render
from desired.textfile import TextFile
from desired.unit import Unit

UNIT = "logstash-ha-health"
FILE = f"/etc/systemd/system/{UNIT}.service"
SERVICE = "/etc/keepalived/logstash_ha_health.py"
"""Beside the health script, whose module it is built on."""
MODULES = tuple(
    f"/etc/keepalived/logstash_ha_{name}.py"
    for name in ("api", "channel", "flags", "links", "listeners", "metrics", "peers", "slow_start")
)
"""What the service is built on, beside the health script."""
SETTINGS = "/etc/keepalived/logstash_ha_health.json"
KEY = f"{STATE}/health.key"
"""The cluster's key, the same on all nodes, by which the services know each other's messages (`operations.channel`)."""
TMPFILES = f"/etc/tmpfiles.d/{UNIT}.conf"
"""Makes the files of the verdicts at boot, with the owner and the SELinux label that they need."""

FOLDER = "/run/keepalived-health"
"""Where the verdicts are. SELinux lets keepalived read and watch what is in /run and has its name."""
REASONS = f"{FOLDER}/reasons"
"""Why inputs are down, slow or just starting, a JSON object a line. The service renews its modification time while it works."""
PEERS = f"{FOLDER}/peers"
"""Which of the other nodes' services this node's hears."""
LINK_FAULT = f"{FOLDER}/link_fault"
"""Says, with a `1`, that this node's link is down or has just come back, or that its keepalived has just started. The
interface with the node's own address has this file, and another one the same with `_` and its name."""
MAINTENANCE_FLAG = f"{FOLDER}/maintenance"
"""Says, with a `1`, that this node is in maintenance: keepalived's instances are in FAULT then."""
SPARE_VERDICT = f"{FOLDER}/spare"
"""A verdict on no input: the deploy turns it down for a moment, to see that keepalived follows (`keepalived.unit`)."""
SPARE_REDUCTION = f"{FOLDER}/reductions/spare"
"""The same for a weight, where keepalived takes it from a check's exit status."""
RELOAD_FOLDER = f"{FOLDER}/reload"
"""Where the service asks for a reload of keepalived, by a file (`desired.reload`)."""
RELOAD = f"{RELOAD_FOLDER}/keepalived"
FOLLOWS_FILES = 9
"""The first Enterprise Linux whose keepalived follows a verdict's file at once, and a weight's. 2.1.5 (EL 8) can, too, but a
real server that a reload adds stays down there until its file has changed twice; 1.3.5 (EL 7) can't. Both take a weight from a
check's exit status."""
MOST_BY_STATUS = 123
"""The largest weight for which a check's exit status, which is two more, can't be mistaken: by 126 and above, a shell says that
it could not run a program or that a signal ended it, and 1.3.5 was to take these for a check that passes."""
TRACK_FILE = 8
"""The first Enterprise Linux whose keepalived's instances follow a file."""
INTERVAL = 0.5
"""Seconds from one poll of a node to the next; one costs its Logstash about 12 ms."""
TIMEOUT = 2.0
"""Seconds for a node's answer; two that are late take it out of the pools."""

LEAVE = "logstash-ha-leave"
LEAVE_FILE = f"/etc/systemd/system/{LEAVE}.service"
LEAVE_TIME = 2.0
"""Seconds for which a Logstash that is to stop still takes events: until all services know, and keepalived follows, which
looks once a second on EL 7 and 8."""

DRAINED_MINUTES = 4
"""How old a drain flag may be to be the deploy's own, which waits until the node is out of all pools: it expires after 5."""


def verdict(node: Node, input_id: str) -> str:
    """The file that says whether this input of this node is up: it is empty then, and holds `1` otherwise."""
    return f"{FOLDER}/{node.address}/{input_id}"


def reduction(node: Node, input_id: str) -> str:
    """The file that says how many percent of its weight this input of this node does not get now; empty: it gets all."""
    return f"{FOLDER}/reductions/{node.address}/{input_id}"


def weighed_inputs(cluster: Cluster, el: int) -> list[str]:
    """The ids of the inputs whose nodes get less than their weight while they are slow or have just started."""
    weighed = [server for server in cluster.virtual_servers if server.input.percent_steps]
    if el < FOLLOWS_FILES:
        weighed = [
            server for server in weighed if all(real.weight <= MOST_BY_STATUS for real in server.real_servers)
        ]
    return list(dict.fromkeys(server.input_id for server in weighed))


def proves_weights(cluster: Cluster, el: int) -> bool:
    """Whether keepalived has a spare real server whose weight follows a file as those of the inputs do."""
    return el < FOLLOWS_FILES and bool(weighed_inputs(cluster, el))


def link_faults(cluster: Cluster, node: Node, el: int) -> dict[str, str]:
    """By interface: the file that keepalived's instances follow, where they can follow one."""
    if el < TRACK_FILE:
        return {}
    own = cluster.interface_of(node)
    return {
        interface: LINK_FAULT if interface == own else f"{LINK_FAULT}_{interface}"
        for interface in cluster.interfaces_of(node)
    }


def settings(cluster: Cluster, node: Node, el: int) -> dict[str, object]:
    """What the service reads: it makes up no path of its own."""
    weighed = weighed_inputs(cluster, el)
    faults = link_faults(cluster, node, el)
    inputs = {
        input.plugin_id(protocols[0]): (input, plugin)
        for input in cluster.inputs
        for plugin, protocols in input.plugins.items()
    }
    return {
        "access": ACCESS,
        "previous_access": PREVIOUS_ACCESS,
        "interval": INTERVAL,
        "timeout": TIMEOUT,
        "own": str(node.address),
        "links": [
            {
                "interface": interface,
                "addresses": _addresses_on(cluster, node, interface),
                "fault": faults.get(interface),
            }
            for interface in cluster.interfaces_of(node)
        ],
        "key": KEY,
        "vips": [str(vip) for vip in cluster.vips],
        "reasons": REASONS,
        "peers": PEERS,
        "reload": RELOAD,
        "maintenance": MAINTENANCE_FLAG,
        "cold": {"rate": cluster.cold_start_rate, "seconds": COLD_SECONDS},
        "metrics": _metrics(cluster),
        "nodes": {
            str(member.address): {
                input_id: {
                    "sockets": [
                        {"protocol": protocol, "port": input.target_port, "probe": input.may_probe(protocol)}
                        for protocol in input.plugins[plugin]
                    ],
                    "verdict": verdict(member, input_id),
                    "reduction": reduction(member, input_id) if input_id in weighed else None,
                    "weight": input.weight_of(member.name),
                    "holds": input.waiting_events(plugin),
                }
                for input_id, (input, plugin) in inputs.items()
            }
            for member in cluster.nodes
        },
    }


def metrics_file(cluster: Cluster) -> str | None:
    """The file that the service writes for node_exporter's textfile collector; None where the inventory names no folder."""
    return f"{cluster.metrics}/logstash_ha.prom" if cluster.metrics else None


def _metrics(cluster: Cluster) -> dict[str, object] | None:
    file = metrics_file(cluster)
    if file is None:
        return None
    return {
        "file": file,
        "names": {str(node.address): node.name for node in cluster.nodes},
        "version": VERSION_FILE,
        "certificates": {
            input.plugin_id(protocols[0]): int(cluster.tls_files[input.id].ends.timestamp())
            for input in cluster.inputs
            if input.tls
            for protocols in input.plugins.values()
            if "tcp" in protocols
        },
    }


def _addresses_on(cluster: Cluster, node: Node, interface: str) -> list[str]:
    """The addresses that the node must have on an interface before it can take part there."""
    own = [node.address] if interface == cluster.interface_of(node) else []
    sources = [
        source
        for vip in cluster.virtual_addresses
        for name, source in vip.sources.items()
        if name == node.name and cluster.vip_interface(vip.address, node) == interface
    ]
    return [str(address) for address in dict.fromkeys([*own, *sources])]


def _service_starts(el: int) -> str:
    """For the service's `TextFile`: it starts with the modules that it will have, as its user."""
    copies = "\n".join(
        f'[ -f {staged(path)} ] && cp {staged(path)} "$work/{posixpath.basename(path)}" || cp {path} "$work"'
        for path in (CHECK, *MODULES)
    )
    return f"""\
chmod 755 "$work"
{copies}
cp "$new" "$work/service.py"
{starts(el, "$work/service.py")}"""


def files(cluster: Cluster, node: Node, el: int) -> list[TextFile]:
    """The health script and service, and the files by which the service gives keepalived its verdicts."""
    service = render(
        "health.service.j2",
        el=el,
        user=USER,
        command=f"{PYTHON[el]} {SERVICE} {SETTINGS}",
        metrics=cluster.metrics,
    )
    verdicts = render(
        "health.tmpfiles.j2",
        cluster=cluster,
        folder=FOLDER,
        reasons=REASONS,
        peers=PEERS,
        user=USER,
        verdict=verdict,
        weighed_inputs=weighed_inputs(cluster, el),
        reduction=reduction,
        link_faults=link_faults(cluster, node, el),
        reload_folder=RELOAD_FOLDER,
        maintenance=MAINTENANCE_FLAG,
        spare_verdict=SPARE_VERDICT,
        spare_reduction=SPARE_REDUCTION if proves_weights(cluster, el) else None,
    )
    leave = render(
        "leave.service.j2",
        folder=DRAINED,
        flag=f"{DRAINED}/{node.address}",
        seconds=LEAVE_TIME,
        minutes=DRAINED_MINUTES,
    )
    return [
        access_file(cluster),
        check_script(el, read_by=UNIT),
        *(TextFile(path, program(posixpath.basename(path)), step=8, read_by=UNIT) for path in MODULES),
        TextFile(TMPFILES, verdicts, step=8, then=f"systemd-tmpfiles --create {TMPFILES}"),
        TextFile(
            SERVICE,
            program("logstash_ha_health.py"),
            step=8,
            mode="755",
            check=_service_starts(el),
            read_by=UNIT,
        ),
        TextFile(
            SETTINGS, render("health.json.j2", settings=settings(cluster, node, el)), step=8, read_by=UNIT
        ),
        TextFile(FILE, service, step=8, read_by=UNIT),
        TextFile(LEAVE_FILE, leave, step=8, read_by=LEAVE),
    ]


def unit() -> Unit:
    """The service itself. A restart for changed files keeps its verdicts, and systemd says that it is up when each
    verdict is settled."""
    return Unit(UNIT, probe=f"systemctl is-active {UNIT}")


def leave_unit() -> Unit:
    """What takes the node out of all pools before its Logstash stops, whoever stops it."""
    return Unit(LEAVE, probe=f"systemctl is-active {LEAVE}")
