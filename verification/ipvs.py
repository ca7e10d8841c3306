"""Whether each director's IPVS spreads events as it should. Pure: it reads nothing."""

from __future__ import annotations

from cluster import Cluster, Node, RealServer, VirtualServer
from desired import health, keepalived_conf
from desired.keepalived import SPARE_MARK
from facts.ipvs import RealServerState, VirtualServerState, host_of, socket_name
from verification.finding import DEPLOY, Finding, Judged, Observations, row_of, runs, several
from verification.health import LEFT, UP, is_reduced, state_of
from verification.observe import Observation
from verification.report import Problem, Status, VipReport

_RESTART = f"`systemctl restart keepalived`; if it comes back: {DEPLOY}"
"""keepalived does not look at what others change in IPVS; its start makes all of it anew."""
_FORWARD = {"nat": "Masq", "snat": "Masq", "dr": "Route"}
"""ipvsadm(8)'s words. The director's own real server is no exception: `Local` went with Linux 2.6.37."""


def name(server: VirtualServer) -> str:
    """As ipvsadm(8) writes a virtual server: `UDP 192.0.2.10:5514`."""
    return f"{server.protocol} {socket_name(server.vip, server.port)}"


def ipvs(cluster: Cluster, observations: Observations, server: VirtualServer) -> Judged:
    """A virtual server as the recipe's step 12 shows it: scheduler, flags, and each real server."""
    forward = _FORWARD[server.forwarding]
    flags = ["ops"] if server.ops else []
    desired = {socket_name(real.address, real.port): real for real in server.real_servers}

    def judge_node(_: Node, seen: Observation) -> Finding:
        found = find_server(server, seen)
        if found is None:
            if not runs(seen, "keepalived"):  # reported already
                return Finding(Status.WRONG, "none")
            what = (
                "there is no IPVS: ip_vs is not loaded, or ipvsadm not installed"
                if seen.virtual_servers is None
                else f"IPVS has no virtual server {name(server)}"
            )
            mend = DEPLOY if seen.virtual_servers is None else _RESTART
            return Finding(Status.WRONG, "none", what, f"{mend}, then `journalctl -u keepalived`")
        there = {real["address"]: real for real in found["real_servers"]}

        states = {address: state_of(seen, real.node, server.input_id) for address, real in desired.items()}

        def right(state: RealServerState, real: RealServer) -> bool:
            reduced = real.step and is_reduced(seen, real.node, server.input_id)
            least = real.step if reduced else real.weight
            return state["forward"] == forward and least <= state["weight"] <= real.weight

        faults = []
        if found["scheduler"] != server.input.scheduler:
            faults.append(f"its scheduler is {found['scheduler']}, not {server.input.scheduler}")
        if found["flags"] != flags:
            is_now, should = (" ".join(words) or "none" for words in (found["flags"], flags))
            faults.append(f"its flags are {is_now}, not {should}")
        for address, state in there.items():
            if address not in desired:
                faults.append(f"{address} is a real server, but none of the cluster's")
            elif not right(state, desired[address]):
                faults.append(
                    f"{address} is {state['forward']} with weight {state['weight']}, "
                    f"not {forward} with {desired[address].weight}"
                )
        late = []
        waiting = False
        last = [address for address in desired if address in there]
        kept = (
            last[0]
            if len(last) == 1 and all(state and state not in UP for state in states.values())
            else None
        )
        for address, real in desired.items():
            state_there = states[address]
            if address not in there and (state_there is None or state_there in UP):
                passes = ", though its check passes" if state_there else ""
                late.append(f"{real.node.name} is not in the pool{passes}")
            elif address in there and state_there and state_there not in UP and address != kept:
                late.append(f"{real.node.name} is in the pool, though its check fails")
            elif address not in there:
                waiting |= state_there not in LEFT
        good = sum(address in there and right(there[address], real) for address, real in desired.items())
        text = f"{good} of {len(desired)}"
        label = f"{server.name} at {server.vip}" if len(cluster.vips) > 1 else server.name
        if faults:
            return Finding(Status.WRONG, text, f"{label} in IPVS: {'; '.join(faults + late)}", _RESTART)
        if kept:
            what = f"{label}: no node's check passes; {desired[kept].node.name} stays in the pool, as the last one"
            return Finding(Status.WRONG, text, what, "fix what is above")
        if late:
            do = (
                "verify again in 10 s; if it stays: `systemctl restart keepalived`, and `journalctl -u keepalived` "
                "names scripts it won't run"
            )
            if wrong := _wrong_verdicts(server, seen):
                late.append(f"{several(wrong)} says otherwise than the health service")
                do = f"`systemctl restart {health.UNIT}`, which writes it anew"
            return Finding(Status.WRONG, text, f"{label} in IPVS: {'; '.join(late)}", do)
        if good == len(desired):
            return Finding(Status.OK, text)
        return Finding(Status.WRONG if waiting else Status.WARNING, text)

    return row_of(cluster, observations, "ipvs", judge_node, server.name, str(server.vip))


def _wrong_verdicts(server: VirtualServer, seen: Observation) -> list[str]:
    """The files by which keepalived takes an input as down, though the health service finds it up."""
    return [
        path
        for real in server.real_servers
        if state_of(seen, real.node, server.input_id) in UP
        and (path := health.verdict(real.node, server.input_id)) in (seen.raised or [])
    ]


def nobody_takes(cluster: Cluster, vips: dict[str, VipReport]) -> list[Problem]:
    """What is sent to an empty pool is lost."""
    return [
        Problem(
            Status.WRONG,
            "ipvs",
            report.holders[0],
            f"nobody takes {several([f'{input} at {vip}' for input in empty])}: all these events are lost",
            "fix what is above",
        )
        for vip, report in vips.items()
        if len(report.holders) == 1 and (empty := [id for id, nodes in report.pool.items() if not nodes])
    ]


def unmanaged(cluster: Cluster, observations: Observations) -> list[Problem]:
    """Virtual servers that are none of the inputs' and have not been adopted: wrong at a VIP, none of our business
    elsewhere."""
    own = {*(name(server) for server in cluster.virtual_servers), f"FWM {SPARE_MARK}"}
    problems = []
    for node, seen in observations.items():
        adopted = (seen.others.adopted if seen.others else None) or []
        desired = own | keepalived_conf.servers(keepalived_conf.parse(adopted))
        for server in seen.virtual_servers or []:
            found = f"{server['protocol']} {server['address']}"
            if found in desired:
                continue
            option = {"TCP": "-t", "UDP": "-u", "FWM": "-f"}.get(server["protocol"], "-t")
            remove = f"`ipvsadm -D {option} {server['address']}`"
            at_vip = host_of(server["address"]) in map(str, cluster.vips)
            problems.append(
                Problem(
                    Status.WRONG if at_vip else Status.WARNING,
                    "ipvs",
                    node,
                    f"IPVS has a virtual server that is none of the inputs': {found}",
                    f"{DEPLOY} where inventory.py has changed, otherwise {remove}"
                    if at_vip
                    else f"leave it, if somebody means it; otherwise {remove}",
                )
            )
    return problems


def pool(server: VirtualServer, director: Observation) -> tuple[str, ...]:
    """The nodes that this director spreads a virtual server's events over."""
    found = find_server(server, director)
    taking = {real["address"] for real in found["real_servers"] if real["weight"] > 0} if found else set()
    return tuple(
        real.node.name for real in server.real_servers if socket_name(real.address, real.port) in taking
    )


def find_server(server: VirtualServer, seen: Observation) -> VirtualServerState | None:
    """A virtual server as IPVS has it on this node; None where it has none."""
    address = socket_name(server.vip, server.port)
    return next(
        (
            state
            for state in seen.virtual_servers or []
            if (state["protocol"], state["address"]) == (server.protocol, address)
        ),
        None,
    )
