"""The cluster's rules in firewalld.

Rules are strings in firewalld's own spelling: a rich rule begins with `rule`, a direct rule with `ipv4` or
`ipv6`. The rules that the deploy adds are in the record, as `rich ZONE RULE` or `direct RULE`. Nothing else
is ever removed, and firewalld is never reloaded.
"""

from __future__ import annotations

import shlex
from collections.abc import Generator, Iterable

from pyinfra import host
from pyinfra.api import StringCommand, operation

from cluster import Cluster, Node
from desired.firewalld import desired_rules, missing, unmanaged
from desired.paths import RECORD, STATE
from facts.firewalld import FirewallRules
from facts.record import Record
from operations.rules import show

# The rules come on standard input, one a line, since they may be more than a command line holds.
_BEGIN = """\
set -eu
zone={zone}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/input"
entries() {{ # the record's entries for the rules of a file
    sed "s/^rule/rich $zone rule/; t; s/^/direct /" "$1"
}}
mkdir -p {state}
touch {record}
apply() {{ # add or remove the rules of a file, in the configuration that `option` names; many rich rules in one call
    sed -n "s/^rule/--$1-rich-rule=rule/p" "$2" >"$work/rich"
    test ! -s "$work/rich" || xargs -d '\\n' firewall-cmd $option --zone="$zone" <"$work/rich" >/dev/null || return
    grep -v '^rule' "$2" | while IFS= read -r rule; do
        direct "$1" $rule </dev/null || exit
    done
}}
bus() {{ # call a method of firewalld's D-Bus interface whose name ends in $1; `object` is empty or `/config`
    interface=$1
    shift
    busctl call -- org.fedoraproject.FirewallD1 /org/fedoraproject/FirewallD1$object \
        org.fedoraproject.FirewallD1$interface "$@" 2>&1
}}
direct() {{ # add or remove one direct rule: firewall-cmd takes one in a call, too, but ten times as long
    verb=$1 family=$2 table=$3 chain=$4 priority=$5
    shift 5
    object=${{option:+/config}}
    answer=$(bus ${{option:+.config}}.direct ${{verb}}Rule sssias $family $table $chain $priority $# "$@") ||
        case $answer in *ALREADY_ENABLED* | *NOT_ENABLED*) ;; *) printf '%s\n' "$answer" >&2; return 1 ;; esac
}}
"""

# firewall-cmd reports success when it accepts one of several rich rules in a call, so `accepted` checks each.
# Each line of the input begins with the configuration that lacks the rule. The running firewalld comes first: what it
# refuses never comes into the permanent configuration, which it would refuse as a whole at its next start.
_ADD = """\
accepted() {{ # prints the rich rules of a file that are missing
    firewall-cmd $option --zone="$zone" --list-rich-rules >"$work/present" &&
        ! grep '^rule' "$1" | grep -vxFf "$work/present"
}}
valid() {{ # firewalld's own check of the permanent configuration, which 0.6.0 and later have
    object=
    test -z "$option" || answer=$(bus "" checkPermanentConfig) ||
        case $answer in *UnknownMethod*) ;; *) printf '%s\n' "$answer" >&2; return 1 ;; esac
}}
take_back() {{ # from both configurations, and from the permanent one also what an earlier deploy has put there
    entries "$work/runtime" | grep -xFf "$work/recorded" | sed "s/^rich $zone //; s/^direct //" >>"$work/permanent" || true
    for side in runtime permanent; do
        use $side
        sed -n '/^rule/p' "$work/$side" >"$work/of_one_kind"
        apply remove "$work/of_one_kind" || true
        sed '/^rule/d' "$work/$side" >"$work/of_one_kind"
        apply remove "$work/of_one_kind" || true
    done
}}
use() {{ # the configuration for `apply`
    case $1 in permanent) option=--permanent ;; *) option= ;; esac
}}
cp {record} "$work/recorded"
for side in runtime permanent; do
    sed -n "s/^$side //p" "$work/input" >"$work/$side"
    entries "$work/$side" | grep -vxFf {record} >"$work/new" || true
    cat "$work/new" >>{record}
done
for side in runtime permanent; do
    use $side
    test -s "$work/$side" || continue
    output=$({{ apply add "$work/$side" && accepted "$work/$side" && valid; }} 2>&1) || {{
        take_back 2>/dev/null
        printf 'firewalld refuses new rules, and they were taken back: %s\\n' "$output" >&2
        exit 1
    }}
done
"""

_REMOVE = """\
zone_exists() {{
    firewall-cmd $option --get-zones | tr ' ' '\\n' | grep -qxF -e "$zone"
}}
for option in --permanent ""; do
    apply remove "$work/input" || ! zone_exists || exit 1 # without the zone there are none of its rules
done
entries "$work/input" >"$work/entries"
grep -vxFf "$work/entries" {record} >{record}.new || true
mv -f {record}.new {record}
"""


@operation()
def allowed(cluster: Cluster, node: Node, own_table: bool) -> Generator[StringCommand]:
    """
    Add the rules for what this node accepts and translates, to the permanent and the runtime configuration.

    Rich rules are added to the zone of the cluster's interface. Each configuration gets those that it does
    not have; nothing is removed (see `pruned`). When firewalld refuses a rule, at once or in its check of the
    whole permanent configuration, the new rules are taken back from both configurations, and the operation fails.

    Where a table of our own translates, the direct rules of an earlier deploy are removed: the table does the same by
    now, and at its next start firewalld may not be able to load them.

    + cluster: the cluster that the rules are for
    + node: the node that is this host
    + own_table: whether a table of our own translates on this node
    """
    if cluster.firewall == "none":
        host.noop("the firewall is left to its owner")
        return
    desired = desired_rules(cluster, node, own_table)
    present = host.get_fact(FirewallRules, interface=cluster.interface)
    if present is None:
        yield _not_running()
        return
    zone = present["zone"]
    direct = host.get_fact(Record, path=RECORD).get("direct", []) if own_table else []
    new = missing(desired, present)
    for configuration, rules in new.items():
        show(f"Will add to zone {zone}, {configuration}", rules)
    show("Will remove, since a table of our own does it", direct)
    yield from removal([], direct)
    if lines := [f"{configuration} {rule}" for configuration, rules in new.items() for rule in rules]:
        yield _command(_BEGIN + _ADD, lines, zone=zone)
    elif not direct:
        host.noop(f"all rules are in zone {zone}")


@operation()
def pruned(cluster: Cluster, node: Node, own_table: bool) -> Generator[StringCommand]:
    """
    Remove the recorded rules that are no longer desired.

    Rules that others have put into the zone are left alone, and listed with `--diff` or `-v`.

    + cluster: the cluster that the rules are for
    + node: the node that is this host
    + own_table: whether a table of our own translates on this node
    """
    if cluster.firewall == "none":
        host.noop("the firewall is left to its owner")
        return
    record = host.get_fact(Record, path=RECORD)
    desired = desired_rules(cluster, node, own_table)
    present = host.get_fact(FirewallRules, interface=cluster.interface)
    if present is None:
        yield _not_running()
        return
    zone = present["zone"]
    wanted = {*desired, *(f"{zone} {rule}" for rule in desired)}
    obsolete_rich = [value for value in record.get("rich", []) if value not in wanted]
    obsolete_direct = [rule for rule in record.get("direct", []) if rule not in wanted]
    others = unmanaged(desired, present, record)
    show(f"Left alone, put into zone {zone} by others", others)
    show("Will remove", obsolete_rich + obsolete_direct)
    yield from removal(obsolete_rich, obsolete_direct)
    if not obsolete_rich and not obsolete_direct:
        by_others = f"; put there by others: {', '.join(others)}" if others else ""
        host.noop(f"no rule of an earlier deploy is left in zone {zone}{by_others}")


def removal(rich: Iterable[str], direct: Iterable[str]) -> Generator[StringCommand]:
    """The commands that remove rules, given as in the record: `ZONE RULE` if rich, `RULE` if direct."""
    zones: dict[str, list[str]] = {}
    for zone, _, rule in (value.partition(" ") for value in rich):
        zones.setdefault(zone, []).append(rule)
    for zone, rules in zones.items():
        yield _command(_BEGIN + _REMOVE, rules, zone=zone)
    if rules := list(direct):
        yield _command(_BEGIN + _REMOVE, rules, zone="")


def _not_running() -> StringCommand:
    return StringCommand("firewall-cmd --state")  # prints that it does not run, and fails


def _command(script: str, rules: list[str], **values: str) -> StringCommand:
    quoted = {key: shlex.quote(value) for key, value in values.items()}
    return StringCommand(script.format(state=STATE, record=RECORD, **quoted), _stdin="\n".join(rules) + "\n")
