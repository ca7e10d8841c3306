"""The rules in what iptables-save(8) prints, with the sets in what `ipset save` prints. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from verification.why import conditions
from verification.why.conditions import Sets
from verification.why.ruleset import Chain, Condition, Rule, Table

_PRIORITIES = {"raw": -300, "mangle": -150, "nat": -100, "filter": 0, "security": 50}
"""Where the kernel puts the tables' chains (nft(8), Standard priority names)."""
_BUILT_IN = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")
_ACTIONS = {
    "ACCEPT": "accept",
    "DROP": "drop",
    "REJECT": "reject",
    "RETURN": "return",
    "DNAT": "divert",
    "REDIRECT": "divert",
    "TPROXY": "divert",
    "SNAT": "accept",
    "MASQUERADE": "accept",
}
_GO_ON = {
    *("AUDIT", "CHECKSUM", "CLASSIFY", "CONNMARK", "CONNSECMARK", "CT", "DSCP", "LOG", "MARK", "NFLOG"),
    *("NOTRACK", "SECMARK", "SET", "TCPMSS", "TOS", "TRACE"),
}
"""After these the packet goes on to the next rule (iptables-extensions(8))."""
_IGNORED = {"-m", "--comment"}


def parse_ipset(text: str) -> Sets:
    """The entries of each set: lines `add NAME ENTRY`."""
    sets: Sets = {}
    for words in map(str.split, text.splitlines()):
        if words[:1] == ["create"]:
            sets.setdefault(words[1], [])
        elif words[:1] == ["add"]:
            sets.setdefault(words[1], []).append(words[2])
    return sets


def parse_iptables_save(text: str, family: str, sets: Sets) -> list[Table]:
    """The tables of one family, `ip` or `ip6`."""
    tables: list[Table] = []
    for line in text.splitlines():
        if line.startswith("*"):
            tables.append(Table("iptables", family, line[1:].strip()))
        elif line.startswith(":") and tables:
            name, policy, *_ = line[1:].split()
            hook = name.lower() if name in _BUILT_IN else ""
            priority = _PRIORITIES.get(tables[-1].name, 0)
            tables[-1].chains[name] = Chain(name, hook, priority, policy.lower())
        elif line.startswith("-A ") and tables:
            _, name, specification = line.split(" ", 2)
            chain = tables[-1].chains.setdefault(name, Chain(name))
            chain.rules.append(parse_rule(specification, sets))
    return tables


def parse_rule(specification: str, sets: Sets) -> Rule:
    """A rule without its chain. What is not known here is a condition of which nothing can be told."""
    found: list[Condition] = []
    action: str | None = None
    target = ""
    negate = False
    words = iter(shlex.split(specification))
    for word in words:
        if word == "!":
            negate = True
            continue
        if word in ("-j", "-g"):
            target = next(words)
            action = "goto" if word == "-g" else _ACTIONS.get(target, "jump")
            if target in _GO_ON:
                action = None
            break
        if word in _IGNORED:
            next(words, None)
            continue
        found.append(conditions.negated(_condition(word, words, sets), negate))
        negate = False
    return Rule(tuple(found), action, target, specification)


def _condition(option: str, words: Iterator[str], sets: Sets) -> Condition:
    values = next(words, "").split(",")
    match option:
        case "-s" | "-d":
            return conditions.address("source" if option == "-s" else "destination", values, sets)
        case "-i" | "-o":
            return conditions.interface(values)
        case "-p":
            return conditions.protocol(values)
        case "--dport" | "--dports":
            return conditions.port(values)
        case "--ctstate" | "--state":
            return conditions.state(values)
        case "--mac-source":
            return conditions.mac(values)
        case "--match-set":
            (name,) = values
            of = "source" if next(words, "") == "src" else "destination"
            return conditions.address(of, [f"@{name}"], sets)
        case _:
            return conditions.unknown
