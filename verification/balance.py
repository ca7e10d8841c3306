"""What is right and what is wrong between the machines: health checks, IPVS and VRRP. Pure: it looks at nothing."""

from __future__ import annotations

from collections.abc import Iterable

from cluster import API_PORT, Cluster, Node, RealServer, VirtualServer, VrrpInstance
from facts.health import Check
from facts.ipvs import RealServerState, VirtualServerState, host_of, socket_name
from verification.finding import (
    DEPLOY,
    Finding,
    Judged,
    Observations,
    row_of,
    runs,
    several,
    unread,
    words,
)
from verification.observe import Observation
from verification.report import Problem, Status, VipReport

_DRAINED = "drained, to be restarted or stopped"
"""What the health script says of a node that takes no events while its services start anew."""
_FORWARD = {"nat": "Masq", "snat": "Masq", "dr": "Route"}
"""ipvsadm(8)'s words. The director's own real server is no exception: `Local` went with Linux 2.6.37."""


def name(server: VirtualServer) -> str:
    """As ipvsadm(8) writes a virtual server: `UDP 192.0.2.10:5514`."""
    return f"{server.protocol} {socket_name(server.vip, server.port)}"


def health(cluster: Cluster, observations: Observations, input: str) -> Judged:
    """Each node asks each node. A problem is told once for the node that is down, whoever saw it."""

    def look(_: Node, seen: Observation) -> Finding:
        if seen.health is None:
            return unread(f"the health of {input}", "the health script, as its user")
        if seen.health["missing"]:
            return Finding(Status.WRONG, "no script")
        up = sum(_up(seen, node, input) is True for node in cluster.nodes)
        drained = sum(_down(seen, node, input) == _DRAINED for node in cluster.nodes)
        status = Status.OK if up == len(cluster.nodes) else Status.WRONG
        if status == Status.OK and any(_slow(seen, node, input) for node in cluster.nodes):
            status = Status.WARNING
        if drained and up + drained == len(cluster.nodes):
            status = Status.WARNING
        return Finding(status, f"{up} of {len(cluster.nodes)}")

    row, problems = row_of(cluster, observations, "health", look, input)
    for node in cluster.nodes:
        said = {
            name: message
            for name, seen in observations.items()
            if (message := _down(seen, node, input)) and message != _DRAINED
        }
        if not said:
            continue
        asked = [name for name, seen in observations.items() if _up(seen, node, input) is not None]
        if len(said) == len(asked):
            seen_from, do = "", _mend_input(observations[node.name])
        else:
            seen_from = f", as {words(said)} {'see' if len(said) > 1 else 'sees'} it"
            api = socket_name(node.address, API_PORT)
            do = f"can {words(said)} reach {api}? Others can: look at {node.name}'s firewall"
        what = f"{input} is down{seen_from}: {next(iter(said.values()))}"
        problems.append(Problem(Status.WRONG, "health", node.name, what, do))
    return row, problems


def _mend_input(seen: Observation) -> str:
    if seen.unreachable is not None:
        return "get that machine back, as above"
    if not runs(seen, "logstash"):
        return "start Logstash, as above"
    return "look into /var/log/logstash/logstash-plain.log there"


def drained(cluster: Cluster, observations: Observations) -> list[Problem]:
    """The nodes that have left the pools, for a deploy or as they stop, each once."""
    return [
        Problem(
            Status.WARNING,
            "health",
            node.name,
            f"is {_DRAINED}: it gets no events",
            "wait for the deploy to end, or start its Logstash; of a deploy that broke off this is forgotten after 5 minutes",
        )
        for node in cluster.nodes
        if any(_down(seen, node) == _DRAINED for seen in observations.values())
    ]


def slow(cluster: Cluster, observations: Observations) -> list[Problem]:
    """The inputs of nodes whose queue is full, each once."""
    return [
        Problem(
            Status.WARNING,
            "health",
            node.name,
            f"{input} is slow: {reason}",
            "look what its pipeline waits for: an output that is behind, or a filter that takes all of its CPUs",
        )
        for input in cluster.input_ids
        for node in cluster.nodes
        if (reason := next(filter(None, (_slow(seen, node, input) for seen in observations.values())), None))
    ]


def no_script(observations: Observations) -> list[Problem]:
    """The nodes without a health script, or without what it needs."""
    return [
        Problem(
            Status.WRONG,
            "health",
            name,
            f"{seen.health['missing']} is missing: without a check, keepalived keeps a real server for ever",
            DEPLOY,
        )
        for name, seen in observations.items()
        if seen.health and seen.health["missing"]
    ]


def ipvs(cluster: Cluster, observations: Observations, server: VirtualServer) -> Judged:
    """A virtual server as the recipe's step 12 shows it: scheduler, flags, and each real server."""
    forward = _FORWARD[server.forwarding]
    flags = ["ops"] if server.ops else []
    meant = {socket_name(real.address, real.port): real for real in server.real_servers}

    def look(_: Node, seen: Observation) -> Finding:
        found = _find(server, seen)
        if found is None:
            if not runs(seen, "keepalived"):  # told already
                return Finding(Status.WRONG, "none")
            what = (
                "there is no IPVS: ip_vs is not loaded, or ipvsadm not installed"
                if seen.virtual_servers is None
                else f"IPVS has no virtual server {name(server)}"
            )
            return Finding(Status.WRONG, "none", what, f"{DEPLOY}, then `journalctl -u keepalived`")
        there = {real["address"]: real for real in found["real_servers"]}

        def right(state: RealServerState, real: RealServer) -> bool:
            weights = {real.weight, *([real.slow] if _slow(seen, real.node, server.input_id) else [])}
            return state["forward"] == forward and state["weight"] in weights

        faults = []
        if found["scheduler"] != server.input.scheduler:
            faults.append(f"its scheduler is {found['scheduler']}, not {server.input.scheduler}")
        if found["flags"] != flags:
            is_now, should = (" ".join(each) or "none" for each in (found["flags"], flags))
            faults.append(f"its flags are {is_now}, not {should}")
        for address, state in there.items():
            if address not in meant:
                faults.append(f"{address} is a real server, but none of the cluster's")
            elif not right(state, meant[address]):
                faults.append(
                    f"{address} is {state['forward']} with weight {state['weight']}, "
                    f"not {forward} with {meant[address].weight}"
                )
        late = []
        waiting = False
        ups = {address: _up(seen, real.node, server.input_id) for address, real in meant.items()}
        last = [address for address in meant if address in there]
        kept = last[0] if len(last) == 1 and all(up is False for up in ups.values()) else None
        for address, real in meant.items():
            up = ups[address]
            if address not in there and up is not False:
                late.append(f"{real.node.name} is not in the pool" + (", though its check passes" * bool(up)))
            elif address in there and up is False and address != kept:
                late.append(f"{real.node.name} is in the pool, though its check fails")
            elif address not in there:
                waiting |= _down(seen, real.node, server.input_id) != _DRAINED
        good = sum(address in there and right(there[address], real) for address, real in meant.items())
        text = f"{good} of {len(meant)}"
        label = f"{server.input_id} at {server.vip}" if len(cluster.vips) > 1 else server.input_id
        if faults:
            return Finding(Status.WRONG, text, f"{label} in IPVS: {'; '.join(faults + late)}", DEPLOY)
        if kept:
            what = (
                f"{label}: no node's check passes; {meant[kept].node.name} stays in the pool, as the last one"
            )
            return Finding(Status.WRONG, text, what, "mend what is above")
        if late:
            do = "verify again in 10 s; if it stays: `journalctl -u keepalived` names scripts it won't run"
            return Finding(Status.WRONG, text, f"{label} in IPVS: {'; '.join(late)}", do)
        if good == len(meant):
            return Finding(Status.OK, text)
        return Finding(Status.WRONG if waiting else Status.WARNING, text)

    return row_of(cluster, observations, "ipvs", look, server.input_id, str(server.vip))


def nobody_takes(cluster: Cluster, vips: dict[str, VipReport]) -> list[Problem]:
    """What is sent to an empty pool is lost."""
    return [
        Problem(
            Status.WRONG,
            "ipvs",
            report.holders[0],
            f"nobody takes {several([f'{input} at {vip}' for input in empty])}: all these events are lost",
            "mend what is above",
        )
        for vip, report in vips.items()
        if len(report.holders) == 1 and (empty := [id for id, nodes in report.pool.items() if not nodes])
    ]


def strangers(cluster: Cluster, observations: Observations) -> list[Problem]:
    """Virtual servers that are none of the inputs': wrong at a VIP, none of our business elsewhere."""
    meant = {name(server) for server in cluster.virtual_servers}
    problems = []
    for node, seen in observations.items():
        for server in seen.virtual_servers or []:
            found = f"{server['protocol']} {server['address']}"
            if found in meant:
                continue
            at_vip = host_of(server["address"]) in map(str, cluster.vips)
            problems.append(
                Problem(
                    Status.WRONG if at_vip else Status.WARNING,
                    "ipvs",
                    node,
                    f"IPVS has a virtual server that is none of the inputs': {found}",
                    DEPLOY if at_vip else "leave it, if somebody means it",
                )
            )
    return problems


def vip(cluster: Cluster, observations: Observations, instance: VrrpInstance) -> Judged:
    """Who holds a VIP: one node, on the right interface, and the one that is meant to while it is up."""
    vip = str(instance.vip)
    holders = holding(observations, vip)
    direct = "dr" in cluster.forwardings

    def look(_: Node, seen: Observation) -> Finding:
        if seen.held is None or seen.loopback is None:
            return unread("the addresses", "ip addr")
        interfaces = seen.held.get(vip, [])
        text = "holds it" if interfaces else "-"
        if interfaces not in ([], [cluster.interface]):
            what = f"holds {vip} on {words(interfaces)}, not on {cluster.interface} alone"
            return Finding(
                Status.WRONG, "elsewhere", what, "take it away there: `ip addr del`; keepalived adds it"
            )
        if direct and vip not in seen.loopback:
            what = f"lacks {vip} on lo: with direct routing, it drops the events that the director sends it"
            return Finding(Status.WRONG, text, what, "`systemctl restart logstash-ha-vip`")
        if not direct and vip in seen.loopback:
            what = f"has {vip} on lo, and answers for it though it may not hold it"
            return Finding(Status.WRONG, text, what, f"{DEPLOY}, or `ip addr del {vip} dev lo`")
        return Finding(Status.OK if len(holders) < 2 or not interfaces else Status.WRONG, text)

    row, problems = row_of(cluster, observations, "vip", look, vip=vip)
    if len(holders) > 1:
        what = f"{words(holders)} all hold {vip}: whom an event reaches is chance (split brain)"
        ip = "ip6" if instance.vip.version == 6 else "ip"
        sameness = "and password" if cluster.vrrp == 2 else "and version"
        do = (
            f"let VRRP (IP protocol 112) pass between them, with one virtual_router_id {sameness}: "
            f"{DEPLOY}, then `tcpdump -ni {cluster.interface} {ip} proto 112`"
        )
        problems.append(Problem(Status.WRONG, "vip", None, what, do))
    if not holders:
        reached = all(seen.unreachable is None for seen in observations.values())
        who = "no node" if reached else "no node that could be looked at"
        do = "start keepalived on the nodes; its last words: `journalctl -u keepalived`"
        problems.append(Problem(Status.WRONG, "vip", None, f"{who} holds {vip}: all events are lost", do))
    if len(holders) == 1:
        problems += _preferred(cluster, observations, instance, holders[0])
    return row, problems


def _preferred(
    cluster: Cluster, observations: Observations, instance: VrrpInstance, holder: str
) -> list[Problem]:
    """A VIP that is not where its priorities put it, though keepalived runs there."""
    first, *others = sorted(instance.priorities, key=lambda node: -instance.priorities[node])
    clear = all(instance.priorities[other] < instance.priorities[first] for other in others)
    if not (clear and instance.preempt and holder != first and runs(observations[first], "keepalived")):
        return []
    what = f"{holder} holds {instance.vip}, which {first} should take while it is up"
    return [Problem(Status.WARNING, "vip", first, what, f"`journalctl -u keepalived` on {first} tells why")]


def parted(cluster: Cluster, vips: dict[str, VipReport]) -> list[Problem]:
    """An IPv4 and an IPv6 VIP that belong together, on different nodes."""
    pairs: dict[int, list[str]] = {}
    for instance in cluster.vrrp_instances:
        pairs.setdefault(instance.virtual_router_id, []).append(str(instance.vip))
    problems = []
    for pair in pairs.values():
        holders = [vips[vip].holders for vip in pair]
        if len(set(holders)) > 1 and all(len(each) == 1 for each in holders):
            places = words(f"{vip} is on {each[0]}" for vip, each in zip(pair, holders, strict=True))
            do = f"{DEPLOY}; if it stays: `journalctl -u keepalived` there"
            problems.append(Problem(Status.WRONG, "vip", None, f"{places}: the pair belongs on one node", do))
    return problems


def holding(observations: Observations, vip: str) -> tuple[str, ...]:
    """The nodes that carry this VIP."""
    return tuple(name for name, seen in observations.items() if (seen.held or {}).get(vip))


def pool(server: VirtualServer, director: Observation) -> tuple[str, ...]:
    """The nodes that this director spreads a virtual server's events over."""
    found = _find(server, director)
    taking = {real["address"] for real in found["real_servers"] if real["weight"] > 0} if found else set()
    return tuple(
        real.node.name for real in server.real_servers if socket_name(real.address, real.port) in taking
    )


def _find(server: VirtualServer, seen: Observation) -> VirtualServerState | None:
    address = socket_name(server.vip, server.port)
    return next(
        (
            each
            for each in seen.virtual_servers or []
            if (each["protocol"], each["address"]) == (server.protocol, address)
        ),
        None,
    )


def _checks(seen: Observation, node: Node, input: str | None) -> Iterable[Check]:
    made = seen.health["checks"] if seen.health else []
    return (
        check for check in made if check["address"] == str(node.address) and input in (None, check["input"])
    )


def _down(seen: Observation, node: Node, input: str | None = None) -> str | None:
    """Why this observer's check of an input, or of any, on `node` fails; None where it passes or was not made."""
    for check in _checks(seen, node, input):
        if check["status"] != 0:
            reason = check["message"].partition(" is down: ")[2] or check["message"]
            return reason or f"the script ended with status {check['status']}"
    return None


def _slow(seen: Observation, node: Node, input: str) -> str | None:
    """Why an input on `node` is slow, as this observer's health service sees it; None where it is not."""
    for check in _checks(seen, node, input):
        if check["status"] == 0 and " is slow: " in check["message"]:
            return check["message"].partition(" is slow: ")[2]
    return None


def _up(seen: Observation, node: Node, input: str) -> bool | None:
    """Whether this observer's check of an input on `node` passes; None where it was not made."""
    if not any(True for _ in _checks(seen, node, input)):
        return None
    return _down(seen, node, input) is None
