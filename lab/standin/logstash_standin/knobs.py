"""What only the lab can set, through the environment (in a guest: /etc/default/logstash)."""

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Knobs:
    """Durations in seconds that a real Logstash has by nature."""

    start_delay: float
    """From the start of the process until pipelines run."""
    stop_delay: float
    """From SIGTERM until the API is gone."""
    retry: float
    """Between two attempts of the udp input to bind its port."""


def read() -> Knobs:
    """Read `LOGSTASH_STANDIN_*`. Raises `ValueError` for what is not a number."""

    def seconds(name: str, default: float) -> float:
        return float(os.environ.get(f"LOGSTASH_STANDIN_{name}", default))

    return Knobs(
        start_delay=seconds("START_DELAY", 0), stop_delay=seconds("STOP_DELAY", 5), retry=seconds("RETRY", 5)
    )
