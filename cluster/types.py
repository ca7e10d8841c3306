"""Constrained types of the model's fields, and their parsers.

These strings end up in configuration files and commands: a type accepts only what all of their readers accept.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from math import isfinite
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from cluster.errors import shown

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def _matching(pattern: str, meaning: str) -> AfterValidator:
    """A check that a string matches `pattern`; `meaning` says what it must be, and how to write it."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"{shown(value)} is not {meaning}")
        return value

    return AfterValidator(check)


def _between(low: int, high: int, fix: str) -> AfterValidator:
    """A check that a number is in a range, its ends included."""

    def check(value: int) -> int:
        if not low <= value <= high:
            raise ValueError(f"{shown(value)} is out of range; {fix}")
        return value

    return AfterValidator(check)


def _parse_address(value: object) -> Address:
    try:
        # No zone: an address of one link is no address for a cluster.
        known = isinstance(value, str | IPv4Address | IPv6Address) and "%" not in str(value)
        return ip_address(value if known else "")  # type: ignore[arg-type]
    except ValueError:
        raise ValueError(
            f"{shown(value)} is not an IP address; write it as 192.0.2.11 or 2001:db8::11"
        ) from None


def _parse_network(value: object) -> Network:
    example = "192.0.2.11, 192.0.2.0/24 or 2001:db8::/64"
    if isinstance(value, str | IPv4Network | IPv6Network | IPv4Address | IPv6Address):
        text = str(value)
        try:
            network = ip_network(text if "%" not in text else "", strict=False)
            address = ip_address(text.partition("/")[0])
            if address == network.network_address:
                return network
            example = f"{network}, or {address} for one address"
        except ValueError:
            pass
    raise ValueError(f"{shown(value)} is neither an IP address nor a network; write it as {example}")


def in_a_list(value: object) -> Any:
    """Wrap a single value in a list."""
    return value if isinstance(value, list | tuple) else [value]


def _parse_setting(value: object) -> object:
    texts = value if isinstance(value, list) else [value] if isinstance(value, str) else []
    known = isinstance(value, bool | int | str | list) or (isinstance(value, float) and isfinite(value))
    if not known or not all(isinstance(text, str) and text.isprintable() for text in texts):
        raise ValueError(
            f"{shown(value)} is not a value for logstash.yml; "
            "write a number, True, False, a text of one line, or a list of such texts"
        )
    return value


_CODEC = r"[a-z][a-z0-9_]*"


def _check_options(value: object) -> object:
    """Options of a plugin by name. Their values are checked where they are written (`cluster.language`)."""
    if not isinstance(value, dict):
        raise ValueError(
            f'{shown(value)} is not a dictionary; write it as {{"client_inactivity_timeout": 300}}'
        )
    for name in value:
        if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise ValueError(
                f"{shown(name)} is not the name of an option; write it as Logstash's documentation does"
            )
    return value


def _check_codec(value: object) -> object:
    """A codec's name, or a dictionary with the name and the codec's options."""
    name, options = next(iter(value.items())) if isinstance(value, dict) and len(value) == 1 else (value, {})
    if not isinstance(name, str) or not re.fullmatch(_CODEC, name):
        raise ValueError(
            f"{shown(value)} is not a codec; write its name, such as json_lines, or the name with options, such as "
            '{"json": {"charset": "CP1252"}}'
        )
    _check_options(options)
    return value


def _parse_fingerprint(value: object) -> str:
    """An OpenPGP fingerprint of version 4 or 6 (RFC 9580, section 5.5.4), in capitals and without spaces."""
    text = value.replace(" ", "").upper() if isinstance(value, str) else ""
    if not re.fullmatch(r"[0-9A-F]{40}|[0-9A-F]{64}", text):
        raise ValueError(
            f"{shown(value)} is not a fingerprint; write the 40 digits that `gpg --show-keys FILE` prints"
        )
    return text


_LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"

_NAME = "[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
"""A label of a name that ssh takes: a `Host` in its configuration may have underscores, which RFC 1123 has not."""

NodeName = Annotated[
    str,
    _matching(
        rf"(?!.{{254}}){_NAME}(\.{_NAME})*",
        "a machine's name; use letters, digits, hyphens, underscores and dots, 253 characters at most",
    ),
]


def _check_name(value: object) -> object:
    """A host name, or an address as Python writes it."""
    if isinstance(value, str):
        try:
            return str(ip_address(value))
        except ValueError:
            if "*" not in value and re.fullmatch(rf"(?!.{{254}}){_LABEL}(\.{_LABEL})*", value):
                return value
    raise ValueError(f"{shown(value)} is neither a host name nor an address; write it as logs.example.com")


Names = Annotated[tuple[Annotated[str, BeforeValidator(_check_name)], ...], BeforeValidator(in_a_list)]
Folder = Annotated[
    str,
    _matching(
        r"(/[A-Za-z0-9][A-Za-z0-9._-]*)+",
        "a folder on the nodes; write its whole path, such as /var/lib/node_exporter/textfile_collector",
    ),
]
Interface = Annotated[
    str,
    _matching(r"\w[\w.-]{0,14}", "an interface name; use one that `ip link` shows, 15 characters at most"),
]
InputId = Annotated[
    str,
    _matching(
        r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", "an input id; use 1 to 64 letters, digits, `_`, `.` and `-`"
    ),
]
PipelineId = Annotated[
    str,
    _matching(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", "a pipeline id; use 1 to 64 letters, digits, `_` and `-`"),
]
Word = Annotated[str, _matching(r"[\w.-]{1,64}", "a word; use letters, digits, `_`, `.` and `-`")]
PluginName = Annotated[str, _matching(r"[a-z][a-z0-9_]*", "an input plugin; write its name, such as beats")]
PipelineFile = Annotated[
    str,
    _matching(
        r"[A-Za-z0-9][A-Za-z0-9._-]*\.conf",
        "the name of a pipeline file; write it as beats.conf, without a folder: that follows from `pipeline`",
    ),
]
Options = Annotated[dict[str, Any], BeforeValidator(_check_options)]
Codec = Annotated[str | dict[str, dict[str, Any]], BeforeValidator(_check_codec)]
Email = Annotated[str, _matching(r"[\w.%+-]+@[\w.-]+", "a mail address; write it as root@localhost")]
Url = Annotated[
    str,
    _matching(
        r"https?://[A-Za-z0-9.-]+(:[0-9]+)?(/[A-Za-z0-9._~-]+)*",
        "an http or https URL; write it as https://artifacts.elastic.co, without a final slash",
    ),
]
ProxyUrl = Annotated[
    str,
    _matching(
        r"https?://[A-Za-z0-9.-]+(:[0-9]+)?",
        "a proxy's URL; write it as http://proxy.example.com:3128, and its login into the file `repository.secrets`",
    ),
]
Urls = Annotated[tuple[Url, ...], BeforeValidator(in_a_list)]
Paths = Annotated[tuple[Path, ...], BeforeValidator(in_a_list)]
Fingerprints = Annotated[
    tuple[Annotated[str, BeforeValidator(_parse_fingerprint)], ...], BeforeValidator(in_a_list)
]
Version = Annotated[
    str,
    _matching(r"latest|[0-9]+\.[0-9]+\.[0-9]+", "a version; write it as 8.19.3, or latest for the newest"),
]
Size = Annotated[str, _matching(r"[1-9][0-9]*[mg]", "a size; write it as 512m or 4g")]
JvmOption = Annotated[
    str,
    _matching(
        r"-[A-Za-z0-9+:=,./_%@-]+",
        "an option of Java; write it as -Duser.timezone=UTC, without spaces and quotes",
    ),
]
SettingName = Annotated[
    str,
    _matching(
        r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)*",
        "the name of a setting of logstash.yml; write it in full, such as config.reload.automatic",
    ),
]
Port = Annotated[int, _between(1, 65535, "choose one from 1 to 65535")]
Count = Annotated[int, _between(1, 2**31 - 1, f"choose one from 1 to {2**31 - 1}")]
StartTimeout = Annotated[
    int, _between(30, 3600, "choose one from 30 to 3600, in seconds; a start of Logstash takes some 60")
]
Weight = Annotated[int, _between(0, 32767, "choose one from 0, for no events, to 32767")]
Priority = Annotated[int, _between(1, 254, "choose one from 1 to 254, the highest becomes MASTER")]
RouterId = Annotated[int, _between(1, 255, "choose one from 1 to 255 that no other VRRP router here has")]
SettingValue = Annotated[
    bool | int | float | str | list[str],
    BeforeValidator(_parse_setting),
]
"""A value in logstash.yml: it is written in one line."""
Addresses = Annotated[
    tuple[Annotated[Address, BeforeValidator(_parse_address)], ...], BeforeValidator(in_a_list)
]
OneAddress = Annotated[Address, BeforeValidator(_parse_address)]
Networks = Annotated[
    tuple[Annotated[Network, BeforeValidator(_parse_network)], ...], BeforeValidator(in_a_list)
]
