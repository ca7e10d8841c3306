"""Looks at the nodes while a sender's packets come, for a bounded time."""

from __future__ import annotations

import json
import secrets
import time
from collections import Counter
from ipaddress import ip_address
from pathlib import Path

import gevent
from pyinfra.api import Host, Inventory

from cluster import Address, Cluster, ClusterError, Node
from desired import logstash
from facts.events import ArrivedEvents, FileEnds, FilePosition
from remote.commands import CommandFailed, read, run
from remote.connect import connect_to_nodes
from remote.inventory import find_sender, load_cluster
from remote.together import for_each
from verification.delivery import choose_targets, python_command, send_events, stop_sending
from verification.observe import observe
from verification.why.trace import Trace, parse_trace, settings
from verification.why.way import Seen, SentEvents

SECONDS = 10.0
"""How long the sender's packets are looked for, unless the user chooses another time."""
MAX_SECONDS = 120.0
RATE = 20.0
"""Events a second that `--send` sends to each virtual server."""
_PROGRAM = Path(__file__).parents[2] / "files" / "trace_sender.py"
_FLUSH = 5.0
"""Seconds that the file output may take to write what it has: it flushes every 2 s."""
_LONGER = 40
"""Seconds that the program may take beside the time for packets: an API that hangs is waited for, twice."""


def look(
    file: str,
    sender: str | None,
    input: str | None,
    seconds: float,
    send: bool,
    sender_host: str | None,
    cluster_name: str | None = None,
) -> Seen:
    """What is seen of a sender within `seconds`. Raises `ClusterError` when it can't be looked for.

    + sender: its address; with `send` it may be left out
    + input: the id of one input, or None for all
    + sender_host: with `send`, who sends
    + cluster_name: which of several clusters in the inventory
    """
    if not 1 <= seconds <= MAX_SECONDS:
        raise ClusterError(f"--seconds: {seconds:g} is out of range; choose 1 to {MAX_SECONDS:g}")
    state, inventory, cluster = load_cluster(file, cluster_name)
    _check_input(cluster, input)
    host = find_sender(inventory, cluster, sender_host) if send else None
    reasons = connect_to_nodes(state, inventory, cluster, host)
    address = _address(cluster, sender, host)
    hosts = {node: inventory.get_host(node.name) for node in cluster.nodes if node.name not in reasons}
    observing = gevent.spawn(observe, state, cluster, reasons)
    sending = Sending(inventory, cluster, host, address, input, seconds, list(hosts)) if host else None
    try:
        found = for_each(lambda item: _trace(*item, cluster, address, seconds), hosts.items())
    finally:
        sent = sending.end() if sending else {}
    traces = {node.name: trace for node, trace in zip(hosts, found, strict=True) if trace}
    return Seen(cluster, address, observing.get(), traces, seconds, sent)


class Sending:
    """Events that go to the cluster until `end`, or until they have gone for as long as a look can take."""

    def __init__(
        self,
        inventory: Inventory,
        cluster: Cluster,
        host: Host,
        address: Address,
        input: str | None,
        seconds: float,
        nodes: list[Node],
    ) -> None:
        self.targets = [
            target
            for target in choose_targets(cluster, 2 * len(cluster.nodes))
            if target.server.vip.version == address.version
            and input in (None, target.server.input_id, target.server.input.id)
        ]
        if not self.targets:
            raise ClusterError(
                f"--send: no line of text can be sent to {input or 'any input'} from {address}; use the device itself"
            )
        self.run, self.host = secrets.token_hex(4), host
        self.hosts = {node: inventory.get_host(node.name) for node in nodes}
        paths = {logstash.events_file(each.server.input.pipeline) for each in self.targets if each.numbered}
        self.positions: dict[Node, dict[str, FilePosition]] = {
            node: read(member, FileEnds, paths=sorted(paths)) or {} if paths else {}
            for node, member in self.hosts.items()
        }
        count = round(RATE * (seconds + _LONGER))
        self.greenlet = gevent.spawn(
            send_events, host, self.targets, self.run, count, RATE * len(self.targets)
        )

    def end(self) -> dict[int, SentEvents]:
        """Stop it. What was sent, and what was written of it, by the virtual server's index. Raises `ClusterError`."""
        stop_sending(self.host, self.run)
        sent = {index: result.sent for index, result in self.greenlet.get().items()}
        numbered = [target.index for target in self.targets if target.numbered]
        deadline = time.monotonic() + _FLUSH
        while True:
            written = self._written() if numbered else {}
            found = {
                index: SentEvents(
                    sent=number,
                    written={name: counts[index] for name, counts in written.items()}
                    if index in numbered
                    else None,
                )
                for index, number in sent.items()
            }
            whole = all(
                each.written is None or sum(each.written.values()) >= each.sent for each in found.values()
            )
            if whole or time.monotonic() > deadline:
                return found
            gevent.sleep(0.5)

    def _written(self) -> dict[str, Counter[int]]:
        """By node: the events of this run that its output has written, by the virtual server's index."""

        def look(item: tuple[Node, Host]) -> tuple[str, Counter[int]]:
            node, member = item
            events = read(member, ArrivedEvents, positions=self.positions[node], run=self.run) or []
            return node.name, Counter(index for index, _ in set(events))

        return dict(for_each(look, self.hosts.items()))


def _check_input(cluster: Cluster, input: str | None) -> None:
    known = dict.fromkeys([*cluster.input_ids, *(each.id for each in cluster.inputs)])
    if input is not None and input not in known:
        raise ClusterError(f"why: {input!r} is not an input of the cluster; choose from {', '.join(known)}")


def _address(cluster: Cluster, sender: str | None, host: Host | None) -> Address:
    """The sender's address: the given one, or the one that this host sends to the first VIP from. Raises `ClusterError`."""
    try:
        given = ip_address(sender) if sender else None
    except ValueError:
        raise ClusterError(f"why: {sender!r} is not an IP address; write the device's own") from None
    if host is None:
        assert given
        return _of_a_family(cluster, given)
    vip = next(
        (vip for vip in cluster.vips if given is None or vip.version == given.version), cluster.vips[0]
    )
    try:
        words = " ".join(run(host, f"ip route get {vip}", timeout=10)).split()
        own = ip_address(words[words.index("src") + 1])
    except (CommandFailed, ValueError, IndexError):
        raise ClusterError(
            f"{host.name}: it has no route to {vip}; choose another sender with --from"
        ) from None
    if given not in (None, own):
        raise ClusterError(
            f"--send: {host.name} sends from {own}, not from {given}; leave the address out, or choose another sender with --from"
        )
    return own


def _of_a_family(cluster: Cluster, address: Address) -> Address:
    if address.version not in cluster.families:
        raise ClusterError(
            f"why: {address} is IPv{address.version}, and no VIP is; write the address that the device sends from"
        )
    return address


def _trace(host_node: Node, host: Host, cluster: Cluster, sender: Address, seconds: float) -> Trace | None:
    """What is seen on one node; None where the program could not run."""
    command = python_command(_PROGRAM, json.dumps(settings(cluster, host_node, sender, seconds)))
    try:
        return parse_trace(run(host, command, timeout=round(seconds) + _LONGER))
    except (CommandFailed, ValueError):
        return None
