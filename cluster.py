"""The cluster as its user describes it in `inventory.py`: a typed, validated model.

Every error is a `ClusterError`: one line that names the field, its value and the mend.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Hashable, Iterable
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, SecretStr, ValidationError, model_validator
from pyinfra.api.exceptions import PyinfraError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails
    from pyinfra.api.host import Host

API_PORT = 9600
"""TCP port of Logstash's API, the same on every node (the recipe's step 3)."""


class ClusterError(PyinfraError):
    """What is wrong with the cluster's description, or with a machine that is to join it, in one line."""


def _like(pattern: str, meaning: str) -> AfterValidator:
    """A check that a string is `meaning`: these strings end up in configuration files and commands."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"{value!r} is not {meaning}")
        return value

    return AfterValidator(check)


def _check_port(port: int) -> int:
    if not 1024 <= port <= 65535:
        reason = "is below 1024, where only root may listen" if 0 < port < 1024 else "is no port"
        raise ValueError(f"{port} {reason}; choose one from 1024 to 65535")
    return port


def _check_router_id(number: int) -> int:
    if not 1 <= number <= 255:
        raise ValueError(
            f"{number} is out of range; choose one from 1 to 255 that no other VRRP router here has"
        )
    return number


_LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_Name = Annotated[
    str, _like(rf"{_LABEL}(\.{_LABEL})*", "a host name; use letters, digits, hyphens and dots (RFC 1123)")
]
_Interface = Annotated[
    str, _like(r"\w[\w.-]{0,14}", "an interface name; use one that `ip link` shows, 15 characters at most")
]
_InputId = Annotated[
    str,
    _like(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", "an input id; use 1 to 64 letters, digits, `_`, `.` and `-`"),
]
_Email = Annotated[str, _like(r"[\w.%+-]+@[\w.-]+", "a mail address; write it as root@localhost")]
_Url = Annotated[
    str,
    _like(
        r"https?://[A-Za-z0-9.-]+(:[0-9]+)?(/[A-Za-z0-9._~-]+)*",
        "an http or https URL; write it as https://artifacts.elastic.co, without a final slash",
    ),
]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Node(_Model):
    """One machine of the cluster: a director and a real server at once."""

    name: _Name
    """Its name in the inventory, and keepalived's `router_id`."""
    address: IPv4Address
    """Its own address: Logstash listens here, and VRRP adverts come from here."""


class Input(_Model):
    """One udp input of Logstash, behind one virtual server."""

    id: _InputId
    """The input's `id`, which the health check looks for in Logstash's API."""
    port: Annotated[int, AfterValidator(_check_port)]
    """UDP port, 1024 to 65535, the same on the VIP and on the nodes."""


class Cluster(_Model):
    """The whole cluster; whatever is not a node's own is the same on all of them."""

    nodes: tuple[Node, ...]
    """Two machines or more."""
    network: IPv4Network
    """The layer-2 network that holds the nodes and the VIP."""
    interface: _Interface
    """The network interface that carries a node's address, and the VIP."""
    vip: IPv4Address
    """The virtual address that events are sent to; one node holds it at a time."""
    inputs: tuple[Input, ...]
    """One input or more."""
    senders: tuple[IPv4Network, ...]
    """Who may send events: addresses and networks."""
    virtual_router_id: Annotated[int, AfterValidator(_check_router_id)] = 1
    """VRRP's number of this cluster, 1 to 255 (RFC 3768, section 5.3.3)."""
    auth_pass_file: Path
    """The local file that holds the VRRP password."""
    logstash: Literal[6, 7, 8, 9] = 8
    """Logstash's major version."""
    artifacts_url: _Url = "https://artifacts.elastic.co"
    """Where Elastic's packages and their GPG key come from."""
    notification_email: _Email = "root@localhost"
    """Whom keepalived's `global_defs` name for mail (the recipe's step 7)."""

    @cached_property
    def auth_pass(self) -> SecretStr:
        """The VRRP password, 1 to 8 characters (RFC 2338, section 5.3.6.1), read from `auth_pass_file`."""
        file = self.auth_pass_file
        try:
            secret = file.read_text().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not text"
            mend = "write the VRRP password of 1 to 8 characters into it"
            raise ValueError(f"auth_pass_file: {file} can't be read ({reason}); {mend}") from None
        if not 1 <= len(secret) <= 8:
            raise ValueError(
                f"auth_pass: {file} holds {len(secret)} characters; write 1 to 8, VRRP carries no more"
            )
        if not re.fullmatch(r"[A-Za-z0-9._+=:/@%^-]+", secret):
            raise ValueError(
                f"auth_pass: {file} holds white space or a character that keepalived.conf can't carry; "
                "use letters, digits and ._+=:/@%^-"
            )
        return SecretStr(secret)

    @model_validator(mode="after")
    def _check(self) -> Self:
        """What no field can tell alone."""
        if len(self.nodes) < 2:
            raise ValueError(
                f"nodes: {len(self.nodes)} given; name two machines or more, each with its address"
            )
        for field in ("inputs", "senders"):
            if not getattr(self, field):
                raise ValueError(f"{field}: none given; name one or more")
        _unique("nodes", "name", (node.name.lower() for node in self.nodes))
        _unique("nodes", "address", (node.address for node in self.nodes))
        _unique("inputs", "id", (input.id for input in self.inputs))
        _unique("inputs", "port", (input.port for input in self.inputs))
        _unique("senders", "entry", self.senders)
        for node in self.nodes:
            self._check_address(f"nodes.{node.name}", node.address)
            if node.address == self.vip:
                raise ValueError(
                    f"vip: {self.vip} is {node.name}'s own address; choose a free address in {self.network}"
                )
        self._check_address("vip", self.vip)
        _ = self.auth_pass
        return self

    def _check_address(self, field: str, address: IPv4Address) -> None:
        if address not in self.network:
            raise ValueError(f"{field}: {address} is outside network {self.network}; choose an address in it")
        if address in (self.network.network_address, self.network.broadcast_address):
            raise ValueError(
                f"{field}: {address} is {self.network}'s network or broadcast address; choose another one"
            )

    def node(self, name: str) -> Node:
        """The node of that name; `ClusterError` when there is none."""
        for node in self.nodes:
            if node.name == name:
                return node
        names = ", ".join(node.name for node in self.nodes)
        raise ClusterError(
            f"nodes: {name!r} is none of the cluster's nodes ({names}); add it in inventory.py"
        )

    def peers(self, node: Node) -> tuple[Node, ...]:
        """All nodes but this one, in the inventory's order."""
        return tuple(peer for peer in self.nodes if peer != node)


def define(
    *, nodes: dict[str, str] | None = None, connection: dict[str, Any] | None = None, **settings: Any
) -> tuple[list[tuple[str, dict[str, Any]]], dict[str, Any]]:
    """A pyinfra group of the cluster's nodes, for `inventory.py`.

    `nodes` maps names to addresses, `connection` is pyinfra's connection data for all of them,
    `settings` are `Cluster`'s other fields. Raises `ClusterError`.
    """
    if not isinstance(nodes, dict):
        raise ClusterError(f'nodes: {nodes!r} is no dictionary; write it as {{"stash1": "192.0.2.11", …}}')
    members = [{"name": name, "address": address} for name, address in nodes.items()]
    cluster = _validate({"nodes": members, **settings})
    hosts: list[tuple[str, dict[str, Any]]] = [(node.name, {}) for node in cluster.nodes]
    return hosts, {"cluster": cluster.model_dump(mode="json"), **(connection or {})}


def of(host: Host) -> Cluster:
    """The cluster that this host of the group `nodes` belongs to."""
    return _validate(host.data.cluster)


def _validate(data: dict[str, Any]) -> Cluster:
    try:
        return Cluster.model_validate(data)
    except ValidationError as error:
        # No input in the error's text: it may hold more than the field at fault.
        errors = error.errors(include_url=False)
        # A misspelt setting is often a missing one too: the spelling is what helps.
        line = _line(min(errors, key=lambda each: each["type"] != "extra_forbidden"), data)
    raise ClusterError(line)


def _unique(field: str, part: str, values: Iterable[Hashable]) -> None:
    seen: set[Hashable] = set()
    for value in values:
        if value in seen:
            raise ValueError(f"{field}: {part} {value} is given twice; each must be different")
        seen.add(value)


_MENDS = {
    "missing": "is missing; add it",
    "ip_v4_address": "is not an IPv4 address; write it as 192.0.2.11",
    "ip_v4_network": "is neither an IPv4 address nor a network; write it as 192.0.2.11 or 192.0.2.0/24",
    "literal_error": "is unknown; choose one of 6, 7, 8 and 9",
    "tuple_type": "is not a list; write it in square brackets",
    "string_type": "is not a string; write it in quotes",
    "int_parsing": "is not a whole number; write it as 5514",
    "int_type": "is not a whole number; write it as 5514",
    "path_type": "is not a path; write it in quotes",
    "model_type": 'is not an input; write it as {"id": "udp-5514", "port": 5514}',
}


def _line(error: ErrorDetails, data: dict[str, Any]) -> str:
    """A validation error in our words: field, value, mend."""
    kind, path, value = error["type"], list(error["loc"]), error["input"]
    if not path:  # `Cluster._check` names the field itself
        return str(error["ctx"]["error"])
    if path[0] == "nodes" and len(path) > 1:  # by name, as in the inventory
        path[1] = data["nodes"][path[1]]["name"]
    field = ".".join(map(str, path)).removesuffix(".address")
    if kind == "value_error":
        return f"{field}: {error['ctx']['error']}"
    if kind == "extra_forbidden":
        known = (Input if path[0] == "inputs" else Cluster).model_fields
        near = difflib.get_close_matches(str(path[-1]), known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(known)}"
        return f"{field}: unknown setting; {hint}"
    if kind == "missing":
        return f"{field}: {_MENDS[kind]}"
    return f"{field}: {value!r} {_MENDS.get(kind, 'is wrong; ' + error['msg'])}"
