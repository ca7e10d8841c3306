"""What was seen of a sender on its way to one virtual server, as the steps ask for it. Pure."""

from __future__ import annotations

from functools import cached_property

from cluster import Address, Node, RealServer, VirtualServer
from desired import logstash
from facts.ipvs import socket_name
from verification.finding import words
from verification.ipvs import find_server
from verification.judge import judge
from verification.report import Problem, Status
from verification.vip import holding
from verification.why.trace import Counters, Frames, PipelineCounts, SocketState, Trace
from verification.why.way import Seen

_OF_LOGSTASH = (logstash.UNIT, "health")
"""The checks of `verify.py` that are about a node's Logstash."""
LOG = "/var/log/logstash/logstash-plain.log"


class Evidence:
    """What was seen on the way to one virtual server."""

    def __init__(self, seen: Seen, server: VirtualServer) -> None:
        self.seen, self.server = seen, server
        self.cluster, self.sender, self.traces = seen.cluster, seen.sender, seen.traces

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
        return self.count(self.holder, self.server.vip, self.server.port) if self.holder else 0

    def frames(self, node: Node | None, incoming: bool = True) -> list[Frames]:
        trace = self.traces.get(node.name) if node else None
        return [frames for frames in trace.frames if frames.incoming is incoming] if trace else []

    def count(self, node: Node, address: Address, port: int, incoming: bool = True) -> int:
        return sum(
            frames.count
            for frames in self.frames(node, incoming)
            if (frames.protocol, frames.address, frames.port) == (self.server.protocol, address, port)
        )

    def target(self, real: RealServer) -> tuple[Address, int]:
        """Where a packet goes to on the wire, from the director to a real server."""
        if self.server.forwarding == "dr":
            return self.server.vip, self.server.port
        return real.address, real.port

    @property
    def within(self) -> str:
        return f"within {self.seen.seconds:g} s"

    def forwarded(self, trace: Trace, real: RealServer) -> int:
        """How many packets IPVS has given to a real server."""
        server = self.server
        key = (
            server.protocol,
            socket_name(server.vip, server.port),
            socket_name(real.address, real.port),
        )
        return trace.after.forwarded.get(key, 0) - trace.before.forwarded.get(key, 0)

    @cached_property
    def receivers(self) -> list[RealServer]:
        """The real servers that the sender's packets have come to, as far as that can be told."""
        if not self.came:
            return []
        if self.server.forwarding == "snat" or self.holder is None:
            return self.pool
        return [
            real
            for real in self.pool
            if real.node == self.holder or self.count(real.node, *self.target(real))
        ]

    def socket_of(self, real: RealServer, counters: Counters) -> SocketState | None:
        found = counters.sockets.get((self.server.protocol, real.port), [])
        own = [state for state in found if state.address == real.address]
        others = [state for state in found if state.address.is_unspecified]
        return next(iter([*own, *others]), None)

    def made(self, node: Node) -> int | None:
        """How many events the input has made; None where its Logstash did not say."""
        trace = self.traces.get(node.name)
        id = self.server.input_id
        if trace is None or trace.after.inputs is None or id not in trace.after.inputs:
            return None
        before = (trace.before.inputs or {}).get(id, 0)
        now = trace.after.inputs[id]
        return now - before if now >= before else now  # it has been restarted

    def pipeline(self, node: Node) -> tuple[PipelineCounts, PipelineCounts] | None:
        trace = self.traces.get(node.name)
        name = self.server.input.pipeline
        if trace is None or name not in trace.before.pipelines or name not in trace.after.pipelines:
            return None
        return trace.before.pipelines[name], trace.after.pipelines[name]

    def blocked(self, node: Node) -> str | None:
        """What is held up in the pipeline, in words: events have gone in, and none has come out."""
        counts = self.pipeline(node)
        if counts is None or counts[1].out != counts[0].out or counts[1].taken <= counts[1].out:
            return None
        where = f", in its output {words(counts[1].holding)}" if counts[1].holding else ""
        return f"{counts[1].taken - counts[1].out} events are held up in the pipeline of {node.name}{where}"

    @cached_property
    def problems(self) -> tuple[Problem, ...]:
        """What `verify.py` finds wrong, causes first."""
        return judge(self.cluster, self.seen.observations).problems

    def mend(self, node: Node) -> str:
        """What to do about the Logstash of a node, by what `verify.py` finds wrong with it."""
        for problem in self.problems:
            if (problem.node, problem.status) == (node.name, Status.WRONG) and problem.check in _OF_LOGSTASH:
                return f"on {node.name}, where {problem.what}: {problem.do}"
        return f"on {node.name}: look into {LOG}"
