"""A sender's way to one virtual server: its steps, and all that was seen. Pure data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from cluster import Address, Cluster
from verification.finding import Observations
from verification.report import Problem, Status
from verification.why.trace import Trace

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


def reported(problem: Problem) -> Look:
    """A step that is not as it should be, by a problem that `verify.py` reports, too."""
    return wrong(f"{problem.node}: {problem.what}" if problem.node else problem.what, problem.do)
