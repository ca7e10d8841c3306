"""The nftables tables of our own: what is in them, and how they get into the kernel; a stand-in is nft."""

from __future__ import annotations

import subprocess
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
# line is wrong. It prints each table as nft 1.0 does, and keeps them as lines that it reads. It is in awk, since tests
# start it some hundred times.
NFT = r"""
file=/dev/null
case " $* " in
" delete "*) echo "$*" >input; file=input ;;
*" --file - "*) cat >input; file=input ;;
*" --file "*) for file; do :; done ;;
esac
touch tables
awk -v words="$*" '
function end(error) {
    print "Error: " error >"/dev/stderr"
    failed = 1
    exit
}
FNR == 1 { current = "" }
{ sub(/^[ \t]+/, "") }
/^table ip6? [a-z_]+( \{)?$/ {
    current = $2 " " $3
    if (!(current in chains)) {
        chains[current] = ""
        tables[++count] = current
    }
    next
}
/^delete table ip6? [a-z_]+$/ {
    table = $3 " " $4
    if (!(table in chains)) end("No such file or directory")
    n = split(chains[table], chain, " ")
    for (i = 1; i <= n; i++) delete rules[table, chain[i]]
    delete chains[table]
    next
}
/^chain [a-z]+ \{ type [a-z]+ hook [a-z]+ priority -?[0-9]+; policy accept; \}$/ {
    if (!((current, $2) in rules)) {
        rules[current, $2] = ""
        chains[current] = chains[current] " " $2
    }
    next
}
/^add rule ip6? [a-z_]+ [a-z]+ / {
    table = $3 " " $4
    chain_name = $5
    if (!((table, chain_name) in rules)) end("No such file or directory")
    sub(/^add rule ip6? [a-z_]+ [a-z]+ /, "")
    rules[table, chain_name] = rules[table, chain_name] $0 "\n"
    next
}
!/^(\}?$|#)/ { end("syntax error: " $0) }
END {
    if (failed) exit 1
    listed = words
    sub(/.* list table /, "", listed)
    sub(/^list table /, "", listed)
    if (words ~ /(^| )list /) {
        if (!(listed in chains)) {
            print "Error: No such file or directory" >"/dev/stderr"
            exit 1
        }
        print "table " listed " {"
        n = split(chains[listed], chain, " ")
        for (i = 1; i <= n; i++) {
            print "\tchain " chain[i] " {\n\t\ttype x hook " chain[i] " priority 0; policy accept;"
            m = split(rules[listed, chain[i]], rule, "\n")
            for (j = 1; j < m; j++) print "\t\t" rule[j]
            print "\t}"
        }
        print "}"
    } else if (words !~ /--check/) {
        printf "" >"tables"
        for (k = 1; k <= count; k++) {
            table = tables[k]
            if (!(table in chains) || table in told) continue
            told[table]
            print "table " table " {" >"tables"
            n = split(chains[table], chain, " ")
            for (i = 1; i <= n; i++)
                print "chain " chain[i] " { type x hook " chain[i] " priority 0; policy accept; }" >"tables"
            print "}" >"tables"
            for (i = 1; i <= n; i++) {
                m = split(rules[table, chain[i]], rule, "\n")
                for (j = 1; j < m; j++) print "add rule " table " " chain[i] " " rule[j] >"tables"
            }
        }
    }
}' tables "$file"
"""

DR = {"id": "dr", "port": 7514, "protocol": "tcp", "forwarding": "dr"}


class Kernel:
    """A machine with nft."""

    def __init__(self, machine: ShellMachine) -> None:
        self.machine = machine
        machine.program("nft", f"cd {machine.root} || exit\n{NFT}")

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
