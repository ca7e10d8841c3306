"""The recipe's last test (step 12): numbered events are sent to the VIPs, and collected on the nodes."""

from __future__ import annotations

import json
import secrets
import shlex
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from paramiko import SSHException
from pyinfra.api import Host, State, StringCommand

from cluster import Cluster, ClusterError, Node
from desired import logstash
from desired.health_script import CHECK
from facts.events import TAG, ArrivedEvents, EventCounts, FileEnds, FilePosition
from remote.commands import read
from remote.together import for_each
from verification.events import Arrived, Sent, Target, no_text
from verification.report import Delivery, Report
from verification.tally import tally

MAX_EVENTS = 100_000
"""For each virtual server."""
MAX_RATE = 10_000
"""Events a second."""
MAX_SECONDS = 600
"""That the sending may take."""

SETTLED = 3.0
"""Seconds without a new event after which no copy of one is expected: the file output flushes every 2 s."""
QUIET = 8.0
"""Seconds without a new event after which missing events count as lost."""
LIMIT = 60.0
"""Seconds after which the waiting ends, even while events still come."""
_POLL = 0.5

_SENDER = Path(__file__).parents[1] / "files" / "send_events.py"
_PYTHONS = "python3 /usr/libexec/platform-python python python2"


def check_size(count: int, rate: float, targets: int) -> None:
    """Raise `ClusterError` when a test would be too big or take too long."""
    if not 1 <= count <= MAX_EVENTS:
        raise ClusterError(f"--send: {count} is out of range; choose 1 to {MAX_EVENTS} events")
    if not 0 < rate <= MAX_RATE:
        raise ClusterError(f"--rate: {rate:g} is out of range; choose up to {MAX_RATE} events a second")
    if count * targets / rate > MAX_SECONDS:
        raise ClusterError(
            f"--rate: {count} events for each of {targets} virtual servers would take over {MAX_SECONDS} s at "
            f"{rate:g} a second; choose {count * targets // MAX_SECONDS + 1} or more, or send fewer"
        )


def choose_targets(cluster: Cluster, count: int) -> list[Target]:
    """The virtual servers that text can be sent to, for a test with `count` events to each."""
    return [
        Target(
            index=index,
            server=server,
            flows=1 if server.ops else min(count, 2 * len(cluster.nodes)),
            numbered=logstash.writes_events(cluster, server.input.pipeline),
            certificate=cluster.tls_files[server.input.id].fingerprint if server.input.tls else None,
            client=cluster.tls_files[server.input.id].client if server.input.tls else None,
        )
        for index, server in enumerate(cluster.virtual_servers)
        if no_text(server) is None
    ]


def deliver(
    state: State, cluster: Cluster, report: Report, sender: Host, count: int, rate: float
) -> Delivery:
    """Send `count` events to each virtual server at `rate` events a second, and wait for them on the nodes.

    Raises `ClusterError` when the sender can't send.
    """
    run = secrets.token_hex(4)
    targets = choose_targets(cluster, count)
    hosts = {node: host for node in cluster.nodes if (host := state.inventory.get_host(node.name)).connected}
    paths = sorted(
        {logstash.events_file(target.server.input.pipeline) for target in targets if target.numbered}
    )
    by_api = any(not target.numbered for target in targets)
    positions: dict[Node, dict[str, FilePosition]] = {}
    counts: dict[Node, dict[str, int]] = {}

    def read_start(node: Node) -> None:
        """Where the node's files end, and what its inputs have counted, before anything is sent."""
        positions[node] = read(hosts[node], FileEnds, paths=paths) if paths else {}
        counts[node] = (
            (read(hosts[node], EventCounts, address=node.address, script=CHECK) or {}) if by_api else {}
        )

    def read_arrived(node: Node) -> Arrived | None:
        """What has arrived on the node since then; None where that could not be read."""
        arrived = Arrived()
        if positions[node]:
            events = read(hosts[node], ArrivedEvents, positions=positions[node], run=run)
            if events is None:
                return None
            arrived.events = events
        if by_api:
            now = read(hosts[node], EventCounts, address=node.address, script=CHECK) or {}
            arrived.counts = {id: number - counts[node].get(id, 0) for id, number in now.items()}
        return arrived

    def collect() -> dict[str, Arrived]:
        found = zip(hosts, for_each(read_arrived, hosts), strict=True)
        return {node.name: arrived for node, arrived in found if arrived is not None}

    for_each(read_start, hosts)
    sent = send_events(sender, targets, run, count, rate)
    arrived = wait_for_events(collect, lambda found: all_arrived(targets, sent, found))
    return tally(cluster, report, run, sender.name, targets, sent, arrived)


def python_command(path: Path, *arguments: str) -> str:
    """A shell command that runs a program of this project, with whatever Python the sender has."""
    text = shlex.join([path.read_text(), *arguments])
    return (
        f"for python in {_PYTHONS}; do"
        f" ! command -v $python >/dev/null || exec $python -c {text}; done;"
        " echo no Python there >&2; exit 1"
    )


def send_events(sender: Host, targets: list[Target], run: str, count: int, rate: float) -> dict[int, Sent]:
    """Send `count` events to each target; what the sender says, by the target's index. Raises `ClusterError`."""
    addresses = [
        (
            target.index,
            target.server.protocol.lower(),
            str(target.server.vip),
            target.server.port,
            target.flows,
            target.certificate,
            target.client is not None,
        )
        for target in targets
    ]
    clients = {target.index: target.client.get_secret_value() for target in targets if target.client}
    command = python_command(_SENDER, f"{TAG} {run}", str(count), f"{rate:g}", json.dumps(addresses))
    seconds = count * len(targets) / rate + 15 + 6 * len(targets)
    try:
        done, output = sender.run_shell_command(
            StringCommand(command), _timeout=round(seconds), _stdin=json.dumps(clients)
        )
    except (OSError, SSHException) as error:
        raise ClusterError(
            f"{sender.name}: sending was interrupted ({error or 'no reason is given'}); look at it and try again"
        ) from None
    if not done:
        reason = output.stderr_lines[-1] if output.stderr_lines else "it says nothing"
        raise ClusterError(f"{sender.name}: can't send: {reason}; choose another sender with --from")
    results = [Sent(**json.loads(line)) for line in output.stdout_lines if line.startswith("{")]
    return {target.index: result for target, result in zip(targets, results, strict=True)}


def stop_sending(sender: Host, run: str) -> None:
    """End the sending of this run, if it still goes on; `send_events` then returns what was sent until then."""
    # The brackets keep the pattern from matching the shell that it is in.
    sender.run_shell_command(StringCommand(f"pkill -f '[{TAG[0]}]{TAG[1:]} {run} '"), _timeout=30)


def all_arrived(targets: list[Target], sent: dict[int, Sent], arrived: dict[str, Arrived]) -> bool:
    """Whether as many events have arrived as were sent, by their numbers or by Logstash's counts."""
    events = {event for found in arrived.values() for event in found.events}
    expected = sum(sent[target.index].sent for target in targets if target.numbered)
    counted = Counter[str]()
    for target in targets:
        if not target.numbered:
            counted[target.server.input_id] += sent[target.index].sent
    return len(events) >= expected and all(
        sum(found.counts.get(id, 0) for found in arrived.values()) >= number for id, number in counted.items()
    )


def wait_for_events(
    collect: Callable[[], dict[str, Arrived]],
    enough: Callable[[dict[str, Arrived]], bool],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, Arrived]:
    """What `collect` finds once it is enough and no more comes, or nothing has come for long."""
    start = grown = clock()
    count = 0
    while True:
        arrived = collect()
        now = clock()
        total = sum(len(found.events) + sum(found.counts.values()) for found in arrived.values())
        if total > count:
            count, grown = total, now
        patience = SETTLED if enough(arrived) else QUIET
        if now - grown >= patience or now - start >= LIMIT:
            return arrived
        sleep(_POLL)
