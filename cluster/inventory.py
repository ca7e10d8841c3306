"""From an inventory to pyinfra and back: `define` makes a group of hosts, which is a cluster; `cluster_of_host` finds a host's one."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from cluster.clusters import check_clusters
from cluster.errors import ClusterError, explain, shorten, shown
from cluster.model import Api, Cluster, Input, Node, Repository, Tls, Vip

if TYPE_CHECKING:
    from types import FrameType

    from pyinfra.api.host import Host
    from pyinfra.api.inventory import Inventory

SINGLE = "nodes"
"""The group of an inventory's only cluster, which messages need not name."""


def define(
    *, nodes: dict[str, Any] | None = None, connection: dict[str, Any] | None = None, **settings: Any
) -> tuple[list[tuple[str, dict[str, Any]]], dict[str, Any]]:
    """A pyinfra group of the cluster's nodes, for `inventory.py`: `nodes = define(…)`, or, with several clusters, a group for each of
    them, whose name is the cluster's.

    `nodes` maps names to addresses, or to dictionaries of `Node`'s fields; `settings` are `Cluster`'s other fields. A
    relative path in them begins at the folder of the file that calls `define`, and `~` is the user's home.

    `connection` is pyinfra's connection data for all nodes, and a node's own `connection` goes before it. They are passed
    on as they are: the paths in them (`ssh_key`, `ssh_config_file`, …) begin at the current directory, as pyinfra has them.

    Raises `ClusterError`.
    """
    caller = sys._getframe(1)
    folder = Path(caller.f_code.co_filename).parent.resolve()
    try:
        return _group(folder, nodes, connection, settings)
    except ClusterError as error:
        raise ClusterError(f"{_prefix(_assigned_name(caller))}{error}") from None


def _group(
    folder: Path, nodes: dict[str, Any] | None, connection: dict[str, Any] | None, settings: dict[str, Any]
) -> tuple[list[tuple[str, dict[str, Any]]], dict[str, Any]]:
    """As `define`, for an inventory in this folder."""
    if not isinstance(nodes, dict):
        raise ClusterError(
            f'nodes: {shown(nodes)} is not a dictionary; write it as {{"stash1": "192.0.2.11", …}}'
        )
    for name, node in nodes.items():
        if not isinstance(name, str):
            raise ClusterError(f"nodes: {shown(name)} is not a name; write it in quotes")
        if isinstance(node, dict) and "name" in node:
            raise ClusterError(
                f"nodes.{shorten(name)}.name: unknown setting; the name is what is before the colon"
            )
    _check_connection("connection", connection)
    own: dict[str, dict[str, Any]] = {}
    members = []
    for name, node in nodes.items():
        settings_of = {**node} if isinstance(node, dict) else {"address": node}
        of_node = settings_of.pop("connection", None)
        _check_connection(f"nodes.{shorten(name)}.connection", of_node)
        own[name] = of_node or {}
        members.append({"name": name, **settings_of})
    paths = {name: _absolute(name, settings[name], folder) for name in _PATHS[Cluster] if name in settings}
    if isinstance(settings.get("inputs"), list | tuple):
        paths["inputs"] = [
            _with_tls_paths(f"inputs.{index}.tls", input, folder)
            for index, input in enumerate(settings["inputs"])
        ]
    if isinstance(settings.get("rpms"), list | tuple):
        paths["rpms"] = [
            _absolute(f"rpms.{index}", path, folder) for index, path in enumerate(settings["rpms"])
        ]
    if isinstance(settings.get("repository"), dict):
        paths["repository"] = _with_paths("repository", Repository, settings["repository"], folder)
    if isinstance(settings.get("api"), dict):
        paths["api"] = _with_paths("api", Api, settings["api"], folder)
    cluster = _validate({"nodes": members, **settings, **paths})
    hosts: list[tuple[str, dict[str, Any]]] = [(node.name, own[node.name]) for node in cluster.nodes]
    return hosts, {"cluster": cluster.model_dump(mode="json", by_alias=True), **(connection or {})}


def _assigned_name(caller: FrameType) -> str:
    """The variable that an inventory gives its call of `define` to: the name that pyinfra has for the group."""
    try:
        statements = ast.parse(Path(caller.f_code.co_filename).read_text()).body
    except (OSError, SyntaxError, ValueError):
        return SINGLE
    for statement in statements:
        lines = range(statement.lineno, (statement.end_lineno or 0) + 1)
        if isinstance(statement, ast.Assign) and caller.f_lineno in lines:
            target = statement.targets[0]
            return target.id if isinstance(target, ast.Name) else SINGLE
    return SINGLE


def _prefix(name: str) -> str:
    """What a message begins with that is about the cluster of this name."""
    return "" if name == SINGLE else f"{name}: "


def is_node(host: Host) -> bool:
    """Whether this host is a node of a cluster, or is meant to be one, and not a sender or a host of other deploys."""
    return SINGLE in host.groups or bool(host.data.get("cluster"))


def cluster_of_host(host: Host) -> Cluster:
    """The cluster that this node belongs to. Raises `ClusterError`."""
    data = host.data.get("cluster")
    if not isinstance(data, dict):
        raise ClusterError(
            f"nodes: {host.name} is not of a group with a cluster; define it as `nodes = define(…)`"
        )
    return _validate(data)


def cluster_name(host: Host) -> str:
    """The name of this node's cluster, which is that of its group."""
    groups = (name for name in host.groups if "cluster" in host.inventory.get_group_data(name))
    return next(groups, SINGLE)


def cluster_prefix(host: Host) -> str:
    """What a message begins with that is about this node's cluster: its name, where there may be several."""
    return _prefix(cluster_name(host))


def clusters_of_inventory(inventory: Inventory) -> dict[str, Cluster]:
    """An inventory's clusters by name: each group that `define` has made is one. Raises `ClusterError`."""
    names = [name for name in inventory.groups if "cluster" in inventory.get_group_data(name)]
    if not names and inventory.groups.get(SINGLE):
        cluster_of_host(inventory.get_group(SINGLE)[0])
    found = {name: _validate(inventory.get_group_data(name)["cluster"]) for name in names}
    if not found:
        raise ClusterError("nodes: no such group in the inventory; define it as `nodes = define(…)`")
    check_clusters(found)
    return found


def with_major(cluster: Cluster, major: int) -> Cluster:
    """The cluster with this major version of Logstash. Raises `ClusterError`."""
    return _validate({**cluster.model_dump(mode="json", by_alias=True), "logstash": major})


def _check_connection(field: str, connection: object) -> None:
    """Raises `ClusterError`, which shows no value: it may be a password."""
    example = 'write it as {"ssh_user": "admin"}'
    if connection is None:
        return
    if not isinstance(connection, dict):
        kind = type(connection).__name__
        raise ClusterError(f"{field}: is of type {kind}, not a dictionary; {example}")
    for name in connection:
        if not isinstance(name, str):
            raise ClusterError(f"{field}: {shown(name)} is not the name of a setting; {example}")
    if "cluster" in connection:
        raise ClusterError(f"{field}.cluster: is not a setting of a connection; take it out")


def _with_tls_paths(field: str, input: object, folder: Path) -> object:
    """An input, with the paths of its `tls` in `folder`."""
    tls = input.get("tls") if isinstance(input, dict) else None
    if not isinstance(input, dict) or not isinstance(tls, dict):
        return input
    return {**input, "tls": _with_paths(field, Tls, tls, folder)}


def _with_paths(field: str, model: type[BaseModel], values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A model's values, with its paths in `folder`."""
    paths = {
        name: _absolute(f"{field}.{name}", values[name], folder) for name in _PATHS[model] if name in values
    }
    return {**values, **paths}


def _absolute(setting: str, path: object, folder: Path) -> object:
    """A path of the inventory in `folder`; what is none is left for the model to refuse."""
    if not isinstance(path, str | Path):
        return path
    try:
        return folder / Path(path).expanduser()
    except (RuntimeError, ValueError):  # no such user; a name that no user can have
        raise ClusterError(
            f"{setting}: {shown(str(path))} names no user's home; write the whole path"
        ) from None


def _validate(data: dict[str, Any]) -> Cluster:
    try:
        return Cluster.model_validate(data)
    except ValidationError as error:
        raise explain(error, data, _SETTINGS) from None


def _settings(model: type[BaseModel]) -> list[str]:
    """The names of a model's settings, as the inventory has them."""
    return [field.alias or name for name, field in model.model_fields.items()]


def _paths(model: type[BaseModel]) -> list[str]:
    """The names of a model's settings that are paths."""
    kinds = (Path, Path | None, tuple[Path, ...])
    return [name for name, field in model.model_fields.items() if field.annotation in kinds]


_PATHS: dict[type[BaseModel], list[str]] = {model: _paths(model) for model in (Cluster, Tls, Repository, Api)}
_SETTINGS = {
    "": _settings(Cluster),
    "nodes": _settings(Node),
    "inputs": _settings(Input),
    "tls": _settings(Tls),
    "repository": _settings(Repository),
    "vip": _settings(Vip),
    "api": _settings(Api),
}
