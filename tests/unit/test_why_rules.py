"""What the rules in a kernel do with a packet: rulesets as machines of each Enterprise Linux have them."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest

from facts.firewalld import FirewallState
from verification.why.firewall import explain
from verification.why.iptables_rules import parse_ipset, parse_iptables_save
from verification.why.iptables_rules import parse_rule as parse_iptables_rule
from verification.why.nft_rules import parse_nft
from verification.why.ruleset import HOOKS_OUT, Denial, Packet, Table, denial

SAMPLES = Path(__file__).parents[1] / "samples" / "rulesets"


def sample(name: str) -> str:
    return (SAMPLES / name).read_text()


RULESETS = {
    7: parse_iptables_save(sample("el7.iptables"), "ip", parse_ipset(sample("el7.ipset"))),
    9: [*parse_nft(sample("el9.nft")), *parse_iptables_save(sample("el9.iptables"), "ip", {})],
    10: parse_nft(sample("el10.nft")),
}
"""A firewalld with the zones `drop` for an ipset and `internal` for a network, and on 9 rules of others beside it."""


def packet(source: str, port: int = 5514, destination: str = "10.77.0.10", protocol: str = "udp") -> Packet:
    return Packet(ip_address(source), ip_address(destination), protocol, port, "eth0")


def met(found: Denial | None) -> tuple[str, str] | None:
    """The chain and the rule that deny."""
    return (found.chain.name, found.rule.text if found.rule else "policy") if found else None


@pytest.mark.parametrize(
    ("el", "source", "expected"),
    [
        (7, "10.77.0.101", None),
        (9, "10.77.0.101", None),
        (10, "10.77.0.101", None),
        (7, "10.77.0.102", ("INPUT", "-j REJECT --reject-with icmp-host-prohibited")),
        (9, "10.77.0.102", ("filter_IN_public", "reject with icmpx 3")),
        (10, "10.77.0.102", ("filter_INPUT_POLICIES", 'iifname "eth0" reject with icmpx 3')),
        (7, "10.9.1.1", ("IN_drop", "-j DROP")),
        (9, "10.9.1.1", ("filter_IN_drop", "drop")),
        (
            7,
            "10.77.0.105",
            ("IN_public_deny", "-s 10.77.0.105/32 -j REJECT --reject-with icmp-port-unreachable"),
        ),
        (9, "10.77.0.105", ("filter_IN_public_deny", "ip saddr 10.77.0.105 reject with icmp 3")),
        (9, "10.8.1.1", ("filter_IN_internal", "reject with icmpx 3")),
        (9, "10.77.0.106", None),
        (9, "10.77.0.200", ("input", 'ip saddr @bad udp dport 5514 drop comment "hi"')),
        (
            9,
            "10.5.5.5",
            ("INPUT", "-s 10.5.5.5/32 -p udp -m udp --dport 5514 -m comment --comment hi -j DROP"),
        ),
    ],
)
def test_the_rule_that_denies_is_found(el: int, source: str, expected: tuple[str, str] | None) -> None:
    """Accepted senders, zones by source, ipsets, rich rules by priority, tables of others, and iptables before all."""
    found = denial(RULESETS[el], packet(source))
    assert met(found) == expected
    assert found is None or found.certain


def test_what_ipvs_sends_on_gets_out() -> None:
    on = packet("10.77.0.101", destination="10.77.0.12")
    assert all(denial(rules, on, HOOKS_OUT) is None for rules in RULESETS.values())


def ruleset(*rules: str, policy: str = "accept", hook: str = "input") -> list[Table]:
    lines = "\n".join(f"\t\t{rule}" for rule in rules)
    return parse_nft(
        f"table inet theirs {{ # handle 4\n\tset bad {{ # handle 1\n\t\ttype ipv4_addr\n\t\telements = {{ 10.77.0.7 timeout 1h expires 9m,\n\t\t\t     10.77.0.96/28 }}\n\t}}\n"
        f"\tchain mine {{ # handle 2\n\t\ttype filter hook {hook} priority -5; policy {policy};\n{lines}\n\t}}\n"
        "\tchain more { # handle 3\n\t\tudp dport 5514 drop # handle 9\n\t}\n}\n"
    )


@pytest.mark.parametrize(
    "rule",
    [
        "drop",
        "udp dport 5514 counter packets 3 bytes 99 drop",
        "udp dport { 514, 5000-6000 } reject with icmp 3",
        "ip saddr @bad drop",
        "ip saddr 10.77.0.96-10.77.0.110 drop",
        "ip saddr != { 10.8.0.0/16, 192.168.0.0/16 } drop",
        'iifname "eth*" ct state 0x8 drop',
        "ct state 0x8,0x40 drop",
        "meta l4proto 17 th dport 5514 drop",
        "jump more",
        "goto more",
        "ip daddr 10.77.0.10 udp dport 5514 dnat to 10.77.0.99",
        'ip saddr @bad log prefix "no: " level warn drop',
    ],
)
def test_a_rule_of_nftables_that_denies(rule: str) -> None:
    found = denial(ruleset(f"{rule} # handle 7"), packet("10.77.0.101"))
    assert found
    assert found.certain


@pytest.mark.parametrize(
    "rule",
    [
        "udp dport 5515 drop",
        "tcp dport 5514 drop",
        "ip6 saddr ::/0 drop",
        "ip saddr 10.77.0.1-10.77.0.100 drop",
        "ip saddr != @bad drop",
        'iifname "lo" drop',
        "ct state { 0x2, 0x4 } drop",
        "ct state 0x1 drop",
        "meta nfproto 10 drop",
        "icmp type 8 drop",
        "udp dport 5514 accept # handle 8\n\t\tdrop",
        "counter packets 1 bytes 2",
        'log prefix "drop"',
        "jump nowhere",
        "ip saddr @gone drop",
        "limit rate 5/second drop",
    ],
)
def test_a_rule_of_nftables_that_does_not_deny_for_certain(rule: str) -> None:
    """A rule by something that can't be told is not blamed."""
    assert denial(ruleset(f"{rule} # handle 7"), packet("10.77.0.101")) is None


def test_a_policy_denies_and_is_in_doubt_after_a_rule_that_can_not_be_told() -> None:
    found = denial(ruleset("udp dport 53 accept", policy="drop"), packet("10.77.0.101"))
    assert found
    assert (found.rule, found.certain) == (None, True)
    doubtful = denial(ruleset("meta mark 7 accept", policy="drop"), packet("10.77.0.101"))
    assert doubtful
    assert not doubtful.certain


def test_chains_of_other_hooks_do_not_count() -> None:
    assert denial(ruleset("drop", hook="forward"), packet("10.77.0.101")) is None


@pytest.mark.parametrize(
    ("specification", "action"),
    [
        ("-s 10.77.0.96/28 -p udp -m multiport --dports 514,5000:6000 -j DROP", "drop"),
        ("! -s 10.8.0.0/16 -p udp -j REJECT --reject-with icmp-port-unreachable", "reject"),
        ("-p udp -m udp --dport 5514 -j REDIRECT --to-ports 9999", "divert"),
    ],
)
def test_a_rule_of_iptables_that_is_met(specification: str, action: str) -> None:
    rule = parse_iptables_rule(specification, {})
    assert rule.action == action
    assert all(condition(packet("10.77.0.101")) for condition in rule.conditions)


def test_a_rule_of_iptables_that_only_logs_lets_it_go_on() -> None:
    assert parse_iptables_rule('-p udp -j LOG --log-prefix "x "', {}).action is None


PRESENT: FirewallState = {
    "state": "RUNNING",
    "zone": "public",
    "runtime": ['rule family="ipv4" source address="10.77.0.105" reject'],
    "permanent": [],
    "source_zones": {
        "drop": {"target": "DROP", "sources": ["ipset:bad"], "runtime": [], "permanent": []},
        "internal": {"target": "default", "sources": ["10.8.0.0/16"], "runtime": [], "permanent": []},
    },
    "zones": [],
    "openings": {},
    "sets": {},
}


@pytest.mark.parametrize(
    ("el", "source", "what", "do"),
    [
        (
            9,
            "10.77.0.105",
            'firewalld\'s zone public has a rule that denies: rule family="ipv4" source address="10.77.0.105" reject',
            '`firewall-cmd --zone=public --remove-rich-rule=\'rule family="ipv4" source address="10.77.0.105" reject\'`',
        ),
        (
            7,
            "10.77.0.105",
            "firewalld's zone public has a rule that denies: rule family",
            "--remove-rich-rule=",
        ),
        (
            9,
            "10.8.1.1",
            "10.8.1.1 is bound to firewalld's zone internal by its source 10.8.0.0/16",
            "`firewall-cmd --zone=internal --remove-source=10.8.0.0/16`",
        ),
        (
            9,
            "10.9.1.1",
            "10.9.1.1 is bound to firewalld's zone drop by its source ipset:bad",
            "--remove-source=ipset:bad`",
        ),
        (
            7,
            "10.9.1.1",
            "10.9.1.1 is bound to firewalld's zone drop by its source ipset:bad",
            "--remove-source=ipset:bad`",
        ),
        (
            9,
            "10.77.0.102",
            "firewalld's zone public has no rule that accepts UDP from 10.77.0.102 to 10.77.0.10:5514",
            "run the deploy again",
        ),
        (
            9,
            "10.77.0.200",
            "a rule of others in nftables' table inet theirs, chain input: ip saddr @bad udp dport 5514 drop",
            "`nft delete rule inet theirs input handle 3`",
        ),
        (
            9,
            "10.5.5.5",
            "a rule of others: iptables -t filter -A INPUT -s 10.5.5.5/32",
            "`iptables -t filter -D INPUT -s 10.5.5.5/32 -p udp -m udp --dport 5514 -m comment --comment hi -j DROP`",
        ),
    ],
)
def test_a_denial_is_named_with_its_mend(el: int, source: str, what: str, do: str) -> None:
    sent = packet(source)
    found = denial(RULESETS[el], sent)
    assert found
    denied = explain(found, sent, PRESENT)
    assert what in denied.what
    assert do in denied.do
