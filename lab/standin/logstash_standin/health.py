"""The health report of 8.16 and later, and the node's `status`, which is derived from it."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from .agent import Agent, ManagedPipeline, State
from .metrics import Rates
from .version import Version

Json = dict[str, Any]
Status = Literal["green", "unknown", "yellow", "red"]

_STATUS_WORDS: Mapping[Status, str] = {
    "green": "healthy",
    "unknown": "unknown",
    "yellow": "concerning",
    "red": "unhealthy",
}
"""From the best to the worst."""

_STATUS_BY_STATE: Mapping[State, Status] = {
    "RUNNING": "green",
    "UNKNOWN": "unknown",
    "LOADING": "yellow",
    "FINISHED": "yellow",
    "TERMINATED": "red",
}

_NOT_PROCESSING = "the pipeline is not currently processing"
_DIAGNOSES: Mapping[State, tuple[str, str, int, str]] = {
    "LOADING": (
        "pipeline is loading",
        "if pipeline does not come up quickly, you may need to check the logs to see if it is stalled",
        1,
        "pipeline is loading",
    ),
    "FINISHED": (
        "pipeline has finished running because its inputs have been closed and events have been processed",
        "if you expect this pipeline to run indefinitely, you will need to configure its inputs to continue"
        " receiving or fetching events",
        10,
        "pipeline has finished running",
    ),
    "TERMINATED": (
        "pipeline is not running, likely because it has encountered an error",
        "view logs to determine the cause of abnormal pipeline shutdown",
        1,
        _NOT_PROCESSING,
    ),
    "UNKNOWN": (
        "pipeline is not known; it may have been recently deleted or failed to start",
        "view logs to determine if the pipeline failed to start",
        2,
        _NOT_PROCESSING,
    ),
}
"""Cause, action, severity and impact of each state but RUNNING."""
_BLOCKED = (
    "pipeline workers have been completely blocked for at least one minute",
    "address bottleneck or add resources",
    2,
    "the pipeline is blocked",
)
"""The same of a running pipeline whose output is blocked; only the diagnosis's id was recorded."""


def status(agent: Agent) -> Status:
    """The worst status of all pipelines; always green before 8.16."""
    statuses = (_status(managed.state, _blocked(managed)) for managed in agent.managed.values())
    return _worst(agent.version, statuses)


def _worst(version: Version, statuses: Iterable[Status]) -> Status:
    return "green" if version < (8, 16) else max(statuses, key=list(_STATUS_WORDS).index, default="green")


def report(agent: Agent) -> Json:
    """The body of `/_health_report`, without the node's own data."""
    pipelines = {id: _pipeline(managed, agent.version) for id, managed in agent.managed.items()}
    # By one look at each: a pipeline may get blocked meanwhile.
    worst = _worst(agent.version, (pipeline["status"] for pipeline in pipelines.values()))
    group = {"status": worst, "symptom": _symptom(pipelines), "indicators": pipelines}
    return {
        "status": worst,
        "symptom": _symptom({"pipelines": group}),
        "indicators": {"pipelines": group},
    }


def _status(state: State, blocked: bool) -> Status:
    return "yellow" if blocked else _STATUS_BY_STATE[state]


def _blocked(managed: ManagedPipeline) -> bool:
    return managed.state == "RUNNING" and managed.pipeline is not None and managed.pipeline.blocked


def _pipeline(managed: ManagedPipeline, version: Version) -> Json:
    state = managed.state
    rates: dict[str, Rates] = {}
    if managed.pipeline is not None:
        rates = {"worker_utilization": managed.pipeline.flows["worker_utilization"].rates()}
    details: Json = {"status": {"state": state}} | ({"flow": rates} if any(rates.values()) else {})
    blocked = _blocked(managed)
    status = _status(state, blocked)
    symptom = f"The pipeline is {_STATUS_WORDS[status]}"
    if blocked:
        subject, anchor, kind = (
            "flow:worker_utilization:diagnosis:1m-blocked",
            "flow.html#blocked-1m",
            "blocked_processing",
        )
        cause, action, severity, impact = _BLOCKED
    elif state in _DIAGNOSES:
        subject, anchor, kind = (
            f"status:diagnosis:{state.lower()}",
            f"status.html#{state.lower()}",
            "not_processing",
        )
        cause, action, severity, impact = _DIAGNOSES[state]
    else:
        return {"status": status, "symptom": symptom, "details": details}
    guide = f"https://www.elastic.co/guide/en/logstash/{version.major}.{version.minor}"
    return {
        "status": status,
        "symptom": f"{symptom}; 1 area is impacted and 1 diagnosis is available",
        "diagnosis": [
            {
                "id": f"logstash:health:pipeline:{subject}",
                "cause": cause,
                "action": action,
                "help_url": f"{guide}/health-report-pipeline-{anchor}",
            }
        ],
        "impacts": [
            {
                "id": f"logstash:health:pipeline:{subject.partition(':')[0]}:impact:{kind}",
                "severity": severity,
                "description": impact,
                "impact_areas": ["pipeline_execution"],
            }
        ],
        "details": details,
    }


def _symptom(indicators: Mapping[str, Json]) -> str:
    parts = []
    for status, word in reversed(list(_STATUS_WORDS.items())):
        names = [name for name, indicator in indicators.items() if indicator["status"] == status]
        if names:
            listed = "`, `".join(names)
            parts.append(f"{len(names)} indicator{' is' if len(names) == 1 else 's are'} {word} (`{listed}`)")
    if len(parts) < 3:
        return " and ".join(parts) or "no indicators"
    return f"{', '.join(parts[:-1])}, and {parts[-1]}"
