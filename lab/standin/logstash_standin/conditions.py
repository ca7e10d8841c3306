"""Conditions: `if [type] == "syslog" and "slow" not in [tags]`."""

import operator
import re
from collections.abc import Callable
from typing import Any

from .event import Event

Condition = list[Any]
"""A condition in the grammar's tree: operands and operators in a row, with a list for each parenthesis."""

_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_COMBINE: dict[str, Callable[[bool, bool], bool]] = {
    "and": lambda left, right: left and right,
    "or": lambda left, right: left or right,
    "xor": lambda left, right: left != right,
    "nand": lambda left, right: not (left and right),
}


def holds(condition: Condition, event: Event) -> bool:
    """Whether a condition is true for an event. Here `and` does not bind more tightly than `or`."""
    first, *rest = condition
    result = _expression(first, event)
    for combine, expression in zip(rest[::2], rest[1::2], strict=True):
        result = _COMBINE[combine](result, _expression(expression, event))
    return result


def _expression(parts: Condition, event: Event) -> bool:
    match parts:
        case ["!", *inner]:
            return not holds([inner] if isinstance(inner[0], str) else inner, event)
        case [item, "in", collection]:
            return _contains(_value(collection, event), _value(item, event))
        case [item, "not", "in", collection]:
            return not _contains(_value(collection, event), _value(item, event))
        case [value, "=~", pattern]:
            return _matches(pattern, _value(value, event))
        case [value, "!~", pattern]:
            return not _matches(pattern, _value(value, event))
        case [left, str(compare), right] if compare in _COMPARE:
            return _compare(compare, _value(left, event), _value(right, event))
        case [list(), *_]:
            return holds(parts, event)
        case [value]:
            return _value(value, event) not in (None, False)
    raise ValueError(f"unknown condition: {parts}")


def _value(operand: Any, event: Event) -> Any:
    if isinstance(operand, list):
        return [_value(item, event) for item in operand]
    if isinstance(operand, str):
        return event.get(operand) if operand.startswith("[") else operand
    return operand if isinstance(operand, int | float) else str(operand)


def _contains(collection: Any, item: Any) -> bool:
    return isinstance(collection, list | str) and item is not None and item in collection


def _matches(pattern: str, value: Any) -> bool:
    return value is not None and re.search(pattern, str(value)) is not None


def _compare(name: str, left: Any, right: Any) -> bool:
    try:
        return bool(_COMPARE[name](left, right))
    except TypeError:  # a missing field, or a number compared with a text
        return False
