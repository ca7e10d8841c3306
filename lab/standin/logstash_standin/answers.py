"""The bodies of the API's answers, in the shape of the version played.

Keys and types are those recorded from 7.17.29 and 8.19.18; what other versions have follows their source.
"""

import socket
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from . import health, process
from .agent import Agent, Slot
from .codecs import Codec
from .filters import Filter
from .inputs import Input
from .metrics import Flow, PipelineMetrics
from .outputs import Output
from .pipeline import Pipeline

Json = dict[str, Any]


class NotReadyError(Exception):
    """Before 7.2 statistics that are not there yet are an error of the server."""


class Answers:
    """Answers about an agent."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._version = agent.version

    def root(self) -> Json:
        """`/`"""
        return self._node() | {
            "build_date": "1970-01-01T00:00:00+00:00",
            "build_sha": "the lab's stand-in for Logstash",
            "build_snapshot": False,
        }

    def node(self) -> Json:
        """`/_node`, by its parts."""
        return {"pipelines": self._configs(), "os": process.os_info(), "jvm": process.jvm_info()}

    def node_pipeline(self, id: str) -> Json | None:
        """`/_node/pipelines/ID`; `None` for one that is not there."""
        configs = self._configs()
        return {"pipelines": {id: configs[id]}} if id in configs else None

    def stats(self) -> Json:
        """`/_node/stats`, by its parts. Raises `NotReadyError`."""
        agent, version = self._agent, self._version
        tried = self._tried()
        if not tried and version < (7, 2):
            raise NotReadyError
        empty = not tried and version < (8, 0)
        parts: Json = {
            "jvm": process.jvm_stats(),
            "process": process.process(),
            "events": {} if empty else _events(agent.totals),
            "flow": _rates(agent.flows),
            "pipelines": {id: self._pipeline(slot) for id, slot in tried.items()},
            "reloads": {"successes": agent.reloads.successes, "failures": agent.reloads.failures},
            "os": process.os_stats(),
            "queue": {"events_count": 0} if tried else {},
        }
        if version < (8, 5):
            del parts["flow"]
        if version < (7, 3):
            del parts["queue"]
        return parts

    def stats_pipeline(self, id: str) -> Json | None:
        """`/_node/stats/pipelines/ID`; `None` for one that is not there."""
        tried = self._tried()
        return {"pipelines": {id: self._pipeline(tried[id])}} if id in tried else None

    def health(self) -> Json | None:
        """`/_health_report`; `None` before 8.16."""
        if self._version < (8, 16):
            return None
        return self._identity() | health.report(self._agent)

    def with_node(self, parts: Json) -> Json:
        """An answer's parts after the data of the node that each begins with."""
        return self._node() | parts

    def _identity(self) -> Json:
        agent = self._agent
        identity: Json = {
            "host": socket.gethostname(),
            "version": str(self._version),
            "http_address": agent.http_address,
            "id": agent.id,
            "name": agent.name,
        }
        if self._version >= (7, 2):
            identity |= {"ephemeral_id": agent.ephemeral_id, "snapshot": None}
        return identity

    def _node(self) -> Json:
        if self._version < (7, 2):
            return self._identity()
        settings = self._agent.settings
        return self._identity() | {
            "status": health.status(self._agent),
            "pipeline": {
                "workers": settings["pipeline.workers"],
                "batch_size": settings["pipeline.batch.size"],
                "batch_delay": settings["pipeline.batch.delay"],
            },
        }

    def _tried(self) -> dict[str, Slot]:
        return {id: slot for id, slot in self._agent.slots.items() if slot.tried}

    def _configs(self) -> Json:
        configs: Json = {}
        for id, slot in self._agent.slots.items():
            if not (pipeline := slot.pipeline):
                continue
            settings = pipeline.source.settings
            config: Json = {"ephemeral_id": pipeline.ephemeral_id, "hash": pipeline.hash}
            if self._version < (7, 2):
                config = {}
            config |= _batches(pipeline)
            if self._version < (9, 3):
                config |= {
                    "config_reload_automatic": settings["config.reload.automatic"],
                    "config_reload_interval": int(settings["config.reload.interval"] * 10**9),
                }
            configs[id] = config | {"dead_letter_queue_enabled": False}
        return configs

    def _pipeline(self, slot: Slot) -> Json:
        """What `/_node/stats` says of a pipeline. Only a running one has `hash` and `ephemeral_id`."""
        version, pipeline = self._version, slot.pipeline
        running = slot.state == "RUNNING"
        queue: Json | None = None
        if pipeline is not None:
            settings = pipeline.source.settings
            queue = {"type": settings["queue.type"]}
            most = settings["queue.max_bytes"] if queue["type"] == "persisted" else 0
            if running and version >= (7, 3):
                queue |= {"events_count": 0, "queue_size_in_bytes": 0, "max_queue_size_in_bytes": most}
        stats: Json = {
            "events": _events(pipeline.metrics) if pipeline else None,
            "flow": _rates(pipeline.flows) if pipeline else None,
            "plugins": self._plugins(pipeline),
            "reloads": asdict(slot.reloads),
            "queue": queue,
            "pipeline": _batches(pipeline),
        }
        if version < (8, 18):
            del stats["pipeline"]
        if version < (8, 5):
            del stats["flow"]
        if pipeline and running and version >= (7, 3):
            stats |= {"hash": pipeline.hash, "ephemeral_id": pipeline.ephemeral_id}
        if pipeline and version >= (9, 2):
            nothing = {"current": 0, "average": {"lifetime": 0}}
            stats["batch"] = {"event_count": nothing, "byte_size": nothing}
        return stats

    def _plugins(self, pipeline: Pipeline | None) -> Json:
        plugins = {
            "inputs": [self._input(each) for each in pipeline.inputs] if pipeline else [],
            "codecs": [_codec(each) for each in pipeline.codecs] if pipeline else [],
            "filters": [self._step(each) for each in pipeline.filters] if pipeline else [],
            "outputs": [self._step(each) for each in pipeline.outputs] if pipeline else [],
        }
        if self._version < (7, 2):
            del plugins["codecs"]
        return plugins

    def _input(self, plugin: Input) -> Json:
        metrics = plugin.metrics
        body: Json = {
            "id": metrics.id,
            "name": metrics.name,
            "events": {
                "out": metrics.went_out.value,
                "queue_push_duration_in_millis": metrics.queue_push.millis,
            },
            **metrics.gauges,
        }
        if metrics.errors:
            body["errors"] = dict(metrics.errors)
        return body | self._flow(metrics.flows)

    def _step(self, plugin: Filter | Output) -> Json:
        metrics = plugin.metrics
        return {
            "id": metrics.id,
            "name": metrics.name,
            "events": {
                "in": metrics.came_in.value,
                "out": metrics.went_out.value,
                "duration_in_millis": metrics.duration.millis,
            },
        } | self._flow(metrics.flows)

    def _flow(self, flows: Mapping[str, Flow]) -> Json:
        return {"flow": _rates(flows)} if self._version >= (8, 5) else {}


def _codec(codec: Codec) -> Json:
    metrics = codec.metrics
    return {
        "id": metrics.id,
        "name": metrics.name,
        "decode": {
            "writes_in": metrics.decode_in.value,
            "out": metrics.decode_out.value,
            "duration_in_millis": metrics.decode_time.millis,
        },
        "encode": {"writes_in": metrics.encode_in.value, "duration_in_millis": metrics.encode_time.millis},
    }


def _events(metrics: PipelineMetrics) -> Json:
    return {
        "in": metrics.came_in.value,
        "filtered": metrics.filtered.value,
        "out": metrics.went_out.value,
        "duration_in_millis": metrics.duration.millis,
        "queue_push_duration_in_millis": metrics.queue_push.millis,
    }


def _batches(pipeline: Pipeline | None) -> Json:
    return {
        "workers": pipeline and pipeline.workers,
        "batch_size": pipeline and pipeline.batch_size,
        "batch_delay": pipeline and pipeline.batch_delay,
    }


def _rates(flows: Mapping[str, Flow]) -> Json:
    return {name: flow.rates() for name, flow in flows.items()}
