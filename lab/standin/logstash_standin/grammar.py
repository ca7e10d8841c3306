"""The pipeline language: from text to a tree, and where a text leaves the grammar.

The grammar is that of `logstash-pipeline-parser`. Its own message points at the section that failed as a
whole; the real one (Treetop's) at the furthest place reached, with what could stand there: found here.
"""

from collections.abc import Iterator
from typing import Any

import pyparsing
from logstash_pipeline_parser.tree import AST, PEG, ParseError  # type: ignore[import-untyped,unused-ignore]

from .errors import ConfigurationError

Tree = list[Any]
"""`[[section, [plugin, …]], …]` with plugins `[name, [[option, [value]], …]]`, as the library has it."""

_failures: list[tuple[int, str]] = []


def parse(text: str) -> Tree:
    """Parse a pipeline. Raises `ConfigurationError` with line, column and byte, in the real form.

    Not for two threads at once: the grammar is one object for the whole process.
    """
    _failures.clear()
    try:
        tree: Tree = AST().parse_config(text)
    except ParseError:
        raise ConfigurationError(_expectation(text)) from None
    return tree


def _expectation(text: str) -> str:
    place = max(place for place, _ in _failures)
    expected = dict.fromkeys([r"[ \t\r\n]", '"#"', *(name for at, name in _failures if at == place and name)])
    line, column = pyparsing.lineno(place, text), pyparsing.col(place, text)
    before = f" after {text[:place]}" if place else ""
    byte = len(text[:place].encode()) + 1
    return f"Expected one of {', '.join(expected)} at line {line}, column {column} (byte {byte}){before}"


def _leaves(element: Any, seen: set[int]) -> Iterator[Any]:
    # Addresses are the library's addition to the grammar: their parts would be taken for the furthest place.
    if id(element) in seen or element is PEG.ip:
        return
    seen.add(id(element))
    parts = element.recurse()
    if not parts:
        yield element
    for part in parts:
        yield from _leaves(part, seen)


def _terminal(element: Any) -> str:
    """How Treetop names what an element would have matched; nothing for what only the library has."""
    if isinstance(element, pyparsing.QuotedString):
        return {'"': '"\\""', "'": '"\'"', "/": '"/"'}[element.quote_char]
    if isinstance(element, pyparsing.Keyword) and element.match in ("true", "false"):
        return ""
    if isinstance(element, pyparsing.Literal | pyparsing.Keyword):
        return f'"{element.match}"'
    if isinstance(element, pyparsing.Word):
        return "[A-Za-z0-9_-]" if "-" in element.init_chars else "[A-Za-z_]"
    return "[0-9]" if "number" in element.name or "integer" in element.name else ""


def _watch() -> None:
    for leaf in _leaves(PEG.config, set()):
        name = _terminal(leaf)
        leaf.set_fail_action(lambda text, place, element, error, name=name: _failures.append((place, name)))


_watch()
