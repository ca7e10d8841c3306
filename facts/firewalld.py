"""firewalld's rules in an interface's zone, and its direct rules."""

from __future__ import annotations

import re
import shlex
from typing import TypedDict

from pyinfra.api import FactBase

_NAME = "org.fedoraproject.FirewallD1"
_PATH = "/org/fedoraproject/FirewallD1"
_VALUE = re.compile(r'"((?:[^"\\]|\\.)*)"|([^\s"]+)')
_ESCAPE = re.compile(rb"\\([0-3][0-7]{2}|.)")
_ESCAPED = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}


class RulesState(TypedDict):
    """Rules in firewalld's own spelling: `runtime` those in force, `permanent` those of its next start.

    A rich rule begins with `rule` (firewalld.richlanguage(5)), a direct rule with `ipv4`, `ipv6` or `eb`
    (firewalld.direct(5): table, chain, priority, arguments).
    """

    zone: str
    runtime: list[str]
    permanent: list[str]


def parse_rules(output: list[str]) -> RulesState | None:
    """busctl's answers, a line each: the zone, the rich and the direct rules in force, the rich and the
    direct rules of the next start. None where any is missing."""
    try:
        (zone,), rich, direct, rich_permanent, direct_permanent = (_values(line) for line in output)
    except ValueError:
        return None
    return RulesState(
        zone=zone,
        runtime=rich[1:] + _direct_rules(direct),
        permanent=rich_permanent[1:] + _direct_rules(direct_permanent),
    )


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
_UNQUOTE = 'zone=${zone#*\\"} && zone=${zone%\\"}'


def _find_zone(interface: str) -> str:
    """A shell command that sets `zone` to firewalld's answer, the zone that `interface` is in."""
    return (
        f"zone=$({_CALL} {_NAME}.zone getZoneOfInterface s {shlex.quote(interface)})"
        f' && {{ [ "$zone" != \'s ""\' ] || zone=$({_CALL} {_NAME} getDefaultZone); }}'
    )


def _ask_kept_zone(method: str) -> str:
    """A shell command that prints the answer of the zone `zone` as firewalld's next start makes it."""
    return (
        f'kept=$({_CALL}/config {_NAME}.config getZoneByName s "$zone") && kept=${{kept#*\\"}}'
        f' && busctl call {_NAME} "${{kept%\\"}}" {_NAME}.config.zone {method}'
    )


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
    The rich rules of the zone that `interface` is in, and all direct rules (firewalld.dbus(5)).

    None where firewalld does not run. Needs root. They are read over D-Bus, since each call of firewall-cmd
    starts a Python of its own.

    .. code:: python

        {
            "zone": "public",
            "runtime": [
                'rule family="ipv4" source address="192.0.2.11" protocol value="vrrp" accept',
                "ipv4 nat POSTROUTING 0 -p tcp -d 192.0.2.12 --dport 6514 -j SNAT --to-source 192.0.2.11",
            ],
            "permanent": [],
        }
    """

    def command(self, interface: str) -> str:
        return (
            f'{_find_zone(interface)} && echo "$zone" && {_UNQUOTE}'
            f' && {_CALL} {_NAME}.zone getRichRules s "$zone"'
            f" && {_CALL} {_NAME}.direct getAllRules"
            f" && {_ask_kept_zone('getRichRules')}"
            f" && {_CALL}/config {_NAME}.config.direct getAllRules || true"
        )

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
    """A zone in force, and as firewalld's next start makes it."""

    runtime: ZoneOpenings
    permanent: ZoneOpenings


def parse_zone(output: list[str]) -> ZoneState | None:
    """busctl's answers, a line each: the settings of a zone in force, and those of the next start. None where one is
    missing."""
    try:
        runtime, permanent = [_openings(_values(line)) for line in output]
    except (ValueError, StopIteration):
        return None
    return ZoneState(runtime=runtime, permanent=permanent)


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


class ZoneSettings(FactBase[ZoneState | None]):
    """
    What the zone of an interface lets in beside its rich rules. None where firewalld does not run. Needs root.

    .. code:: python

        {
            "runtime": {"target": "default", "ports": ["9600 tcp"], "protocols": [], "forwards": []},
            "permanent": {"target": "default", "ports": [], "protocols": [], "forwards": []},
        }
    """

    def command(self, interface: str) -> str:
        return (
            f"{_find_zone(interface)} && {_UNQUOTE}"
            f' && {_CALL} {_NAME} getZoneSettings s "$zone"'
            f" && {_ask_kept_zone('getSettings')} || true"
        )

    def process(self, output: list[str]) -> ZoneState | None:
        return parse_zone(output)
