"""The cluster's rules in firewalld.

Rules are strings in firewalld's own spelling: a rich rule begins with `rule`, a direct rule with `ipv4` or
`ipv6`. What the deploy adds is noted in the record, as `rich ZONE RULE` or `direct RULE`; nothing else is
ever removed, and firewalld is never reloaded.
"""

from __future__ import annotations

import shlex
from collections.abc import Generator, Iterable
from ipaddress import ip_network

from pyinfra import host, state
from pyinfra.api import StringCommand, operation

from cluster import API_PORT, Address, Cluster, Network, Node
from facts.firewalld import Rules, RulesState
from facts.record import RECORD, STATE, Record

SYNC_PORT = 8848
"""UDP port of IPVS's connection synchronization (ipvsadm(8), --start-daemon)."""
_LINK_LOCAL = ip_network("fe80::/10")


def rules(cluster: Cluster, node: Node) -> list[str]:
    """What this node accepts, as rich rules (the recipe's step 9).

    VRRP from each node; the API and the inputs' ports at the node's own address from each node, as each checks all;
    each virtual server from each of its input's senders. How an event then reaches a node depends on the
    forwarding: `nat` leaves the sender's address and takes the node's, `snat` takes the director's and
    the node's, `dr` leaves both and has the directors tell each other of connections.
    """
    found = [
        _accept(source, 'protocol value="vrrp"')
        for version in cluster.families
        for source in _vrrp_sources(cluster, version)
    ]
    version = node.address.version
    found += [_port(member.at(version), node.address, API_PORT, "tcp") for member in cluster.nodes]
    # The health services ask each other by the same port's number.
    found += [_port(peer.at(version), node.address, API_PORT, "udp") for peer in cluster.peers(node)]
    for server in cluster.virtual_servers:
        version, protocol = server.vip.version, server.protocol.lower()
        (real,) = (real for real in server.real_servers if real.node == node)
        senders = [sender for sender in cluster.senders_of(server.input) if sender.version == version]
        for sender in senders:
            if server.forwarding == "nat":
                found.append(_port(sender, real.address, real.port, protocol))
            found.append(_port(sender, server.vip, server.port, protocol))
        if server.forwarding == "snat" or version == node.address.version:
            directors = [peer.at(version) for peer in cluster.peers(node)]
            found += [_port(director, real.address, real.port, protocol) for director in directors]
    if "dr" in cluster.forwardings:
        # The kernel's group is an IPv4 one; without IPv4, keepalived gives an IPv6 one of this link.
        sources = [member.at(4) for member in cluster.nodes] if 4 in cluster.families else [_LINK_LOCAL]
        found += [_accept(source, f'port port="{SYNC_PORT}" protocol="udp"') for source in sources]
    return list(dict.fromkeys(found))


def direct(cluster: Cluster, node: Node) -> list[str]:
    """What no rich rule can say for one port, as direct rules (firewalld.direct(5)).

    What this node as a director sends on to a peer with `snat` gets its own address, so that the
    replies come back through it. IPVS's connections are tracked for that, and beside it a TCP connection
    with `dr` must not be: a director never sees its replies, and the firewall would drop all that follows
    the first packet as invalid.
    """
    if "snat" not in cluster.forwardings:
        return []
    found = []
    for server in cluster.virtual_servers:
        family = f"ipv{server.vip.version}"
        if server.forwarding == "snat":
            found += [
                f"{family} nat POSTROUTING 0 -p tcp -d {real.address} --dport {real.port}"
                f" -j SNAT --to-source {node.at(server.vip.version)}"  # MASQUERADE may take the VIP
                for real in server.real_servers
                if real.node != node
            ]
        elif server.forwarding == "dr" and server.protocol == "TCP":
            found.append(
                f"{family} raw PREROUTING 0 -p tcp -d {server.vip} --dport {server.port} -j CT --notrack"
            )
    return list(dict.fromkeys(found))


def _vrrp_sources(cluster: Cluster, version: int) -> Iterable[Address | Network]:
    """Where adverts come from: in IPv6's multicast from link-local addresses (RFC 5798, section 5.1.2.1)."""
    if version == 6 and cluster.transport == "multicast":
        return [_LINK_LOCAL]
    return [member.at(version) for member in cluster.nodes]


def _accept(source: Address | Network, what: str) -> str:
    network = ip_network(source)
    single = network.prefixlen == network.max_prefixlen
    address = network.network_address if single else network
    return f'rule family="ipv{network.version}" source address="{address}" {what} accept'


def _port(source: Address | Network, destination: Address, port: int, protocol: str) -> str:
    return _accept(source, f'destination address="{destination}" port port="{port}" protocol="{protocol}"')


def lacking(rules: list[str], present: RulesState) -> dict[str, list[str]]:
    """By side, `permanent` and `runtime`: the rules that are not there."""
    sides = {"permanent": present["permanent"], "runtime": present["runtime"]}
    return {side: [rule for rule in rules if rule not in there] for side, there in sides.items()}


def strangers(rules: list[str], present: RulesState, record: dict[str, list[str]]) -> list[str]:
    """The rules that are neither meant nor the deploy's: others put them there."""
    ours = {*rules, *record.get("direct", []), *(line.split(" ", 1)[1] for line in record.get("rich", []))}
    return [rule for rule in dict.fromkeys(present["permanent"] + present["runtime"]) if rule not in ours]


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
    meant = [*rules(cluster, node), *direct(cluster, node)]
    present = host.get_fact(Rules, interface=cluster.interface)
    if present is None:
        yield _not_running()
        return
    zone = present["zone"]
    for side, lack in lacking(meant, present).items():
        if lack:
            _log(f"Will add to zone {zone}, {side}", lack)
            option = "--permanent" if side == "permanent" else ""
            yield _command(_BEGIN + _ADD, lack, zone=zone, option=option)
    if not any(lacking(meant, present).values()):
        host.noop(f"all rules are in zone {zone}")


@operation()
def pruned(cluster: Cluster, node: Node) -> Generator[StringCommand]:
    """Nothing is left in firewalld that an earlier deploy put there and that is no longer meant.

    What others put into the zone is left alone, and listed with `--diff` or `-v`.
    """
    if cluster.firewall == "none":
        host.noop("the firewall is left to its owner")
        return
    record = host.get_fact(Record)
    meant = [*rules(cluster, node), *direct(cluster, node)]
    present = host.get_fact(Rules, interface=cluster.interface)
    if present is None:
        yield _not_running()
        return
    zone = present["zone"]
    rich_gone = [
        value for value in record.get("rich", []) if value not in {f"{zone} {rule}" for rule in meant}
    ]
    direct_gone = [rule for rule in record.get("direct", []) if rule not in meant]
    others = strangers(meant, present, record)
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
