"""Delays that only the lab can set, through the environment (in a guest: /etc/default/logstash)."""

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Delays:
    """Delays, in seconds, that a real Logstash has by its nature."""

    start: float
    """From the start of the process until its pipelines run."""
    stop: float
    """From SIGTERM until the API is gone."""
    bind_retry: float
    """Between two attempts of the udp input to bind its port."""
    blocked: float = 62.0
    """From the moment when an output blocks until the status is yellow."""
    keepalive: float = 5.0
    """Between two answers of the beats input that it is still at work with a window."""


def read_delays() -> Delays:
    """Read `LOGSTASH_STANDIN_*`. Raises `ValueError` for a value that is not a number."""

    def seconds(name: str, default: float) -> float:
        return float(os.environ.get(f"LOGSTASH_STANDIN_{name}", default))

    return Delays(
        start=seconds("START_DELAY", 0),
        stop=seconds("STOP_DELAY", 5),
        bind_retry=seconds("RETRY", 5),
        blocked=seconds("BLOCKED", 62),
        keepalive=seconds("KEEPALIVE", 5),
    )
