"""Whether each node's Logstash would take events: what the health script and service say. Pure: it reads nothing."""

from __future__ import annotations

from collections.abc import Iterable

from cluster import API_PORT, Cluster, Node
from desired.paths import DRAINED
from facts.health import Check
from facts.ipvs import socket_name
from verification.finding import DEPLOY, Finding, Judged, Observations, row_of, runs, unread, words
from verification.observe import Observation
from verification.report import Problem, Status

UP = ("up", "slow")
"""The states of an input that gets events."""
LEFT = ("drained", "maintenance")
"""The states of an input that gets none because somebody wants it so."""


def health(cluster: Cluster, observations: Observations, input: str) -> Judged:
    """Each node checks each node. A problem is reported once for the node that is down, whoever saw it."""

    def judge_node(_: Node, seen: Observation) -> Finding:
        if seen.health is None:
            return unread(f"the health of {input}", "the health script, as its user")
        if seen.health["missing"]:
            return Finding(Status.WRONG, "no script")
        checks = [check for node in cluster.nodes for check in checks_of(seen, node, input)]
        states = [check["state"] for check in checks]
        up = sum(state in UP for state in states)
        text = f"{up} of {len(cluster.nodes)}"
        if up == len(cluster.nodes):
            doubted = any(check["reason"] for check in checks)
            return Finding(Status.WARNING if doubted else Status.OK, text)
        all_others_left = up + sum(state in LEFT for state in states) == len(cluster.nodes)
        return Finding(Status.WARNING if all_others_left else Status.WRONG, text)

    row, problems = row_of(cluster, observations, "health", judge_node, input)
    for node in cluster.nodes:
        checks = {
            name: check for name, seen in observations.items() for check in checks_of(seen, node, input)
        }
        failed = {name: check for name, check in checks.items() if check["state"] == "down"}
        if not failed:
            continue
        first = next(iter(failed.values()))
        if len(failed) == len(checks):
            seen_from, do = "", _mend(observations[node.name], first["reason"])
        else:
            seen_from = f", as {words(failed)} {'see' if len(failed) > 1 else 'sees'} it"
            api = socket_name(node.address, API_PORT)
            ports = _ports(cluster, node, input) if first["reason"] == "nobody_listens" else [api]
            do = (
                _ACCESS_MENDS.get(first["reason"] or "")
                or f"can {words(failed)} reach {words(ports)}? Others can: look at {node.name}'s firewall"
            )
        what = f"{input} is down{seen_from}: {first['message']}"
        problems.append(Problem(Status.WRONG, "health", node.name, what, do, first["reason"]))
    return row, problems


_ACCESS_MENDS = {
    "wants_tls": f"its Logstash does not run with the inventory's api, which names no keystore; {DEPLOY}, or name it there",
    "without_tls": f"its Logstash does not run with the inventory's api.keystore; {DEPLOY}",
    "login": f"its Logstash does not run with the login of the inventory's api; {DEPLOY}, or write it into api.secrets",
    "certificate": f"put a certificate that api.ca has signed, and that is valid, into api.keystore; {DEPLOY}",
    "tls": f"{DEPLOY}; what that says, and /var/log/logstash/logstash-plain.log there, tell more",
}
"""By reason, of an API that is not asked as it should be: what to do."""


def _mend(seen: Observation, reason: str | None) -> str:
    if reason in _ACCESS_MENDS:
        return _ACCESS_MENDS[reason]
    if seen.unreachable is not None:
        return "get that machine back, as above"
    if not runs(seen, "logstash"):
        return "start Logstash, as above"
    return "look into /var/log/logstash/logstash-plain.log there"


def drained(cluster: Cluster, observations: Observations) -> list[Problem]:
    """The nodes that have left the pools, for a deploy or because they stop, each once."""
    return [
        Problem(
            Status.WARNING,
            "health",
            node.name,
            f"is {check['message']}: it gets no events",
            "wait for the deploy to end, or start its Logstash; an interrupted deploy's drain flag expires after 5 minutes, "
            f"or `rm {DRAINED}/{node.address}` on {words(_seen_by(observations, node, 'drained'))}",
            check["reason"],
        )
        for node in cluster.nodes
        if (check := _first(observations, node, "drained"))
    ]


def slow(cluster: Cluster, observations: Observations) -> list[Problem]:
    """The inputs of nodes whose queue is full, each once."""
    return [
        Problem(
            Status.WARNING,
            "health",
            node.name,
            f"{input} is slow: {check['message']}",
            "look what its pipeline waits for: an output that is behind, or a filter that takes all of its CPUs",
            check["reason"],
        )
        for input in cluster.input_ids
        for node in cluster.nodes
        if (check := _first(observations, node, "slow", input))
    ]


def slow_start(cluster: Cluster, observations: Observations) -> list[Problem]:
    """The inputs of nodes that come back slowly, each once."""
    return [
        Problem(
            Status.WARNING,
            "health",
            node.name,
            f"{input} is {check['message']}",
            "nothing: its weight grows with the events that it takes",
            check["reason"],
        )
        for input in cluster.input_ids
        for node in cluster.nodes
        if (check := _first(observations, node, "up", input, "slow_start"))
    ]


def probe_refused(cluster: Cluster, observations: Observations) -> list[Problem]:
    """The inputs that are up, but whose probes a firewall rejects, each once."""
    problems = []
    for input in cluster.input_ids:
        for node in cluster.nodes:
            names = [
                name
                for name, seen in observations.items()
                if any(check["reason"] == "probe_refused" for check in checks_of(seen, node, input))
            ]
            if not names:
                continue
            what = f"{input} is up, but a firewall rejects what {words(names)} {'send' if len(names) > 1 else 'sends'} to its port"
            do = (
                f"let {words(names)} reach {words(_ports(cluster, node, input))}, and UDP and TCP port {API_PORT}: "
                'what a firewall must accept is in docs/recipe.md, "A firewall of your own"'
            )
            problems.append(Problem(Status.WARNING, "health", node.name, what, do, "probe_refused"))
    return problems


def _ports(cluster: Cluster, node: Node, input: str) -> list[str]:
    """An input's port at a node, by its protocol."""
    return [
        f"{server.protocol} {socket_name(node.address, server.input.target_port)}"
        for server in cluster.virtual_servers
        if server.input_id == input and server.vip == cluster.vips[0]
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


def checks_of(seen: Observation, node: Node, input: str | None = None) -> Iterable[Check]:
    """What this observer found of an input, or of all inputs, on `node`; nothing where it made no check."""
    checks = seen.checks.get(str(node.address), [])
    return (check for check in checks if input in (None, check["input"]))


def state_of(seen: Observation, node: Node, input: str) -> str | None:
    """The state of an input on `node` by this observer's check; None where it made none."""
    return next((check["state"] for check in checks_of(seen, node, input)), None)


def is_reduced(seen: Observation, node: Node, input: str) -> bool:
    """Whether an input on `node` gets less than its weight: it is slow, or has just started."""
    return any(
        check["state"] == "slow" or check["reason"] == "slow_start" for check in checks_of(seen, node, input)
    )


def _seen_by(observations: Observations, node: Node, state: str) -> list[str]:
    """The observers for which `node` has this state."""
    return [
        name
        for name, seen in observations.items()
        if any(check["state"] == state for check in checks_of(seen, node))
    ]


def _first(
    observations: Observations, node: Node, state: str, input: str | None = None, reason: str | None = None
) -> Check | None:
    """The first check of `node` with this state, and with this reason where one is given, whoever made it."""
    return next(
        (
            check
            for seen in observations.values()
            for check in checks_of(seen, node, input)
            if check["state"] == state and reason in (None, check["reason"])
        ),
        None,
    )
