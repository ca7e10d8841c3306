"""The nftables tables of our own (the recipe's step 9). The record has an entry `table FAMILY` for each."""

from __future__ import annotations

from collections.abc import Generator, Iterable

from pyinfra import host
from pyinfra.api import StringCommand, operation

from cluster import Cluster, Node
from desired.compared import table_rules
from desired.nftables import RULES, TABLE, additions, extra, families, missing, rules
from desired.paths import RECORD
from facts.nftables import TableRules
from facts.record import Record
from operations.record import add_entry, remove_entry
from operations.rules import show
from remote.snapshot import Change

_TOUCHED = (Record, TableRules)


@operation()
def added(cluster: Cluster, node: Node, own_table: bool) -> Generator[StringCommand]:
    """
    Add the rules that the tables do not have; nothing is removed (see `pruned`).

    + cluster: the cluster that the tables are for
    + node: the node that is this host
    + own_table: whether a table of our own translates on this node
    """
    if not own_table:
        host.noop("no table of our own is needed")
        return
    desired = rules(cluster, node)
    new = missing(desired, host.get_fact(TableRules, **table_rules(desired)))
    if not new:
        host.noop(f"all rules are in the table {TABLE}")
        return
    show("Will add to the table", new)
    entries = [add_entry("table", family) for family in families(desired)]
    yield Change(" && ".join([*entries, "nft --file -"]), touches=_TOUCHED, _stdin=additions(new))


@operation()
def pruned(cluster: Cluster, node: Node, own_table: bool) -> Generator[StringCommand]:
    """
    Remove rules of the tables that are no longer desired, and recorded tables that this node no longer needs.

    + cluster: the cluster that the tables are for
    + node: the node that is this host
    + own_table: whether a table of our own translates on this node
    """
    desired = rules(cluster, node) if own_table else []
    obsolete = [
        family
        for family in host.get_fact(Record, path=RECORD).get("table", [])
        if family not in families(desired)
    ]
    old = []
    if desired:
        old = extra(desired, host.get_fact(TableRules, **table_rules(desired)))
    show("Will remove from the table", old)
    if old:
        yield Change(f"nft --file {RULES}", touches=_TOUCHED)
    yield from removal(obsolete)
    if not old and not obsolete:
        host.noop("no rule of an earlier deploy is left in a table of our own")


def removal(families: Iterable[str]) -> Generator[StringCommand]:
    """The commands that remove the tables of these families, and their entries in the record."""
    for family in families:
        table = f"{family} {TABLE}"
        remove = f"{{ ! nft list table {table} >/dev/null 2>&1 || nft delete table {table}; }}"
        yield Change(f"{remove} && {remove_entry('table', family)}", touches=_TOUCHED)
