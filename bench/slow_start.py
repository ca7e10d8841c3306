"""How many events a node loses that comes back, with and without a slow start, on the lab's machines.

`python -m bench.slow_start [SECONDS [RATE …]] [--way NAME]`, as root, with a lab of two nodes up (`python -m lab up`). All is a fortieth of what
was measured with a real Logstash, so that guests can carry it on a machine that is busy, too: a Logstash that has just started takes
25 events a second until it has taken those of 12 s, and its socket's buffer is a fortieth of the deploy's. The stand-in plays that.
Events are sent to the VIP, and the Logstash of the node that does not hold it is restarted meanwhile.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import click

from bench.machines import NODES, SENDER, VIP, deploy, run_on, running_lab, start_on, wait_until_ready
from bench.udp import FOLDER, LOGSTASH_PORT, QUIET, dropped_datagrams, install, programs
from cluster.buffers import COLD_SECONDS, DEFAULT_BUFFER
from lab.lab import Lab

SCALE = 40
COLD_RATE = 1000 // SCALE
"""Events a second that a cold Logstash takes."""
BUFFER = DEFAULT_BUFFER // SCALE
RATES = (200, 50)
"""Of 200 events a second each node gets 100, and a cold one would lose some; of 50 it would lose none."""
SIZE = 200
LEAD = 10
"""Seconds of events before the restart: the health services measure the rate."""
WAYS = {"rr": "full weight at once (`rr`)", "wrr": "slow start (`wrr`)"}
ENVIRONMENT = "/etc/default/logstash"
EVENTS = "/var/log/logstash/events.json"


@dataclass(frozen=True)
class Result:
    """One run."""

    way: str
    rate: int
    sent: int
    lost: int
    dropped: int
    """Datagrams that came to a full socket."""

    def row(self) -> str:
        """A row of the table."""
        percent = 100 * self.lost / self.sent
        return f"| {WAYS[self.way]} | {self.rate} | {self.sent} | {self.lost} ({percent:.2g} %) | {self.dropped} |"


HEAD = "| the node comes back with | events/s | sent | lost | of it at a full socket |\n|---|---|---|---|---|"


def written_events(lab: Lab) -> int:
    """The events that both nodes' outputs have written so far."""
    return sum(int(run_on(lab, name, f"wc -l <{EVENTS}") or 0) for name in NODES)


def measure(lab: Lab, way: str, rate: int, seconds: int, backup: str) -> Result:
    """Send while the Logstash of this node is restarted. Raises SystemExit when nothing was sent."""
    for name in NODES:
        run_on(lab, name, f"truncate --no-create --size 0 {EVENTS}")  # a new one would be root's
    dropped = dropped_datagrams(lab)
    command = f"{FOLDER}/udp send {SENDER} {VIP} {LOGSTASH_PORT} {SIZE} {rate} {seconds}"
    with start_on(lab, "sender", command) as sender:
        time.sleep(LEAD)
        run_on(lab, backup, "systemctl restart logstash")
        output, _ = sender.communicate(timeout=3 * seconds)
    sent = int((output.split() or ["0"])[0])
    if not sent:
        raise SystemExit("nothing was sent: nothing was measured")
    received, last = written_events(lab), time.monotonic()
    while time.monotonic() < last + QUIET:
        if (now := written_events(lab)) != received:
            received, last = now, time.monotonic()
    return Result(way, rate, sent, sent - received, dropped_datagrams(lab) - dropped)


@click.command()
@click.argument("seconds", type=click.IntRange(min=LEAD), default=60)
@click.argument("rates", metavar="[RATE]...", type=click.IntRange(min=1), nargs=-1)
@click.option("--way", "ways", type=click.Choice([*WAYS]), multiple=True, help="Measure only this way.")
def main(seconds: int, rates: tuple[int, ...], ways: tuple[str, ...]) -> None:
    """Count the events that are lost in SECONDS (default 60) at each RATE (events a second; default 200, 50).

    Prints a table in Markdown. `--way` can be given several times.
    """
    lab = running_lab()
    packed = programs([])
    install(lab, "sender", packed)
    print(HEAD, flush=True)
    for way in ways or WAYS:
        one = {
            "id": "udp-5514",
            "port": LOGSTASH_PORT,
            "scheduler": way,
            "receive_buffer_bytes": BUFFER,
        }
        deploy(lab, inputs=[one], cold_start_rate=COLD_RATE)
        director, _ = wait_until_ready(lab)
        (backup,) = (name for name in NODES if name != director)
        cold = f"LOGSTASH_STANDIN_COLD_RATE={COLD_RATE}\\nLOGSTASH_STANDIN_COLD_SECONDS={COLD_SECONDS}\\n"
        run_on(
            lab,
            backup,
            f"touch {ENVIRONMENT}; cp -p {ENVIRONMENT} {ENVIRONMENT}.kept; printf '{cold}' >>{ENVIRONMENT}",
        )
        try:
            for rate in rates or RATES:
                print(measure(lab, way, rate, seconds, backup).row(), flush=True)
        finally:
            run_on(lab, backup, f"mv {ENVIRONMENT}.kept {ENVIRONMENT}; systemctl restart logstash")


if __name__ == "__main__":
    main()
