"""What became of events that were sent at one rate, and where they were lost. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from cluster import Cluster, VirtualServer
from facts.ipvs import socket_name
from verification.why.trace import Counters

PLACES = {
    "card": "the MASTER's network card, or the kernel's queue behind it",
    "before_ipvs": "between the sender and the MASTER's IPVS",
    "ipvs": "IPVS, which had no node to send them to",
    "network": "between IPVS and the nodes' sockets",
    "socket": "the nodes' sockets, whose buffer was full",
    "queue": "the pipelines' queues and the sockets before them, where they still waited",
    "output": "after the inputs: a filter, or the output",
}
"""Where events can be lost, in the order of their way."""
MENDS = {
    "card": "`ethtool -g` shows its ring buffer, which `ethtool -G` enlarges; then `net.core.netdev_max_backlog`",
    "before_ipvs": "look at the network's own counters, and at the card's on the sender; a sender nearer to the VIP tells more",
    "ipvs": "`verify.py` says why no node was in the pool",
    "network": "look at the nodes' own cards and firewalls: `ethtool -S`, `nstat -az`",
    "socket": "a larger buffer holds longer bursts (`events_per_second`: {rate:.0f} came); what lasts needs more CPU for Logstash, or more nodes",
    "queue": "the output or the filters are the limit: more of `pipeline_workers`, a faster destination, or more nodes",
    "output": "the output or a filter discards them: /var/log/logstash/logstash-plain.log on the nodes",
}
"""By place: what to do to get further; `{rate}` is how many events a second came."""
KEEPS_PACE = 0.9
"""The part of the chosen rate that the sender must reach."""


@dataclass(frozen=True)
class Moment:
    """What all nodes have counted at one moment, by node."""

    counters: dict[str, Counters]
    master: str


@dataclass(frozen=True)
class Step:
    """What became of the events at one rate."""

    rate: float
    """As it was chosen, in events a second."""
    sent: int
    seconds: float
    """How long the sending took."""
    received: dict[str, int]
    """By node: the events that its output has written, or its input has taken where they can't be told."""
    places: dict[str, int] = field(default_factory=dict)
    """Where events were lost: a number by each key of `PLACES` that has one."""
    waiting: dict[str, int] = field(default_factory=dict)
    """By node: the bytes that waited in its socket when the sending ended."""

    @property
    def real_rate(self) -> float:
        """Events a second, as they were sent."""
        return self.sent / self.seconds if self.seconds else 0

    @property
    def lost(self) -> int:
        """Events that did not come."""
        return max(0, self.sent - sum(self.received.values()))

    @property
    def paced(self) -> bool:
        """Whether the sender reached the rate."""
        return self.real_rate >= KEEPS_PACE * self.rate

    @property
    def kept_up(self) -> bool:
        """Whether Logstash took events as fast as they came: nothing lost, and nothing waiting at the end."""
        return not self.lost and not any(self.waiting.values())

    @property
    def place(self) -> str | None:
        """Where most were lost; None where none was."""
        if not self.lost:
            return None
        order = list(PLACES)
        return max(
            self.places, key=lambda place: (self.places[place], -order.index(place)), default="network"
        )


def places(
    cluster: Cluster, server: VirtualServer, before: Moment, after: Moment, sent: int, received: int
) -> dict[str, int]:
    """Where the events that are missing were lost, from what the nodes have counted meanwhile.

    What other senders send is counted, too, and hides as many that are lost before it is counted.
    """
    master, was = after.counters[after.master], before.counters[after.master]
    key = server.protocol, socket_name(server.vip, server.port)
    counted = _since(master.packets.get(key, 0), was.packets.get(key, 0))
    before_ipvs = max(0, sent - counted)
    # IPVS counts nothing that it has no node for.
    ipvs = 0 if any(real[:2] == key for real in master.forwarded) else before_ipvs
    card = min(before_ipvs - ipvs, _since(master.card, was.card))
    dropped = taken = held = 0
    # What did not come out of the sockets, by whether something waits in them.
    missing = {False: 0, True: 0}
    # What went to nodes that have left the pool: IPVS's figures of them have gone, too.
    left, left_waits = counted, False
    for real in server.real_servers:
        name = real.node.name
        if name not in after.counters or name not in before.counters:
            continue
        now, then = after.counters[name], before.counters[name]
        sockets, earlier = (each.sockets.get((server.protocol, real.port), []) for each in (now, then))
        drops = _since(sum(state.drops for state in sockets), sum(state.drops for state in earlier))
        # An API that does not answer says nothing of what was taken.
        took = _since((now.inputs or {}).get(server.input_id, 0), (then.inputs or {}).get(server.input_id, 0))
        dropped, taken = dropped + drops, taken + took
        waits = any(state.queue for state in sockets)
        forwarded = (*key, socket_name(real.address, real.port))
        if forwarded in master.forwarded:
            given = _since(master.forwarded[forwarded], was.forwarded.get(forwarded, 0))
            left -= given
            missing[waits] += max(0, given - drops - took)
        else:
            left -= drops + took
            left_waits = left_waits or waits
        if counts := now.pipelines.get(server.input.pipeline):
            held += max(0, counts.taken - counts.out)
    missing[left_waits] += max(0, left)
    lost = max(0, sent - received)
    found = {
        "card": card,
        "before_ipvs": before_ipvs - ipvs - card,
        "ipvs": ipvs,
        "network": missing[False],
        "socket": dropped,
        "queue": min(held + missing[True], lost),
        "output": max(0, taken - held - received),
    }
    return {place: number for place, number in found.items() if number}


def _since(now: int, before: int) -> int:
    """How much a counter has counted; one that is less than before has begun anew."""
    return now - before if now >= before else now


@dataclass(frozen=True)
class Capacity:
    """What a ramp has shown."""

    sender: str
    input: str
    vip: str
    steps: tuple[Step, ...]

    @property
    def lossless(self) -> Step | None:
        """The last rate at which nothing was lost."""
        return next((step for step in reversed(self.steps) if not step.lost), None)

    @property
    def kept_up(self) -> Step | None:
        """The last rate that Logstash kept up with."""
        return next((step for step in reversed(self.steps) if step.kept_up), None)

    @property
    def mend(self) -> str | None:
        """What to do to get further, where events were lost."""
        last = self.steps[-1]
        return MENDS[last.place].format(rate=last.real_rate) if last.place else None

    @property
    def end(self) -> str:
        """Why it ended: `loss`, `sender` (which can't send faster) or `most` (the highest rate that was allowed)."""
        last = self.steps[-1]
        if last.lost:
            return "loss"
        return "most" if last.paced else "sender"


def rates(first: float, most: float) -> list[float]:
    """The rates of a ramp: each twice the one before, and the highest that is allowed."""
    found = []
    rate = first
    while rate < most:
        found.append(rate)
        rate *= 2
    return [*found, most]
