"""Which ways of a sender are followed, and each of their steps. Pure."""

from __future__ import annotations

from collections.abc import Callable

from cluster import VirtualServer
from verification.why import to_master, to_output
from verification.why.evidence import Evidence
from verification.why.way import STEPS, Look, Seen, Step, Way

_LOOKS: dict[str, Callable[[Evidence], Look]] = {
    "senders": to_master.senders,
    "firewall": to_master.firewall,
    "vip": to_master.vip,
    "mac": to_master.mac,
    "route": to_master.route,
    "master": to_master.master,
    "ipvs": to_output.ipvs,
    "real_server": to_output.real_server,
    "socket": to_output.socket,
    "input": to_output.input,
    "output": to_output.output,
}


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
        Way(server.input_id, str(server.vip), server.protocol, server.port, _steps(Evidence(seen, server)))
        for server in servers
    ]


def _steps(evidence: Evidence) -> tuple[Step, ...]:
    return tuple(Step(name, *_LOOKS[name](evidence)) for name in STEPS)


def _came(seen: Seen, server: VirtualServer) -> bool:
    return any(
        frames.incoming
        and (frames.protocol, frames.address, frames.port) == (server.protocol, server.vip, server.port)
        for trace in seen.traces.values()
        for frames in trace.frames
    )


def _may_send(seen: Seen, server: VirtualServer) -> bool:
    return any(seen.sender in network for network in seen.cluster.senders_of(server.input, server.vip))
