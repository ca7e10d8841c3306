"""The agent: makes what runs equal to what is configured, at the start, on SIGHUP and on reload."""

import signal
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from .errors import ConfigurationError, SettingsError, UsageError
from .event import timestamp
from .knobs import Knobs
from .log import Log
from .metrics import PipelineMetrics
from .pipeline import Pipeline
from .ruby import Literal as Raw
from .ruby import Symbol
from .settings import Settings
from .signals import Signals
from .sources import PipelineSource, fetch

State = Literal["UNKNOWN", "LOADING", "RUNNING", "FINISHED", "TERMINATED"]

BOOT = 0.8
"""Of the start delay, the part before the API answers."""
DRAIN = 0.8
"""Of the stop delay, the part for which the pipelines still count as running."""
FAILED_START = 2.0
"""Seconds for which a pipeline that can't start is loading: its file output takes them to close."""


@dataclass
class Reloads:
    """How reloads of a pipeline went."""

    successes: int = 0
    failures: int = 0
    last_error: dict[str, Any] | None = None
    last_success_timestamp: str | None = None
    last_failure_timestamp: str | None = None


@dataclass
class Slot:
    """What the agent knows of a configured pipeline."""

    pipeline: Pipeline | None = None
    loading: bool = False
    draining: bool = False
    tried: bool = False
    """Whether it was started, or an attempt failed; before that the API does not list it."""
    reloads: Reloads = field(default_factory=Reloads)

    @property
    def state(self) -> State:
        """What the health report says of it."""
        if self.pipeline is None:
            return "UNKNOWN"
        if self.loading:
            return "LOADING"
        if self.pipeline.crashed:
            return "TERMINATED"
        if self.pipeline.finished.is_set() and not self.draining:
            return "FINISHED"
        return "RUNNING"


class Agent:
    """Runs pipelines until it is told to end, or until none is left and none can come."""

    def __init__(self, settings: Settings, knobs: Knobs, log: Log, signals: Signals) -> None:
        self.settings, self.knobs = settings, knobs
        self.version = settings.version
        self.name: str = settings["node.name"]
        self.ephemeral_id = str(uuid.uuid4())
        self.http_address: str | None = None
        self.slots: dict[str, Slot] = {}
        self.totals = PipelineMetrics()
        self.flows = self.totals.flows()
        self.reloads = Reloads()
        self._all_logs = log
        self._log = log.logger("logstash.agent")
        self._runner_log = log.logger("logstash.runner")
        self._signals = signals
        self.terminating = False
        self._hung_up = False
        self._sources: list[PipelineSource] | None = None
        self.id = self._persistent_id(Path(settings["path.data"]) / "uuid")

    def prepare(self) -> None:
        """Learn the names of the pipelines to come."""
        self._sources = self._fetch()
        self.slots = {source.id: Slot() for source in self._sources or ()}

    def run(self) -> int:
        """Start the pipelines and keep them; the exit status when it is over."""
        self._converge(self._sources)
        reload = self.settings["config.reload.automatic"]
        if not reload and not any(slot.pipeline for slot in self.slots.values()):
            return 1
        while not self.terminating and (reload or self._running()):
            self._wait(self.settings["config.reload.interval"] if reload else None)
            if not self.terminating and (reload or self._hung_up):
                self._hung_up = False
                self._converge(self._fetch())
        self._shut_down()
        return 0

    def pause(self, seconds: float) -> None:
        """Let time pass, unless it is told to end."""
        end = time.monotonic() + seconds
        while not self.terminating and (left := end - time.monotonic()) > 0:
            self._wait(left)

    def _wait(self, seconds: float | None) -> None:
        for number in self._signals.wait(seconds):
            if number in (signal.SIGTERM, signal.SIGINT):
                self._runner_log.warn(f"{signal.Signals(number).name} received. Shutting down.")
                self.terminating = True
            elif number == signal.SIGHUP:
                self._runner_log.warn("SIGHUP received.")
                self._hung_up = True

    def _running(self) -> list[str]:
        return [id for id, slot in self.slots.items() if slot.state in ("RUNNING", "LOADING")]

    def _fetch(self) -> list[PipelineSource] | None:
        try:
            return fetch(self.settings, self._all_logs)
        except (ConfigurationError, SettingsError, UsageError) as error:
            self._all_logs.logger("logstash.config.sourceloader").error(
                "Could not fetch all the sources", exception=error, message=str(error), backtrace=[]
            )
            return None

    def _converge(self, sources: list[PipelineSource] | None) -> None:
        if sources is None:
            return
        done = []
        for source in sources:
            slot = self.slots.setdefault(source.id, Slot())
            if slot.pipeline is None:
                done.append(self._create(source, slot))
            elif slot.pipeline.source != source:
                done.append(self._reload(source, slot, slot.pipeline))
        wanted = {source.id for source in sources}
        for id in [id for id in self.slots if id not in wanted]:
            if pipeline := self.slots[id].pipeline:
                pipeline.stop()
            del self.slots[id]
            done.append(True)
        if done and all(done):
            running = self._running()
            self._log.info(
                "Pipelines running",
                count=len(running),
                running_pipelines=[Symbol(id) for id in running],
                non_running_pipelines=[Symbol(id) for id in self.slots if id not in running],
            )

    def _create(self, source: PipelineSource, slot: Slot) -> bool:
        slot.tried = True
        try:
            pipeline = Pipeline(source, self.totals, self.knobs, self._all_logs)
        except ConfigurationError as error:
            return self._failed(source, slot, str(error))
        slot.pipeline = pipeline
        if self._start(pipeline, slot):
            return True
        slot.pipeline = None
        return self._failed(source, slot, f"Could not execute action: PipelineAction::Create<{source.id}>")

    def _reload(self, source: PipelineSource, slot: Slot, old: Pipeline) -> bool:
        try:
            pipeline = Pipeline(source, self.totals, self.knobs, self._all_logs)
        except ConfigurationError as error:
            return self._failed(source, slot, str(error))
        self._log.info("Reloading pipeline", **{"pipeline.id": Symbol(source.id)})
        slot.loading = True
        old.stop()
        # Stopping and starting takes the real one time, in which nothing listens.
        self.pause(self.knobs.stop_delay / 4)
        slot.pipeline = pipeline
        if not self._start(pipeline, slot):
            pipeline.crashed = True
            return self._failed(
                source, slot, f"Could not execute action: PipelineAction::Reload<{source.id}>"
            )
        slot.reloads.successes += 1
        self.reloads.successes += 1
        slot.reloads.last_success_timestamp = self._now()
        return True

    def _start(self, pipeline: Pipeline, slot: Slot) -> bool:
        slot.loading = True
        try:
            pipeline.start(self._signals.tell)
            return True
        except ConfigurationError as error:
            self._log.error("Pipeline error", pipeline_id=pipeline.id, exception=error, backtrace=[])
            self.pause(FAILED_START)
            pipeline.discard()
            pipeline.finished.set()
            return False
        finally:
            slot.loading = False

    def _failed(self, source: PipelineSource, slot: Slot, message: str) -> bool:
        backtrace = ["no backtrace: this is the lab's stand-in"]
        self._log.error(
            "Failed to execute action",
            id=Symbol(source.id),
            action_type=Raw("LogStash::ConvergeResult::FailedAction"),
            message=message,
            backtrace=backtrace,
        )
        slot.reloads.failures += 1
        self.reloads.failures += 1
        slot.reloads.last_error = {"message": message, "backtrace": backtrace}
        slot.reloads.last_failure_timestamp = self._now()
        return False

    def _shut_down(self) -> None:
        """Close the inputs at once and lose nothing; then stay up for a while, as the real one does."""
        began = time.monotonic()
        running = [slot for slot in self.slots.values() if slot.state == "RUNNING"]
        for slot in running:
            slot.draining = True
        for slot in running:
            assert slot.pipeline is not None
            slot.pipeline.stop()
        for slot in running:
            time.sleep(max(0.0, began + DRAIN * self.knobs.stop_delay - time.monotonic()))
            slot.draining = False
        if running:
            time.sleep(max(0.0, began + self.knobs.stop_delay - time.monotonic()))

    def _now(self) -> str:
        return timestamp(time.time_ns(), precise=self.version >= (8, 0))

    def _persistent_id(self, path: Path) -> str:
        if path.exists():
            return path.read_text().strip()
        id = str(uuid.uuid4())
        self._log.info("No persistent UUID file found. Generating new UUID", uuid=id, path=str(path))
        path.write_text(id)
        return id
