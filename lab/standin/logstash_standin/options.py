"""A plugin's options: their kinds and defaults, and the real errors for wrong ones."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from .environment import substitute
from .errors import ConfigurationError
from .log import Logger
from .ruby import inspect

Kind = Literal["string", "number", "boolean", "array", "hash", "codec", "path", "any"]


@dataclass(frozen=True)
class Option:
    """An option's kind of value and its default."""

    kind: Kind
    default: Any = None
    required: bool = False


ANYTHING = Option("any")


def extend(base: Mapping[str, Option], **options: Option) -> Mapping[str, Option]:
    """Options with further ones added."""
    return {**base, **options}


def read_options(
    section: str,
    plugin: str,
    options: Mapping[str, Option],
    given: Iterable[tuple[str, list[Any]]],
    logger: Logger,
    *,
    allow_unknown: bool = False,
) -> dict[str, Any]:
    """The value of every option, by name. `given` are the options in the grammar's tree.

    `allow_unknown` accepts options of any name, for plugins that are not implemented. Errors are logged
    with the real messages; then `ConfigurationError` is raised.
    """
    values: dict[str, Any] = {name: option.default for name, option in options.items()}
    problems = []
    for name, (value,) in given:
        if name not in options and not allow_unknown:
            problems.append(f"Unknown setting '{name}' for {plugin}")
            continue
        try:
            values[name] = _coerce(options.get(name, ANYTHING).kind, substitute(value))
        except ValueError as reason:
            problems.append(
                f"Invalid setting for {plugin} {section} plugin:\n\n  {section} {{\n    {plugin} {{\n"
                f"      # This setting must be a {options[name].kind}\n      # {reason}\n"
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
    """A value of the tree, converted to this kind. Raises `ValueError` with the reason."""
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
        case "path" if not Path(str(plain)).exists():
            raise ValueError(f"File does not exist or cannot be opened {plain}")
    return plain


def _hash(value: list[Any]) -> dict[str, Any]:
    """A hash, or an array of alternating keys and values. Raises `ValueError` for an odd number of items."""
    if _is_hash(value):
        return {str(_plain(key)): _nested(item) for key, (item,) in value}
    if len(value) % 2:
        raise ValueError(f"This field must contain an even number of items, got {len(value)}")
    return {str(_plain(key)): _nested(item) for key, item in zip(value[::2], value[1::2], strict=True)}


def _nested(value: Any) -> Any:
    return _hash(value) if _is_hash(value) else _plain(value)


def _is_hash(value: Any) -> bool:
    """Whether a list of the tree is a hash: each of its items is a key and a list of one value."""
    return isinstance(value, list) and all(
        isinstance(item, list) and len(item) == 2 and isinstance(item[1], list) and len(item[1]) == 1
        for item in value
    )


def _plain(value: Any) -> Any:
    """A value of the tree as the real grammar reads it, in which words and addresses are strings."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value if isinstance(value, int | float | str) else str(value)
