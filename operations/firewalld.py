"""The cluster's rules in firewalld, and the ipsets of its senders.

Rules are strings in firewalld's own spelling: a rich rule begins with `rule`, a direct rule with `ipv4` or
`ipv6`. What the deploy adds is in the record, as `rich ZONE RULE`, `direct RULE` or `ipset NAME`. Nothing else
is ever removed. firewalld is reloaded only where it lacks an ipset (see `sets_loaded`).
"""

from __future__ import annotations

import shlex
from collections.abc import Generator, Iterable
from typing import TypeGuard
from weakref import WeakKeyDictionary

from pyinfra import host
from pyinfra.api import FunctionCommand, Host, State, StringCommand, operation

from cluster import Cluster, Node
from desired import keepalived
from desired.firewalld import (
    denied_sources,
    fact_arguments,
    missing,
    placed_rules,
    sender_sets,
    set_changes,
    set_family,
    unmanaged,
    uses_set,
)
from desired.paths import RECORD, STATE
from facts.firewalld import Firewall, FirewallState
from facts.record import Record
from operations.record import add_entry, remove_entry
from operations.rules import show
from remote.commands import log_error, succeeds
from remote.drain import connected_directors, drained, present_members, wait_until
from remote.snapshot import Change

RETURN_BOUND = 30.0
"""Seconds within which a node must be back in the pools of its own keepalived after a reload."""

# The entries come on standard input, one a line.
_SET = """\
set -eu
bus() {{ # call a method of firewalld's: object, interface and method
    object=$1 interface=$2
    shift 2
    busctl call -- org.fedoraproject.FirewallD1 "$object" org.fedoraproject.FirewallD1$interface "$@" </dev/null
}}
top=/org/fedoraproject/FirewallD1
kept() {{ # the object of the permanent ipset
    answer=$(bus $top/config .config getIPSetByName s {name}) || return
    answer=${{answer#*\\"}}
    echo "${{answer%\\"}}"
}}
"""
_NEW_SET = """\
busctl get-property org.fedoraproject.FirewallD1 $top org.fedoraproject.FirewallD1 IPSetTypes | grep -q '"hash:net"' || {{
    echo "firewalld can't use ipsets here; install ipset, and restart firewalld" >&2
    exit 1
}}
{record}
set -- $(cat)
bus $top/config .config addIPSet 's(ssssa{{ss}}as)' \
    {name} "" "" "The senders of events to the VIP" hash:net 1 family {family} $# "$@" >/dev/null
"""
_PERMANENT_ENTRIES = """\
object=$(kept)
set -- $(cat)
bus "$object" .config.ipset setEntries as $# "$@"
"""
# Not `setEntries`, which would empty the set first.
_RUNTIME_ENTRIES = """\
while read -r verb entry; do
    bus $top .ipset ${{verb}}Entry ss {name} "$entry"
done
"""
_NO_SET = """\
! object=$(kept 2>/dev/null) || bus "$object" .config.ipset remove
{record}
"""

# What only the configuration in force has would be lost. An interface comes back into NetworkManager's zone for it, or
# else into the default zone.
_RELOADABLE = """\
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
default=$(firewall-cmd --get-default-zone) || exit
for option in "" --permanent; do
    firewall-cmd $option --list-all-zones >"$work/zones" || exit
    firewall-cmd $option --direct --get-all-rules >"$work/direct" || exit
    awk -v but="$default" '
        /^[^ \\t]/ { zone = $1; next }
        /^ *interfaces:/ { for (i = 2; i <= NF && zone != but; i++) print zone ": interface " $i; next }
        /ipset="logstash-ha-/ || !NF { next }
        { print zone ": " $0 }' "$work/zones" >"$work/all" || exit
    cat "$work/all" "$work/direct" | tr -s '\\t ' ' ' >"$work/lines$option"
done
for name in $(sed -n 's/^.*: interface //p' "$work/lines"); do
    connection=$(nmcli -g GENERAL.CONNECTION device show "$name" 2>/dev/null) &&
        echo "$(nmcli -g connection.zone connection show "$connection"): interface $name" >>"$work/lines--permanent"
done
for option in "" --permanent; do sort -o "$work/lines$option" "$work/lines$option"; done
lost=$(comm -23 "$work/lines" "$work/lines--permanent" | tr '\\n' ';')
test -z "$lost" || {
    printf '%s %s %s\\n' 'firewalld must be reloaded to get an ipset of senders, and would lose what is not permanent:' \
        "$lost" 'make it permanent with `firewall-cmd --runtime-to-permanent`, or remove it' >&2
    exit 1
}
"""
_RELOAD = f"""\
was=$(systemctl is-active {keepalived.UNIT})
test "$was" != active || systemctl stop {keepalived.UNIT} || exit
firewall-cmd --reload >/dev/null
reloaded=$?
test "$was" != active || systemctl start {keepalived.UNIT} || exit
exit $reloaded
"""

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

# firewall-cmd reports success when it accepts one of several rich rules in a call, so `accepted` checks each; as busctl
# shows them, with a backslash before each quotation mark, since a call of firewall-cmd takes ten times as long.
# Each line of the input begins with the configuration that lacks the rule. The running firewalld comes first: what it
# refuses never comes into the permanent configuration, which it would refuse as a whole at its next start.
_ADD = """\
accepted() {{ # prints the rich rules of a file that are missing
    object= interface=.zone file=$1
    set -- s "$zone"
    if [ -n "$option" ]; then
        object=/config
        answer=$(bus .config getZoneByName s "$zone") || {{ printf '%s\\n' "$answer"; return 1; }}
        answer=${{answer#*FirewallD1}} interface=.config.zone
        object=${{answer%\\"}}
        set --
    fi
    answer=$(bus $interface getRichRules "$@") || {{ printf '%s\\n' "$answer"; return 1; }}
    sed -n '/^rule/ {{ s/"/\\\\"/g; s/.*/"&"/; p }}' "$file" >"$work/quoted"
    printf '%s\\n' "$answer" | sed 's/^as [0-9]* //; s/" "/"\\n"/g' >"$work/present"
    answer=$(grep -vxFf "$work/present" "$work/quoted" | sed 's/^"//; s/"$//; s/\\\\"/"/g')
    test -z "$answer" || {{ printf '%s\\n' "$answer"; return 1; }}
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


_TOUCHED = (Firewall, Record)

_failed_at: WeakKeyDictionary[State, dict[tuple[str, ...], str]] = WeakKeyDictionary()
"""By run, and by cluster: the node whose firewalld was not reloaded as it should. No other one is reloaded after it."""


@operation()
def not_denied(cluster: Cluster) -> Generator[StringCommand]:
    """
    Fail where a node's or a sender's address is bound to a zone of firewalld that denies everything.

    + cluster: the cluster whose addresses these are
    """
    present = None
    if cluster.firewall != "none":
        present = host.get_fact(Firewall, **fact_arguments(cluster, cluster.node(host.name)))
    denied = denied_sources(cluster, present) if present else []
    if not denied:
        host.noop("no address of the cluster is in a zone that denies everything")
        return
    messages = [f"{host.name}: {source.what}; run {source.do}" for source in denied]
    for message in messages:
        host.log(message)
    yield StringCommand(f"printf '%s\\n' {shlex.join(messages)} >&2; exit 1")


@operation()
def allowed(cluster: Cluster, node: Node, own_table: bool) -> Generator[StringCommand]:
    """
    Add the rules for what this node accepts and translates, to the permanent and the runtime configuration.

    Rich rules are added to the zones of the cluster's interfaces, and to each other zone that packets which they
    accept may meet. Each configuration gets those that it does not have; nothing is removed (see `pruned`). When
    firewalld refuses a rule, at once or in its check of the whole permanent configuration, the new rules are taken
    back from both configurations, and the operation fails.

    An ipset that the rules need becomes a permanent one, or gets the entries that it lacks. firewalld makes it
    only when it reloads: until then, no rule in force can name it (see `sets_loaded`).

    Where a table of our own translates, the direct rules of an earlier deploy are removed: the table does the same by
    now, and at its next start firewalld may not be able to load them.

    + cluster: the cluster that the rules are for
    + node: the node that is this host
    + own_table: whether a table of our own translates on this node
    """
    if cluster.firewall == "none":
        host.noop("the firewall is left to its owner")
        return
    present = host.get_fact(Firewall, **fact_arguments(cluster, cluster.node(host.name)))
    if not _works(present):
        yield _say_why()
        return
    placed = placed_rules(cluster, node, present, own_table)
    unloaded = _unloaded(cluster, present)
    direct = host.get_fact(Record, path=RECORD).get("direct", []) if own_table else []
    new: dict[str, list[str]] = {}
    for configuration, zones in missing(placed, present).items():
        for zone, rules in zones.items():
            loadable = [
                rule for rule in rules if configuration == "permanent" or not uses_set(rule, unloaded)
            ]
            show(f"Will add to zone {zone}, {configuration}", loadable)
            new.setdefault(zone, []).extend(f"{configuration} {rule}" for rule in loadable)
    show("Will remove, since a table of our own does it", direct)
    commands = list(removal([], direct))
    commands += _added_entries(cluster, present)
    commands += [_command(_BEGIN + _ADD, lines, zone=zone) for zone, lines in new.items() if lines]
    yield from commands
    if not commands:
        host.noop(f"all rules are in zone {', '.join(placed)}")


@operation()
def sets_loaded(cluster: Cluster) -> Generator[FunctionCommand | StringCommand]:
    """
    Reload firewalld where it does not yet have an ipset that the rules need: run it with `_serial`.

    While firewalld reloads, packets are dropped. So this node is drained, and keepalived hands its VIP over and stops
    meanwhile. What others have put only into the configuration in force would be lost, so it fails then, and changes nothing.

    + cluster: the cluster whose nodes are drained
    """
    if cluster.firewall == "none":
        host.noop("the firewall is left to its owner")
        return
    present = host.get_fact(Firewall, **fact_arguments(cluster, cluster.node(host.name)))
    if not _works(present):
        yield _say_why()
        return
    if not _unloaded(cluster, present):
        host.noop("firewalld has all ipsets that rules need")
        return
    yield FunctionCommand(_reload, (cluster,), {})


@operation()
def pruned(cluster: Cluster, node: Node, own_table: bool) -> Generator[StringCommand]:
    """
    Remove the recorded rules and ipsets that are no longer desired, and the entries of ipsets.

    Rules that others have put into the zone are left alone, and listed with `--diff` or `-v`.

    + cluster: the cluster that the rules are for
    + node: the node that is this host
    + own_table: whether a table of our own translates on this node
    """
    if cluster.firewall == "none":
        host.noop("the firewall is left to its owner")
        return
    record = host.get_fact(Record, path=RECORD)
    present = host.get_fact(Firewall, **fact_arguments(cluster, cluster.node(host.name)))
    if not _works(present):
        yield _say_why()
        return
    placed = placed_rules(cluster, node, present, own_table)
    wanted = {f"{zone} {rule}" for zone, rules in placed.items() for rule in rules}
    wanted |= {*placed[present["zone"]]}
    obsolete_rich = [value for value in record.get("rich", []) if value not in wanted]
    obsolete_direct = [rule for rule in record.get("direct", []) if rule not in wanted]
    obsolete_sets = [name for name in record.get("ipset", []) if name not in sender_sets(cluster)]
    others = unmanaged(placed, present, record)[present["zone"]]
    show(f"Left alone, put into zone {present['zone']} by others", others)
    show("Will remove", obsolete_rich + obsolete_direct + obsolete_sets)
    entries = list(_removed_entries(cluster, present))
    yield from entries
    yield from removal(obsolete_rich, obsolete_direct, obsolete_sets)
    if not obsolete_rich and not obsolete_direct and not obsolete_sets and not entries:
        by_others = f"; put there by others: {', '.join(others)}" if others else ""
        host.noop(f"no rule of an earlier deploy is left in zone {', '.join(placed)}{by_others}")


def _added_entries(cluster: Cluster, present: FirewallState) -> Generator[StringCommand]:
    """The commands for new sets, and for entries that sets lack."""
    for name, changes in set_changes(cluster, present).items():
        permanent, runtime = changes["permanent"], changes["runtime"]
        entries = sender_sets(cluster)[name]
        if permanent is None:
            show(f"Will make the permanent ipset {name}, with", entries)
            record = add_entry("ipset", name)
            yield _set_command(_NEW_SET, entries, name=name, family=set_family(name), record=record)
        elif permanent.missing:
            show(f"Will add to ipset {name}, permanent", permanent.missing)
            kept = [entry for entry in permanent.extra if entry not in permanent.in_the_way]
            yield _set_command(_PERMANENT_ENTRIES, entries + kept, name=name)
        if runtime is not None and runtime.missing:
            show(f"Will add to ipset {name}, runtime", runtime.missing)
            lines = [f"remove {entry}" for entry in runtime.in_the_way]
            yield _set_command(
                _RUNTIME_ENTRIES, lines + [f"add {entry}" for entry in runtime.missing], name=name
            )


def _removed_entries(cluster: Cluster, present: FirewallState) -> Generator[StringCommand]:
    """The commands for entries that sets have too much."""
    for name, changes in set_changes(cluster, present).items():
        permanent, runtime = changes["permanent"], changes["runtime"]
        if permanent is not None and permanent.extra:
            show(f"Will remove from ipset {name}, permanent", permanent.extra)
            yield _set_command(_PERMANENT_ENTRIES, sender_sets(cluster)[name], name=name)
        if runtime is not None and runtime.extra:
            show(f"Will remove from ipset {name}, runtime", runtime.extra)
            yield _set_command(_RUNTIME_ENTRIES, [f"remove {entry}" for entry in runtime.extra], name=name)


def _unloaded(cluster: Cluster, present: FirewallState) -> list[str]:
    """The sets that the firewalld which runs does not have."""
    return [name for name, changes in set_changes(cluster, present).items() if changes["runtime"] is None]


def _reload(state: State, host: Host, cluster: Cluster) -> bool:
    members = [state.inventory.get_host(node.name) for node in cluster.nodes]
    failed = [member.name for member in members if member in state.failed_hosts]
    of_run = _failed_at.setdefault(state, {})
    if failed_at := of_run.get(cluster.node_names) or (failed[0] if failed else None):
        log_error(
            host,
            f"firewalld is not reloaded, because {failed_at} has failed; fix that and run the deploy again",
        )
        return False
    of_run[cluster.node_names] = host.name  # until it is done: an exception stops the others, too
    if not succeeds(host, _RELOADABLE):
        return False
    node = cluster.node(host.name)
    before = present_members([host], node)
    with drained(cluster, connected_directors(state, cluster), node):
        if not succeeds(host, _RELOAD):
            return False
    if wait_until(lambda: before <= present_members([host], node), RETURN_BOUND):
        del of_run[cluster.node_names]
        return True
    log_error(
        host,
        f"firewalld is reloaded, but {host.name} is not back in its pools after {RETURN_BOUND:.0f} s",
    )
    return False


def removal(rich: Iterable[str], direct: Iterable[str], sets: Iterable[str] = ()) -> Generator[StringCommand]:
    """The commands that remove rules, given as in the record: `ZONE RULE` if rich, `RULE` if direct; then ipsets.

    An ipset without rules that name it stays in the running firewalld until its next start: it can't remove one.
    """
    zones: dict[str, list[str]] = {}
    for zone, _, rule in (value.partition(" ") for value in rich):
        zones.setdefault(zone, []).append(rule)
    for zone, rules in zones.items():
        yield _command(_BEGIN + _REMOVE, rules, zone=zone)
    if rules := list(direct):
        yield _command(_BEGIN + _REMOVE, rules, zone="")
    for name in sets:
        yield _set_command(_NO_SET, [], name=name, record=remove_entry("ipset", name))


def _set_command(script: str, lines: list[str], **values: str) -> StringCommand:
    return Change((_SET + script).format(**values), touches=_TOUCHED, _stdin="\n".join(lines) + "\n")


def _works(present: FirewallState | None) -> TypeGuard[FirewallState]:
    """Whether firewalld runs, has not failed, and could be read."""
    return present is not None and present["state"] != "FAILED"


def _say_why() -> StringCommand:
    """The command that fails, and prints why."""
    return StringCommand(
        "firewall-cmd --state || exit; echo 'firewalld runs, but its rules could not be read; run the deploy again' >&2; exit 1"
    )


def _command(script: str, rules: list[str], **values: str) -> StringCommand:
    quoted = {key: shlex.quote(value) for key, value in values.items()}
    text = script.format(state=STATE, record=RECORD, **quoted)
    return Change(text, touches=_TOUCHED, _stdin="\n".join(rules) + "\n")
