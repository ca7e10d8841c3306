"""Nodes are patched, one after the other, while the others take the events."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra.api import FunctionCommand, operation

from cluster import Cluster
from desired.patch import Request
from remote.patch import patch_node, soak_canary


@operation()
def patched(
    cluster: Cluster, el: int, asked: Request, masters: bool = True, only: str | None = None
) -> Generator[FunctionCommand]:
    """
    Upgrade this node's packages, and reboot it where that is needed: run it with `_serial`.

    It is in maintenance meanwhile, and the next one follows when it is in the pools again. Where it does not come back, it
    stays out, and no other node is touched.

    + cluster: the cluster whose node this is
    + el: its Enterprise Linux
    + asked: what is upgraded, and when it reboots
    + masters: whether to patch nodes that hold a VIP, too
    + only: the name of the only node that is to be patched now
    """
    yield FunctionCommand(patch_node, (cluster, el, asked, masters, only), {})


@operation()
def soaked(cluster: Cluster, el: int, asked: Request) -> Generator[FunctionCommand]:
    """
    Watch the canary for a time, and put it into maintenance where it does worse than the others: run it with `_serial`.

    + cluster: the cluster whose node this is
    + el: its Enterprise Linux
    + asked: which node is the canary, and for how long it is watched
    """
    yield FunctionCommand(soak_canary, (cluster, el, asked), {})
