"""The steps of a sender's events to the MASTER. Pure."""

from __future__ import annotations

from cluster import Address, Node
from facts.ipvs import socket_name
from verification.finding import DEPLOY, words
from verification.report import Status
from verification.vip import vip as judge_vip
from verification.why.evidence import Evidence
from verification.why.firewall import explain
from verification.why.ruleset import HOOKS, HOOKS_OUT, Packet, denial
from verification.why.trace import Trace, routes_through
from verification.why.way import Look, reported, right, unseen, wrong


def senders(evidence: Evidence) -> Look:
    networks = evidence.cluster.senders_of(evidence.server.input, evidence.server.vip)
    found = next((network for network in networks if evidence.sender in network), None)
    if found:
        return right(f"{evidence.sender} is in `senders`, by {_spelled(str(found))}")
    if evidence.cluster.virtual_address(evidence.server.vip).senders is not None:
        of = f" of the VIP {evidence.server.vip}"
    elif evidence.server.input.senders is not None:
        of = f" of the input {evidence.server.input.id}"
    else:
        of = ""
    what = f"{evidence.sender} is not in `senders`{of}"
    return wrong(what, f"add it to `senders`{of} in inventory.py, and {DEPLOY}")


def firewall(evidence: Evidence) -> Look:
    unread: list[str] = []
    doubts: list[str] = []
    nodes = [evidence.holder] if evidence.holder else list(evidence.cluster.nodes)
    packets: list[tuple[Node, Packet, tuple[str, ...]]] = [
        (node, _packet(evidence, node, evidence.server.vip, evidence.server.port, director=True), HOOKS)
        for node in nodes
    ]
    remote = [real for real in evidence.pool if real.node != evidence.holder]
    if evidence.server.forwarding != "snat":
        for real in remote:
            packets.append((real.node, _packet(evidence, real.node, *evidence.target(real)), HOOKS))
            if evidence.holder:
                out = _packet(evidence, evidence.holder, *evidence.target(real))
                packets.append((evidence.holder, out, HOOKS_OUT))
    for node, packet, hooks in packets:
        trace = evidence.traces.get(node.name)
        if trace is None or trace.rules is None:
            unread.append(node.name)
            continue
        found = denial(trace.rules, packet, hooks)
        if found is None:
            continue
        denied = explain(found, packet, evidence.seen.observations[node.name].firewall)
        if found.certain:
            return wrong(f"{node.name}: {denied.what}", f"on {node.name}: {denied.do}")
        doubts.append(f"{node.name}: {denied.what}, where a rule before it does not decide otherwise")
    if doubts or unread:
        return unseen(doubts[0] if doubts else f"the rules of {words(unread)} could not be read")
    names = dict.fromkeys(node.name for node, _, _ in packets)
    return right(f"the rules of {words(names)} let it in")


def _packet(evidence: Evidence, node: Node, address: Address, port: int, director: bool = False) -> Packet:
    interface = (
        evidence.cluster.vip_interface(evidence.server.vip, node)
        if director
        else evidence.cluster.interface_of(node)
    )
    macs = {frames.source_mac for frames in evidence.frames(node) if frames.address == address}
    return Packet(
        evidence.sender,
        address,
        evidence.server.protocol.lower(),
        port,
        interface,
        macs.pop() if len(macs) == 1 else None,
    )


def vip(evidence: Evidence) -> Look:
    vip = str(evidence.server.vip)
    instance = next(each for each in evidence.cluster.vrrp_instances if str(each.vip) == vip)
    _, problems = judge_vip(evidence.cluster, evidence.seen.observations, instance)
    faults = [problem for problem in problems if problem.status is Status.WRONG]
    if faults and not (evidence.holder and all(fault.node != evidence.holder.name for fault in faults)):
        return reported(faults[0])
    if evidence.holder is None:
        return unseen(f"no node that could be looked at holds {vip}")
    return right(f"{evidence.holder.name} holds {vip}")


def mac(evidence: Evidence) -> Look:
    vip = evidence.server.vip
    if vip.version == 6:
        return unseen("only IPv4's ARP is asked")
    if not evidence.holder:
        return unseen("no single node holds the VIP")
    answers = {
        name: trace.answers[str(vip)] for name, trace in evidence.traces.items() if str(vip) in trace.answers
    }
    interface = evidence.cluster.vip_interface(vip, evidence.holder)
    trace = evidence.traces.get(evidence.holder.name)
    own = trace.macs.get(interface) if trace else None
    others = sorted({mac for macs in answers.values() for mac in macs} - {own})
    askers = [name for name in answers if name != evidence.holder.name]
    if own is None or not (askers or others):
        return unseen("no other node could ask for it")
    if others:
        owner = {
            mac: name for name, each in evidence.traces.items() for mac in each.macs.values() if mac in others
        }
        who = words(f"{mac} ({owner[mac]})" if mac in owner else mac for mac in others)
        what = f"{who} answers for {vip}, too, and {evidence.holder.name}'s {own} is not alone"
        if owner:
            name = next(iter(owner.values()))
            return wrong(what, f"on {name}: `ip addr` shows whether it has {vip}; take it away there")
        do = f"find that machine by its MAC address in the switch's table, and give it another address than {vip}"
        return wrong(what, do)
    if not any(answers[name] for name in askers):
        what = f"nobody answers ARP for {vip}, as {words(askers)} ask{'s' if len(askers) == 1 else ''}"
        do = f"on {evidence.holder.name}: `sysctl -a -r 'arp_ignore|arp_filter'`, and is its link the one the others are on?"
        return wrong(what, do)
    return right(f"{own}, that of {evidence.holder.name}")


def route(evidence: Evidence) -> Look:
    directors = [evidence.holder] if evidence.holder else []
    behind = [real.node for real in evidence.pool] if evidence.server.forwarding != "snat" else []
    nodes = list({node.name: node for node in [*directors, *behind]}.values())
    if not nodes:
        return unseen("no single node holds the VIP")
    routes = []
    for node in nodes:
        trace = evidence.traces.get(node.name)
        if trace is None:
            return unseen(f"{node.name} could not be looked at")
        comes = (
            evidence.cluster.vip_interface(evidence.server.vip, node)
            if node == evidence.holder
            else evidence.cluster.interface_of(node)
        )
        if fault := _no_way_back(evidence, node, trace, comes):
            return wrong(*fault)
        leads = routes_through(trace.route)
        routes.append(f"{node.name} by {leads}" if leads else f"{node.name} needs none")
    return right(", ".join(routes))


def _no_way_back(evidence: Evidence, node: Node, trace: Trace, comes: str) -> tuple[str, str] | None:
    """What is wrong with the route to the sender, and what to do; None where nothing is."""
    leads = routes_through(trace.route)
    strict = (
        max(trace.rp_filter.get("all", 0), trace.rp_filter.get(comes, 0))
        if evidence.sender.version == 4
        else 0
    )
    add = f"on {node.name}: add a route to {evidence.sender} through {comes} (`ip route get {evidence.sender}` shows the one it has)"
    if leads is None and (strict or evidence.server.protocol == "TCP"):
        why = "its packets are dropped (rp_filter)" if strict else "nothing can be answered"
        return f"{node.name} has no route to {evidence.sender}, so {why}", add
    if leads not in (None, comes) and strict == 1:
        what = (
            f"{node.name}'s route to {evidence.sender} leads through {leads}, but its packets come in at {comes}: "
            "rp_filter is strict there, and drops them"
        )
        return what, f"{add}, or set `net.ipv4.conf.{comes}.rp_filter` to 2"
    return None


def master(evidence: Evidence) -> Look:
    server, holder = evidence.server, evidence.holder
    if holder is None:
        return unseen("no single node holds the VIP")
    trace = evidence.traces.get(holder.name)
    if trace is None:
        return unseen(f"{holder.name} could not be looked at")
    where = socket_name(server.vip, server.port)
    if evidence.came:
        macs = {frames.source_mac for frames in evidence.frames(holder) if frames.address == server.vip}
        by = [name for name, each in evidence.traces.items() if macs & {*each.macs.values()}]
        way = f", by way of {words(by)}: an ARP table still leads there" if by else ""
        return right(f"{evidence.came} {evidence.within}, from {words(sorted(macs))}{way}")
    for node in evidence.cluster.peers(holder):
        if number := evidence.count(node, server.vip, server.port):
            what = f"{number} for {where} came to {node.name}, which does not hold the VIP"
            do = (
                f"the device, or its router, still has {node.name}'s MAC address for {server.vip}: on {holder.name}, "
                f"`arping -c 3 -A -I {evidence.cluster.vip_interface(server.vip, holder)} {server.vip}` tells all; "
                "otherwise clear its ARP table"
            )
            return wrong(what, do)
    if elsewhere := _elsewhere(evidence):
        what = f"none came for {server.protocol} {where}, but {elsewhere}"
        return wrong(what, f"let the device send to {server.protocol} {where}")
    if evidence.seen.sent:
        do = f"look at the way between them: a firewall or a router on it, and `ip neigh` on the sender for {server.vip}"
    else:
        do = (
            f"is the device on, and does it send to {server.protocol} {where} just now? If so, a firewall on its way keeps it, or "
            f"it or its router has an old MAC address for {server.vip}: `verify.py why --send --from HOST`, with a host in its "
            "network, tells"
        )
    return wrong(f"none came to {holder.name} {evidence.within}", do)


def _elsewhere(evidence: Evidence) -> str | None:
    """Where else the sender's packets came to, in words; connections of ssh and the like are left out."""
    own = {(frames.protocol, frames.port) for frames in evidence.frames(evidence.holder, incoming=False)}
    ports = {evidence.server.port, evidence.server.input.target_port}
    for node in evidence.cluster.nodes:
        for frames in evidence.frames(node):
            at_vip = frames.address == evidence.server.vip
            at_node = frames.address in node.addresses and frames.port in ports
            if (at_vip or at_node) and frames.port is not None and (frames.protocol, frames.port) not in own:
                return f"{frames.count} for {frames.protocol} {socket_name(frames.address, frames.port)} came to {node.name}"
    return None


def _spelled(network: str) -> str:
    return network.removesuffix("/32").removesuffix("/128")
