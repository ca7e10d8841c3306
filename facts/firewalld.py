"""firewalld's rules in the zones that packets to an interface can meet, its direct rules, and its ipsets."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from typing import TypedDict

from pyinfra.api import FactBase

from facts.batch import split

_NAME = "org.fedoraproject.FirewallD1"
_PATH = "/org/fedoraproject/FirewallD1"
_ZONES = "/etc/firewalld/zones/*.xml"
_VALUE = re.compile(r'"((?:[^"\\]|\\.)*)"|([^\s"]+)')
_ESCAPE = re.compile(rb"\\([0-3][0-7]{2}|.)")
_SOURCE = re.compile(r'\b(address|mac|ipset)\s*=\s*["\']([^"\']+)["\']')
_ESCAPED = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}


class SourceZone(TypedDict):
    """A zone that sources are bound to. None where a configuration does not have the zone."""

    target: str
    """What happens to packets that no rule accepts: `default`, `ACCEPT`, `DROP` or `%%REJECT%%`."""
    sources: list[str]
    """Addresses, networks, MAC addresses and `ipset:NAME`, now or after firewalld's next start."""
    runtime: list[str] | None
    permanent: list[str] | None


class SetState(TypedDict):
    """The entries of an ipset, by configuration. None where a configuration does not have the set."""

    runtime: list[str] | None
    permanent: list[str] | None


class RulesState(TypedDict):
    """Rules in firewalld's own spelling: `runtime` those in force, `permanent` those of its next start.

    A rich rule begins with `rule` (firewalld.richlanguage(5)), a direct rule with `ipv4`, `ipv6` or `eb`
    (firewalld.direct(5): table, chain, priority, arguments).
    """

    zone: str
    runtime: list[str]
    permanent: list[str]
    source_zones: dict[str, SourceZone]
    """The other zones that sources are bound to, which win over the interface's zone (firewalld.zones(5)), and those of
    further interfaces."""
    zones: list[str]
    """Those of them that further interfaces are in."""
    sets: dict[str, SetState]


def parse_rules(output: list[str]) -> RulesState | None:
    """busctl's answers, a line each: the zone, the rich and the direct rules in force, the rich and the
    direct rules of the next start. None where any is missing. Then all active zones, the sources in files of
    zones, and of each zone and each set what a heading names."""
    try:
        (zone,), rich, direct, rich_permanent, direct_permanent, active = (
            _values(line) for line in output[:6]
        )
        sources = _active_sources(active)
        parts = _parts(output[6:])
        further = " ".join(parts.pop("interfaces", []))
        zones = [name for name in dict.fromkeys(_values(f"as {further}")) if name != zone]
        sources |= {name: [] for name in zones if name not in sources}
        for name, source in _permanent_sources(parts.pop("", [])):
            if source not in sources.setdefault(name, []):
                sources[name].append(source)
        return RulesState(
            zone=zone,
            runtime=rich[1:] + _direct_rules(direct),
            permanent=rich_permanent[1:] + _direct_rules(direct_permanent),
            source_zones={
                name: _source_zone(sources[name], parts.get(f"zone {name}", []))
                for name in sorted(sources)
                if name != zone
            },
            zones=zones,
            sets={
                heading.removeprefix("set "): _set_state(lines)
                for heading, lines in parts.items()
                if heading.startswith("set ")
            },
        )
    except ValueError:
        return None


def _active_sources(values: list[str]) -> dict[str, list[str]]:
    """By zone: the sources that are bound to it. In an a{sa{sas}}, each zone has `interfaces`, `sources` or both."""
    sources: dict[str, list[str]] = {}
    rest = iter(values[1:])
    for zone in rest:
        for _ in range(_number(rest)):
            kind = next(rest, "")
            bound = [next(rest, "") for _ in range(_number(rest))]
            if kind == "sources":
                sources[zone] = bound
    return sources


def _number(values: Iterator[str]) -> int:
    return int(next(values, ""))


def _permanent_sources(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each zone and source in lines that are either the path of a zone's file, or elements `source` in it."""
    zone = ""
    for line in lines:
        if line.startswith("/"):
            zone = posixpath.basename(line).removesuffix(".xml")
        for kind, value in _SOURCE.findall(line):
            yield zone, f"ipset:{value}" if kind == "ipset" else value


def _parts(lines: list[str]) -> dict[str, list[str]]:
    """The lines after each heading `zone NAME` or `set NAME`, by it; those before the first one by "". The zones of further
    interfaces are a line."""
    parts: dict[str, list[str]] = {"": []}
    for line in lines:
        if line.startswith("interfaces "):
            parts["interfaces"] = [line.removeprefix("interfaces ")]
        elif line.startswith(("zone ", "set ")):
            parts[line] = []
        else:
            parts[next(reversed(parts))].append(line)
    return parts


def _source_zone(sources: list[str], lines: list[str]) -> SourceZone:
    """`lines`: the zone's rules in force; its target and its rules after the next start. Raises ValueError."""
    rich, *permanent = lines
    target, rich_permanent = permanent if len(permanent) > 1 else ("", "-")
    return SourceZone(
        target=next(iter(_values(target)), "") if target else "",
        sources=sources,
        runtime=_array(rich),
        permanent=_array(rich_permanent),
    )


def _set_state(lines: list[str]) -> SetState:
    runtime, permanent = lines
    return SetState(runtime=_array(runtime), permanent=_array(permanent))


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


# Answers are such as `s "public"` and `o "/org/fedoraproject/…"`; between their quotes nothing is escaped.
_CALL = f"busctl call {_NAME} {_PATH}"
_ZONE = "zone "
_UNQUOTE = 'zone=${zone#*\\"} && zone=${zone%\\"}'


def _find_zones(interface: str, others: Iterable[str]) -> list[str]:
    """Lines of shell that set `active` to all active zones, `zone` to that of `interface`, `others` to those that have sources,
    and `more` to those of the further interfaces, which are `others` here."""
    name = shlex.quote(f'"{interface}"')
    further = [shlex.quote(f'"interfaces" "{other}"') for other in others]
    lines = [
        f"active=$({_CALL} {_NAME}.zone getActiveZones) && {{ set -f; set -- $active; set +f; }}",
        f"&& zone= && others={' && more= && found=0' if further else ''} && shift 2",
        "&& while [ $# -gt 1 ]; do name=$1 kinds=$2; shift 2;",
        "while [ $kinds -gt 0 ] && [ $# -gt 1 ]; do kind=$1 left=$2 kinds=$((kinds - 1)); shift 2;",
        """[ "$kind" != '"sources"' ] || others="$others $name";""",
        f"""while [ $left -gt 0 ] && [ $# -gt 0 ]; do [ "$kind $1" != '"interfaces" '{name} ] || zone="s $name";""",
    ]
    if further:
        lines.append(
            f"""case "$kind $1" in {"|".join(further)}) more="$more $name" found=$((found + 1)) ;; esac;"""
        )
    lines.append("left=$((left - 1)); shift; done; done; done")
    if further:
        lines.append(
            f'&& {{ [ $found -ge {len(further)} ] || {{ kept=$({_CALL} {_NAME} getDefaultZone) && more="$more ${{kept#s }}"; }}; }}'
        )
    return [*lines, f'&& {{ [ -n "$zone" ] || zone=$({_CALL} {_NAME} getDefaultZone); }}']


_FIND_KEPT_SOURCES = [
    # A rich rule has an element `source` of its own.
    f"&& files= && set -- {_ZONES} && {{ [ ! -e $1 ] || files=$("
    "sed -sn 's/<rule.*<\\/rule>//; /<rule/,/<\\/rule>/d; /<source /{F;p}' $*); }",
    """&& for file in $files; do case $file in /*) file=${file##*/}; others="$others ${file%.xml}" ;; esac; done""",
]
"""Lines of shell that set `files` to the paths of zones' files with their elements `source`, and add the zones to `others`."""
_EACH_NAME = 'do name=${name#\\"}; name=${name%\\"}; case $seen in *" $name "*) continue ;; esac; seen="$seen$name "; echo "zone $name";'
"""The beginning of a loop over zones, in quotes or not, that does each of them once."""


_FIND_KEPT = f'kept=$({_CALL}/config {_NAME}.config getZoneByName s $name 2>/dev/null) && kept=${{kept#*\\"}}'
"""A shell command that sets `kept` to the object of the zone `name` as firewalld's next start makes it."""
_CALL_KEPT = f'busctl call {_NAME} "${{kept%\\"}}" {_NAME}.config.zone'
"""The beginning of a shell command that calls a method of this object."""


class FirewalldState(FactBase[str | None]):
    """
    firewalld's state: `RUNNING`, or `FAILED` where it could not load its configuration and has its stock rules.

    None where firewalld does not run. Needs root.

    .. code:: python

        "RUNNING"
    """

    def command(self) -> str:
        return f"busctl get-property {_NAME} {_PATH} {_NAME} state 2>/dev/null || true"

    def process(self, output: list[str]) -> str | None:
        (state,) = _values(output[0]) if output else [None]
        return state


class FirewallRules(FactBase[RulesState | None]):
    """
    The rich rules of the zone that `interface` is in, of those that the interfaces `others` are in or sources are bound
    to, all direct rules, and the entries of `sets` (firewalld.dbus(5)).

    None where firewalld does not run. Needs root. They are read over D-Bus, since each call of firewall-cmd
    starts a Python of its own; but sources of the next start from the zones' files, which D-Bus has zone by zone.

    .. code:: python

        {
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
            "sets": {"logstash-ha-ipv4": {"runtime": None, "permanent": ["198.51.100.7"]}},
        }
    """

    def command(self, interface: str, sets: Iterable[str] = (), others: Iterable[str] = ()) -> str:
        further = list(others)
        lines = [
            *_find_zones(interface, further),
            f'&& echo "$zone" && {_UNQUOTE}',
            f'&& {_CALL} {_NAME}.zone getRichRules s "$zone"',
            f"&& {_CALL} {_NAME}.direct getAllRules",
            f'&& kept=$({_CALL}/config {_NAME}.config getZoneByName s "$zone") && kept=${{kept#*\\"}}',
            f"&& {_CALL_KEPT} getRichRules",
            f"&& {_CALL}/config {_NAME}.config.direct getAllRules",
            '&& echo "$active"',
            *_FIND_KEPT_SOURCES,
            '&& { [ -z "$files" ] || echo "$files"; } && seen=" $zone "',
            *(['&& echo "interfaces$more" && others="$others$more"'] if further else []),
            f"&& for name in $others; {_EACH_NAME}",
            f"{_CALL} {_NAME}.zone getRichRules s $name 2>/dev/null || echo -;",
            f"{_FIND_KEPT} && {_CALL_KEPT} getTarget && {_CALL_KEPT} getRichRules || true; done",
        ]
        for each in sets:
            lines += [
                f"&& echo 'set {each}' && {{ {_CALL} {_NAME}.ipset getEntries s {each} 2>/dev/null || echo -; }}",
                f'&& {{ kept=$({_CALL}/config {_NAME}.config getIPSetByName s {each} 2>/dev/null) && kept=${{kept#*\\"}}',
                f'&& busctl call {_NAME} "${{kept%\\"}}" {_NAME}.config.ipset getEntries || echo -; }}',
            ]
        return " ".join([*lines, "|| true"])

    def process(self, output: list[str]) -> RulesState | None:
        return parse_rules(output)


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


def parse_zones(output: list[str]) -> dict[str, ZoneState] | None:
    """Of each zone, a line `zone NAME`, and two of busctl's answers, its settings in force and those of the next start; `-`
    stands for an error. None where an answer is missing, or both are errors."""
    zones = {}
    for name, lines in split(output, _ZONE).items():
        try:
            runtime, permanent = [None if line == "-" else _openings(_values(line)) for line in lines]
        except (ValueError, StopIteration):
            return None
        if runtime is None and permanent is None:
            return None
        zones[name] = ZoneState(runtime=runtime, permanent=permanent)
    return zones or None


def _openings(values: list[str]) -> ZoneOpenings:
    """From a (sssbsasa(ss)asba(ssss)asasasasa(ss)b), firewalld.dbus(5)'s settings of a zone. Raises StopIteration."""
    rest = iter(values)

    def several(width: int = 1) -> list[list[str]]:
        return [[next(rest) for _ in range(width)] for _ in range(int(next(rest)))]

    *_, target = [
        next(rest) for _ in range(5)
    ]  # after the version, two descriptions and a word that has no use
    several()  # services
    ports = several(2)
    several()  # ICMP blocks
    next(rest)  # masquerading
    forwards = several(4)
    for _ in ("interfaces", "sources", "rich rules"):
        several()
    return ZoneOpenings(
        target=target,
        ports=[" ".join(port) for port in ports],
        protocols=[protocol for (protocol,) in several()],
        forwards=[
            f"{port} {protocol} to {':'.join(part for part in (address, to) if part)}"
            for port, protocol, to, address in forwards
        ],
    )


class ZoneSettings(FactBase[dict[str, ZoneState] | None]):
    """
    What zones let in beside their rich rules, by zone: those of these interfaces, and those that sources are bound to, now
    or after firewalld's next start. None where firewalld does not run. Needs root.

    .. code:: python

        {
            "public": {
                "runtime": {"target": "default", "ports": ["9600 tcp"], "protocols": [], "forwards": []},
                "permanent": {"target": "default", "ports": [], "protocols": [], "forwards": []},
            },
        }
    """

    def command(self, interfaces: Sequence[str]) -> str:
        first, *others = interfaces
        lines = [
            *_find_zones(first, others),
            *_FIND_KEPT_SOURCES,
            f"""&& seen=' ' && for name in ${{zone#s }}{" $more" if others else ""} $others; {_EACH_NAME}""",
            f"{_CALL} {_NAME} getZoneSettings s $name 2>/dev/null || echo -;",
            f"{{ {_FIND_KEPT} && {_CALL_KEPT} getSettings; }} || echo -; done",
        ]
        return " ".join([*lines, "|| true"])

    def process(self, output: list[str]) -> dict[str, ZoneState] | None:
        return parse_zones(output)
