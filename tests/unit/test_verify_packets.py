"""The verdict on rules of others: what keeps the cluster's packets out, and what opens Logstash's API."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cluster import Cluster
from desired.firewalld import placed_rules
from desired.packets import Rule, keeps_out, opens_api, parse_iptables, parse_rich
from facts.firewalld import FirewallState, SourceZone, ZoneOpenings, ZoneState
from facts.iptables import parse_own_rules
from tests.unit.observations import SYSLOG, ZONE, all_well, change, shaped
from verification.judge import judge
from verification.observe import Observation
from verification.report import Status

API = "everyone can reach Logstash's API, port 9600, by a rule of others: "
OUT = "a rule of others keeps out what this node needs: "
SENDS = "everyone can send to udp-5514, by a rule of others: "
MAYBE = "a rule of others may keep out what this node needs: "

IPTABLES: list[tuple[str, Status | None, str]] = [
    ("-A INPUT -p udp -m udp --dport 5514 -j DROP", Status.WRONG, OUT),
    ("-A INPUT -j DROP", Status.WRONG, OUT),
    ("-A INPUT -p vrrp -j REJECT --reject-with icmp-port-unreachable", Status.WRONG, OUT),
    ("-A INPUT -p 112 -j DROP", Status.WRONG, OUT),
    ("-A OUTPUT -p vrrp -j DROP", Status.WRONG, OUT),
    ("-A OUTPUT -d 10.77.0.12/32 -p tcp -m tcp --dport 9600 -j DROP", Status.WARNING, MAYBE),
    ("-A OUTPUT -d 192.0.2.1/32 -j DROP", None, ""),
    ("-A INPUT -p tcp -m multiport --dports 22,9000:9999 -j DROP", Status.WRONG, OUT),
    ("-A INPUT -d 10.77.0.10/32 -p udp -j DROP", Status.WRONG, OUT),
    ("-A INPUT -s 10.77.0.0/24 -p udp -m udp --dport 5514 -j DROP", Status.WARNING, MAYBE),
    ("-A INPUT ! -s 10.77.0.0/24 -p udp -m udp --dport 5514 -j DROP", Status.WARNING, MAYBE),
    ("-A INPUT -m pkttype --pkt-type multicast -j DROP", Status.WARNING, MAYBE),
    (
        '-A INPUT -p udp -m comment --comment "it\'s \\"mine\\"" -m udp --dport 5514 -j DROP',
        Status.WRONG,
        OUT,
    ),
    ("-A PREROUTING -p udp -m udp --dport 5514 -j REDIRECT --to-ports 9999", Status.WRONG, OUT),
    # What concerns others.
    ("-A INPUT -p tcp -m tcp --dport 22 -j DROP", None, ""),
    ("-A INPUT -p udp -m udp --dport 5515:5520 -j DROP", None, ""),
    ("-A INPUT -s 192.0.2.0/24 -j DROP", None, ""),
    ("-A INPUT -i eth1 -j DROP", None, ""),
    ("-A INPUT -d 192.0.2.7/32 -j DROP", None, ""),
    ("-A FORWARD -j DROP", None, ""),
    ("-A INPUT -j LOGGING", None, ""),
    # What is usual for hardening.
    ("-A INPUT -m conntrack --ctstate INVALID -j DROP", None, ""),
    ("-A INPUT -p tcp -m tcp --tcp-flags FIN,SYN,RST,PSH,ACK,URG NONE -j DROP", None, ""),
    ("-A INPUT -m set --match-set banned src -j DROP", None, ""),
    # The API.
    ("-A INPUT -p tcp -m tcp --dport 9600 -j ACCEPT", Status.WARNING, API),
    ("-A INPUT -j ACCEPT", Status.WARNING, API),
    ("-A INPUT -s 0.0.0.0/0 -p tcp -j ACCEPT", Status.WARNING, API),
    ("-A INPUT -s 10.77.0.7/32 -p tcp -m tcp --dport 9600 -j ACCEPT", None, ""),
    ("-A INPUT -i lo -j ACCEPT", None, ""),
    ("-A INPUT -p udp -m udp --dport 9600 -j ACCEPT", None, ""),
    ("-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", None, ""),
    ("-A OUTPUT -p tcp -j ACCEPT", None, ""),
    ("-A PREROUTING -p tcp -j ACCEPT", None, ""),
    # An input.
    ("-A INPUT -p udp -m udp --dport 5514 -j ACCEPT", Status.WARNING, SENDS),
    ("-A INPUT -d 10.77.0.10/32 -p udp -j ACCEPT", Status.WARNING, SENDS),
    ("-A INPUT -d 10.77.0.12/32 -p udp -j ACCEPT", None, ""),
    ("-A INPUT -s 192.0.2.0/24 -p udp -m udp --dport 5514 -j ACCEPT", None, ""),
]


@pytest.mark.parametrize(("rule", "verdict", "what"), IPTABLES)
def test_a_rule_before_firewalld_is_judged_by_what_it_does_to_our_packets(
    cluster: Cluster, rule: str, verdict: Status | None, what: str
) -> None:
    observations = all_well(cluster)
    table = "nat" if "PREROUTING" in rule else "filter"
    observations["stash1"] = replace(observations["stash1"], chains=[f"ipv4 {table} {rule}"])
    problems = judge(cluster, observations).problems
    assert [(problem.status, problem.check, problem.node) for problem in problems] == (
        [(verdict, "firewall", "stash1")] if verdict else []
    )
    for problem in problems:
        assert problem.what == f"{what}iptables -t {table} {rule}"
        assert f"`iptables -t {table} -D {rule.removeprefix('-A ')}`" in problem.do


RICH: list[tuple[str, Status, str]] = [
    ('rule family="ipv4" port port="5514" protocol="udp" drop', Status.WRONG, OUT),
    ('rule protocol value="vrrp" reject', Status.WRONG, OUT),
    ('rule priority="-5" family="ipv4" reject type="icmp-admin-prohibited"', Status.WRONG, OUT),
    (
        'rule family="ipv4" source address="10.77.0.101" drop',
        Status.WARNING,
        "others' rules in zone public may keep events out: ",
    ),
    (
        'rule family="ipv4" source NOT address="10.77.0.0/24" drop',
        Status.WARNING,
        "others' rules in zone public may keep events out: ",
    ),
    ('rule family="ipv4" port port="9600" protocol="tcp" accept', Status.WARNING, API),
    ('rule port port="9000-9999" protocol="tcp" log prefix="x" accept', Status.WARNING, API),
    ('rule family="ipv4" accept', Status.WARNING, API),
    ("ipv4 filter INPUT 0 -p udp --dport 5514 -j DROP", Status.WRONG, OUT),
    ("ipv4 raw PREROUTING 0 -p vrrp -j DROP", Status.WRONG, OUT),
    ("ipv4 filter INPUT_direct 0 -p tcp --dport 9600 -j ACCEPT", Status.WARNING, API),
]


@pytest.mark.parametrize(("rule", "verdict", "what"), RICH)
@pytest.mark.parametrize("side", ["runtime", "permanent"])
def test_a_rule_of_others_in_firewalld_is_named_with_the_command_that_removes_it(
    cluster: Cluster, rule: str, verdict: Status, what: str, side: str
) -> None:
    observations = all_well(cluster)
    observations["stash1"] = change(observations["stash1"], firewall=lambda it: it[side].append(rule))
    (problem,) = judge(cluster, observations).problems
    assert (problem.status, problem.check, problem.node) == (verdict, "firewall", "stash1")
    assert problem.what == what + rule
    permanent = " --permanent" if side == "permanent" else ""
    remove = (
        f"`firewall-cmd{permanent} --zone=public --remove-rich-rule='{rule}'`"
        if rule.startswith("rule")
        else f"`firewall-cmd{permanent} --direct --remove-rule {rule}`"
    )
    assert remove in problem.do


@pytest.mark.parametrize(
    "rule",
    [
        'rule family="ipv4" source address="192.0.2.1" port port="9600" protocol="tcp" accept',
        'rule service name="ssh" accept',
        'rule family="ipv4" source ipset="x" accept',
        'rule family="ipv6" port port="9600" protocol="tcp" accept',
        'rule family="ipv4" forward-port port="80" protocol="tcp" to-port="8080"',
        "ipv4 nat POSTROUTING 0 -s 172.17.0.0/16 -j MASQUERADE",
    ],
)
def test_rules_of_others_that_concern_others_are_theirs(cluster: Cluster, rule: str) -> None:
    observations = all_well(cluster)
    observations["stash1"] = change(observations["stash1"], firewall=lambda it: it["runtime"].append(rule))
    assert judge(cluster, observations).problems == ()


OPENINGS: list[tuple[dict[str, Any], Status | None, str, str]] = [
    ({"ports": ["9600 tcp"]}, Status.WARNING, f"{API}port 9600/tcp in zone public", "--remove-port=9600/tcp"),
    ({"ports": ["1-65535 tcp"]}, Status.WARNING, f"{API}port 1-65535/tcp in zone public", "--remove-port=1-65535/tcp"),
    ({"ports": ["9600 udp", "22 tcp"]}, None, "", ""),
    ({"ports": ["5000-6000 udp"]}, Status.WARNING, f"{SENDS}port 5000-6000/udp in zone public", "--remove-port=5000-6000/udp`, or add 0.0.0.0/0 to `senders`"),
    ({"protocols": ["tcp"]}, Status.WARNING, f"{API}protocol tcp in zone public", "--remove-protocol=tcp"),
    ({"target": "ACCEPT"}, Status.WARNING, f"{API}zone public accepts everything", "--set-target=default"),
    ({"target": "DROP"}, None, "", ""),
    (
        {"forwards": ["5514 udp to 5600"]},
        Status.WRONG,
        f"{OUT}port 5514 udp to 5600 in zone public",
        "--remove-forward-port=port=5514:proto=udp:toport=5600:toaddr=",
    ),
    (
        {"forwards": ["5514 udp to 192.0.2.7"]},
        Status.WRONG,
        f"{OUT}port 5514 udp to 192.0.2.7 in zone public",
        "--remove-forward-port=port=5514:proto=udp:toport=:toaddr=192.0.2.7",
    ),
    ({"forwards": ["80 tcp to 8080"]}, None, "", ""),
]  # fmt: skip


@pytest.mark.parametrize(("opening", "verdict", "what", "do"), OPENINGS)
@pytest.mark.parametrize("side", ["runtime", "permanent"])
def test_what_a_zone_opens_beside_our_rules(
    cluster: Cluster, opening: dict[str, Any], verdict: Status | None, what: str, do: str, side: str
) -> None:
    observations = all_well(cluster)
    observations["stash1"] = change(
        observations["stash1"], firewall=lambda it: it["openings"]["public"][side].update(opening)
    )
    problems = judge(cluster, observations).problems
    assert [(problem.status, problem.node, problem.what) for problem in problems] == (
        [(verdict, "stash1", what)] if verdict else []
    )
    assert all(do in problem.do for problem in problems)


def test_the_zone_of_each_interface_counts(cluster: Cluster) -> None:
    """That of a VIP elsewhere, too: the node's own address is reached there as well."""
    observations = all_well(cluster)
    opened: ZoneOpenings = {**ZONE, "ports": ["9600 tcp"]}
    dmz: ZoneState = {"runtime": opened, "permanent": ZONE}
    observations["stash1"] = change(
        observations["stash1"], firewall=lambda it: it["openings"].update(dmz=dmz)
    )
    (problem,) = judge(cluster, observations).problems
    assert problem.what == f"{API}port 9600/tcp in zone dmz"
    assert "`firewall-cmd --zone=dmz --remove-port=9600/tcp`" in problem.do


def bind(
    cluster: Cluster, *sources: str, rules: Sequence[str] = (), interface: bool = False, **openings: Any
) -> Observation:
    """All is well on the first node, with these sources bound to the zone `internal`, which opens this, now and after a reload.

    + rules: rules of others in the zone
    + interface: whether a further interface of the cluster's is in the zone
    """
    seen = all_well(cluster)["stash1"]
    assert seen.firewall
    assert seen.record
    side: ZoneOpenings = {**ZONE, **openings}  # type: ignore[typeddict-item]
    zone: SourceZone = {"target": side["target"], "sources": [*sources], "runtime": [], "permanent": []}
    firewall: FirewallState = {
        **seen.firewall,
        "source_zones": {"internal": zone},
        "zones": ["internal"] if interface else [],
        "openings": {**seen.firewall["openings"], "internal": {"runtime": side, "permanent": side}},
    }
    placed = placed_rules(cluster, cluster.nodes[0], firewall, seen.own_table).get("internal", [])
    zone["runtime"] = zone["permanent"] = [*placed, *rules]
    return replace(
        seen,
        firewall=firewall,
        record={"rich": [*seen.record["rich"], *(f"internal {rule}" for rule in placed)]},
    )


IN_ZONE: list[tuple[str, dict[str, Any], Status | None, str, str]] = [
    ("10.77.0.0/24", {"ports": ["9600 tcp"]}, Status.WARNING, "all of 10.77.0.0/24 can reach Logstash's API, port 9600, by a rule of others: port 9600/tcp in zone internal", "`firewall-cmd --zone=internal --remove-port=9600/tcp`, or add 10.77.0.0/24 to `monitors`"),
    ("10.77.0.0/24", {"rules": ['rule port port="9600" protocol="tcp" accept']}, Status.WARNING, "all of 10.77.0.0/24 can reach Logstash's API", "--zone=internal --remove-rich-rule='rule port"),
    ("10.77.0.0/24", {"target": "ACCEPT"}, Status.WARNING, "all of 10.77.0.0/24 can reach Logstash's API, port 9600, by a rule of others: zone internal accepts everything", "`firewall-cmd --zone=internal --remove-source=10.77.0.0/24` and `firewall-cmd --permanent"),
    ("192.0.2.1", {"ports": ["5514 udp"]}, Status.WARNING, "all of 192.0.2.1/32 can send to udp-5514, by a rule of others: port 5514/udp in zone internal", "--remove-port=5514/udp`, or add 192.0.2.1/32 to `senders`"),
    ("10.77.0.96/28", {"forwards": ["5514 udp to 5600"]}, Status.WARNING, f"{MAYBE}port 5514 udp to 5600 in zone internal", "leave it, if somebody means it; otherwise `firewall-cmd --zone=internal --remove-forward-port"),
    ("10.77.0.96/28", {"rules": ['rule family="ipv4" port port="5514" protocol="udp" drop']}, Status.WARNING, f'{MAYBE}rule family="ipv4" port port="5514" protocol="udp" drop in zone internal', "leave it, if somebody means it; otherwise `firewall-cmd --zone=internal --remove-rich-rule="),
    # Who may do so, or what concerns others.
    ("10.77.0.11", {"target": "ACCEPT"}, None, "", ""),
    ("10.77.0.101", {"ports": ["5514 udp"]}, None, "", ""),
    ("10.77.0.0/24", {"ports": ["22 tcp"]}, None, "", ""),
    ("fd00::/64", {"target": "ACCEPT"}, None, "", ""),
    ("52:54:00:00:00:01", {"target": "ACCEPT"}, None, "", ""),
    ("ipset:management", {"ports": ["9600 tcp"]}, None, "", ""),
    ("10.77.0.96/28", {"rules": ['rule family="ipv4" port port="22" protocol="tcp" drop']}, None, "", ""),
    ("192.0.2.0/24", {"rules": ['rule family="ipv4" port port="5514" protocol="udp" drop'], "forwards": ["5514 udp to 5600"]}, None, "", ""),
    ("10.77.0.0/24", {"rules": ['rule family="ipv4" source address="10.77.0.7" port port="9600" protocol="tcp" accept']}, None, "", ""),
]  # fmt: skip


@pytest.mark.parametrize(("source", "opening", "verdict", "what", "do"), IN_ZONE)
def test_what_a_zone_opens_counts_for_the_sources_that_are_bound_to_it(
    cluster: Cluster, source: str, opening: dict[str, Any], verdict: Status | None, what: str, do: str
) -> None:
    observations = all_well(cluster)
    observations["stash1"] = bind(cluster, source, **opening)
    problems = judge(cluster, observations).problems
    assert [(problem.status, problem.check, problem.node) for problem in problems] == (
        [(verdict, "firewall", "stash1")] if verdict else []
    )
    for problem in problems:
        assert problem.what.startswith(what)
        assert do in problem.do


def test_who_is_in_the_inventory_may_be_let_in_by_others_too(tmp_path: Path) -> None:
    cluster = shaped(tmp_path, monitors=["192.0.2.0/24"], senders=["0.0.0.0/0"])
    observations = all_well(cluster)
    opened = bind(cluster, "192.0.2.64/26", ports=["9600 tcp", "5514 udp"])
    observations["stash1"] = change(
        opened, firewall=lambda it: it["openings"]["public"]["runtime"]["ports"].append("5514 udp")
    )
    assert judge(cluster, observations).problems == ()


@pytest.mark.parametrize(("other", "option"), [("permanent", ""), ("runtime", " --permanent")])
def test_a_zone_that_is_in_one_configuration_only_is_judged_by_that(
    cluster: Cluster, other: str, option: str
) -> None:
    observations = all_well(cluster)
    opened = bind(cluster, "10.77.0.0/24", ports=["9600 tcp"])
    observations["stash1"] = change(
        opened, firewall=lambda it: it["openings"]["internal"].update({other: None})
    )
    (problem,) = judge(cluster, observations).problems
    assert f"`firewall-cmd{option} --zone=internal --remove-port=9600/tcp`" in problem.do


def test_rules_of_others_in_the_zones_of_further_interfaces_are_judged_too(cluster: Cluster) -> None:
    observations = all_well(cluster)
    drop = 'rule family="ipv4" port port="5514" protocol="udp" drop'
    observations["stash1"] = bind(cluster, rules=[drop], interface=True)
    (problem,) = judge(cluster, observations).problems
    assert (problem.status, problem.what) == (Status.WRONG, f"{OUT}{drop} in zone internal")
    assert f"`firewall-cmd --zone=internal --remove-rich-rule='{drop}'`" in problem.do


def test_what_can_not_be_read_is_not_good(cluster: Cluster) -> None:
    seen = all_well(cluster)
    for unread in (replace(seen["stash1"], firewall=None), replace(seen["stash1"], chains=None)):
        (problem,) = judge(cluster, {**seen, "stash1": unread}).problems
        assert (problem.status, problem.check) == (Status.UNKNOWN, "firewall")


@pytest.mark.parametrize(
    ("direct", "chains", "named"),
    [
        (
            "ipv4 filter INPUT 0 -p udp --dport 5514 -j DROP",
            ["-p udp -m udp --dport 5514 -j DROP"],
            "firewall-cmd",
        ),
        ("ipv4 filter INPUT 0 -p udp --dport 5514 -j DROP", ["-p udp -j DROP"], "iptables"),
        (
            "ipv4 filter OUTPUT 0 -p udp --dport 5514 -j DROP",
            ["-p udp -m udp --dport 5514 -j DROP"],
            "iptables",
        ),
        (
            "ipv6 filter INPUT 0 -p udp --dport 5514 -j DROP",
            ["-p udp -m udp --dport 5514 -j DROP"],
            "iptables",
        ),
    ],
)
def test_a_direct_rule_is_removed_from_firewalld_also_where_it_is_seen_in_the_kernel(
    cluster: Cluster, direct: str, chains: list[str], named: str
) -> None:
    """With its nftables backend, firewalld puts direct rules into the kernel's own chains, and after a reload once more."""
    observations = all_well(cluster)
    seen = change(observations["stash1"], firewall=lambda it: it["runtime"].append(direct))
    observations["stash1"] = replace(seen, chains=[f"ipv4 filter -A INPUT {rule}" for rule in chains])
    (problem,) = judge(cluster, observations).problems
    assert f"`{named} " in problem.do


def test_what_is_wrong_comes_before_what_may_be_meant(cluster: Cluster) -> None:
    observations = all_well(cluster)
    observations["stash1"] = replace(
        observations["stash1"],
        chains=[
            "ipv4 filter -A INPUT -s 10.77.0.101/32 -j DROP",
            "ipv4 filter -A INPUT -p tcp -m tcp --dport 9600 -j ACCEPT",
            "ipv4 filter -A INPUT -p vrrp -j DROP",
        ],
    )
    (problem,) = judge(cluster, observations).problems
    assert problem.what == f"{OUT}iptables -t filter -A INPUT -p vrrp -j DROP"


def test_both_ports_of_an_input_are_needed_in_its_own_family(tmp_path: Path) -> None:
    cluster = shaped(tmp_path, families=(6,), inputs=[SYSLOG])
    node = cluster.nodes[0]
    for port in (514, 5514):
        for protocol in ("udp", "tcp"):
            drop = f"filter -A INPUT -p {protocol} -m {protocol} --dport {port} -j DROP"
            assert keeps_out(cluster, node, parse_iptables(f"ipv6 {drop}"))
            assert not keeps_out(cluster, node, parse_iptables(f"ipv4 {drop}"))
    assert opens_api(cluster, node, parse_rich('rule family="ipv4" accept')) is None
    assert opens_api(cluster, node, Rule("ACCEPT", version=6))


SAVED = """\
ipv4
*nat
-A PREROUTING -j PREROUTING_direct
-A PREROUTING -j PREROUTING_ZONES
-A PREROUTING -p udp -j REDIRECT --to-ports 9
*filter
-A INPUT -p udp -m udp --dport 5514 -j DROP
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j ACCEPT
-A INPUT -i lo -j ACCEPT
-A INPUT -j INPUT_direct
-A INPUT -j INPUT_ZONES
-A INPUT -m conntrack --ctstate INVALID -j DROP
-A INPUT -j REJECT --reject-with icmp-host-prohibited
-A OUTPUT -p tcp -j ACCEPT
ipv6
*filter
-A INPUT -p vrrp -j DROP
end
"""


def test_only_what_comes_before_firewalld_counts() -> None:
    """And where firewalld has no chain, as with its nftables backend, what is accepted meets firewalld still."""
    assert parse_own_rules(SAVED.splitlines()) == [
        "ipv4 nat -A PREROUTING -j PREROUTING_direct",
        "ipv4 filter -A INPUT -p udp -m udp --dport 5514 -j DROP",
        "ipv4 filter -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j ACCEPT",
        "ipv4 filter -A INPUT -i lo -j ACCEPT",
        "ipv4 filter -A INPUT -j INPUT_direct",
        "ipv6 filter -A INPUT -p vrrp -j DROP",
    ]
    assert parse_own_rules(SAVED.splitlines()[:-1]) is None
