"""The nftables tables of our own: what is in them, and how they get into the kernel; a stand-in is nft."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cluster import Cluster
from desired import nftables
from desired.firewalld import desired_rules, direct_rules
from desired.translation import own_table
from facts.nftables import parse_tables
from facts.record import Record
from operations import files, undo
from operations import nftables as operations
from tests.unit.clusters import make_cluster
from tests.unit.machine import ShellMachine
from tests.unit.test_firewalld import RECORD, TCP, Firewall, make_dual_stack

# It knows what the deploy writes: tables that are made or deleted, and rules that are added; nothing changes where any
# line is wrong. Then it prints each table as nft 1.0 does.
NFT = """\
import json, re, sys
path, words = sys.argv[1], sys.argv[2:]
try:
    tables = json.load(open(path))
except FileNotFoundError:
    tables = {}
def end(error):
    sys.exit("Error: " + error)
if "list" in words:
    name = " ".join(words[-2:])
    if name not in tables:
        end("No such file or directory")
    print("table " + name + " {")
    for chain, rules in tables[name].items():
        print("\\tchain " + chain + " {\\n\\t\\ttype x hook " + chain + " priority 0; policy accept;")
        print(*("\\t\\t" + rule for rule in rules), "\\t}", sep="\\n")
    print("}")
    sys.exit()
if words[0] == "delete":
    text = " ".join(words)
else:
    text = sys.stdin.read() if words[-1] == "-" else open(words[-1]).read()
current = None
for line in map(str.strip, text.splitlines()):
    if match := re.fullmatch(r"table (ip6? \\w+)( {)?", line):
        current = tables.setdefault(match[1], {})
    elif match := re.fullmatch(r"delete table (ip6? \\w+)", line):
        tables.pop(match[1])
    elif match := re.fullmatch(r"chain (\\w+) { type \\w+ hook \\w+ priority -?\\d+; policy accept; }", line):
        current.setdefault(match[1], [])
    elif match := re.fullmatch(r"add rule (ip6? \\w+) (\\w+) (.*)", line):
        tables[match[1]][match[2]].append(match[3])
    elif line not in ("", "}") and not line.startswith("#"):
        end("syntax error: " + line)
if "--check" not in words:
    json.dump(tables, open(path, "w"))
"""

DR = {"id": "dr", "port": 7514, "protocol": "tcp", "forwarding": "dr"}


class Kernel:
    """A machine with nft."""

    def __init__(self, machine: ShellMachine) -> None:
        self.machine = machine
        program = machine.root / "nft.py"
        program.write_text(NFT)
        machine.program("nft", f'exec {sys.executable} -I -S {program} {machine.root}/tables "$@"')

    def nft(self, *words: str, stdin: str = "") -> str:
        return self.machine.sh(f"nft {' '.join(words)}", stdin).stdout

    def rules(self) -> list[str]:
        """Those of both families."""
        listed = [self.nft("list", "table", family, nftables.TABLE) for family in ("ip", "ip6")]
        return parse_tables("\n".join(listed).splitlines())

    def deploy(self, cluster: Cluster, with_table: bool = True) -> list[subprocess.CompletedProcess[str]]:
        """The tables' file, and the two operations."""
        node = cluster.nodes[0]
        done = self.machine.run(files.put, files=nftables.files(cluster, node, with_table)[:1], step=9)
        for operation in (operations.added, operations.pruned):
            done += self.machine.run(operation, cluster=cluster, node=node, own_table=with_table)
        return done


@pytest.fixture
def kernel(machine: ShellMachine) -> Kernel:
    machine.program("chown", ":")
    return Kernel(machine)


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Cluster]:
    return lambda **settings: make_cluster(tmp_path, **settings)


def test_tables_translate_what_direct_rules_do() -> None:
    cluster = make_dual_stack(inputs=[TCP, DR])
    node = cluster.nodes[1]
    assert nftables.rules(cluster, node) == [
        "ip postrouting ip daddr 10.77.0.11 tcp dport 6514 snat to 10.77.0.12",
        "ip6 postrouting ip6 daddr fd00:77::11 tcp dport 6514 snat to fd00:77::12",
        "ip prerouting ip daddr 10.77.0.10 tcp dport 7514 notrack",
        "ip6 prerouting ip6 daddr fd00:77::10 tcp dport 7514 notrack",
    ]
    assert len(direct_rules(cluster, node)) == 4
    assert not {*direct_rules(cluster, node)} & {*desired_rules(cluster, node, own_table=True)}
    assert {*direct_rules(cluster, node)} <= {*desired_rules(cluster, node, own_table=False)}


@pytest.mark.parametrize(
    ("inputs", "el", "has_nftables", "expected"),
    [
        ([TCP], 8, True, True),
        ([TCP], 10, True, True),
        ([TCP], 10, False, False),
        ([TCP], 7, True, False),
        ([DR], 9, True, False),
        ([{"id": "udp", "port": 5514}], 9, True, False),
    ],
)
def test_a_table_is_used_where_the_machine_can_load_it(
    make: Callable[..., Cluster], inputs: list[object], el: int, has_nftables: bool, expected: bool
) -> None:
    cluster = make(inputs=inputs)
    assert own_table(cluster, el, has_nftables) is expected
    assert bool(nftables.files(cluster, cluster.nodes[0], expected)) is expected


def test_a_fresh_kernel_gets_the_tables_and_a_second_run_changes_nothing(kernel: Kernel) -> None:
    cluster = make_dual_stack()
    done = kernel.deploy(cluster)
    assert [(run.returncode, run.stderr) for run in done] == [(0, "")] * 2
    assert kernel.rules() == nftables.rules(cluster, cluster.nodes[0])
    assert kernel.machine.fact(Record, path=RECORD)["table"] == ["ip", "ip6"]
    assert kernel.deploy(cluster) == []


def test_the_file_alone_loads_the_tables_and_replaces_what_is_there(kernel: Kernel) -> None:
    """As at boot."""
    cluster = make_dual_stack(inputs=[TCP, DR])
    rules = nftables.rules(cluster, cluster.nodes[0])
    for _ in range(2):
        kernel.nft("--file", "-", stdin=nftables.content(rules))
        assert sorted(kernel.rules()) == sorted(rules)
    kernel.nft("--file", "-", stdin=nftables.content(rules[:2]))
    assert kernel.rules() == rules[:2]


def test_a_table_that_somebody_flushed_is_filled_again(kernel: Kernel, make: Callable[..., Cluster]) -> None:
    cluster = make(inputs=[TCP])
    kernel.deploy(cluster)
    kernel.nft("delete", "table", "ip", nftables.TABLE)
    assert [run.returncode for run in kernel.deploy(cluster)] == [0]
    assert kernel.rules() == nftables.rules(cluster, cluster.nodes[0])


def test_old_rules_stay_until_all_else_has_changed(kernel: Kernel, make: Callable[..., Cluster]) -> None:
    """Until then keepalived may still forward to the old port."""
    before, after = make(inputs=[TCP]), make(inputs=[{**TCP, "server_port": 6515}])
    node = after.nodes[0]
    kernel.deploy(before)
    kernel.machine.run(operations.added, cluster=after, node=node, own_table=True)
    assert kernel.rules() == nftables.rules(before, node) + nftables.rules(after, node)
    kernel.deploy(after)
    assert kernel.rules() == nftables.rules(after, node)


@pytest.mark.parametrize("with_table", [True, False])
def test_a_table_that_is_no_longer_needed_is_removed(
    kernel: Kernel, make: Callable[..., Cluster], with_table: bool
) -> None:
    """One of the families, or all: no input is TCP any more, or direct rules translate now."""
    kernel.deploy(make_dual_stack())
    after = make(inputs=[TCP])
    kernel.deploy(after, with_table)
    assert kernel.rules() == (nftables.rules(after, after.nodes[0]) if with_table else [])
    assert kernel.machine.fact(Record, path=RECORD).get("table", []) == (["ip"] if with_table else [])


def test_a_kernel_that_refuses_the_table_fails_before_anything_changes(
    kernel: Kernel, make: Callable[..., Cluster]
) -> None:
    kernel.machine.program(
        "nft", 'echo "Error: Could not process rule: No such file or directory" >&2; exit 1'
    )
    cluster = make(inputs=[TCP])
    (done,) = kernel.machine.run(files.put, files=nftables.files(cluster, cluster.nodes[0], True)[:1], step=9)
    assert done.returncode == 1
    assert "Could not process rule" in done.stderr
    assert not kernel.machine.path(nftables.RULES).exists()


def test_undo_removes_the_tables(kernel: Kernel) -> None:
    kernel.deploy(make_dual_stack())
    assert [run.returncode for run in kernel.machine.run(undo.rules)] == [0, 0]
    assert kernel.rules() == []
    assert kernel.machine.run(undo.rules) == []


def test_direct_rules_go_once_the_table_does_the_same(machine: ShellMachine, tmp_path: Path) -> None:
    firewall = Firewall(machine)
    cluster = make_cluster(tmp_path, inputs=[TCP])
    firewall.deploy(cluster, own_table=False)
    assert firewall.lines("permanent-direct") == direct_rules(cluster, cluster.nodes[0])
    firewall.deploy(cluster, own_table=True)
    assert firewall.lines("permanent-direct") == firewall.lines("runtime-direct") == []
    assert not [line for line in firewall.record if line.startswith("direct ")]
    assert firewall.deploy(cluster, own_table=True) == []
