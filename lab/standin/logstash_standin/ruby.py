"""Ruby's notation for values, which Logstash uses in its log lines and errors."""

import errno
import json
import os
from collections.abc import Mapping
from typing import Any


class Raw(str):
    """Text that `inspect` leaves as it is."""

    __slots__ = ()


class Symbol(str):
    """A Ruby symbol: `:name`."""

    __slots__ = ()


def inspect(value: Any) -> str:
    """The text that Ruby's `inspect` returns for a value."""
    match value:
        case Raw():
            return value
        case Symbol():
            return f":{value}"
        case None:
            return "nil"
        case bool():
            return "true" if value else "false"
        case str():
            return json.dumps(value, ensure_ascii=False)
        case Mapping():
            return "{" + ", ".join(f"{inspect(key)}=>{inspect(item)}" for key, item in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(map(inspect, value)) + "]"
        case Exception():
            return f"#<{class_name(value)}: {value}>"
        case _:
            return str(value)


def class_name(error: BaseException) -> str:
    """The name that an exception's class has in Ruby."""
    if isinstance(error, OSError) and error.errno is not None and error.errno in errno.errorcode:
        return f"Errno::{errno.errorcode[error.errno]}"
    return {"ConfigurationError": "LogStash::ConfigurationError", "ValueError": "ArgumentError"}.get(
        type(error).__name__, "RuntimeError"
    )


def bind_error(error: OSError, host: str, port: int) -> Raw:
    """The exception of a failed bind, in Ruby's notation."""
    reason = os.strerror(error.errno or 0)
    return Raw(f'#<{class_name(error)}: {reason} - bind(2) for "{host}" port {port}>')
