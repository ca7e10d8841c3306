"""Placeholders `${NAME}` and `${NAME:default}` in settings and pipelines."""

import os
import re
from typing import Any

from .errors import ConfigurationError

_PLACEHOLDER = re.compile(r"\$\{([a-zA-Z_.][a-zA-Z0-9_.]*)(?::([^}]*))?\}")


def substitute(value: Any) -> Any:
    """Replace the placeholders in a value, at any depth. Raises `ConfigurationError` for an unset name."""
    if isinstance(value, str):
        return _PLACEHOLDER.sub(_replacement, value)
    if isinstance(value, list):
        return [substitute(item) for item in value]
    if isinstance(value, dict):
        return {key: substitute(item) for key, item in value.items()}
    return value


def _replacement(match: re.Match[str]) -> str:
    value = os.environ.get(match[1], match[2])
    if value is None:
        raise ConfigurationError(
            f"Cannot evaluate `{match[0]}`. Replacement variable `{match[1]}` is not defined in a Logstash"
            " secret store or as an Environment entry and there is no default value given."
        )
    return value
