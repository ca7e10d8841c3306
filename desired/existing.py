"""The configuration of keepalived and Logstash that a node had before its first deploy: what the deploy would put out of
use or join, and what the inventory's `existing` and `logstash_settings` do about it. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from cluster import Cluster, Node
from cluster.errors import listed
from desired import keepalived, keepalived_conf, logstash
from desired.health import metrics_file
from facts.others import OthersState


@dataclass(frozen=True)
class Objection:
    """What stands against a node's first deploy, and what to do, in words."""

    what: str
    do: str


def objections(cluster: Cluster, node: Node, others: OthersState, ours: Collection[str]) -> list[Objection]:
    """What a deploy would overwrite or join on this node, and the inventory does not say what becomes of it.

    `ours` are the paths of the files that the deploy writes, or has written.
    """
    found: list[Objection] = []
    if cluster.existing != "replace":
        found += _settings(cluster, node, others)
        found += _pipelines(cluster, others)
    if cluster.existing is None:
        to_choose = [*_keepalived(others), *_pipeline_files(others, ours)]
        found += to_choose
        if to_choose:  # what stands against one of the choices is told before it is made
            found += [
                Objection(f"existing='adopt' would be refused: {objection.what}", objection.do)
                for objection in _not_adoptable(cluster, node, others, ours)
            ]
    if cluster.existing == "adopt":
        found += _not_adoptable(cluster, node, others, ours)
    return found


def kept_files(cluster: Cluster) -> list[str]:
    """The files that the deploy makes and leaves to others then."""
    adopted = keepalived.ADOPTED if cluster.existing == "adopt" else None
    return [path for path in (adopted, metrics_file(cluster)) if path]


def takes_keepalived(others: OthersState) -> bool:
    """Whether keepalived.conf has blocks of others to adopt."""
    return bool(keepalived_conf.foreign(keepalived_conf.parse(others.keepalived)))


_CHOOSE = "set existing='adopt' to keep them in use beside the cluster's own, or existing='replace' to put them out of use"


def _keepalived(others: OthersState) -> Iterator[Objection]:
    if blocks := keepalived_conf.foreign(keepalived_conf.parse(others.keepalived)):
        titles = listed(block.title for block in blocks)
        yield Objection(f"{keepalived.CONF} has {titles}, which would be gone", _CHOOSE)


def joining(others: OthersState, ours: Collection[str]) -> list[str]:
    """The pipeline files of others that Logstash reads together with the deploy's own."""
    return [path for path in others.pipeline_files if path not in ours]


def _pipeline_files(others: OthersState, ours: Collection[str]) -> Iterator[Objection]:
    if paths := joining(others, ours):
        yield Objection(
            f"Logstash would read {listed(paths)} in one pipeline with the cluster's inputs, so that the events of "
            "each input go through all filters to all outputs",
            _CHOOSE,
        )


def _not_adoptable(
    cluster: Cluster, node: Node, others: OthersState, ours: Collection[str]
) -> Iterator[Objection]:
    """Why what is there can't be adopted as it is."""
    blocks = keepalived_conf.parse(others.keepalived)
    if keepalived_conf.foreign(blocks):
        for what, do in keepalived_conf.obstacles(cluster, node, blocks):
            yield Objection(f"{keepalived.CONF} can't be adopted: {what}", do)
    yield from _without_output(cluster, others, ours)


def _without_output(cluster: Cluster, others: OthersState, ours: Collection[str]) -> Iterator[Objection]:
    """Pipelines that have no output when files are adopted: the deploy's own is made only where nothing else outputs."""
    for pipeline in cluster.pipeline_ids:
        folder = logstash.folder(cluster, pipeline)
        outputs = [
            path
            for path in joining(others, ours)
            if posixpath.dirname(path) == folder and others.pipeline_files[path]
        ]
        if not outputs and pipeline not in cluster.pipeline_files:
            yield Objection(
                f"no file in {folder} has an output, so the events of pipeline {pipeline} would be lost",
                "put one with an output there, or into a folder that you name in pipelines",
            )


def _settings(cluster: Cluster, node: Node, others: OthersState) -> Iterator[Objection]:
    """Settings of logstash.yml that would be lost."""
    written = keys(
        file.content.splitlines() for file in logstash.files(cluster, node) if file.path == logstash.SETTINGS
    )
    lost = [name for name in keys([others.settings]) if name not in written and not _replaced(name)]
    if secured := [name for name in lost if _secures(name)]:
        yield Objection(
            f"{logstash.SETTINGS} secures the API ({listed(secured)}), which would be lost",
            "write it into the inventory's api, or set existing='replace'",
        )
    if lost := [name for name in lost if not _secures(name)]:
        yield Objection(
            f"{logstash.SETTINGS} sets {listed(lost)}, which would be lost",
            "write them into logstash_settings, remove from the file what you do not need, or set existing='replace'",
        )


def _replaced(name: str) -> bool:
    """Whether the deploy gives this setting its own value under another name: the API's had other names before 7.16."""
    return name in ("http.host", "http.port", "api.http.host", "api.http.port")


def _secures(name: str) -> bool:
    """Whether this setting secures the API."""
    return name.startswith(("api.ssl.", "api.auth."))


def keys(files: Iterable[Iterable[str]]) -> list[str]:
    """The full names of the settings in YAML files: `pipeline:` with `  workers: 2` below it is `pipeline.workers`."""
    names: dict[str, bool] = {}
    for lines in files:
        parents: list[tuple[int, str]] = []
        for line in lines:
            match = re.match(r"""(\s*)["']?([\w.-]+)["']?\s*:""", line)
            if not match:
                continue
            depth = len(match[1])
            while parents and parents[-1][0] >= depth:
                parents.pop()
            name = ".".join([*(parent for _, parent in parents), match[2]])
            for end in range(1, name.count(".") + 1):  # what has others below it is not a setting itself
                names.pop(name.rsplit(".", end)[0], None)
            names[name] = True
            parents.append((depth, match[2]))
    return list(names)


def _pipelines(cluster: Cluster, others: OthersState) -> Iterator[Objection]:
    """A pipelines.yml of others: either the deploy would overwrite it, or Logstash does not read the cluster's files."""
    text = "\n".join(others.pipelines)
    ids = re.findall(r"pipeline\.id[\"']?\s*:\s*[\"']?([\w-]+)", text)
    if not others.pipelines or (ids == ["main"] and _reads_main(text)):
        return
    move = "bring their files into a folder that you name in pipelines, or set existing='replace'"
    if logstash.writes_pipelines(cluster):
        if lost := [name for name in ids if name not in cluster.pipeline_files]:
            yield Objection(
                f"{logstash.PIPELINES} has the pipelines {listed(lost)}, which would be gone", move
            )
    elif not _reads_main(text):
        yield Objection(
            f"{logstash.PIPELINES} reads nothing in {logstash.folder(cluster, 'main')}, so Logstash would not have "
            "the cluster's inputs",
            f"give its pipeline main the path.config {logstash.folder(cluster, 'main')}/*.conf, or set existing='replace'",
        )
    elif cluster.existing is None:
        yield Objection(f"{logstash.PIPELINES} has the pipelines {listed(ids)}", _CHOOSE)


def _reads_main(text: str) -> bool:
    return (
        re.search(
            r"path\.config[\"']?\s*:\s*[\"']?/etc/logstash/conf\.d(/\*(\.conf)?|/?)[\"']?\s*$", text, re.M
        )
        is not None
    )
