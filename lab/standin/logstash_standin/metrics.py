"""Counters, and the flow rates that 8.5 and later derive from them."""

import collections
import threading
import time
from collections.abc import Callable

Rates = dict[str, float | str]

WINDOW = 10.0
"""The period, in seconds, of a `current` rate; shorter while no older measurement is known."""


class Counter:
    """A number that several threads may add to."""

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
    """Time spent, summed over all threads and including blocks that have not ended."""

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
    """`with Timed(stopwatch, …)` adds the time that the block takes to each stopwatch."""

    __slots__ = ("_stopwatches",)

    def __init__(self, *stopwatches: Stopwatch) -> None:
        self._stopwatches = stopwatches

    def __enter__(self) -> None:
        now = time.perf_counter_ns()
        for stopwatch in self._stopwatches:
            stopwatch.start(now)

    def __exit__(self, *_: object) -> None:
        now = time.perf_counter_ns()
        for stopwatch in self._stopwatches:
            stopwatch.stop(now)


class Flow:
    """The growth of one number divided by that of another, over their lifetime and over the last seconds.

    The real one measures every 5 seconds. This one measures on request, so that an idle process stays idle.
    """

    def __init__(self, numerator: Callable[[], float], denominator: Callable[[], float]) -> None:
        self._numerator, self._denominator = numerator, denominator
        self._first = self._measure()
        self._history = collections.deque([self._first])
        self._lock = threading.Lock()

    def rates(self) -> Rates:
        """`current` and `lifetime`, to four digits: "Infinity" for n/0, and missing for 0/0."""
        with self._lock:
            now = self._measure()
            self._history.append(now)
            while len(self._history) > 2 and now[0] - self._history[1][0] >= WINDOW:
                self._history.popleft()
            starts = {"current": self._history[0], "lifetime": self._first}
        rates: Rates = {}
        for name, start in starts.items():
            numerator, denominator = now[1] - start[1], now[2] - start[2]
            if denominator:
                rates[name] = float(f"{numerator / denominator:.4g}")
            elif numerator:
                rates[name] = "Infinity"
        return rates

    def _measure(self) -> tuple[float, float, float]:
        return time.monotonic(), self._numerator(), self._denominator()


class PluginMetrics:
    """The metrics of a plugin. `gauges` are fixed values, such as `workers` of the udp input."""

    def __init__(self, name: str, id: str) -> None:
        self.name, self.id = name, id
        self.events_in, self.events_out = Counter(), Counter()
        self.duration, self.queue_push = Stopwatch(), Stopwatch()
        self.gauges: dict[str, int] = {}
        self.errors: collections.Counter[str] = collections.Counter()
        self.flows: dict[str, Flow] = {}


class CodecMetrics:
    """The metrics of a codec."""

    def __init__(self, name: str, id: str) -> None:
        self.name, self.id = name, id
        self.decode_in, self.decode_out, self.encode_in = Counter(), Counter(), Counter()
        self.decode_time, self.encode_time = Stopwatch(), Stopwatch()


class PipelineMetrics:
    """The metrics of one pipeline, or of all together."""

    def __init__(self) -> None:
        self.events_in, self.events_filtered, self.events_out = Counter(), Counter(), Counter()
        self.duration, self.queue_push = Stopwatch(), Stopwatch()
        self.started = time.monotonic()

    @property
    def uptime(self) -> float:
        """Seconds since the pipeline was created."""
        return time.monotonic() - self.started

    def per_second(self, count: Callable[[], float]) -> Flow:
        """The flow of a number by the uptime."""
        return Flow(count, lambda: self.uptime)

    def flows(self) -> dict[str, Flow]:
        """The flows that a single pipeline and the whole process have in common."""
        return {
            "input_throughput": self.per_second(self.events_in.read),
            "filter_throughput": self.per_second(self.events_filtered.read),
            "output_throughput": self.per_second(self.events_out.read),
            "queue_backpressure": self.per_second(lambda: self.queue_push.millis / 1000),
            "worker_concurrency": self.per_second(lambda: self.duration.millis / 1000),
        }
