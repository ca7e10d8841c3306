"""Errors of one line, each with the field, its value and what to write instead."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from pyinfra.api.exceptions import PyinfraError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

LIMIT = 200
"""Characters of one value that a message shows at most."""


class ClusterError(PyinfraError):
    """What is wrong with the cluster's description, or with a machine that is to join it, in one line."""


def shorten(text: str, length: int | None = None) -> str:
    """A text for a message: in one line, and whole or its beginning, its end and its length (default: the text's own)."""
    line = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
    if len(line) <= LIMIT:
        return line
    return f"{line[: LIMIT - 50]}…{line[-50:]} ({length or len(text):,} characters)"


def shown(value: object) -> str:
    """A value for a message, as Python writes it, without a URL's password."""
    try:
        text = repr(value)
    except Exception:  # a number of too many digits, a list in a thousand lists
        return f"a value of type {type(value).__name__}"
    text = re.sub(r"(//|:)(?!//).*@", r"\1***@", text)
    return shorten(text, len(value) if isinstance(value, str) else None)


def listed(names: Iterable[str]) -> str:
    """Names for a message, with commas: as many as there is room for, and how many there are."""
    names = list(names)
    text = ", ".join(names)
    if len(text) <= LIMIT:
        return text
    some = text[:LIMIT].rpartition(", ")[0] or shorten(names[0])
    return f"{some}, … ({len(names)} in all)"


def explain(
    error: ValidationError, data: Mapping[str, Any], settings: Mapping[str, Sequence[str]]
) -> ClusterError:
    """The error of a cluster's validation in one line.

    `data` is what was validated; `settings` are the known settings of the cluster (by `""`), of its `nodes`,
    `inputs`, `repository` and `api`, and of an input's `tls`.
    """
    # Not in pydantic's words, which show the whole input, with what is secret in it.
    errors = error.errors(include_url=False)
    # A misspelt setting is often a missing one too: the spelling is what helps.
    first = min(errors, key=lambda error: error["type"] != "extra_forbidden")
    return ClusterError(_line(first, data, settings))


_EXPLANATIONS = {
    "missing": "is missing; add it",
    "invalid_key": "is not the name of a setting; write the name in quotes",
    "tuple_type": "is not a list; write it in square brackets",
    "iteration_error": "is not a list; write it in square brackets",
    "dict_type": 'is not a dictionary; write it as {"stash1": 2}',
    "string_type": "is not a string; write it in quotes",
    "string_unicode": "is not text; write it in letters and digits",
    "int_parsing": "is not a whole number; write it in digits",
    "int_type": "is not a whole number; write it in digits",
    "int_from_float": "is not a whole number; write it in digits",
    "int_parsing_size": "is out of range; write a smaller number",
    "finite_number": "is not a whole number; write it in digits",
    "float_parsing": "is not a number; write it as 0.1",
    "float_type": "is not a number; write it as 0.1",
    "bool_parsing": "is neither True nor False; write one of them",
    "bool_type": "is neither True nor False; write one of them",
    "path_type": "is not a path; write it in quotes",
    "tls_type": 'is not a dictionary; write it as {"certificate": "logs.pem", "key": "logs.key"}',
    "repository_type": 'is not a dictionary; write it as {"url": "https://satellite.example.com/logstash-8"}',
    "api_type": 'is not a dictionary; write it as {"secrets": "api.secrets"}',
    "model_type": 'is not an input; write it as {"id": "udp-5514", "port": 5514}',
}
"""What to say of a value, by pydantic's type of error."""


def _line(error: ErrorDetails, data: Mapping[str, Any], settings: Mapping[str, Sequence[str]]) -> str:
    """One of pydantic's errors: field, value, and what to write instead."""
    kind, path, value = error["type"], list(error["loc"]), error["input"]
    if not path:  # a check of the whole cluster, which names the field itself
        return str(error["ctx"]["error"])
    if path[0] == "nodes":  # by name, as in the inventory
        path[1] = data["nodes"][path[1]]["name"]
    # The position in a list of one says nothing, and a node's address is the value beside its name.
    if path[0] in ("vip", "network", "key_fingerprints") or (path[2:3] == ["address"] and kind != "missing"):
        path = [
            part for part in path if not isinstance(part, int) and (part != "address" or kind == "missing")
        ]
    if path[-1] == "[key]":  # the name itself is at fault, and is the value
        path = path[:-2]
    field = ".".join(shorten(str(part)) for part in path)
    if kind == "value_error":
        between = "." if path[0] == "inputs" and len(path) == 2 else ": "  # `check_input` names its field
        return f"{field}{between}{error['ctx']['error']}"
    if kind == "extra_forbidden":
        holder = "tls" if path[2:3] == ["tls"] and len(path) > 3 else path[0] if len(path) > 1 else ""
        known = settings[str(holder)]
        near = difflib.get_close_matches(str(path[-1]), known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(known)}"
        return f"{field}: unknown setting; {hint}"
    if kind in ("missing", "invalid_key"):
        return f"{field}: {_EXPLANATIONS[kind]}"
    if kind == "literal_error":
        choices = error["ctx"]["expected"].replace(" or ", ", ")
        return f"{field}: {shown(value)} is unknown; choose from {choices}"
    if kind == "dict_type" and path == ["logstash_settings"]:
        return f'{field}: {shown(value)} is not a dictionary; write it as {{"config.reload.automatic": True}}'
    if kind == "model_type" and path[-1] == "tls":
        kind = "tls_type"
    if kind == "model_type" and path == ["repository"]:
        kind = "repository_type"
    if kind == "model_type" and path == ["api"]:
        kind = "api_type"
    explanation = _EXPLANATIONS.get(kind) or f"is wrong; {shorten(error['msg'])}"
    return f"{field}: {shown(value)} {explanation}"
