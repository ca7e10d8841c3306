"""The bodies of the API's responses, in the shape of the simulated version.

Keys and types are those recorded from 7.17.29 and 8.19.18. Those of other versions follow Logstash's source.
"""

import socket
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from . import health, process
from .agent import Agent, ManagedPipeline
from .codecs import Codec
from .filters import Filter
from .inputs import Input
from .metrics import Flow, PipelineMetrics
from .outputs import Output
from .pipeline import Pipeline

Json = dict[str, Any]


class NotReadyError(Exception):
    """There are no statistics yet, which before 7.2 is a server error."""


class Responses:
    """The API's responses about an agent."""

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
        """The sections of `/_node`."""
        return {"pipelines": self._pipeline_settings(), "os": process.os_info(), "jvm": process.jvm_info()}

    def node_pipeline(self, id: str) -> Json | None:
        """`/_node/pipelines/ID`; `None` where there is no such pipeline."""
        pipelines = self._pipeline_settings()
        return {"pipelines": {id: pipelines[id]}} if id in pipelines else None

    def stats(self) -> Json:
        """The sections of `/_node/stats`. Raises `NotReadyError`."""
        agent, version = self._agent, self._version
        listed = self._listed()
        if not listed and version < (7, 2):
            raise NotReadyError
        no_events_yet = not listed and version < (8, 0)
        sections: Json = {
            "jvm": process.jvm_stats(),
            "process": process.process_stats(),
            "events": {} if no_events_yet else _event_stats(agent.totals),
            "flow": _rates(agent.flows),
            "pipelines": {id: self._pipeline_stats(managed) for id, managed in self._shown(listed).items()},
            "reloads": {"successes": agent.reloads.successes, "failures": agent.reloads.failures},
            "os": process.os_stats(),
            "queue": {"events_count": 0} if listed else {},
        }
        if version < (8, 5):
            del sections["flow"]
        if version < (7, 3):
            del sections["queue"]
        return sections

    def stats_pipeline(self, id: str) -> Json | None:
        """`/_node/stats/pipelines/ID`; `None` where there is no such pipeline."""
        listed = self._listed()
        return {"pipelines": {id: self._pipeline_stats(listed[id])}} if id in listed else None

    def health(self) -> Json | None:
        """`/_health_report`; `None` before 8.16."""
        if self._version < (8, 16):
            return None
        return self._identity() | health.report(self._agent)

    def with_node(self, sections: Json) -> Json:
        """A body of these sections after the data of the node, with which each body begins."""
        return self._node() | sections

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

    def _listed(self) -> dict[str, ManagedPipeline]:
        """The pipelines that the statistics have, by id: those that have been removed, too."""
        agent = self._agent
        started = {id: managed for id, managed in agent.managed.items() if managed.start_attempted}
        return agent.ghosts | started

    def _shown(self, listed: dict[str, ManagedPipeline]) -> dict[str, ManagedPipeline]:
        """Those of them that `/_node/stats` lists: 7.3 shows one alone (elastic/logstash #11021)."""
        return dict(sorted(listed.items())[:1]) if (7, 3) <= self._version < (7, 4) else listed

    def _pipeline_settings(self) -> Json:
        """The pipelines of `/_node`, by id."""
        pipelines: Json = {}
        for id, managed in self._agent.managed.items():
            if not (pipeline := managed.pipeline):
                continue
            settings = pipeline.source.settings
            body: Json = {}
            if self._version >= (7, 2):
                body |= {"ephemeral_id": pipeline.ephemeral_id, "hash": pipeline.hash}
            body |= _batch_settings(pipeline)
            if self._version < (9, 3):
                body |= {
                    "config_reload_automatic": settings["config.reload.automatic"],
                    "config_reload_interval": int(settings["config.reload.interval"] * 10**9),
                }
            pipelines[id] = body | {"dead_letter_queue_enabled": False}
        return pipelines

    def _pipeline_stats(self, managed: ManagedPipeline) -> Json:
        """A pipeline in `/_node/stats`. Only a running one has `hash` and `ephemeral_id`."""
        version, pipeline = self._version, managed.pipeline
        running = managed.has_hash
        counted = pipeline if managed.listed_inputs is None else None
        queue: Json | None = None
        if pipeline is not None and (counted or managed.ran):
            settings = pipeline.source.settings
            queue = {"type": settings["queue.type"]}
            max_bytes = settings["queue.max_bytes"] if queue["type"] == "persisted" else 0
            if running and version >= (7, 3):
                kept = pipeline.persisted
                queue |= {
                    "events_count": kept.events if kept else 0,
                    "queue_size_in_bytes": kept.size if kept else 0,
                    "max_queue_size_in_bytes": max_bytes,
                }
        stats: Json = {
            "events": _event_stats(counted.metrics) if counted else None,
            "flow": _rates(counted.flows) if counted else {},
            "plugins": self._plugin_stats(managed),
            "reloads": asdict(managed.reloads) if managed.ran or pipeline is None else None,
            "queue": queue,
            "pipeline": _batch_settings(counted),
        }
        if version < (8, 18):
            del stats["pipeline"]
        if version < (8, 5):
            del stats["flow"]
        if pipeline and running and version >= (7, 3):
            stats |= {"hash": pipeline.hash, "ephemeral_id": pipeline.ephemeral_id}
        if pipeline and version >= (9, 2):
            zero = {"current": 0, "average": {"lifetime": 0}}
            stats["batch"] = {"event_count": zero, "byte_size": zero}
        return stats

    def _plugin_stats(self, managed: ManagedPipeline) -> Json:
        pipeline = managed.pipeline if managed.listed_inputs is None else None
        inputs = managed.pipeline.inputs if managed.pipeline else []
        if managed.listed_inputs is not None:
            listed = [{"id": each.metrics.id, "name": each.metrics.name} for each in inputs]
            listed = listed[: managed.listed_inputs]
        else:
            listed = [self._input_stats(plugin) for plugin in inputs]
        plugins = {
            "inputs": listed,
            "codecs": [_codec_stats(codec) for codec in pipeline.codecs] if pipeline else [],
            "filters": [self._step_stats(plugin) for plugin in pipeline.filters] if pipeline else [],
            "outputs": [self._step_stats(plugin) for plugin in pipeline.outputs] if pipeline else [],
        }
        if self._version < (7, 2):
            del plugins["codecs"]
        return plugins

    def _input_stats(self, plugin: Input) -> Json:
        metrics = plugin.metrics
        body: Json = {
            "id": metrics.id,
            "name": metrics.name,
            "events": {
                "out": metrics.events_out.value,
                "queue_push_duration_in_millis": metrics.queue_push.millis,
            },
            **metrics.gauges,
        }
        if metrics.errors:
            body["errors"] = dict(metrics.errors)
        return body | self._flow(metrics.flows)

    def _step_stats(self, plugin: Filter | Output) -> Json:
        metrics = plugin.metrics
        return {
            "id": metrics.id,
            "name": metrics.name,
            "events": {
                "in": metrics.events_in.value,
                "out": metrics.events_out.value,
                "duration_in_millis": metrics.duration.millis,
            },
        } | self._flow(metrics.flows)

    def _flow(self, flows: Mapping[str, Flow]) -> Json:
        return {"flow": _rates(flows)} if self._version >= (8, 5) else {}


def _codec_stats(codec: Codec) -> Json:
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


def _event_stats(metrics: PipelineMetrics) -> Json:
    return {
        "in": metrics.events_in.value,
        "filtered": metrics.events_filtered.value,
        "out": metrics.events_out.value,
        "duration_in_millis": metrics.duration.millis,
        "queue_push_duration_in_millis": metrics.queue_push.millis,
    }


def _batch_settings(pipeline: Pipeline | None) -> Json:
    return {
        "workers": pipeline and pipeline.workers,
        "batch_size": pipeline and pipeline.batch_size,
        "batch_delay": pipeline and pipeline.batch_delay,
    }


def _rates(flows: Mapping[str, Flow]) -> Json:
    return {name: flow.rates() for name, flow in flows.items()}
