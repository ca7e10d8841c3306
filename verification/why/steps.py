"""A sender's way from step to step, from what was seen: each step is right, wrong, or was not looked at. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from cluster import Address, Cluster, Node, RealServer, VirtualServer
from desired import logstash
from facts.ipvs import socket_name
from verification.finding import DEPLOY, Observations, several, words
from verification.health import UP, checks_of
from verification.ipvs import find_server, ipvs
from verification.judge import judge
from verification.report import Problem, Status
from verification.vip import holding
from verification.vip import vip as judge_vip
from verification.why.firewall import explain
from verification.why.ruleset import HOOKS, HOOKS_OUT, Packet, denial
from verification.why.trace import Counters, Frames, PipelineCounts, SocketState, Trace, routes_through

STEPS = {
    "senders": "it may send",
    "firewall": "no firewall denies it",
    "vip": "one node holds the VIP",
    "mac": "one MAC address answers for the VIP",
    "route": "a route leads back to it",
    "master": "its packets come to the MASTER",
    "ipvs": "IPVS takes them",
    "real_server": "they come to the real servers",
    "socket": "Logstash takes them from its sockets",
    "input": "the input makes events",
    "output": "the events leave the pipeline",
}
"""The steps in their order, in words."""
_OF_LOGSTASH = (logstash.UNIT, "health")
"""The checks of `verify.py` that are about a node's Logstash."""
LOG = "/var/log/logstash/logstash-plain.log"


@dataclass(frozen=True)
class Step:
    """One step of the way. The `status` is `ok`, `wrong`, or `unknown` where it was not looked at."""

    name: str
    status: Status
    seen: str
    """What was seen, or why it was not looked at."""
    do: str = ""
    follows: bool = False
    """Whether it is wrong because of a later step, which holds up this one."""


@dataclass(frozen=True)
class Way:
    """The way of a sender's events to one virtual server."""

    input: str
    vip: str
    protocol: str
    port: int
    steps: tuple[Step, ...]

    @property
    def broken(self) -> Step | None:
        """The first step that is wrong by itself; None where none is."""
        return next((step for step in self.steps if step.status is Status.WRONG and not step.follows), None)


@dataclass(frozen=True)
class SentEvents:
    """Events that `--send` has sent to a virtual server."""

    sent: int
    written: dict[str, int] | None
    """By node, how many its output has written; None where they can't be told from others."""


@dataclass(frozen=True)
class Seen:
    """All that was seen of one sender."""

    cluster: Cluster
    sender: Address
    observations: Observations
    traces: dict[str, Trace]
    """By node; a node that could not be traced has none."""
    seconds: float
    """How long its packets were looked for."""
    sent: dict[int, SentEvents] = field(default_factory=dict)
    """What `--send` has sent, by the virtual server's index."""


def ways(seen: Seen, input: str | None) -> list[Way]:
    """The ways to be shown: to this input, or else to those that the sender sends to, or may send to."""
    servers = [
        server
        for server in seen.cluster.virtual_servers
        if server.vip.version == seen.sender.version and input in (None, server.input_id, server.input.id)
    ]
    if input is None and len(servers) > 1:
        sends = [server for server in servers if _came(seen, server)]
        may = [server for server in servers if _may_send(seen, server)]
        servers = sends or may or servers
    return [
        Way(server.input_id, str(server.vip), server.protocol, server.port, Follower(seen, server).steps())
        for server in servers
    ]


def _came(seen: Seen, server: VirtualServer) -> bool:
    return any(
        frames.incoming
        and (frames.protocol, frames.address, frames.port) == (server.protocol, server.vip, server.port)
        for trace in seen.traces.values()
        for frames in trace.frames
    )


def _may_send(seen: Seen, server: VirtualServer) -> bool:
    return any(seen.sender in network for network in seen.cluster.senders_of(server.input, server.vip))


class Look(NamedTuple):
    """What a step comes to; the fields are those of `Step`."""

    status: Status
    seen: str
    do: str = ""
    follows: bool = False


def right(seen: str) -> Look:
    """A step that is as it should be."""
    return Look(Status.OK, seen)


def wrong(seen: str, do: str, follows: bool = False) -> Look:
    """A step that is not."""
    return Look(Status.WRONG, seen, do, follows)


def unseen(why: str) -> Look:
    """A step that was not looked at."""
    return Look(Status.UNKNOWN, why)


class Follower:
    """Looks at each step of the way to one virtual server."""

    def __init__(self, seen: Seen, server: VirtualServer) -> None:
        self.seen, self.server = seen, server
        self.cluster, self.sender, self.traces = seen.cluster, seen.sender, seen.traces

    def steps(self) -> tuple[Step, ...]:
        """All steps, in their order."""
        looks = {
            "senders": self._senders,
            "firewall": self._firewall,
            "vip": self._vip,
            "mac": self._mac,
            "route": self._route,
            "master": self._master,
            "ipvs": self._ipvs,
            "real_server": self._real_server,
            "socket": self._socket,
            "input": self._input,
            "output": self._output,
        }
        return tuple(Step(name, *look()) for name, look in looks.items())

    # What the steps share

    @cached_property
    def holder(self) -> Node | None:
        """The node that holds the VIP, where it is one."""
        names = holding(self.seen.observations, str(self.server.vip))
        return self.cluster.node(names[0]) if len(names) == 1 else None

    @cached_property
    def pool(self) -> list[RealServer]:
        """The real servers that get packets now."""
        found = find_server(self.server, self.seen.observations[self.holder.name]) if self.holder else None
        taking = {real["address"] for real in found["real_servers"] if real["weight"]} if found else set()
        return [real for real in self.server.real_servers if socket_name(real.address, real.port) in taking]

    @cached_property
    def came(self) -> int:
        """How many of the sender's packets came to the MASTER for this virtual server."""
        return self._count(self.holder, self.server.vip, self.server.port) if self.holder else 0

    def _frames(self, node: Node | None, incoming: bool = True) -> list[Frames]:
        trace = self.traces.get(node.name) if node else None
        return [frames for frames in trace.frames if frames.incoming is incoming] if trace else []

    def _count(self, node: Node, address: Address, port: int, incoming: bool = True) -> int:
        return sum(
            frames.count
            for frames in self._frames(node, incoming)
            if (frames.protocol, frames.address, frames.port) == (self.server.protocol, address, port)
        )

    def _target(self, real: RealServer) -> tuple[Address, int]:
        """Where a packet goes to on the wire, from the director to a real server."""
        if self.server.forwarding == "dr":
            return self.server.vip, self.server.port
        return real.address, real.port

    @property
    def _within(self) -> str:
        return f"within {self.seen.seconds:g} s"

    # The steps

    def _senders(self) -> Look:
        networks = self.cluster.senders_of(self.server.input, self.server.vip)
        found = next((network for network in networks if self.sender in network), None)
        if found:
            return right(f"{self.sender} is in `senders`, by {_spelled(str(found))}")
        if self.cluster.virtual_address(self.server.vip).senders is not None:
            of = f" of the VIP {self.server.vip}"
        elif self.server.input.senders is not None:
            of = f" of the input {self.server.input.id}"
        else:
            of = ""
        what = f"{self.sender} is not in `senders`{of}"
        return wrong(what, f"add it to `senders`{of} in inventory.py, and {DEPLOY}")

    def _firewall(self) -> Look:
        unread: list[str] = []
        doubts: list[str] = []
        nodes = [self.holder] if self.holder else list(self.cluster.nodes)
        packets: list[tuple[Node, Packet, tuple[str, ...]]] = [
            (node, self._packet(node, self.server.vip, self.server.port, director=True), HOOKS)
            for node in nodes
        ]
        remote = [real for real in self.pool if real.node != self.holder]
        if self.server.forwarding != "snat":
            for real in remote:
                packets.append((real.node, self._packet(real.node, *self._target(real)), HOOKS))
                if self.holder:
                    out = self._packet(self.holder, *self._target(real))
                    packets.append((self.holder, out, HOOKS_OUT))
        for node, packet, hooks in packets:
            trace = self.traces.get(node.name)
            if trace is None or trace.rules is None:
                unread.append(node.name)
                continue
            found = denial(trace.rules, packet, hooks)
            if found is None:
                continue
            denied = explain(found, packet, self.seen.observations[node.name].firewall)
            if found.certain:
                return wrong(f"{node.name}: {denied.what}", f"on {node.name}: {denied.do}")
            doubts.append(f"{node.name}: {denied.what}, where a rule before it does not decide otherwise")
        if doubts or unread:
            return unseen(doubts[0] if doubts else f"the rules of {words(unread)} could not be read")
        names = dict.fromkeys(node.name for node, _, _ in packets)
        return right(f"the rules of {words(names)} let it in")

    def _packet(self, node: Node, address: Address, port: int, director: bool = False) -> Packet:
        interface = (
            self.cluster.vip_interface(self.server.vip, node) if director else self.cluster.interface_of(node)
        )
        macs = {frames.source_mac for frames in self._frames(node) if frames.address == address}
        return Packet(
            self.sender,
            address,
            self.server.protocol.lower(),
            port,
            interface,
            macs.pop() if len(macs) == 1 else None,
        )

    def _vip(self) -> Look:
        vip = str(self.server.vip)
        instance = next(each for each in self.cluster.vrrp_instances if str(each.vip) == vip)
        _, problems = judge_vip(self.cluster, self.seen.observations, instance)
        faults = [problem for problem in problems if problem.status is Status.WRONG]
        if faults and not (self.holder and all(fault.node != self.holder.name for fault in faults)):
            return wrong(*_words(_worst(faults)))
        if self.holder is None:
            return unseen(f"no node that could be looked at holds {vip}")
        return right(f"{self.holder.name} holds {vip}")

    def _mac(self) -> Look:
        vip = self.server.vip
        if vip.version == 6:
            return unseen("only IPv4's ARP is asked")
        if not self.holder:
            return unseen("no single node holds the VIP")
        answers = {
            name: trace.answers[str(vip)] for name, trace in self.traces.items() if str(vip) in trace.answers
        }
        interface = self.cluster.vip_interface(vip, self.holder)
        trace = self.traces.get(self.holder.name)
        own = trace.macs.get(interface) if trace else None
        others = sorted({mac for macs in answers.values() for mac in macs} - {own})
        askers = [name for name in answers if name != self.holder.name]
        if own is None or not (askers or others):
            return unseen("no other node could ask for it")
        if others:
            owner = {
                mac: name for name, each in self.traces.items() for mac in each.macs.values() if mac in others
            }
            who = words(f"{mac} ({owner[mac]})" if mac in owner else mac for mac in others)
            what = f"{who} answers for {vip}, too, and {self.holder.name}'s {own} is not alone"
            if owner:
                name = next(iter(owner.values()))
                return wrong(what, f"on {name}: `ip addr` shows whether it has {vip}; take it away there")
            do = f"find that machine by its MAC address in the switch's table, and give it another address than {vip}"
            return wrong(what, do)
        if not any(answers[name] for name in askers):
            what = f"nobody answers ARP for {vip}, as {words(askers)} ask{'s' if len(askers) == 1 else ''}"
            do = f"on {self.holder.name}: `sysctl -a -r 'arp_ignore|arp_filter'`, and is its link the one the others are on?"
            return wrong(what, do)
        return right(f"{own}, that of {self.holder.name}")

    def _route(self) -> Look:
        directors = [self.holder] if self.holder else []
        behind = [real.node for real in self.pool] if self.server.forwarding != "snat" else []
        nodes = list({node.name: node for node in [*directors, *behind]}.values())
        if not nodes:
            return unseen("no single node holds the VIP")
        routes = []
        for node in nodes:
            trace = self.traces.get(node.name)
            if trace is None:
                return unseen(f"{node.name} could not be looked at")
            comes = (
                self.cluster.vip_interface(self.server.vip, node)
                if node == self.holder
                else self.cluster.interface_of(node)
            )
            if fault := self._no_way_back(node, trace, comes):
                return wrong(*fault)
            leads = routes_through(trace.route)
            routes.append(f"{node.name} by {leads}" if leads else f"{node.name} needs none")
        return right(", ".join(routes))

    def _no_way_back(self, node: Node, trace: Trace, comes: str) -> tuple[str, str] | None:
        """What is wrong with the route to the sender, and what to do; None where nothing is."""
        leads = routes_through(trace.route)
        strict = (
            max(trace.rp_filter.get("all", 0), trace.rp_filter.get(comes, 0))
            if self.sender.version == 4
            else 0
        )
        add = f"on {node.name}: add a route to {self.sender} through {comes} (`ip route get {self.sender}` shows the one it has)"
        if leads is None and (strict or self.server.protocol == "TCP"):
            why = "its packets are dropped (rp_filter)" if strict else "nothing can be answered"
            return f"{node.name} has no route to {self.sender}, so {why}", add
        if leads not in (None, comes) and strict == 1:
            what = (
                f"{node.name}'s route to {self.sender} leads through {leads}, but its packets come in at {comes}: "
                "rp_filter is strict there, and drops them"
            )
            return what, f"{add}, or set `net.ipv4.conf.{comes}.rp_filter` to 2"
        return None

    def _master(self) -> Look:
        server, holder = self.server, self.holder
        if holder is None:
            return unseen("no single node holds the VIP")
        trace = self.traces.get(holder.name)
        if trace is None:
            return unseen(f"{holder.name} could not be looked at")
        where = socket_name(server.vip, server.port)
        if self.came:
            macs = {frames.source_mac for frames in self._frames(holder) if frames.address == server.vip}
            by = [name for name, each in self.traces.items() if macs & {*each.macs.values()}]
            way = f", by way of {words(by)}: an ARP table still leads there" if by else ""
            return right(f"{self.came} {self._within}, from {words(sorted(macs))}{way}")
        for node in self.cluster.peers(holder):
            if number := self._count(node, server.vip, server.port):
                what = f"{number} for {where} came to {node.name}, which does not hold the VIP"
                do = (
                    f"the device, or its router, still has {node.name}'s MAC address for {server.vip}: on {holder.name}, "
                    f"`arping -c 3 -A -I {self.cluster.vip_interface(server.vip, holder)} {server.vip}` tells all; "
                    "otherwise clear its ARP table"
                )
                return wrong(what, do)
        if elsewhere := self._elsewhere():
            what = f"none came for {server.protocol} {where}, but {elsewhere}"
            return wrong(what, f"let the device send to {server.protocol} {where}")
        if self.seen.sent:
            do = f"look at the way between them: a firewall or a router on it, and `ip neigh` on the sender for {server.vip}"
        else:
            do = (
                f"is the device on, and does it send to {server.protocol} {where} just now? If so, a firewall on its way keeps it, or "
                f"it or its router has an old MAC address for {server.vip}: `verify.py why --send --from HOST`, with a host in its "
                "network, tells"
            )
        return wrong(f"none came to {holder.name} {self._within}", do)

    def _elsewhere(self) -> str | None:
        """Where else the sender's packets came to, in words; connections of ssh and the like are left out."""
        own = {(frames.protocol, frames.port) for frames in self._frames(self.holder, incoming=False)}
        ports = {self.server.port, self.server.input.target_port}
        for node in self.cluster.nodes:
            for frames in self._frames(node):
                at_vip = frames.address == self.server.vip
                at_node = frames.address in node.addresses and frames.port in ports
                if (
                    (at_vip or at_node)
                    and frames.port is not None
                    and (frames.protocol, frames.port) not in own
                ):
                    return f"{frames.count} for {frames.protocol} {socket_name(frames.address, frames.port)} came to {node.name}"
        return None

    def _ipvs(self) -> Look:
        if self.holder is None:
            return unseen("no single node holds the VIP")
        name = self.holder.name
        observed = self.seen.observations[name]
        if observed.virtual_servers is not None and not self.pool:
            _, problems = ipvs(self.cluster, self.seen.observations, self.server)
            faults = [problem for problem in problems if problem.node == name]
            if faults:
                return wrong(*_words(_worst(faults)))
            what = f"{name} has no node in the pool: none is up"
            return wrong(what, "`python verify.py` says what each of them lacks")
        trace = self.traces.get(name)
        if trace is None:
            return unseen(f"{name} could not be looked at")
        if not self.came:
            return unseen("nothing came to look for")
        key = self.server.protocol, socket_name(self.server.vip, self.server.port)
        counted = trace.after.packets.get(key, 0) - trace.before.packets.get(key, 0)
        if counted * 2 < self.came:
            return wrong(*self._dropped_before(trace, counted))
        shares = ", ".join(f"{real.node.name} {self._forwarded(trace, real)}" for real in self.pool)
        return right(f"{counted} counted of all senders: {shares}")

    def _dropped_before(self, trace: Trace, counted: int) -> tuple[str, str]:
        """Why IPVS has not counted what came in."""
        assert self.holder
        name = self.holder.name
        what = f"{self.came} came in at {name}, and IPVS counted {counted}"
        if filtered := trace.after.filtered - trace.before.filtered:
            return (
                f"{what}: the reverse-path filter dropped {filtered}",
                f"on {name}: `ip route get {self.sender}`; see `route`",
            )
        return (
            f"{what}: something in the kernel drops them before",
            f"on {name}: `nft list ruleset` and `iptables-save` show all rules; look for one that drops",
        )

    def _forwarded(self, trace: Trace, real: RealServer) -> int:
        """How many packets IPVS has given to a real server."""
        server = self.server
        key = (
            server.protocol,
            socket_name(server.vip, server.port),
            socket_name(real.address, real.port),
        )
        return trace.after.forwarded.get(key, 0) - trace.before.forwarded.get(key, 0)

    @cached_property
    def _receivers(self) -> list[RealServer]:
        """The real servers that the sender's packets have come to, as far as that can be told."""
        if not self.came:
            return []
        if self.server.forwarding == "snat" or self.holder is None:
            return self.pool
        return [
            real
            for real in self.pool
            if real.node == self.holder or self._count(real.node, *self._target(real))
        ]

    def _real_server(self) -> Look:
        if self.holder is None or not self.came:
            return unseen("nothing came to look for")
        trace = self.traces[self.holder.name]
        if self.server.forwarding == "snat":
            return self._replaced(trace)
        parts = []
        for real in self.pool:
            node = real.node
            if node == self.holder:
                parts.append(f"{node.name} takes its share itself")
                continue
            if node.name not in self.traces:
                return unseen(f"{node.name} could not be looked at")
            left = self._count(self.holder, *self._target(real), incoming=False)
            arrived = self._count(node, *self._target(real))
            given = self._forwarded(trace, real)
            if arrived * 2 < left:
                what = f"{left} left {self.holder.name} for {node.name}, and {arrived} came there"
                do = (
                    "the network between them drops packets with the sender's address as their source, as clouds and filters "
                    'against forged addresses do: allow it there, or set forwarding="snat" for the input'
                )
                return wrong(what, do)
            if given and not left and not arrived and self.came >= 2 * len(self.pool):
                what = f"IPVS on {self.holder.name} gave {given} to {node.name}, and none of the sender's left it"
                do = (
                    f"on {self.holder.name}: a rule in a chain of OUTPUT or POSTROUTING drops them (`nft list ruleset`), "
                    f"or nothing leads to {node.name} (`ip route get {real.address}`)"
                )
                return wrong(what, do)
            parts.append(f"{node.name} {arrived}" if arrived else f"{node.name} none of so few")
        return right(", ".join(parts))

    def _replaced(self, trace: Trace) -> Look:
        """With `snat` a real server sees the director's address; what IPVS knows of the connections tells more."""
        states = trace.after.connections
        given = ", ".join(f"{real.node.name} {self._forwarded(trace, real)}" for real in self.pool)
        if "ESTABLISHED" in states or "FIN_WAIT" in states:
            return right(f"they answer: {given} packets of all senders")
        if states and set(states) <= {"SYN_RECV", "SYN_SENT"}:
            what = "no real server answers its connections"
            return wrong(
                what,
                "let TCP pass from the MASTER to the nodes' ports; `python verify.py` looks at that, too",
            )
        return unseen("the director's address replaces the sender's (snat)")

    def _socket(self) -> Look:
        if not self._receivers:
            return unseen("nothing came to look for")
        parts = []
        for real in self._receivers:
            node, trace = real.node, self.traces.get(real.node.name)
            if trace is None:
                return unseen(f"{node.name} could not be looked at")
            port = f"{self.server.protocol} {socket_name(real.address, real.port)}"
            before, after = (self._socket_of(real, counters) for counters in (trace.before, trace.after))
            if after is None:
                what, do = f"nothing listens at {port} on {node.name}", self._mend(node)
                return wrong(what, do)
            blocked = self._blocked(node) is not None
            if lost := after.drops - (before.drops if before else 0):
                what = f"{node.name} dropped {lost} events at {port}, whose buffer is full"
                do = f"{self._mend(node)}; where it runs well: a larger buffer (`events_per_second`), more CPU, or more nodes"
                return wrong(what, do, blocked)
            if after.queue and (before is None or after.queue > before.queue) and not self._made(node):
                what = f"{after.queue} bytes wait at {port} on {node.name}, and nothing takes them"
                return wrong(what, self._mend(node), blocked)
            if self._vanished(node, real, trace):
                what = f"{node.name}'s kernel drops them between its interface and Logstash's socket"
                do = (
                    f"on {node.name}: `nft list ruleset`, `ip xfrm policy` and `nstat -az` show what drops them "
                    "there, though no rule that was read does"
                )
                return wrong(what, do)
            parts.append(f"{node.name} has dropped none")
        return right(", ".join(parts))

    def _vanished(self, node: Node, real: RealServer, trace: Trace) -> bool:
        """Whether what has come to a node is neither in the socket nor in the input, though that is up."""
        states = {
            check["state"]
            for seen in self.seen.observations.values()
            for check in checks_of(seen, node, self.server.input_id)
        }
        waits = self._socket_of(real, trace.after)
        return bool(
            node != self.holder
            and self.server.protocol == "UDP"
            and self._made(node) == 0
            and states <= {*UP}
            and not (waits and waits.queue)
            and not self._blocked(node)
        )

    def _socket_of(self, real: RealServer, counters: Counters) -> SocketState | None:
        found = counters.sockets.get((self.server.protocol, real.port), [])
        own = [state for state in found if state.address == real.address]
        others = [state for state in found if state.address.is_unspecified]
        return next(iter([*own, *others]), None)

    def _made(self, node: Node) -> int | None:
        """How many events the input has made; None where its Logstash did not say."""
        trace = self.traces.get(node.name)
        id = self.server.input_id
        if trace is None or trace.after.inputs is None or id not in trace.after.inputs:
            return None
        before = (trace.before.inputs or {}).get(id, 0)
        now = trace.after.inputs[id]
        return now - before if now >= before else now  # it has been restarted

    def _pipeline(self, node: Node) -> tuple[PipelineCounts, PipelineCounts] | None:
        trace = self.traces.get(node.name)
        name = self.server.input.pipeline
        if trace is None or name not in trace.before.pipelines or name not in trace.after.pipelines:
            return None
        return trace.before.pipelines[name], trace.after.pipelines[name]

    def _blocked(self, node: Node) -> str | None:
        """What is held up in the pipeline, in words: events have gone in, and none has come out."""
        counts = self._pipeline(node)
        if counts is None or counts[1].out != counts[0].out or counts[1].taken <= counts[1].out:
            return None
        where = f", in its output {words(counts[1].holding)}" if counts[1].holding else ""
        return f"{counts[1].taken - counts[1].out} events are held up in the pipeline of {node.name}{where}"

    @cached_property
    def _problems(self) -> tuple[Problem, ...]:
        """What `verify.py` finds wrong, causes first."""
        return judge(self.cluster, self.seen.observations).problems

    def _mend(self, node: Node) -> str:
        """What to do about the Logstash of a node, by what `verify.py` finds wrong with it."""
        for problem in self._problems:
            if (problem.node, problem.status) == (node.name, Status.WRONG) and problem.check in _OF_LOGSTASH:
                return f"on {node.name}, where {problem.what}: {problem.do}"
        return f"on {node.name}: look into {LOG}"

    def _input(self) -> Look:
        if not self._receivers:
            return unseen("nothing came to look for")
        parts = []
        for real in self._receivers:
            made = self._made(real.node)
            if made is None:
                return unseen(f"Logstash on {real.node.name} does not say: {self._mend(real.node)}")
            if not made:
                what = f"{self.server.input_id} on {real.node.name} has made none"
                return wrong(what, self._mend(real.node), self._blocked(real.node) is not None)
            parts.append(f"{real.node.name} {made}")
        return right(f"{', '.join(parts)}, of all senders")

    def _output(self) -> Look:
        if not self._receivers:
            return unseen("nothing came to look for")
        blocked = [text for real in self._receivers if (text := self._blocked(real.node))]
        if blocked:
            node = next(real.node for real in self._receivers if self._blocked(real.node))
            do = f"on {node.name}: get its output's destination back; {LOG} says what it waits for"
            return wrong(several(blocked), do)
        sent = self.seen.sent.get(self.cluster.virtual_servers.index(self.server))
        if sent and sent.written is not None:
            return _counted(sent.sent, sent.written)
        parts = []
        for real in self._receivers:
            counts = self._pipeline(real.node)
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


def _spelled(network: str) -> str:
    return network.removesuffix("/32").removesuffix("/128")


def _words(problem: Problem) -> tuple[str, str]:
    """What is wrong, with the node where there is one, and what to do."""
    what = f"{problem.node}: {problem.what}" if problem.node else problem.what
    return what, problem.do


def _worst(problems: Iterable[Problem]) -> Problem:
    return next(iter(sorted(problems, key=lambda problem: problem.status is not Status.WRONG)))
