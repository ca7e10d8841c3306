"""Values as Logstash's pipeline files write them (grammar.treetop of elastic/logstash).

What a string may hold depends on Logstash's setting `config.support_escapes`. Without it, a backslash stands for itself,
but a string can't end with one, and has no way to write a quotation mark of its own kind. With it, `\\n`, `\\r`, `\\t`, `\\"`,
`\\'` and `\\\\` stand for other characters.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from cluster.errors import shown

_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def literal(value: Any, escapes: bool) -> str:
    """A string, number, boolean, list or hash. Raises `ValueError` for what can't be written: `VALUE …; what to do`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        if abs(value) >= 2**63:
            raise ValueError(f"{shown(value)} can't be written; use a number of 64 bits")
        return str(value)
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, str):
        return _string(value, escapes)
    if isinstance(value, list | tuple):
        return f"[{', '.join(literal(member, escapes) for member in value)}]"
    if isinstance(value, Mapping):
        pairs = [f"{literal(key, escapes)} => {literal(member, escapes)}" for key, member in value.items()]
        return f"{{ {' '.join(pairs)} }}" if pairs else "{ }"
    raise ValueError(
        f"{shown(value)} can't be written; use strings, numbers, booleans, lists and dictionaries"
    )


def codec(name: str, options: Mapping[str, Any], escapes: bool) -> str:
    """A codec with its options, such as `json { charset => "CP1252" }`; its name alone where there are none."""
    if not options:
        return name
    pairs = [f"{option} => {literal(value, escapes)}" for option, value in options.items()]
    return f"{name} {{ {' '.join(pairs)} }}"


def _number(value: float) -> str:
    """Without an exponent, which the grammar does not know."""
    if not math.isfinite(value):
        raise ValueError(f"{shown(value)} can't be written; use a finite number")
    return f"{Decimal(repr(value)):f}"


def _string(value: str, escapes: bool) -> str:
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in value.translate(_NO_SPACE)):
        raise ValueError(f"{shown(value)} has a character that no pipeline file can have; take it out")
    if escapes:
        return f'"{"".join(_ESCAPES.get(character, character) for character in value)}"'
    if value.endswith("\\") or value.translate(_NO_SPACE) != value or ('"' in value and "'" in value):
        raise ValueError(
            f"{shown(value)} has both kinds of quotation marks, a tab or a new line, or a backslash at its end, which Logstash "
            "reads with config.support_escapes only; set support_escapes=True"
        )
    return f"'{value}'" if '"' in value else f'"{value}"'


_NO_SPACE = dict.fromkeys(map(ord, "\n\r\t"))
