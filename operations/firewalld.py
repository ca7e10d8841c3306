"""The cluster's rules in firewalld.

Rules are strings in firewalld's own spelling: a rich rule begins with `rule`, a direct rule with `ipv4` or
`ipv6`. What the deploy adds is noted in the record, as `rich ZONE RULE` or `direct RULE`; nothing else is
ever removed, and firewalld is never reloaded.
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

# The rules come on standard input, one a line: they may be more than a command line holds.
_BEGIN = """\
set -eu
zone={zone}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/rules"
sed "s/^rule/rich $zone rule/; t; s/^/direct /" "$work/rules" >"$work/notes"
mkdir -p {state}
touch {record}
apply() {{ # add or remove, on the side that `option` says; many rich rules in one call
    sed -n "s/^rule/--$1-rich-rule=rule/p" "$work/rules" >"$work/rich"
    test ! -s "$work/rich" || xargs -d '\\n' firewall-cmd $option --zone="$zone" <"$work/rich" >/dev/null || return
    grep -v '^rule' "$work/rules" | while IFS= read -r rule; do
        direct "$1" $rule </dev/null || exit
    done
}}
bus() {{ # a method of firewalld's interface, whose name ends like this; `side` is empty, or `config`
    interface=$1
    shift
    busctl call -- org.fedoraproject.FirewallD1 /org/fedoraproject/FirewallD1$side \
        org.fedoraproject.FirewallD1$interface "$@" 2>&1
}}
direct() {{ # add or remove one direct rule: firewall-cmd takes one in a call, too, and ten times as long
    verb=$1 family=$2 table=$3 chain=$4 priority=$5
    shift 5
    side=${{option:+/config}}
    answer=$(bus ${{option:+.config}}.direct ${{verb}}Rule sssias $family $table $chain $priority $# "$@") ||
        case $answer in *ALREADY_ENABLED* | *NOT_ENABLED*) ;; *) printf '%s\n' "$answer" >&2; return 1 ;; esac
}}
"""

# Of several rich rules in one call, firewall-cmd says success when one of them was taken: so they are looked up.
_ADD = """\
option={option}
taken() {{
    firewall-cmd $option --zone="$zone" --list-rich-rules >"$work/there" &&
        ! grep '^rule' "$work/rules" | grep -vxFf "$work/there"
}}
sound() {{ # firewalld's own check, of 0.6.0 and later
    side=
    test -z "$option" || answer=$(bus "" checkPermanentConfig) ||
        case $answer in *UnknownMethod*) ;; *) printf '%s\n' "$answer" >&2; return 1 ;; esac
}}
grep -vxFf {record} "$work/notes" >>{record} || true
said=$({{ apply add && taken && sound; }} 2>&1) || {{
    apply remove 2>/dev/null || true
    printf 'firewalld refuses new rules, and they were taken back: %s\\n' "$said" >&2
    exit 1
}}
"""

_REMOVE = """\
known() {{
    firewall-cmd $option --get-zones | tr ' ' '\\n' | grep -qxF -e "$zone"
}}
for option in --permanent ""; do
    apply remove || ! known || exit 1 # with the zone its rules are gone, too
done
grep -vxFf "$work/notes" {record} >{record}.new || true
mv -f {record}.new {record}
"""


@operation()
def allowed(cluster: Cluster, node: Node) -> Generator[StringCommand]:
    """All that this node must accept and translate, kept for the next start and in force now.

    The rules are in the zone of the cluster's interface, and each side gets what it lacks; nothing is
    taken away, which is for `pruned`. What firewalld refuses, at once or in its check of the whole
    permanent configuration, is taken back, and the operation fails.
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
    for side, lack in missing(desired, present).items():
        if lack:
            _log(f"Will add to zone {zone}, {side}", lack)
            option = "--permanent" if side == "permanent" else ""
            yield _command(_BEGIN + _ADD, lack, zone=zone, option=option)
    if not any(missing(desired, present).values()):
        host.noop(f"all rules are in zone {zone}")


@operation()
def pruned(cluster: Cluster, node: Node) -> Generator[StringCommand]:
    """Nothing is left in firewalld that an earlier deploy put there and that is no longer meant.

    What others put into the zone is left alone, and listed with `--diff` or `-v`.
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
    rich_gone = [
        value for value in record.get("rich", []) if value not in {f"{zone} {rule}" for rule in desired}
    ]
    direct_gone = [rule for rule in record.get("direct", []) if rule not in desired]
    others = unmanaged(desired, present, record)
    _log(f"Left alone, put into zone {zone} by others", others)
    _log("Will remove", rich_gone + direct_gone)
    yield from removal(rich_gone, direct_gone)
    if not rich_gone and not direct_gone:
        left = f"; put there by others: {', '.join(others)}" if others else ""
        host.noop(f"no rule of an earlier deploy is left in zone {zone}{left}")


def removal(rich: Iterable[str], direct: Iterable[str]) -> Generator[StringCommand]:
    """What takes rules away, given as the record has them: `ZONE RULE` for rich ones, `RULE` for direct ones."""
    zones: dict[str, list[str]] = {}
    for zone, _, rule in (value.partition(" ") for value in rich):
        zones.setdefault(zone, []).append(rule)
    for zone, gone in zones.items():
        yield _command(_BEGIN + _REMOVE, gone, zone=zone)
    if gone := list(direct):
        yield _command(_BEGIN + _REMOVE, gone, zone="")


def _not_running() -> StringCommand:
    return StringCommand("firewall-cmd --state")  # says that it does not run, and fails


def _log(what: str, rules: Iterable[str]) -> None:
    if state.config.DIFF:
        for rule in rules:
            host.log(f"{what}: {rule}")


def _command(script: str, rules: list[str], **values: str) -> StringCommand:
    quoted = {key: shlex.quote(value) for key, value in values.items()}
    return StringCommand(script.format(state=STATE, record=RECORD, **quoted), _stdin="\n".join(rules) + "\n")
