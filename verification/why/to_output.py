"""The steps of a sender's events from IPVS to the output. Pure."""

from __future__ import annotations

from cluster import Node, RealServer
from facts.ipvs import socket_name
from verification.finding import several
from verification.health import UP, checks_of
from verification.ipvs import ipvs as judge_ipvs
from verification.why.evidence import LOG, Evidence
from verification.why.trace import Trace
from verification.why.way import Look, reported, right, unseen, wrong

ENOUGH = 10
"""Packets for each node of the pool from which on it is no chance that one got none: senders take turns."""


def ipvs(evidence: Evidence) -> Look:
    if evidence.holder is None:
        return unseen("no single node holds the VIP")
    name = evidence.holder.name
    observed = evidence.seen.observations[name]
    if observed.virtual_servers is not None and not evidence.pool:
        _, problems = judge_ipvs(evidence.cluster, evidence.seen.observations, evidence.server)
        faults = [problem for problem in problems if problem.node == name]
        if faults:
            return reported(faults[0])
        what = f"{name} has no node in the pool: none is up"
        return wrong(what, "`python verify.py` says what each of them lacks")
    trace = evidence.traces.get(name)
    if trace is None:
        return unseen(f"{name} could not be looked at")
    if not evidence.came:
        return unseen("nothing came to look for")
    key = evidence.server.protocol, socket_name(evidence.server.vip, evidence.server.port)
    counted = trace.after.packets.get(key, 0) - trace.before.packets.get(key, 0)
    if counted * 2 < evidence.came:
        return wrong(*_dropped_before(evidence, trace, counted))
    shares = ", ".join(f"{real.node.name} {evidence.forwarded(trace, real)}" for real in evidence.pool)
    return right(f"{counted} counted of all senders: {shares}")


def _dropped_before(evidence: Evidence, trace: Trace, counted: int) -> tuple[str, str]:
    """Why IPVS has not counted what came in."""
    assert evidence.holder
    name = evidence.holder.name
    what = f"{evidence.came} came in at {name}, and IPVS counted {counted}"
    if filtered := trace.after.filtered - trace.before.filtered:
        return (
            f"{what}: the reverse-path filter dropped {filtered}",
            f"on {name}: `ip route get {evidence.sender}`; see `route`",
        )
    return (
        f"{what}: something in the kernel drops them before",
        f"on {name}: `nft list ruleset` and `iptables-save` show all rules; look for one that drops",
    )


def real_server(evidence: Evidence) -> Look:
    if evidence.holder is None or not evidence.came:
        return unseen("nothing came to look for")
    trace = evidence.traces[evidence.holder.name]
    if evidence.server.forwarding == "snat":
        return _replaced(evidence, trace)
    parts = []
    for real in evidence.pool:
        node = real.node
        if node == evidence.holder:
            parts.append(f"{node.name} takes its share itself")
            continue
        if node.name not in evidence.traces:
            return unseen(f"{node.name} could not be looked at")
        left = evidence.count(evidence.holder, *evidence.target(real), incoming=False)
        arrived = evidence.count(node, *evidence.target(real))
        given = evidence.forwarded(trace, real)
        if arrived * 2 < left:
            what = f"{left} left {evidence.holder.name} for {node.name}, and {arrived} came there"
            do = (
                "the network between them drops packets with the sender's address as their source, as clouds and filters "
                'against forged addresses do: allow it there, or set forwarding="snat" for the input'
            )
            return wrong(what, do)
        if given and not left and not arrived and evidence.came >= ENOUGH * len(evidence.pool):
            what = f"IPVS on {evidence.holder.name} gave {given} to {node.name}, and none of the sender's left it"
            do = (
                f"on {evidence.holder.name}: a rule in a chain of OUTPUT or POSTROUTING drops them (`nft list ruleset`), "
                f"or nothing leads to {node.name} (`ip route get {real.address}`)"
            )
            return wrong(what, do)
        parts.append(f"{node.name} {arrived}" if arrived else f"{node.name} none of so few")
    return right(", ".join(parts))


def _replaced(evidence: Evidence, trace: Trace) -> Look:
    """With `snat` a real server sees the director's address; what IPVS knows of the connections tells more."""
    states = trace.after.connections
    given = ", ".join(f"{real.node.name} {evidence.forwarded(trace, real)}" for real in evidence.pool)
    if "ESTABLISHED" in states or "FIN_WAIT" in states:
        return right(f"they answer: {given} packets of all senders")
    if states and set(states) <= {"SYN_RECV", "SYN_SENT"}:
        what = "no real server answers its connections"
        return wrong(
            what,
            "let TCP pass from the MASTER to the nodes' ports; `python verify.py` looks at that, too",
        )
    return unseen("the director's address replaces the sender's (snat)")


def socket(evidence: Evidence) -> Look:
    if not evidence.receivers:
        return unseen("nothing came to look for")
    parts = []
    for real in evidence.receivers:
        node, trace = real.node, evidence.traces.get(real.node.name)
        if trace is None:
            return unseen(f"{node.name} could not be looked at")
        port = f"{evidence.server.protocol} {socket_name(real.address, real.port)}"
        before, after = (evidence.socket_of(real, counters) for counters in (trace.before, trace.after))
        if after is None:
            what, do = f"nothing listens at {port} on {node.name}", evidence.mend(node)
            return wrong(what, do)
        blocked = evidence.blocked(node) is not None
        if lost := after.drops - (before.drops if before else 0):
            what = f"{node.name} dropped {lost} events at {port}, whose buffer is full"
            do = f"{evidence.mend(node)}; where it runs well: a larger buffer (`events_per_second`), more CPU, or more nodes"
            return wrong(what, do, blocked)
        if after.queue and (before is None or after.queue > before.queue) and not evidence.made(node):
            what = f"{after.queue} bytes wait at {port} on {node.name}, and nothing takes them"
            return wrong(what, evidence.mend(node), blocked)
        if _vanished(evidence, node, real, trace):
            what = f"{node.name}'s kernel drops them between its interface and Logstash's socket"
            do = (
                f"on {node.name}: `nft list ruleset`, `ip xfrm policy` and `nstat -az` show what drops them "
                "there, though no rule that was read does"
            )
            return wrong(what, do)
        parts.append(f"{node.name} has dropped none")
    return right(", ".join(parts))


def _vanished(evidence: Evidence, node: Node, real: RealServer, trace: Trace) -> bool:
    """Whether what has come to a node is neither in the socket nor in the input, though that is up."""
    states = {
        check["state"]
        for seen in evidence.seen.observations.values()
        for check in checks_of(seen, node, evidence.server.input_id)
    }
    waits = evidence.socket_of(real, trace.after)
    return bool(
        node != evidence.holder
        and evidence.server.protocol == "UDP"
        and evidence.made(node) == 0
        and states <= {*UP}
        and not (waits and waits.queue)
        and not evidence.blocked(node)
    )


def input(evidence: Evidence) -> Look:
    if not evidence.receivers:
        return unseen("nothing came to look for")
    parts = []
    for real in evidence.receivers:
        made = evidence.made(real.node)
        if made is None:
            return unseen(f"Logstash on {real.node.name} does not say: {evidence.mend(real.node)}")
        if not made:
            what = f"{evidence.server.input_id} on {real.node.name} has made none"
            return wrong(what, evidence.mend(real.node), evidence.blocked(real.node) is not None)
        parts.append(f"{real.node.name} {made}")
    return right(f"{', '.join(parts)}, of all senders")


def output(evidence: Evidence) -> Look:
    if not evidence.receivers:
        return unseen("nothing came to look for")
    blocked = [text for real in evidence.receivers if (text := evidence.blocked(real.node))]
    if blocked:
        node = next(real.node for real in evidence.receivers if evidence.blocked(real.node))
        do = f"on {node.name}: get its output's destination back; {LOG} says what it waits for"
        return wrong(several(blocked), do)
    sent = evidence.seen.sent.get(evidence.cluster.virtual_servers.index(evidence.server))
    if sent and sent.written is not None:
        return _counted(sent.sent, sent.written)
    parts = []
    for real in evidence.receivers:
        counts = evidence.pipeline(real.node)
        if counts is None:
            return unseen(f"Logstash on {real.node.name} does not say")
        parts.append(f"{real.node.name} {max(0, counts[1].out - counts[0].out)}")
    return right(f"{', '.join(parts)}, of all senders")


def _counted(sent: int, written: dict[str, int]) -> Look:
    """What became of the events that `--send` has sent, each of which can be told."""
    shares = ", ".join(f"{name} {number}" for name, number in written.items())
    lost = sent - sum(written.values())
    if lost > 0:
        what = f"{lost} of {sent} that were sent are not in the output's file: {shares}"
        return wrong(what, f"look into {LOG} on the nodes, and at the steps above")
    return right(f"all {sent} that were sent: {shares}")
