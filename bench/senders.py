"""What many single senders cost firewalld: a rich rule for each of them, or one ipset.

`python -m bench.senders [--senders N] [--inputs N]`, as root. A real firewalld with the nftables backend runs in a network
namespace with a D-Bus of its own, the one of the tests in `tests/namespace`; this machine's firewall is not touched. The rules
are those that the deploy gives a node, once without and once with an ipset. They are written into the permanent
configuration by firewalld's own code, as it would write them; then firewalld starts, and reloads.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from unittest import mock

import click

from cluster import Cluster
from desired import firewalld
from tests.namespace.firewall import FirewalldMachine, unpacked
from tests.unit.clusters import make_cluster

FIRST_SENDER = ip_address("198.18.0.0")
"""The first address of the network for benchmarks (RFC 2544)."""
EVERY = 2
"""Senders are this far apart, so that no two are a network."""

# Reads the rules and the sets as JSON.
_WRITE = """\
import json, sys
from firewall.core.io.ipset import IPSet, ipset_writer
from firewall.core.io.zone import zone_reader, zone_writer
from firewall.core.rich import Rich_Rule
found = json.load(sys.stdin)
for name, entries in found["sets"].items():
    it = IPSet()
    it.name, it.filename, it.path, it.type, it.entries = name, name + ".xml", "/etc/firewalld/ipsets", "hash:net", entries
    ipset_writer(it)
zone = zone_reader("public.xml", "/usr/lib/firewalld/zones")
zone.path = "/etc/firewalld/zones"
zone.rules = [Rich_Rule(rule_str=rule) for rule in found["rules"]]
zone.rules_str = found["rules"]
zone_writer(zone)
"""


def write(machine: FirewalldMachine, cluster: Cluster) -> tuple[int, int]:
    """Write the first node's rules and ipsets into the permanent configuration: how many rules and entries there are."""
    sets = firewalld.sender_sets(cluster)
    rules = firewalld.rules(cluster, cluster.nodes[0])
    script = machine.root / "write.py"
    script.write_text(_WRITE)
    done = machine.sh("python3 /write.py", json.dumps({"rules": rules, "sets": sets}))
    if done.returncode:
        raise click.ClickException(done.stderr)
    return len(rules), sum(map(len, sets.values()))


def seconds(action: Callable[[], object]) -> float:
    """How long this takes."""
    start = time.monotonic()
    action()
    return time.monotonic() - start


def reload(machine: FirewalldMachine) -> None:
    """Have firewalld reload."""
    done = machine.sh("firewall-cmd --reload")
    if machine.state != "running":
        raise click.ClickException(f"firewalld is {machine.state} after a reload: {done.stderr}")


@click.command()
@click.option("--senders", default=500, type=click.IntRange(firewalld.MANY_SENDERS + 1, 5000))
@click.option("--inputs", default=10, type=click.IntRange(1, 50))
def main(senders: int, inputs: int) -> None:
    """Print a row for each way: its rules, the entries of its ipsets, and the seconds of firewalld's start and reload."""
    print(
        "| senders | rules | entries | firewalld's start, s | firewall-cmd --reload, s |\n|---|---|---|---|---|"
    )
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        cluster = make_cluster(
            work,
            inputs=[{"id": f"udp-{5500 + number}", "port": 5500 + number} for number in range(inputs)],
            senders=[str(FIRST_SENDER + EVERY * number) for number in range(senders)],
        )
        machine = FirewalldMachine(unpacked(work), work / "firewalld.log")
        try:
            for name, many in (("a rule for each", senders), ("an ipset", firewalld.MANY_SENDERS)):
                with mock.patch.object(firewalld, "MANY_SENDERS", many):
                    rules, entries = write(machine, cluster)
                start = seconds(machine.restart)
                times = f"{start:.1f} | {seconds(lambda: reload(machine)):.1f}"
                print(f"| {name} | {rules} | {entries} | {times} |", flush=True)
        finally:
            machine.namespace.end()


if __name__ == "__main__":
    main()
