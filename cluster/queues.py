"""Persisted queues of pipelines, and the space on disk that Logstash wants to see before it opens them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cluster.model import Cluster

_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


@dataclass(frozen=True)
class PersistedQueue:
    """A pipeline's queue on disk. Sizes are in bytes."""

    pipeline: str
    max_bytes: int
    page_capacity: int


def persisted_queues(cluster: Cluster) -> list[PersistedQueue]:
    """The queues on disk of the pipelines that have one, but for those whose sizes only a node knows (`${NAME}`).

    A pipeline's own settings come before those of all.
    """
    common = {
        "queue.type": cluster.queue,
        "queue.max_bytes": cluster.queue_max_bytes or "1g",
        "queue.page_capacity": "64m",
        **cluster.logstash_settings,
    }
    found = []
    for pipeline in cluster.pipeline_ids:
        settings = common | cluster.pipeline_settings.get(pipeline, {})
        sizes = [_bytes(settings[f"queue.{name}"]) for name in ("max_bytes", "page_capacity")]
        if settings["queue.type"] == "persisted" and None not in sizes:
            found.append(PersistedQueue(pipeline, *filter(None, sizes)))
    return found


def queues_folder(cluster: Cluster) -> str:
    """The folder on a node with a folder for each queue."""
    data = cluster.logstash_settings.get("path.data", "/var/lib/logstash")
    return str(cluster.logstash_settings.get("path.queue", f"{data}/queue"))


def _bytes(size: object) -> int | None:
    """A size as Logstash reads it: a number of bytes, or with a unit such as `64mb`; None where it is none."""
    match = re.fullmatch(r"([1-9][0-9]*)([kmgt]?)b?", str(size).lower())
    return int(match[1]) * _UNITS[match[2]] if match else None
