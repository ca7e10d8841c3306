"""firewalld's state, its rules in the zones that packets to an interface can meet, its direct rules, and its ipsets."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypedDict

from pyinfra.api import FactBase

from facts.batch import split

_NAME = "org.fedoraproject.FirewallD1"
_PATH = "/org/fedoraproject/FirewallD1"
_CALL = f"busctl call {_NAME} {_PATH}"
_ZONES = "/etc/firewalld/zones/*.xml"
_DIRECT = "/etc/firewalld/direct.xml"
_HEADING = "= "
_VALUE = re.compile(r'"((?:[^"\\]|\\.)*)"|([^\s"]+)')
_ESCAPE = re.compile(rb"\\([0-3][0-7]{2}|.)")
_ESCAPED = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}

_FIELDS = {
    **dict.fromkeys(("version", "short", "description", "UNUSED", "target"), "s"),
    "services": "as",
    "ports": "a(ss)",
    "icmp_blocks": "as",
    "masquerade": "b",
    "forward_ports": "a(ssss)",
    **dict.fromkeys(("interfaces", "sources", "rules_str", "protocols"), "as"),
}
"""A zone's settings as a tuple: its first parts, and their types."""


class SourceZone(TypedDict):
    """A zone that sources are bound to. None where a configuration does not have the zone."""

    target: str
    """What happens to packets that no rule accepts: `default`, `ACCEPT`, `DROP` or `%%REJECT%%`."""
    sources: list[str]
    """Addresses, networks, MAC addresses and `ipset:NAME`, now or after firewalld's next start."""
    runtime: list[str] | None
    permanent: list[str] | None


class ZoneOpenings(TypedDict):
    """What a zone lets in beside its rich rules: `target` is what happens to the rest (`default`, `ACCEPT`, …), `ports`
    are `PORT PROTOCOL` or `FIRST-LAST PROTOCOL`, `protocols` are open as a whole, and `forwards` are such as
    `5514 udp to 5600` or `5514 udp to 192.0.2.7:5600`."""

    target: str
    ports: list[str]
    protocols: list[str]
    forwards: list[str]


class ZoneState(TypedDict):
    """A zone in force, and as firewalld's next start makes it. None where a configuration does not have the zone."""

    runtime: ZoneOpenings | None
    permanent: ZoneOpenings | None


class SetState(TypedDict):
    """The entries of an ipset, by configuration. None where a configuration does not have the set."""

    runtime: list[str] | None
    permanent: list[str] | None


class FirewallState(TypedDict):
    """Rules in firewalld's own spelling: `runtime` those in force, `permanent` those of its next start.

    A rich rule begins with `rule` (firewalld.richlanguage(5)), a direct rule with `ipv4`, `ipv6` or `eb`
    (firewalld.direct(5): table, chain, priority, arguments).
    """

    state: str
    """`RUNNING`, or `FAILED` where it could not load its configuration and has its stock rules."""
    zone: str
    runtime: list[str]
    permanent: list[str]
    source_zones: dict[str, SourceZone]
    """The other zones that sources are bound to, which win over the interface's zone (firewalld.zones(5)), and those of
    further interfaces."""
    zones: list[str]
    """Those of them that further interfaces are in."""
    openings: dict[str, ZoneState]
    """All these zones."""
    sets: dict[str, SetState]


@dataclass(frozen=True)
class _Settings:
    """A zone in one configuration."""

    openings: ZoneOpenings
    sources: list[str]
    rules: list[str]


_Zone = tuple[_Settings | None, _Settings | None]
"""A zone in force, and after the next start."""


def parse_firewall(output: list[str]) -> FirewallState | None:
    """The state, and the interfaces' zones, the first one's first. Then a heading for each zone, each set and the direct
    rules, with two of busctl's answers: in force, and of the next start; `-` stands for an error. None where an answer is
    missing, or a configuration does not have the first interface's zone."""
    zones: dict[str, _Zone] = {}
    sets: dict[str, SetState] = {}
    try:
        (state,), (own, *further) = map(_values, output[:2])
        parts = split(output, _HEADING)
        direct, later_direct = [_direct_rules(_values(answer)) for answer in parts.pop("direct")]
        for heading, (now, later) in parts.items():
            kind, name = heading.split(" ")
            if kind == "zone":
                zones[name] = (_settings(now), _settings(later))
            else:
                sets[name] = SetState(runtime=_array(now), permanent=_array(later))
        of_own, of_own_later = zones[own]
    except (IndexError, KeyError, StopIteration, ValueError):
        return None
    if of_own is None or of_own_later is None:
        return None
    others = {name: _source_zone(zone) for name, zone in sorted(zones.items()) if name != own}
    others = {name: zone for name, zone in others.items() if zone["sources"] or name in further}
    return FirewallState(
        state=state,
        zone=own,
        runtime=of_own.rules + direct,
        permanent=of_own_later.rules + later_direct,
        source_zones=others,
        zones=[name for name in dict.fromkeys(further) if name != own],
        openings={name: _zone_state(zones[name]) for name in (own, *others)},
        sets=sets,
    )


def _source_zone(zone: _Zone) -> SourceZone:
    now, later = zone
    sides = [side for side in zone if side]
    return SourceZone(
        target=sides[-1].openings["target"] if sides else "",
        sources=list(dict.fromkeys(source for side in sides for source in side.sources)),
        runtime=now.rules if now else None,
        permanent=later.rules if later else None,
    )


def _zone_state(zone: _Zone) -> ZoneState:
    now, later = zone
    return ZoneState(runtime=now.openings if now else None, permanent=later.openings if later else None)


def _settings(answer: str) -> _Settings | None:
    """From a zone's settings in firewalld.dbus(5): an a{sv} without what is empty, or a tuple, which is the same in firewalld 0.6
    and 2.3. None where it has answered with an error. Raises StopIteration and ValueError."""
    if answer == "-":
        return None
    rest = iter(_values(answer))

    def read(kind: str) -> list[list[str]]:
        several = kind.startswith("a")
        width = kind.count("s") if several else 1
        return [[next(rest) for _ in range(width)] for _ in range(int(next(rest)) if several else 1)]

    if answer.startswith("a{sv}"):
        fields = {next(rest): read(next(rest)) for _ in range(int(next(rest)))}
    else:
        fields = {name: read(kind) for name, kind in _FIELDS.items()}

    def strings(name: str) -> list[str]:
        return [" ".join(words) for words in fields.get(name, [])]

    openings = ZoneOpenings(
        target=strings("target")[0],
        ports=strings("ports"),
        protocols=strings("protocols"),
        forwards=[
            f"{port} {protocol} to {':'.join(part for part in (address, to) if part)}"
            for port, protocol, to, address in fields.get("forward_ports", [])
        ],
    )
    return _Settings(openings, strings("sources"), strings("rules_str"))


def _array(answer: str) -> list[str] | None:
    """The strings of an `as`; None where firewalld has answered with an error."""
    return None if answer == "-" else _values(answer)[1:]


def _values(answer: str) -> list[str]:
    """The values of an answer: strings are quoted as in C, and an array begins with its length. Raises ValueError."""
    if _VALUE.sub("", answer).strip():
        raise ValueError(f"not an answer of busctl: {answer}")
    return [_unescaped(match[1]) if match[2] is None else match[2] for match in _VALUE.finditer(answer)][1:]


def _unescaped(text: str) -> str:
    """What systemd's `cescape` has escaped; beyond ASCII, that is each byte of UTF-8, in octal digits."""
    plain = text.replace('\\"', '"')
    if "\\" not in plain:  # quotes alone, as in nearly every rule
        return plain
    return _ESCAPE.sub(_character, text.encode()).decode(errors="replace")


def _character(match: re.Match[bytes]) -> bytes:
    code = match[1]
    return bytes([int(code, 8)]) if code.isdigit() else _ESCAPED.get(code, code)


def _direct_rules(values: list[str]) -> list[str]:
    """The rules in an a(sssias): each has family, table, chain, priority, and an array of arguments."""
    rules = []
    start = 1
    while start < len(values):
        end = start + 5 + int(values[start + 4])
        rules.append(" ".join(values[start : start + 4] + values[start + 5 : end]))
        start = end
    return rules


def _find_zones(interface: str, others: Iterable[str]) -> list[str]:
    """Lines of shell that set `own` to the zone of `interface`, `more` to those of `others`, and `bound` to those that have
    sources: names in quotes."""
    homes = {interface: "own=$name"} | dict.fromkeys(others, 'more="$more $name"')
    cases = [
        f"""'"interfaces" '{shlex.quote(f'"{name}"')}) found=$((found + 1)) {keep} ;;"""
        for name, keep in homes.items()
    ]
    return [
        f"active=$({_CALL} {_NAME}.zone getActiveZones) && {{ set -f; set -- $active; set +f; }}",
        "&& own= more= bound= found=0 && shift 2",
        "&& while [ $# -gt 1 ]; do name=$1 kinds=$2; shift 2;",
        "while [ $kinds -gt 0 ] && [ $# -gt 1 ]; do kind=$1 left=$2 kinds=$((kinds - 1)); shift 2;",
        "while [ $left -gt 0 ] && [ $# -gt 0 ]; do",
        f"""case "$kind $1" in {" ".join(cases)} '"sources" '*) bound="$bound $name" ;; esac;""",
        "left=$((left - 1)); shift; done; done; done",
        # An interface that no zone lists is in the default zone.
        f"&& {{ [ $found -ge {len(homes)} ] || {{ default=$({_CALL} {_NAME} getDefaultZone) && default=${{default#s }}",
        '&& own=${own:-$default} more="$more $default"; }; }',
    ]


# Where a zone in force has no rule, port or source left, firewalld 0.9 and later put into the tuple of `getZoneSettings` what
# it had at firewalld's start. Only those before know no other method.
_NOW_ZONE = " || ".join(
    f"{_CALL} {_NAME}{method} s $name 2>/dev/null"
    for method in (".zone getZoneSettings2", " getZoneSettings")
)
_NOW_SET = f"{_CALL} {_NAME}.ipset getEntries s $name 2>/dev/null"


# A path is such as `o "/org/fedoraproject/…"`: between its quotes nothing is escaped.
def _read_both(now: str, find: str, later: str) -> str:
    """A shell command that prints an answer about `name` from each configuration: by the command `now`, and by the method `later`
    of the object that the next start's configuration has for it, whose path the method `find` tells."""
    return (
        f"{now} || echo -; "
        f'{{ kept=$({_CALL}/config {_NAME}.config {find} s $name 2>/dev/null) && kept=${{kept#*\\"}} '
        f'&& busctl call {_NAME} "${{kept%\\"}}" {_NAME}.config{later}; }} || echo -'
    )


class Firewall(FactBase[FirewallState | None]):
    """
    firewalld's state, the zone that `interface` is in, those that the interfaces `others` are in or sources are bound to, all
    direct rules, and the entries of `sets` (firewalld.dbus(5)).

    None where firewalld does not run. Needs root. They are read over D-Bus, since each call of firewall-cmd
    starts a Python of its own. Each call of busctl is a process, too: what zones' files say spares some of them.

    .. code:: python

        {
            "state": "RUNNING",
            "zone": "public",
            "runtime": [
                'rule family="ipv4" source address="192.0.2.11" protocol value="vrrp" accept',
                "ipv4 nat POSTROUTING 0 -p tcp -d 192.0.2.12 --dport 6514 -j SNAT --to-source 192.0.2.11",
            ],
            "permanent": [],
            "source_zones": {
                "internal": {"target": "default", "sources": ["192.0.2.0/24"], "runtime": [], "permanent": []}
            },
            "zones": [],
            "openings": {
                "public": {
                    "runtime": {"target": "default", "ports": ["9600 tcp"], "protocols": [], "forwards": []},
                    "permanent": {"target": "default", "ports": [], "protocols": [], "forwards": []},
                },
                "internal": {"runtime": None, "permanent": None},
            },
            "sets": {"logstash-ha-ipv4": {"runtime": None, "permanent": ["198.51.100.7"]}},
        }
    """

    def command(self, interface: str, sets: Iterable[str] = (), others: Iterable[str] = ()) -> str:
        lines = [
            f"busctl get-property {_NAME} {_PATH} {_NAME} state 2>/dev/null &&",
            *_find_zones(interface, others),
            '&& echo "interfaces $own$more" && seen=" "',
            f"&& for name in $own $more $bound {_ZONES}; do",
            "case $name in /*) file=$name; name=${file##*/}; name=${name%.xml} ;;",
            r"*) file=; name=${name#\"}; name=${name%\"} ;; esac;",
            'case $seen in *" $name "*) continue ;; esac; seen="$seen$name ";',
            # Rich rules have such an element, too.
            '[ -z "$file" ] || { found=; while read -r line; do case $line in *"<source"*) found=yes; break ;; esac; done',
            '2>/dev/null <$file; [ -n "$found" ] || continue; };',
            f'echo "{_HEADING}zone $name"; {_read_both(_NOW_ZONE, "getZoneByName", ".zone getSettings")}; done',
            f'&& for name in {" ".join(sets)}; do echo "{_HEADING}set $name";',
            f"{_read_both(_NOW_SET, 'getIPSetByName', '.ipset getEntries')}; done",
            f"&& echo '{_HEADING}direct' && {_CALL} {_NAME}.direct getAllRules",
            # Nor has a firewalld any that could not load them.
            f"&& {{ [ -e {_DIRECT} ] && {_CALL}/config {_NAME}.config.direct getAllRules 2>/dev/null || echo 'a(sssias) 0'; }}",
        ]
        return " ".join([*lines, "|| true"])

    def process(self, output: list[str]) -> FirewallState | None:
        return parse_firewall(output)
