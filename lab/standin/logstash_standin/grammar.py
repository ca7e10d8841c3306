"""The pipeline language: it is parsed into a tree, or refused at the position of the error.

The grammar is that of `logstash-pipeline-parser`, whose error names only the section that failed. The real
parser (Treetop) names the furthest position it reached and what it expected there, which this module finds.
"""

import re
from collections.abc import Iterator
from typing import Any

import pyparsing
from logstash_pipeline_parser.tree import AST, PEG, ParseError  # type: ignore[import-untyped,unused-ignore]

from .errors import ConfigurationError

Tree = list[Any]
"""The library's tree: `[[section, [plugin, …]], …]`, with plugins `[name, [[option, [value]], …]]`."""

_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "'": "'", "\\": "\\"}
"""What a backslash and a character stand for in a string, with `config.support_escapes`."""
_escapes: list[bool] = [False]
_failures: list[tuple[int, str]] = []
"""Position and expected element of each failed match, in the order of the attempts."""


def parse(text: str, *, escapes: bool = False) -> Tree:
    """Parse a pipeline. Raises `ConfigurationError` with line, column and byte, as the real parser does.

    `escapes` is the setting `config.support_escapes`: without it, a backslash in a string stands for itself. Not
    thread-safe: the whole process shares one grammar.
    """
    _failures.clear()
    _escapes[:] = [escapes]
    try:
        tree: Tree = AST().parse_config(text)
    except ParseError:
        raise ConfigurationError(_error_message(text)) from None
    return tree


def _error_message(text: str) -> str:
    furthest = max(position for position, _ in _failures)
    names = (name for position, name in _failures if position == furthest and name)
    expected = dict.fromkeys([r"[ \t\r\n]", '"#"', *names])
    line, column = pyparsing.lineno(furthest, text), pyparsing.col(furthest, text)
    before = f" after {text[:furthest]}" if furthest else ""
    byte = len(text[:furthest].encode()) + 1
    return f"Expected one of {', '.join(expected)} at line {line}, column {column} (byte {byte}){before}"


def _leaves(element: Any, seen: set[int]) -> Iterator[Any]:
    # The library adds IP addresses to the grammar; their parts would move the furthest position.
    if id(element) in seen or element is PEG.ip:
        return
    seen.add(id(element))
    parts = element.recurse()
    if not parts:
        yield element
    for part in parts:
        yield from _leaves(part, seen)


def _treetop_name(element: Any) -> str:
    """Treetop's name for an element of the grammar; empty for an element that only the library has."""
    if isinstance(element, pyparsing.QuotedString):
        return {'"': '"\\""', "'": '"\'"', "/": '"/"'}[element.quote_char]
    if isinstance(element, pyparsing.Keyword) and element.match in ("true", "false"):
        return ""
    if isinstance(element, pyparsing.Literal | pyparsing.Keyword):
        return f'"{element.match}"'
    if isinstance(element, pyparsing.Word):
        return "[A-Za-z0-9_-]" if "-" in element.init_chars else "[A-Za-z_]"
    return "[0-9]" if "number" in element.name or "integer" in element.name else ""


def _string(tokens: Any) -> str:
    """What a string in its quotation marks says."""
    content = tokens[0][1:-1]
    if not _escapes[0]:
        return str(content)
    return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[0]), content)


def _prepare() -> None:
    """Have the library's grammar read strings and tabs as Logstash does, and record where it fails."""
    PEG.config.parse_with_tabs()
    for leaf in _leaves(PEG.config, set()):
        if isinstance(leaf, pyparsing.QuotedString) and leaf.quote_char in ('"', "'"):
            leaf.unquote_results = False
            leaf.set_parse_action(_string)
        name = _treetop_name(leaf)
        leaf.set_fail_action(
            lambda text, position, element, error, name=name: _failures.append((position, name))
        )


_prepare()
