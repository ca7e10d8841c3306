"""A plugin's options: which it has, what each takes, and the real complaints about the rest."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from .environment import substitute
from .errors import ConfigurationError
from .log import Logger
from .ruby import inspect

Kind = Literal["string", "number", "boolean", "array", "hash", "codec", "any"]


@dataclass(frozen=True)
class Option:
    """One option: the kind of its value, and its default."""

    kind: Kind
    default: Any = None
    required: bool = False


ANYTHING = Option("any")


def extend(base: Mapping[str, Option], **options: Option) -> Mapping[str, Option]:
    """The options of a base, and more."""
    return {**base, **options}


def read(
    section: str,
    plugin: str,
    options: Mapping[str, Option],
    given: Iterable[tuple[str, list[Any]]],
    logger: Logger,
    *,
    loose: bool = False,
) -> dict[str, Any]:
    """The value of every option. `given` is the plugin's part of the grammar's tree.

    `loose` takes options of any name: those of a plugin that is not played. What is wrong is logged in the real words; then raises `ConfigurationError`.
    """
    values: dict[str, Any] = {name: option.default for name, option in options.items()}
    problems = []
    for name, (value,) in given:
        if name not in options and not loose:
            problems.append(f"Unknown setting '{name}' for {plugin}")
            continue
        try:
            values[name] = _coerce(options.get(name, ANYTHING).kind, substitute(value))
        except ValueError as note:
            problems.append(
                f"Invalid setting for {plugin} {section} plugin:\n\n  {section} {{\n    {plugin} {{\n"
                f"      # This setting must be a {options[name].kind}\n      # {note}\n"
                f"      {name} => {inspect(_plain(value))}\n      ...\n    }}\n  }}"
            )
    for name, option in options.items():
        if option.required and values[name] is None and not problems:
            problems.append(
                f"Missing a required setting for the {plugin} {section} plugin:\n\n  {section} {{\n"
                f"    {plugin} {{\n      {name} => # SETTING MISSING\n      ...\n    }}\n  }}"
            )
    if problems:
        for problem in problems:
            logger.error(problem)
        raise ConfigurationError("Something is wrong with your configuration.")
    return values


def _coerce(kind: Kind, value: Any) -> Any:
    """Raises `ValueError` with the note of the complaint."""
    match kind, value:
        case "codec", _:
            return value
        case "any", _:
            return _nested(value)
        case "array", list():
            return [_plain(item) for item in value]
        case "array", _:
            return [_plain(value)]
        case "hash", list():
            return _hash(value)
        case "hash", _:
            return _hash([value])
        case _, list():
            raise ValueError(f"Expected {kind}, got {inspect(_plain(value))}")
    plain = _plain(value)
    match kind:
        case "number" if isinstance(plain, str):
            try:
                return float(plain) if "." in plain else int(plain)
            except ValueError:
                raise ValueError(f"Expected number, got {inspect(plain)} (type {plain})") from None
        case "boolean" if plain not in ("true", "false"):
            raise ValueError(f"Expected boolean 'true' or 'false', got {inspect(plain)}")
        case "boolean":
            return plain == "true"
    return plain


def _hash(value: list[Any]) -> dict[str, Any]:
    """A hash, or an array that names keys and values in turn. Raises `ValueError` for an odd one."""
    if _is_hash(value):
        return {str(_plain(key)): _nested(item) for key, (item,) in value}
    if len(value) % 2:
        raise ValueError(f"This field must contain an even number of items, got {len(value)}")
    return {str(_plain(key)): _nested(item) for key, item in zip(value[::2], value[1::2], strict=True)}


def _nested(value: Any) -> Any:
    return _hash(value) if _is_hash(value) else _plain(value)


def _is_hash(value: Any) -> bool:
    """Whether a list of the tree was written as a hash: its items are a key and a list of one value."""
    return isinstance(value, list) and all(
        isinstance(item, list) and len(item) == 2 and isinstance(item[1], list) and len(item[1]) == 1
        for item in value
    )


def _plain(value: Any) -> Any:
    """A value of the tree as the real grammar has it: words and addresses are strings there."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value if isinstance(value, int | float | str) else str(value)
