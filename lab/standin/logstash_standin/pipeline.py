"""A running pipeline: inputs push to a queue, a worker takes batches through filters to outputs."""

import hashlib
import threading
import uuid
from collections.abc import Callable

from . import build, grammar
from .buffer import Buffer
from .build import Branch, Step
from .codecs import Codec
from .conditions import holds
from .errors import ConfigurationError, PluginLoadingError
from .event import Event, Maker
from .filters import Filter
from .inputs import Input
from .knobs import Knobs
from .log import Log
from .metrics import Flow, PipelineMetrics, Timed
from .outputs import Output
from .plugin import Context
from .ruby import class_name
from .sources import PipelineSource


class Pipeline:
    """One pipeline, from its text on. Making one checks the text and touches nothing outside.

    Raises `ConfigurationError` with the real message.
    """

    def __init__(self, source: PipelineSource, totals: PipelineMetrics, knobs: Knobs, log: Log) -> None:
        self.source = source
        version = source.settings.version
        maker = Maker(ecs=source.settings.ecs, precise=version >= (8, 0))
        context = Context(version, knobs, log, source.id, maker)
        tree = grammar.parse(source.text)
        try:
            self._plan = build.plan(tree, context)
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
        self.finished = threading.Event()
        self._log = log.logger(
            "logstash.javapipeline" if version >= (7, 0) else "logstash.pipeline", source.id
        )
        self._totals = totals
        self._queue: Buffer[Event] = Buffer(2 * self.batch_size * self.workers)
        self._input_threads: list[threading.Thread] = []
        self.flows = self._flows()

    @property
    def inputs(self) -> list[Input]:
        return self._plan.inputs

    @property
    def filters(self) -> list[Filter]:
        return [step for step in build.leaves(self._plan.filters) if isinstance(step, Filter)]

    @property
    def outputs(self) -> list[Output]:
        return [step for step in build.leaves(self._plan.outputs) if isinstance(step, Output)]

    @property
    def codecs(self) -> list[Codec]:
        """Each input's and output's."""
        return [*(each.codec for each in self.inputs), *(each.codec for each in self.outputs)]

    def start(self, finished: Callable[[], None]) -> None:
        """Run until `stop`, until the inputs end, or until an output raises; then call `finished`.

        Raises `ConfigurationError` when an input can't be registered; nothing runs then.
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
        for each in self.inputs:
            each.attach(self._queue, self.metrics, self._totals)
            each.register()
        worker = threading.Thread(target=self._work, name=f"[{self.id}]>worker0")
        worker.start()
        self._input_threads = [
            threading.Thread(target=self._keep, args=(each,), name=f"[{self.id}]<{each.NAME}")
            for each in self.inputs
        ]
        for thread in self._input_threads:
            thread.start()
        self._log.info("Pipeline started", **{"pipeline.id": self.id})
        threading.Thread(
            target=self._manage, args=(worker, finished), name=f"[{self.id}]-pipeline-manager"
        ).start()

    def stop(self) -> None:
        """Close the inputs, send all that was accepted through the outputs, close those, and return."""
        self._stop_inputs()
        self.finished.wait()

    def discard(self) -> None:
        """Give back what the plugins hold: after a run, or instead of one."""
        for each in self.inputs:
            each.close()
        for output in self.outputs:
            output.close()

    def _manage(self, worker: threading.Thread, finished: Callable[[], None]) -> None:
        for thread in self._input_threads:
            thread.join()
        self._queue.close()
        worker.join()
        self.discard()
        self._log.info("Pipeline terminated", **{"pipeline.id": self.id})
        self.finished.set()
        finished()

    def _keep(self, plugin: Input) -> None:
        """Run an input, again after a second whenever it raises."""
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
        for each in self.inputs:
            each.stop()

    def _work(self) -> None:
        try:
            while batch := self._queue.take(self.batch_size):
                self._process(batch)
        except Exception as error:  # whatever a plugin raises ends the pipeline
            self._log.error(
                "Pipeline worker error, the pipeline will be stopped",
                pipeline_id=self.id,
                error=str(error),
                exception=error,
            )
            self.crashed = True
            self._stop_inputs()
            self._queue.abandon()

    def _process(self, batch: list[Event]) -> None:
        with Timed(self.metrics.duration, self._totals.duration):
            left = _run(self._plan.filters, batch)
            _run(self._plan.outputs, left)
        for metrics in (self.metrics, self._totals):
            metrics.filtered.add(len(batch))
            metrics.went_out.add(len(left))

    def _flows(self) -> dict[str, Flow]:
        for each in self.inputs:
            each.metrics.flows = {"throughput": self.metrics.per_second(each.metrics.went_out.read)}
        for step in (*self.filters, *self.outputs):
            spent, came_in = step.metrics.duration.read, step.metrics.came_in.read
            step.metrics.flows = {
                "worker_millis_per_event": Flow(spent, came_in),
                "worker_utilization": self._utilization(spent),
            }
        return self.metrics.flows() | {"worker_utilization": self._utilization(self.metrics.duration.read)}

    def _utilization(self, millis: Callable[[], float]) -> Flow:
        return Flow(lambda: 100 * millis(), lambda: 1000 * self.metrics.uptime * self.workers)


def _run(steps: list[Step], events: list[Event]) -> list[Event]:
    """Send events through steps; those that were not dropped on the way.

    A branch's alternative gets those for which it is the first to hold.
    """
    for step in steps:
        if not events:
            break
        if isinstance(step, Branch):
            rest = events
            for condition, inner in step.alternatives:
                chosen: list[Event] = []
                others: list[Event] = []
                for event in rest:
                    (chosen if condition is None or holds(condition, event) else others).append(event)
                _run(inner, chosen)
                rest = others
            events = [event for event in events if not event.cancelled]
        else:
            step.metrics.came_in.add(len(events))
            with Timed(step.metrics.duration):
                step.receive(events)
            events = [event for event in events if not event.cancelled]
            step.metrics.went_out.add(len(events))
    return events
