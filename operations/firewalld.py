"""The cluster's rules in firewalld.

Rules are strings in firewalld's own spelling: a rich rule begins with `rule`, a direct rule with `ipv4` or
`ipv6`. The rules that the deploy adds are in the record, as `rich ZONE RULE` or `direct RULE`. Nothing else
is ever removed, and firewalld is never reloaded.
"""

from __future__ import annotations

import shlex
from collections.abc import Generator, Iterable

from pyinfra import host, state
from pyinfra.api import StringCommand, operation

from cluster import Cluster, Node
from desired.firewalld import desired_rules, missing, unmanaged
from desired.paths import RECORD, STATE
from facts.firewalld import FirewallRules
from facts.record import Record

# The rules come on standard input, one a line, since they may be more than a command line holds.
_BEGIN = """\
set -eu
zone={zone}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/rules"
sed "s/^rule/rich $zone rule/; t; s/^/direct /" "$work/rules" >"$work/entries"
mkdir -p {state}
touch {record}
apply() {{ # add or remove, in the configuration that `option` names; many rich rules in one call
    sed -n "s/^rule/--$1-rich-rule=rule/p" "$work/rules" >"$work/rich"
    test ! -s "$work/rich" || xargs -d '\\n' firewall-cmd $option --zone="$zone" <"$work/rich" >/dev/null || return
    grep -v '^rule' "$work/rules" | while IFS= read -r rule; do
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
_ADD = """\
option={option}
accepted() {{ # prints the rich rules that are missing
    firewall-cmd $option --zone="$zone" --list-rich-rules >"$work/present" &&
        ! grep '^rule' "$work/rules" | grep -vxFf "$work/present"
}}
valid() {{ # firewalld's own check of the permanent configuration, which 0.6.0 and later have
    object=
    test -z "$option" || answer=$(bus "" checkPermanentConfig) ||
        case $answer in *UnknownMethod*) ;; *) printf '%s\n' "$answer" >&2; return 1 ;; esac
}}
grep -vxFf {record} "$work/entries" >>{record} || true
output=$({{ apply add && accepted && valid; }} 2>&1) || {{
    apply remove 2>/dev/null || true
    printf 'firewalld refuses new rules, and they were taken back: %s\\n' "$output" >&2
    exit 1
}}
"""

_REMOVE = """\
zone_exists() {{
    firewall-cmd $option --get-zones | tr ' ' '\\n' | grep -qxF -e "$zone"
}}
for option in --permanent ""; do
    apply remove || ! zone_exists || exit 1 # without the zone there are none of its rules
done
grep -vxFf "$work/entries" {record} >{record}.new || true
mv -f {record}.new {record}
"""


@operation()
def allowed(cluster: Cluster, node: Node) -> Generator[StringCommand]:
    """
    Add the rules for what this node accepts and translates, to the permanent and the runtime configuration.

    Rich rules are added to the zone of the cluster's interface. Each configuration gets those that it does
    not have; nothing is removed (see `pruned`). When firewalld refuses a rule, at once or in its check of the
    whole permanent configuration, the new rules are taken back, and the operation fails.

    + cluster: the cluster that the rules are for
    + node: the node that is this host
    """
    if cluster.firewall == "none":
        host.noop("the firewall is left to its owner")
        return
    desired = desired_rules(cluster, node)
    present = host.get_fact(FirewallRules, interface=cluster.interface)
    if present is None:
        yield _not_running()
        return
    zone = present["zone"]
    for configuration, new in missing(desired, present).items():
        if new:
            _log(f"Will add to zone {zone}, {configuration}", new)
            option = "--permanent" if configuration == "permanent" else ""
            yield _command(_BEGIN + _ADD, new, zone=zone, option=option)
    if not any(missing(desired, present).values()):
        host.noop(f"all rules are in zone {zone}")


@operation()
def pruned(cluster: Cluster, node: Node) -> Generator[StringCommand]:
    """
    Remove the recorded rules that are no longer desired.

    Rules that others have put into the zone are left alone, and listed with `--diff` or `-v`.

    + cluster: the cluster that the rules are for
    + node: the node that is this host
    """
    if cluster.firewall == "none":
        host.noop("the firewall is left to its owner")
        return
    record = host.get_fact(Record, path=RECORD)
    desired = desired_rules(cluster, node)
    present = host.get_fact(FirewallRules, interface=cluster.interface)
    if present is None:
        yield _not_running()
        return
    zone = present["zone"]
    wanted = {*desired, *(f"{zone} {rule}" for rule in desired)}
    obsolete_rich = [value for value in record.get("rich", []) if value not in wanted]
    obsolete_direct = [rule for rule in record.get("direct", []) if rule not in wanted]
    others = unmanaged(desired, present, record)
    _log(f"Left alone, put into zone {zone} by others", others)
    _log("Will remove", obsolete_rich + obsolete_direct)
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


def _log(action: str, rules: Iterable[str]) -> None:
    if state.config.DIFF:
        for rule in rules:
            host.log(f"{action}: {rule}")


def _command(script: str, rules: list[str], **values: str) -> StringCommand:
    quoted = {key: shlex.quote(value) for key, value in values.items()}
    return StringCommand(script.format(state=STATE, record=RECORD, **quoted), _stdin="\n".join(rules) + "\n")
