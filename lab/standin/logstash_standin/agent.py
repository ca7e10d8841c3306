"""The agent: runs the pipelines that are configured, and reloads them on SIGHUP or by itself."""

import signal
import time
import uuid
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from .delays import Delays
from .errors import ConfigurationError, SettingsError, UsageError
from .event import timestamp
from .log import Log
from .metrics import PipelineMetrics
from .pipeline import Pipeline
from .ruby import Raw, Symbol
from .settings import Settings
from .signals import Signals
from .sources import PipelineSource, fetch_sources

State = Literal["UNKNOWN", "LOADING", "RUNNING", "FINISHED", "TERMINATED"]

SHARE_BEFORE_API = 0.8
"""The share of the start delay that passes before the API answers."""
SHARE_BEFORE_PIPELINES = 0.9
"""The share of it that passes before the API lists a pipeline. In the rest, the inputs are listed one by one."""
SHARE_STILL_RUNNING = 0.8
"""The share of the stop delay for which the pipelines still count as running."""
SHARE_BEFORE_GHOSTS = 0.95
"""The share of it after which the pipelines that have ended are listed without their plugins."""
SHARE_RELOADING = 0.05
"""The share of it that most steps of a reload, and of the removal of a pipeline, take."""
FAILED_START_SECONDS = 2.0
"""How long a pipeline that cannot start is LOADING: the real one's file output takes this to close."""


@dataclass
class Reloads:
    """The outcomes of reloads, of one pipeline or of all."""

    successes: int = 0
    failures: int = 0
    last_error: dict[str, Any] | None = None
    last_success_timestamp: str | None = None
    last_failure_timestamp: str | None = None


@dataclass
class ManagedPipeline:
    """A configured pipeline and what the agent knows of it."""

    pipeline: Pipeline | None = None
    loading: bool = False
    draining: bool = False
    listed_inputs: int | None = None
    """How many of its inputs the API lists, and nothing else of it, while its plugins are created; otherwise `None`."""
    ran: bool = False
    """Whether it has ever run; before that the API has no `reloads` of it."""
    start_attempted: bool = False
    """Whether the agent has tried to start it; before that the API does not list it."""
    reloads: Reloads = field(default_factory=Reloads)

    @property
    def state(self) -> State:
        """Its state in the health report."""
        if self.pipeline is None:
            return "UNKNOWN"
        if self.loading:
            return "LOADING"
        if self.listed_inputs is not None:
            return "UNKNOWN"
        if self.pipeline.crashed:
            return "TERMINATED"
        if self.pipeline.finished.is_set() and not self.draining:
            return "FINISHED"
        return "RUNNING"

    @property
    def has_hash(self) -> bool:
        """Whether the API gives its hash: while it runs, and for some time after it has crashed."""
        if self.pipeline is None or self.listed_inputs is not None:
            return False
        return self.state == "RUNNING" or (self.state == "TERMINATED" and self.pipeline.crashed_just_now)


class Agent:
    """Runs pipelines until a signal ends it, or until none runs and no reload can start one."""

    def __init__(self, settings: Settings, delays: Delays, log: Log, signals: Signals) -> None:
        self.settings, self.delays = settings, delays
        self.version = settings.version
        self.name: str = settings["node.name"]
        self.ephemeral_id = str(uuid.uuid4())
        self.http_address: str | None = None
        self.managed: dict[str, ManagedPipeline] = {}
        self.ghosts: dict[str, ManagedPipeline] = {}
        """Pipelines that have been removed: the statistics still list them, without plugins and numbers."""
        self.totals = PipelineMetrics()
        self.flows = self.totals.flows()
        self.reloads = Reloads()
        self._all_logs = log
        self._log = log.logger("logstash.agent")
        self._runner_log = log.logger("logstash.runner")
        self._signals = signals
        self.terminating = False
        self._reload_requested = False
        self._sources: list[PipelineSource] | None = None
        self.id = self._persistent_id(Path(settings["path.data"]) / "uuid")

    def prepare(self) -> None:
        """Read the configured pipelines, so that the health report can name them before they start."""
        self._sources = self._fetch()
        self.managed = {source.id: ManagedPipeline() for source in self._sources or ()}

    def run(self) -> int:
        """Start the pipelines, keep them running and return the exit status."""
        self._converge(self._sources, (1 - SHARE_BEFORE_PIPELINES) * self.delays.start)
        reload = self.settings["config.reload.automatic"]
        started = self.terminating or any(managed.pipeline for managed in self.managed.values())
        if not reload and not started:
            return 1
        while not self.terminating and (reload or self._running()):
            if not self._reload_requested:  # one that came while the pipelines were made
                self._wait(self.settings["config.reload.interval"] if reload else None)
            if not self.terminating and (reload or self._reload_requested):
                self._reload_requested = False
                self._converge(self._fetch())
        self._shut_down()
        return 0

    def pause(self, seconds: float) -> None:
        """Wait, but not beyond the signal that ends the process."""
        end = time.monotonic() + seconds
        while not self.terminating and (remaining := end - time.monotonic()) > 0:
            self._wait(remaining)

    def _wait(self, seconds: float | None) -> None:
        for number in self._signals.wait(seconds):
            if number in (signal.SIGTERM, signal.SIGINT):
                self._runner_log.warn(f"{signal.Signals(number).name} received. Shutting down.")
                self.terminating = True
            elif number == signal.SIGHUP:
                self._runner_log.warn("SIGHUP received.")
                self._reload_requested = True

    def _running(self) -> list[str]:
        return [id for id, managed in self.managed.items() if managed.state in ("RUNNING", "LOADING")]

    def _fetch(self) -> list[PipelineSource] | None:
        try:
            return fetch_sources(self.settings, self._all_logs)
        except (ConfigurationError, SettingsError, UsageError) as error:
            self._all_logs.logger("logstash.config.sourceloader").error(
                "Could not fetch all the sources", exception=error, message=str(error), backtrace=[]
            )
            return None

    def _converge(self, sources: list[PipelineSource] | None, seconds: float = 0.0) -> None:
        """Make the pipelines those of the sources; new ones take so long in all."""
        if sources is None:
            return
        results = []
        for source in sources:
            managed = self.managed.setdefault(source.id, ManagedPipeline())
            if managed.pipeline is None:
                results.append(self._create(source, managed, seconds / len(sources)))
            elif managed.pipeline.source != source:
                results.append(self._reload(source, managed, managed.pipeline))
        configured = {source.id for source in sources}
        for id in [id for id in self.managed if id not in configured]:
            self._remove(id)
            results.append(True)
        if results and all(results):
            running = self._running()
            self._log.info(
                "Pipelines running",
                count=len(running),
                running_pipelines=[Symbol(id) for id in running],
                non_running_pipelines=[Symbol(id) for id in self.managed if id not in running],
            )

    def _create(self, source: PipelineSource, managed: ManagedPipeline, seconds: float) -> bool:
        self.ghosts.pop(source.id, None)
        pipeline = self._make_pipeline(source, managed)
        if pipeline is None:
            managed.start_attempted = True
            return False
        self._list_inputs(pipeline, managed, seconds / 2)
        managed.loading, managed.listed_inputs = True, None
        self.pause(seconds / 4)
        if self.terminating:
            managed.pipeline, managed.loading = None, False
            return False
        if self._start(pipeline, managed, seconds / 4):
            return True
        managed.pipeline = None
        return self._record_failure(
            source, managed, f"Could not execute action: PipelineAction::Create<{source.id}>"
        )

    def _reload(self, source: PipelineSource, managed: ManagedPipeline, old: Pipeline) -> bool:
        pipeline = self._make_pipeline(source, managed)
        if pipeline is None:
            return False
        self._log.info("Reloading pipeline", **{"pipeline.id": Symbol(source.id)})
        step = SHARE_RELOADING * self.delays.stop
        managed.loading = True
        self.pause(step)  # the hash is gone before the ports are closed
        old.stop()
        # The real one takes time to stop and to start, and does not listen meanwhile.
        self.pause(2 * step)
        managed.listed_inputs = 0
        self.pause(step)
        self._list_inputs(pipeline, managed, step / 2)
        managed.listed_inputs = None
        self.pause(step / 2)
        if not self._start(pipeline, managed):
            pipeline.crashed = True
            return self._record_failure(
                source, managed, f"Could not execute action: PipelineAction::Reload<{source.id}>"
            )
        managed.reloads.successes += 1
        self.reloads.successes += 1
        managed.reloads.last_success_timestamp = self._now()
        return True

    def _remove(self, id: str) -> None:
        """Stop a pipeline. The API goes through the same states as at the end of the process."""
        managed, step = self.managed[id], SHARE_RELOADING * self.delays.stop
        if managed.pipeline is not None:
            managed.draining = True
            managed.pipeline.stop()
            self.pause(step)
            managed.draining = False
            self.pause(2 * step)
        self._leave_ghost(id)

    def _leave_ghost(self, id: str) -> None:
        # A copy, since the API may just be answering about the pipeline; and at any time it is one of the two.
        self.ghosts[id] = replace(self.managed[id], listed_inputs=0)
        del self.managed[id]

    def _list_inputs(self, pipeline: Pipeline, managed: ManagedPipeline, seconds: float) -> None:
        """Create the plugins of a pipeline, which takes so long: the API lists one input after the other."""
        count = len(pipeline.inputs)
        managed.listed_inputs = min(1, count)
        managed.pipeline, managed.start_attempted = pipeline, True
        for listed in range(managed.listed_inputs, count + 1):
            managed.listed_inputs = listed
            self.pause(seconds / max(1, count))

    def _make_pipeline(self, source: PipelineSource, managed: ManagedPipeline) -> Pipeline | None:
        try:
            return Pipeline(source, self.totals, self.delays, self._all_logs)
        except ConfigurationError as error:
            self._record_failure(source, managed, str(error))
            return None

    def _start(self, pipeline: Pipeline, managed: ManagedPipeline, seconds: float = 0.0) -> bool:
        """Whether it runs. It has no hash for so long after its inputs have begun to bind their ports."""
        managed.loading = True
        try:
            pipeline.start(self._signals.wake)
            self.pause(seconds)
            managed.ran = True
            return True
        except ConfigurationError as error:
            self._log.error("Pipeline error", pipeline_id=pipeline.id, exception=error, backtrace=[])
            self.pause(FAILED_START_SECONDS)
            pipeline.discard()
            pipeline.finished.set()
            return False
        finally:
            managed.loading = False

    def _record_failure(
        self, source: PipelineSource, managed: ManagedPipeline, message: str
    ) -> Literal[False]:
        backtrace = ["no backtrace: this is the lab's stand-in"]
        self._log.error(
            "Failed to execute action",
            id=Symbol(source.id),
            action_type=Raw("LogStash::ConvergeResult::FailedAction"),
            message=message,
            backtrace=backtrace,
        )
        managed.reloads.failures += 1
        self.reloads.failures += 1
        managed.reloads.last_error = {"message": message, "backtrace": backtrace}
        managed.reloads.last_failure_timestamp = self._now()
        return False

    def _shut_down(self) -> None:
        """Close the inputs, write all accepted events, and end after the stop delay as the real one does."""
        began = time.monotonic()
        running = [managed for managed in self.managed.values() if managed.state == "RUNNING"]
        for managed in running:
            managed.draining = True
        for managed in running:
            assert managed.pipeline is not None
            managed.pipeline.stop()
        for managed in running:
            time.sleep(max(0.0, began + SHARE_STILL_RUNNING * self.delays.stop - time.monotonic()))
            managed.draining = False
        if running:
            time.sleep(max(0.0, began + SHARE_BEFORE_GHOSTS * self.delays.stop - time.monotonic()))
            for id in list(self.managed):
                self._leave_ghost(id)
            time.sleep(max(0.0, began + self.delays.stop - time.monotonic()))

    def _now(self) -> str:
        return timestamp(time.time_ns(), precise=self.version >= (8, 0))

    def _persistent_id(self, path: Path) -> str:
        if path.exists():
            return path.read_text().strip()
        id = str(uuid.uuid4())
        self._log.info("No persistent UUID file found. Generating new UUID", uuid=id, path=str(path))
        path.write_text(id)
        return id
