"""Delays that only the lab can set, through the environment (in a guest: /etc/default/logstash)."""

import os
import threading
import time
from dataclasses import dataclass, field


class WarmUp:
    """A cold JVM: it takes `rate` events a second until it has taken those of `seconds`."""

    def __init__(self, rate: float = 1000, seconds: float = 0) -> None:
        self._rate = rate
        self._left = rate * seconds
        self._free_at = 0.0
        self._lock = threading.Lock()

    def most(self, events: int) -> int:
        """How many of so many events are taken at once: a cold JVM takes those of a tenth of a second, and counts no more."""
        return events if self._left <= 0 else max(1, min(events, int(self._rate / 10)))

    def take(self, events: int) -> None:
        """Wait for as long as a cold JVM is busy with so many events; a warm one is not."""
        with self._lock:
            if self._left <= 0 or not events:
                return
            self._left -= events
            self._free_at = max(self._free_at, time.monotonic()) + events / self._rate
            time.sleep(max(0.0, self._free_at - time.monotonic()))


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
    warm_up: WarmUp = field(default_factory=WarmUp)
    """What the process takes while it is cold; all of its inputs share it."""


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
        warm_up=WarmUp(seconds("COLD_RATE", 1000), seconds("COLD_SECONDS", 0)),
    )
