"""A node is in maintenance, or no longer: it gets no events and holds no VIP meanwhile."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra.api import FunctionCommand, operation

from cluster import Cluster
from remote.maintenance import enter, leave


@operation()
def entered(
    cluster: Cluster, el: int, until: int | None = None, last: bool = False
) -> Generator[FunctionCommand]:
    """
    Have this node in maintenance: run it with `_serial`. It stays so over reboots.

    + cluster: the cluster whose node this is
    + el: the node's major version of Enterprise Linux
    + until: when it ends by itself, in seconds of the epoch; None: when an operator ends it
    + last: whether it may go though no other node takes its place

    A node that is in maintenance already keeps its beginning; the run makes sure that it is drained.
    """
    yield FunctionCommand(enter, (cluster, el, until, last), {})


@operation()
def ended(cluster: Cluster) -> Generator[FunctionCommand]:
    """
    End this node's maintenance, and wait until it is in the pools again: run it with `_serial`.

    + cluster: the cluster whose node this is
    """
    yield FunctionCommand(leave, (cluster,), {})
