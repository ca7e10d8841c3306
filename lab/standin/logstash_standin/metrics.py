"""Counters, and the flow rates that 8.5 and later make of them."""

import collections
import threading
import time
from collections.abc import Callable

Rates = dict[str, float | str]

WINDOW = 10.0
"""Seconds that a `current` rate looks back, where an older measure is known."""


class Counter:
    """A number that several threads add to."""

    __slots__ = ("_lock", "value")

    def __init__(self) -> None:
        self.value = 0
        self._lock = threading.Lock()

    def add(self, amount: int) -> None:
        with self._lock:
            self.value += amount

    def read(self) -> float:
        return self.value


class Stopwatch:
    """Time spent, summed over threads, with what they are spending now."""

    __slots__ = ("_lock", "_nanoseconds", "_running")

    def __init__(self) -> None:
        self._nanoseconds = self._running = 0
        self._lock = threading.Lock()

    def start(self, now: int) -> None:
        with self._lock:
            self._nanoseconds -= now
            self._running += 1

    def stop(self, now: int) -> None:
        with self._lock:
            self._nanoseconds += now
            self._running -= 1

    @property
    def millis(self) -> int:
        with self._lock:
            return (self._nanoseconds + self._running * time.perf_counter_ns()) // 10**6

    def read(self) -> float:
        return self.millis


class Timed:
    """`with Timed(watch, …)`: the time the block takes goes to each watch."""

    __slots__ = ("_watches",)

    def __init__(self, *watches: Stopwatch) -> None:
        self._watches = watches

    def __enter__(self) -> None:
        now = time.perf_counter_ns()
        for watch in self._watches:
            watch.start(now)

    def __exit__(self, *_: object) -> None:
        now = time.perf_counter_ns()
        for watch in self._watches:
            watch.stop(now)


class Flow:
    """A rate of two growing numbers, over their lifetime and over the last seconds.

    The real one measures every 5 seconds; this one when it is asked, so that an idle process stays idle.
    """

    def __init__(self, numerator: Callable[[], float], denominator: Callable[[], float]) -> None:
        self._numerator, self._denominator = numerator, denominator
        self._first = self._measure()
        self._history = collections.deque([self._first])
        self._lock = threading.Lock()

    def rates(self) -> Rates:
        """`current` and `lifetime` to four digits; "Infinity" for some by none, nothing for none by none."""
        with self._lock:
            now = self._measure()
            self._history.append(now)
            while len(self._history) > 2 and now[0] - self._history[1][0] >= WINDOW:
                self._history.popleft()
            bases = {"current": self._history[0], "lifetime": self._first}
        rates: Rates = {}
        for name, base in bases.items():
            top, bottom = now[1] - base[1], now[2] - base[2]
            if bottom:
                rates[name] = float(f"{top / bottom:.4g}")
            elif top:
                rates[name] = "Infinity"
        return rates

    def _measure(self) -> tuple[float, float, float]:
        return time.monotonic(), self._numerator(), self._denominator()


class PluginMetrics:
    """What is counted of a plugin. `gauges` stand beside the counts, as `workers` of the udp input."""

    def __init__(self, name: str, id: str) -> None:
        self.name, self.id = name, id
        self.came_in, self.went_out = Counter(), Counter()
        self.duration, self.queue_push = Stopwatch(), Stopwatch()
        self.gauges: dict[str, int] = {}
        self.errors: collections.Counter[str] = collections.Counter()
        self.flows: dict[str, Flow] = {}


class CodecMetrics:
    """What is counted of a codec."""

    def __init__(self, name: str, id: str) -> None:
        self.name, self.id = name, id
        self.decode_in, self.decode_out, self.encode_in = Counter(), Counter(), Counter()
        self.decode_time, self.encode_time = Stopwatch(), Stopwatch()


class PipelineMetrics:
    """What is counted of a pipeline, or of all of them."""

    def __init__(self) -> None:
        self.came_in, self.filtered, self.went_out = Counter(), Counter(), Counter()
        self.duration, self.queue_push = Stopwatch(), Stopwatch()
        self.started = time.monotonic()

    @property
    def uptime(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self.started

    def per_second(self, count: Callable[[], float]) -> Flow:
        """The rate of a count by the uptime."""
        return Flow(count, lambda: self.uptime)

    def flows(self) -> dict[str, Flow]:
        """The rates that a pipeline and the whole process both have."""
        return {
            "input_throughput": self.per_second(self.came_in.read),
            "filter_throughput": self.per_second(self.filtered.read),
            "output_throughput": self.per_second(self.went_out.read),
            "queue_backpressure": self.per_second(lambda: self.queue_push.millis / 1000),
            "worker_concurrency": self.per_second(lambda: self.duration.millis / 1000),
        }
