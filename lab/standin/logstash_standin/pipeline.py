"""A running pipeline: inputs push events into a queue; a worker passes them to filters and outputs."""

import hashlib
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from . import grammar
from .buffer import Buffer
from .codecs import Codec
from .conditions import holds
from .delays import Delays
from .errors import ConfigurationError, PluginLoadingError
from .event import Event, EventFactory
from .filters import Filter
from .inputs import Input
from .log import Log
from .metrics import Flow, PipelineMetrics, Timed
from .outputs import Output
from .persisted import PersistedQueue
from .plan import Branch, Step, make_plan, plugins_in
from .plugin import Context
from .ruby import class_name
from .sources import PipelineSource

SHARE_WITH_HASH = 0.5
"""The share of the stop delay for which a pipeline that has crashed keeps its hash in the API."""


class Pipeline:
    """A pipeline. Creating one checks its text and opens no port or file.

    Raises `ConfigurationError` with the real message.
    """

    def __init__(self, source: PipelineSource, totals: PipelineMetrics, delays: Delays, log: Log) -> None:
        self.source = source
        version = source.settings.version
        event_factory = EventFactory(ecs=source.settings.ecs, precise=version >= (8, 0))
        context = Context(version, delays, log, source.id, event_factory)
        tree = grammar.parse(source.text, escapes=source.settings["config.support_escapes"])
        try:
            self._plan = make_plan(tree, context)
        except (ConfigurationError, PluginLoadingError) as error:
            kind = f"Unable to configure plugins: ({type(error).__name__}) " if version >= (7, 0) else ""
            raise ConfigurationError(f"{kind}{error}") from None
        self.id = source.id
        self.hash = hashlib.sha256(source.text.encode()).hexdigest()
        self.ephemeral_id = str(uuid.uuid4())
        self.workers: int = source.settings["pipeline.workers"]
        self.batch_size: int = source.settings["pipeline.batch.size"]
        self.batch_delay: int = source.settings["pipeline.batch.delay"]
        self.metrics = PipelineMetrics()
        self.crashed = False
        self._crashed_at = 0.0
        self._delays = delays
        self._batch_since: float | None = None
        """Since when the worker has been busy with a batch."""
        self.finished = threading.Event()
        self._log = log.logger(
            "logstash.javapipeline" if version >= (7, 0) else "logstash.pipeline", source.id
        )
        self._totals = totals
        self.persisted = _persisted_queue(source)
        self._queue = self.persisted or Buffer[Event](2 * self.batch_size * self.workers)
        self._input_threads: list[threading.Thread] = []
        self.flows = self._flows()

    @property
    def inputs(self) -> list[Input]:
        return self._plan.inputs

    @property
    def filters(self) -> list[Filter]:
        return [plugin for plugin in plugins_in(self._plan.filters) if isinstance(plugin, Filter)]

    @property
    def outputs(self) -> list[Output]:
        return [plugin for plugin in plugins_in(self._plan.outputs) if isinstance(plugin, Output)]

    @property
    def codecs(self) -> list[Codec]:
        return [plugin.codec for plugin in (*self.inputs, *self.outputs)]

    def start(self, on_finished: Callable[[], None]) -> None:
        """Run until `stop` is called, the inputs end, or a filter or output raises; then call `on_finished`.

        Raises `ConfigurationError` when an input cannot be registered, or the queue not opened; then nothing runs.
        """
        self._log.info(
            "Starting pipeline",
            pipeline_id=self.id,
            **{
                "pipeline.workers": self.workers,
                "pipeline.batch.size": self.batch_size,
                "pipeline.batch.delay": self.batch_delay,
                "pipeline.max_inflight": self.batch_size * self.workers,
                "pipeline.sources": list(self.source.paths) or ["config string"],
            },
        )
        if self.persisted:
            self.persisted.open()
        for plugin in self.inputs:
            plugin.attach(self._queue, self.metrics, self._totals)
            plugin.register()
        worker = threading.Thread(target=self._work, name=f"[{self.id}]>worker0")
        worker.start()
        self._input_threads = [
            threading.Thread(target=self._run_input, args=(plugin,), name=f"[{self.id}]<{plugin.NAME}")
            for plugin in self.inputs
        ]
        for thread in self._input_threads:
            thread.start()
        self._log.info("Pipeline started", **{"pipeline.id": self.id})
        threading.Thread(
            target=self._manage, args=(worker, on_finished), name=f"[{self.id}]-pipeline-manager"
        ).start()

    @property
    def crashed_just_now(self) -> bool:
        """Whether it has crashed so lately that the API still gives its hash."""
        return self.crashed and time.monotonic() < self._crashed_at + SHARE_WITH_HASH * self._delays.stop

    @property
    def blocked(self) -> bool:
        """Whether its worker has been blocked for so long that the health report says so."""
        since = self._batch_since
        return since is not None and time.monotonic() >= since + self._delays.blocked

    def stop(self) -> None:
        """Close the inputs, write all accepted events, close the outputs, and return. A persisted queue keeps what no batch has
        taken."""
        self._stop_inputs()
        self.finished.wait()

    def discard(self) -> None:
        """Close the plugins of a pipeline that has ended or never started."""
        for plugin in (*self.inputs, *self.outputs):
            plugin.close()

    def _manage(self, worker: threading.Thread, on_finished: Callable[[], None]) -> None:
        """Wait for the end of the inputs and then of the worker, and clean up."""
        for thread in self._input_threads:
            thread.join()
        self._queue.close()
        worker.join()
        self.discard()
        self._log.info("Pipeline terminated", **{"pipeline.id": self.id})
        self.finished.set()
        on_finished()

    def _run_input(self, plugin: Input) -> None:
        """Run an input, and run it again a second after it has raised an error."""
        while not plugin.stopping.is_set():
            try:
                plugin.run()
                return
            except Exception as error:
                self._log.error(
                    "A plugin had an unrecoverable error. Will restart this plugin.\n"
                    f"  Pipeline_id:{self.id}\n"
                    f'  Plugin: <LogStash::Inputs::{plugin.NAME.title()} id=>"{plugin.metrics.id}">\n'
                    f"  Error: {error}\n  Exception: {class_name(error)}\n  Stack: "
                )
                plugin.stopping.wait(1)

    def _stop_inputs(self) -> None:
        for plugin in self.inputs:
            plugin.stop()

    def _work(self) -> None:
        try:
            while batch := self._queue.take(self.batch_size):
                self._process(batch)
                self._queue.done()
        except Exception as error:  # any error of a filter or output ends the pipeline
            self._log.error(
                "Pipeline worker error, the pipeline will be stopped",
                pipeline_id=self.id,
                error=str(error),
                exception=error,
            )
            self._crashed_at = time.monotonic()
            self.crashed = True
            self._stop_inputs()
            self._queue.abandon()

    def _process(self, batch: list[Event]) -> None:
        self._batch_since = time.monotonic()
        with Timed(self.metrics.duration, self._totals.duration):
            filtered = _run_steps(self._plan.filters, batch)
            _run_steps(self._plan.outputs, filtered)
        for metrics in (self.metrics, self._totals):
            metrics.events_filtered.add(len(batch))
            metrics.events_out.add(len(filtered))
        self._batch_since = None

    def _flows(self) -> dict[str, Flow]:
        """Give each plugin its flows, and return those of the pipeline."""
        for plugin in self.inputs:
            plugin.metrics.flows = {"throughput": self.metrics.per_second(plugin.metrics.events_out.read)}
        for step in (*self.filters, *self.outputs):
            millis = step.metrics.duration.read
            step.metrics.flows = {
                "worker_millis_per_event": Flow(millis, step.metrics.events_in.read),
                "worker_utilization": self._utilization(millis),
            }
        return self.metrics.flows() | {"worker_utilization": self._utilization(self.metrics.duration.read)}

    def _utilization(self, millis: Callable[[], float]) -> Flow:
        return Flow(lambda: 100 * millis(), lambda: 1000 * self.metrics.uptime * self.workers)


def _persisted_queue(source: PipelineSource) -> PersistedQueue | None:
    """The pipeline's queue on disk, where it has one."""
    if source.settings["queue.type"] == "memory":
        return None
    folder = Path(source.settings["path.data"], "queue", source.id)
    return PersistedQueue(folder, source.settings["queue.max_bytes"])


def _run_steps(steps: list[Step], events: list[Event]) -> list[Event]:
    """Pass events through steps, and return those that no filter has dropped.

    Of a branch, each event takes the first alternative whose condition holds.
    """
    for step in steps:
        if not events:
            break
        if isinstance(step, Branch):
            remaining = events
            for condition, inner in step.alternatives:
                chosen: list[Event] = []
                others: list[Event] = []
                for event in remaining:
                    (chosen if condition is None or holds(condition, event) else others).append(event)
                _run_steps(inner, chosen)
                remaining = others
            events = [event for event in events if not event.cancelled]
        else:
            step.metrics.events_in.add(len(events))
            with Timed(step.metrics.duration):
                step.receive(events)
            events = [event for event in events if not event.cancelled]
            step.metrics.events_out.add(len(events))
    return events
