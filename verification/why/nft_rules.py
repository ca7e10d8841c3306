"""The rules in what `nft -nn -a list ruleset` prints. Pure.

Tables that iptables has made are left out: `iptables_rules` reads them in its own spelling.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from verification.why import conditions
from verification.why.conditions import Sets
from verification.why.ruleset import Chain, Condition, Rule, Table

_TABLE = re.compile(r"table (\w+) (\S+) \{")
_CHAIN = re.compile(r"chain (\S+) \{")
_SET = re.compile(r"(?:set|map) (\S+) \{")
_HOOK = re.compile(r"type \w+ hook (\w+).* priority (-?\d+);(?: policy (\w+);)?")
_HANDLE = re.compile(r" # handle (\d+)$")
_TOKEN = re.compile(r'"[^"]*"|\{[^}]*\}|\S+')
_OF_IPTABLES = ("filter", "nat", "mangle", "raw", "security")
_VERDICTS = ("accept", "drop", "reject", "return")
_DIVERTS = ("dnat", "redirect", "tproxy")
_ADDRESSES = {"saddr": "source", "daddr": "destination"}


def parse_nft(text: str) -> list[Table]:
    """The tables of a ruleset, with those sets that are lists of addresses."""
    tables: list[Table] = []
    for family, name, lines in _tables(text):
        if family in ("ip", "ip6") and name in _OF_IPTABLES:
            continue
        table = Table("nft", family, name)
        sets = _sets(lines)
        chain = None
        for line in lines:
            if match := _CHAIN.match(line):
                chain = table.chains[match[1]] = Chain(match[1])
            elif line == "}":
                chain = None
            elif chain and (match := _HOOK.match(line)):
                chain.hook, chain.priority, chain.policy = match[1], int(match[2]), match[3] or "accept"
            elif chain:
                chain.rules.append(parse_rule(line, sets))
        tables.append(table)
    return tables


def _tables(text: str) -> Iterator[tuple[str, str, list[str]]]:
    """Each table's family, its name and the lines in it."""
    found: tuple[str, str, list[str]] | None = None
    for line in text.splitlines():
        if match := _TABLE.match(line):
            found = match[1], match[2], []
        elif found and line.startswith("}"):
            yield found
            found = None
        elif found and line.strip():
            found[2].append(line.strip())


def _sets(lines: list[str]) -> Sets:
    sets: Sets = {}
    name, elements = "", None
    for line in lines:
        if match := _SET.match(line):
            name = match[1]
            sets[name] = []
        elif name and line.startswith("elements = {"):
            elements = line.removeprefix("elements = {")
        elif elements is not None:
            elements += line
        if elements is not None and "}" in elements:
            # An element can have a time or a comment after it.
            words = (element.split() for element in elements.partition("}")[0].split(","))
            sets[name] = [" ".join(word) if "." in word else word[0] for word in words if word]
            name, elements = "", None
    return sets


def parse_rule(line: str, sets: Sets) -> Rule:
    """A rule as it is listed. What is not known here is a condition of which nothing can be told."""
    match = _HANDLE.search(line)
    text = line[: match.start()] if match else line
    found: list[Condition] = []
    action: str | None = None
    target = ""
    tokens = iter(_TOKEN.findall(text))
    for token in tokens:
        if token in _VERDICTS or token in _DIVERTS:
            action = "divert" if token in _DIVERTS else token
            break
        if token in ("snat", "masquerade"):  # it goes on to where it should
            action = "accept"
            break
        if token in ("jump", "goto"):
            action, target = token, next(tokens)
            break
        found += _condition(token, tokens, sets)
    return Rule(tuple(found), action, target, _without_counters(text), match[1] if match else "")


def _without_counters(text: str) -> str:
    return re.sub(r" counter packets \d+ bytes \d+", "", text)


def _condition(token: str, tokens: Iterator[str], sets: Sets) -> list[Condition]:
    """What a statement asks of a packet, from its first word and those that follow."""
    match token:
        case "meta":
            return _condition(next(tokens), tokens, sets)
        case "counter" | "notrack" | "packets" | "bytes" | "name":
            if token in ("packets", "bytes", "name"):
                next(tokens)
            return []
        case "log" | "prefix" | "level" | "group" | "comment":
            if token != "log":
                next(tokens)
            return []
        case "iifname" | "oifname" | "iif" | "oif":
            negate, values = _values(tokens)
            return [conditions.negated(conditions.interface(values), negate)]
        case "l4proto":
            negate, values = _values(tokens)
            return [conditions.negated(conditions.protocol(values), negate)]
        case "nfproto":
            negate, values = _values(tokens)
            numbers = [6 if value in ("ipv6", "10", "0x0a") else 4 for value in values]
            return [conditions.negated(conditions.version(numbers[0]), negate)]
        case "ip" | "ip6":
            return [conditions.version(6 if token == "ip6" else 4), *_of_header(next(tokens), tokens, sets)]
        case "udp" | "tcp" | "th":
            of_protocol = [] if token == "th" else [conditions.protocol([token])]
            return [*of_protocol, *_of_header(next(tokens), tokens, sets)]
        case "icmp" | "icmpv6" | "sctp" | "dccp" | "esp" | "ah":
            next(tokens)
            _values(tokens)
            return [conditions.NEVER]
        case "ether" if next(tokens) == "saddr":
            negate, values = _values(tokens)
            return [conditions.negated(conditions.mac(values), negate)]
        case "ct":
            kind = next(tokens)
            negate, values = _values(tokens)
            if kind == "state":
                return [conditions.negated(conditions.state(values), negate)]
            return [conditions.negated(conditions.NEVER, negate) if kind == "status" else conditions.unknown]
        case _:
            return [conditions.unknown]


def _of_header(field: str, tokens: Iterator[str], sets: Sets) -> list[Condition]:
    negate, values = _values(tokens)
    if field in _ADDRESSES:
        return [conditions.negated(conditions.address(_ADDRESSES[field], values, sets), negate)]
    if field == "dport":
        return [conditions.negated(conditions.port(values), negate)]
    if field in ("protocol", "nexthdr"):
        return [conditions.negated(conditions.protocol(values), negate)]
    return [conditions.unknown]


def _values(tokens: Iterator[str]) -> tuple[bool, list[str]]:
    """Whether the comparison is `!=`, and the values."""
    token = next(tokens)
    negate = token == "!="
    if token in ("!=", "=="):
        token = next(tokens)
    inner = token[1:-1] if token.startswith("{") else token
    return negate, [value.strip().strip('"') for value in inner.split(",")]
