"""The cluster as its user describes it in `inventory.py`: a typed, validated model.

Every error is a `ClusterError`: one line that names the field, its value and the mend.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pyinfra.api.exceptions import PyinfraError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails
    from pyinfra.api.host import Host

API_PORT = 9600
"""TCP port of Logstash's API, the same on every node (the recipe's step 3)."""
RECEIVE_BUFFER = 16 << 20
"""Bytes of a UDP input's socket for what waits. They are taken only while it waits."""

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class ClusterError(PyinfraError):
    """What is wrong with the cluster's description, or with a machine that is to join it, in one line."""


def _like(pattern: str, meaning: str) -> AfterValidator:
    """A check that a string is `meaning`: these strings end up in configuration files and commands."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            shown = re.sub(r"//.*@", "//***@", value)  # a password in a URL
            raise ValueError(f"{shown!r} is not {meaning}")
        return value

    return AfterValidator(check)


def _between(low: float, high: float, mend: str) -> AfterValidator:
    def check(value: float) -> float:
        if not low <= value <= high:
            raise ValueError(f"{value} is out of range; {mend}")
        return value

    return AfterValidator(check)


def _parse_address(value: object) -> Address:
    try:
        # No zone: an address of one link is no address for a cluster.
        known = isinstance(value, str | IPv4Address | IPv6Address) and "%" not in str(value)
        return ip_address(value if known else "")  # type: ignore[arg-type]
    except ValueError:
        raise ValueError(f"{value!r} is not an IP address; write it as 192.0.2.11 or 2001:db8::11") from None


def _parse_network(value: object) -> Network:
    if not isinstance(value, str | IPv4Network | IPv6Network):
        value = str(value)
    try:
        if "%" not in str(value):
            return ip_network(value)
    except ValueError:
        pass
    try:
        if "%" in str(value):
            raise ValueError
        near = f"{ip_network(value, strict=False)}, or {str(value).split('/')[0]} for one address"
    except ValueError:
        near = "192.0.2.11, 192.0.2.0/24 or 2001:db8::/64"
    raise ValueError(f"{str(value)!r} is neither an IP address nor a network; write it as {near}")


def _listed(value: object) -> object:
    """One of a list may be written without the list."""
    return value if isinstance(value, list | tuple) else [value]


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
_PipelineId = Annotated[
    str, _like(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", "a pipeline id; use 1 to 64 letters, digits, `_` and `-`")
]
_Word = Annotated[str, _like(r"[\w.-]{1,64}", "a word; use letters, digits, `_`, `.` and `-`")]
_Codec = Annotated[str, _like(r"[a-z][a-z0-9_]*", "a codec; write its name, such as json_lines")]
_Email = Annotated[str, _like(r"[\w.%+-]+@[\w.-]+", "a mail address; write it as root@localhost")]
_Url = Annotated[
    str,
    _like(
        r"https?://[A-Za-z0-9.-]+(:[0-9]+)?(/[A-Za-z0-9._~-]+)*",
        "an http or https URL; write it as https://artifacts.elastic.co, without a final slash",
    ),
]
_Proxy = Annotated[
    str,
    _like(
        r"https?://[A-Za-z0-9.-]+(:[0-9]+)?",
        "a proxy's URL; write it as http://proxy.example.com:3128, without a user or a password",
    ),
]
_Version = Annotated[
    str, _like(r"latest|[0-9]+\.[0-9]+\.[0-9]+", "a version; write it as 8.19.3, or latest for the newest")
]
_Size = Annotated[str, _like(r"[1-9][0-9]*[mg]", "a size; write it as 512m or 4g")]
_Port = Annotated[int, _between(1, 65535, "choose one from 1 to 65535")]
_Count = Annotated[int, _between(1, 2**31 - 1, f"choose one from 1 to {2**31 - 1}")]
_Weight = Annotated[int, _between(0, 32767, "choose one from 0, for no events, to 32767")]
_Priority = Annotated[int, _between(1, 254, "choose one from 1 to 254, the highest becomes MASTER")]
_RouterId = Annotated[int, _between(1, 255, "choose one from 1 to 255 that no other VRRP router here has")]
_Address = Annotated[Address, BeforeValidator(_parse_address)]
_Network = Annotated[Network, BeforeValidator(_parse_network)]
_Addresses = Annotated[tuple[_Address, ...], BeforeValidator(_listed)]
_Networks = Annotated[tuple[_Network, ...], BeforeValidator(_listed)]

_FAMILY = {4: "IPv4", 6: "IPv6"}
STICKY_PORTS = {
    2055: "NetFlow",
    4739: "IPFIX",
    6343: "sFlow",
    9995: "NetFlow",
    9996: "NetFlow",
    12201: "GELF",
}
"""UDP ports whose protocols spread one thing over several datagrams."""
STICKY_CODECS = {"netflow": "NetFlow", "sflow": "sFlow", "gelf": "GELF"}


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Node(_Model):
    """One machine of the cluster: a director and a real server at once."""

    name: _Name
    """Its name in the inventory, and keepalived's `router_id`."""
    addresses: _Addresses = Field(alias="address")
    """Its own address, or two: one IPv4, one IPv6. Logstash listens here, and VRRP adverts come from here."""
    priority: _Priority | None = None
    """VRRP's priority, 1 to 254: of the nodes that are up, the highest becomes MASTER, and the higher, the sooner
    (default: in VRRP 3 from 254 down in the nodes' order; in VRRP 2, or where others have one, 100)."""

    @property
    def address(self) -> Address:
        """Where its API is, and where its health is asked for: the IPv4 address where it has one."""
        return min(self.addresses, key=lambda address: address.version)

    def at(self, version: int) -> Address:
        """Its address of this family, 4 or 6."""
        return next(address for address in self.addresses if address.version == version)


class Input(_Model):
    """One input of Logstash behind the VIP: a virtual server for each VIP and protocol."""

    id: _InputId
    """The input's `id`, which the health check looks for in Logstash's API."""
    port: _Port
    """Port at the VIP, 1 to 65535."""
    server_port: _Port | None = None
    """Port at the nodes, 1024 to 65535, where it differs: below 1024 only root may listen (default: `port`)."""
    protocol: Literal["udp", "tcp", "both"] = "udp"
    """`udp`, `tcp` or `both`."""
    scheduler: Literal["rr", "wrr", "lc", "wlc", "sh", "mh"] = "rr"
    """How IPVS picks a node (ipvsadm(8)): in turn (`rr`, `wrr`), the least connections (`lc`, `wlc`), by the
    sender's address (`sh`, `mh`: a sender sticks to its node)."""
    ops: bool | None = None
    """One-packet scheduling, UDP only: each datagram is scheduled anew (default: on, but off with `lc`, `wlc`)."""
    weights: dict[str, _Weight] = {}
    """Weight by node's name, with `wrr`, `wlc`, `sh` and `mh`; 0 gets no events (default: 1 each)."""
    forwarding: Literal["nat", "snat", "dr"] | None = None
    """How events get from the director to a node: `nat` (UDP only), `snat` (TCP only; Logstash sees the
    director's address) or `dr` (direct routing; no `server_port`) (default: `nat` for UDP, `snat` for TCP)."""
    codec: _Codec | None = None
    """Logstash's codec, by name (default: the plugin's own)."""
    type: _Word | None = None
    """The events' `type`."""
    tags: tuple[_Word, ...] = ()
    """The events' `tags`."""
    workers: _Count | None = None
    """Threads that take datagrams out of the input's queue; UDP only."""
    queue_size: _Count | None = None
    """Datagrams that the input holds in memory; UDP only."""
    receive_buffer_bytes: _Count | None = RECEIVE_BUFFER
    """The socket's receive buffer in bytes, where events wait while Logstash collects garbage; UDP only.
    `net.core.rmem_max` is raised to it. `None` leaves the kernel's own, 208 kB as a rule."""
    senders: Annotated[tuple[_Network, ...], BeforeValidator(_listed)] | None = None
    """Who may send to this input: addresses and networks (default: the cluster's `senders`)."""
    pipeline: _PipelineId = "main"
    """The Logstash pipeline it belongs to."""

    @property
    def protocols(self) -> tuple[str, ...]:
        """`udp`, `tcp` or both of them."""
        return ("udp", "tcp") if self.protocol == "both" else (self.protocol,)

    @property
    def target_port(self) -> int:
        """Port at the nodes."""
        return self.server_port or self.port

    def plugin_id(self, protocol: str) -> str:
        """The `id` of the Logstash input for this protocol: where there are two, each has its own."""
        return f"{self.id}-{protocol}" if self.protocol == "both" else self.id

    def forwards(self, protocol: str) -> str:
        """`nat`, `snat` or `dr`: how this protocol of the input is forwarded."""
        return self.forwarding or ("nat" if protocol == "udp" else "snat")

    def weighs(self, node: str) -> tuple[int, int]:
        """A node's weight in IPVS, and the one that it has while it is slow. Where they matter both are twice as high as
        the inventory's, so that each has a half."""
        weight = self.weights.get(node, 1)
        return (2 * weight, weight) if self.scheduler in ("wrr", "wlc") else (weight, weight)

    @model_validator(mode="after")
    def _check(self) -> Self:
        """What no field can tell alone. The messages name the field; `_line` puts the input before it."""
        if self.target_port < 1024:
            field = "server_port" if self.server_port else "port"
            if self.forwarding == "dr":
                raise ValueError(
                    f"{field}: {self.target_port} is below 1024, where only root may listen, and direct routing "
                    "can't change a port; leave forwarding out, or choose one from 1024"
                )
            raise ValueError(
                f"{field}: {self.target_port} is below 1024, where only root may listen; "
                f"set server_port to one from 1024 to 65535, such as {self.target_port + 5000}"
            )
        if "tcp" in self.protocols and self.forwarding == "nat":
            raise ValueError(
                "forwarding: 'nat' can't work for TCP here: the replies would bypass the director; "
                "choose 'snat' or 'dr', or leave it out"
            )
        if "udp" in self.protocols and self.forwarding == "snat":
            raise ValueError(
                "forwarding: 'snat' is for TCP only, as UDP gets no replies; choose 'dr', or leave it out"
            )
        if self.forwarding == "dr" and self.target_port != self.port:
            raise ValueError(
                f"server_port: {self.server_port} differs from port {self.port}, and direct routing can't "
                "change a port; leave forwarding out, or make them one"
            )
        if self.ops and self.protocol == "tcp":
            raise ValueError("ops: one-packet scheduling is for UDP only; take it out")
        if self.ops and self.scheduler in ("lc", "wlc"):
            raise ValueError(
                f"ops: {self.scheduler} counts connections, and with ops there are none; choose wrr, or take ops out"
            )
        if self.weights and self.scheduler in ("rr", "lc"):
            raise ValueError(
                f"weights: {self.scheduler} takes no notice of them; choose w{self.scheduler}, or take them out"
            )
        if self.protocol == "tcp":
            for field in ("workers", "queue_size", "receive_buffer_bytes"):
                if getattr(self, field) not in (None, type(self).model_fields[field].default):
                    raise ValueError(f"{field}: Logstash's tcp input has no such setting; take it out")
        if self.senders == ():
            raise ValueError("senders: none given; name one or more, or leave it out")
        return self


@dataclass(frozen=True)
class RealServer:
    """A node's place in a virtual server's pool."""

    node: Node
    address: Address
    port: int
    weight: int
    """As IPVS has it."""
    slow: int
    """Its weight while it is slow; the same where the scheduler takes no notice of weights, or a sender sticks to its
    node."""


@dataclass(frozen=True)
class VirtualServer:
    """What IPVS is to do with one input's events of one protocol at one VIP (ipvsadm(8))."""

    vip: Address
    port: int
    protocol: str
    """`UDP` or `TCP`."""
    input: Input
    input_id: str
    """The `id` of the Logstash input that takes the events."""
    ops: bool
    forwarding: str
    """`nat`, `snat` or `dr`."""
    real_servers: tuple[RealServer, ...]


@dataclass(frozen=True)
class VrrpInstance:
    """One VIP and who is to hold it (keepalived.conf(5), VRRP instance)."""

    name: str
    vip: Address
    virtual_router_id: int
    state: str
    """What a node takes itself for at its start, `MASTER` or `BACKUP`."""
    priorities: dict[str, int]
    """By node's name."""
    preempt: bool
    """Whether a higher priority takes the VIP from a MASTER that works."""


class Cluster(_Model):
    """The whole cluster; whatever is not a node's own is the same on all of them."""

    nodes: tuple[Node, ...]
    """Two machines or more: names and addresses, or a dictionary with `address` and `priority` for each."""
    networks: _Networks = Field(alias="network")
    """The layer-2 network that holds the nodes and the VIP; two where IPv4 and IPv6 are used."""
    interface: _Interface
    """The network interface that carries a node's address, and the VIP."""
    vips: _Addresses = Field(alias="vip")
    """The virtual address that events are sent to; one node holds it at a time. Several of a family are
    shared out, so that each of the first nodes is MASTER of one."""
    inputs: tuple[Input, ...]
    """One input or more: a dictionary for each, with the settings below."""
    senders: _Networks = ()
    """Who may send events: addresses and networks. An input may have senders of its own."""
    vrrp: Literal[2, 3] = 3
    """VRRP's version: 3 (RFC 5798; hundredths of a second, IPv4 and IPv6) or the recipe's 2 (RFC 3768; whole seconds,
    a password, IPv4), which Enterprise Linux 7 needs."""
    virtual_router_id: _RouterId = 1
    """VRRP's number of this cluster, 1 to 255; the second VIP of a family has the next one, and so on."""
    advert_interval: float | None = None
    """Seconds between VRRP adverts: 0.01 to 40.95 in VRRP 3, 1 to 255 in VRRP 2; a BACKUP takes over after three
    (default: 0.1 in VRRP 3, 1 in VRRP 2)."""
    transport: Literal["unicast", "multicast"] = "unicast"
    """How adverts are sent: to each other node, or to VRRP's multicast group."""
    preempt: bool | None = None
    """Whether a node with a higher priority takes the VIP back when it returns (default: where priorities are given
    or several VIPs are shared out, and in VRRP 2; else the VIP stays where it is)."""
    auth_pass_file: Path | None = None
    """The local file that holds the VRRP password, 1 to 8 characters; VRRP 2 only, and needed there."""
    logstash: Literal[6, 7, 8, 9] = 8
    """Logstash's major version."""
    version: _Version | None = None
    """Logstash's exact version, or `latest` of its major (default: installed once, then left alone)."""
    artifacts_url: _Url = "https://artifacts.elastic.co"
    """Where Elastic's packages and their GPG key come from: a mirror of your own."""
    proxy: _Proxy | None = None
    """The proxy to reach `artifacts_url` through."""
    exclusive: bool = False
    """Whether Elastic's repository is off but for the deploy, so that a package upgrade never moves Logstash."""
    firewall: Literal["firewalld", "none"] = "firewalld"
    """`firewalld`, which must run; `none` leaves the firewall to you."""
    notification_email: _Email | None = "root@localhost"
    """Whom keepalived mails when a node's state changes (the recipe's step 7); `None` for nobody."""
    pipelines: Path | None = None
    """A local folder with pipeline files of yours: `*.conf` for the pipeline `main`, `NAME/*.conf` for others."""
    environment_file: Path | None = None
    """A local file of lines `NAME=value` that pipelines use as `${NAME}`: the place for secrets."""
    heap: _Size | None = None
    """Logstash's Java heap, such as `4g` (default: Logstash's own)."""
    queue: Literal["memory", "persisted"] = "memory"
    """Where events wait inside Logstash: `persisted` keeps them over a crash."""
    queue_max_bytes: _Size | None = None
    """The most that a persisted queue takes on disk (default: Logstash's own, 1g)."""
    pipeline_workers: _Count | None = None
    """Threads that filter and output (default: one for each CPU)."""

    @cached_property
    def auth_pass(self) -> SecretStr:
        """The VRRP password, 1 to 8 characters (RFC 2338, section 5.3.6.1), read from `auth_pass_file`."""
        file = self.auth_pass_file
        mend = "write the VRRP password of 1 to 8 characters into it"
        secret = _read("auth_pass_file", file, mend).rstrip("\r\n") if file else ""
        if not 1 <= len(secret) <= 8:
            raise ValueError(
                f"auth_pass_file: {file} holds {len(secret)} characters; write 1 to 8, VRRP carries no more"
            )
        if not re.fullmatch(r"[A-Za-z0-9._+=:/@%^-]+", secret):
            raise ValueError(
                f"auth_pass_file: {file} holds white space or a character that keepalived.conf can't carry; "
                "use letters, digits and ._+=:/@%^-"
            )
        return SecretStr(secret)

    @cached_property
    def environment(self) -> dict[str, SecretStr]:
        """Logstash's variables, by name, read from `environment_file`."""
        file = self.environment_file
        if file is None:
            return {}
        variables = {}
        for number, line in enumerate(_read("environment_file", file, "write it").splitlines(), 1):
            if not line.strip() or line.startswith("#"):
                continue
            name, equals, value = line.partition("=")
            if not equals or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or not value.isprintable():
                raise ValueError(
                    f"environment_file: {file}, line {number} is not NAME=value; "
                    "write one variable a line, without quotes or spaces around the `=`"
                )
            if name == "LS_JAVA_OPTS" and self.heap:
                raise ValueError(
                    f"heap: {file} sets LS_JAVA_OPTS, which would win over it; take one of them out"
                )
            variables[name] = SecretStr(value)
        return variables

    @cached_property
    def pipeline_files(self) -> dict[str, dict[str, str]]:
        """The user's own pipeline files: text by name, by pipeline."""
        folder = self.pipelines
        if folder is None:
            return {}
        folders = {"main": folder}
        for path in sorted(folder.iterdir()) if folder.is_dir() else []:
            if path.is_dir() and path.name == "main":
                raise ValueError(f"pipelines: {path} would be the same pipeline; put its files into {folder}")
            if path.is_dir():
                folders[path.name] = path
        found = {}
        for pipeline, path in folders.items():
            if files := sorted(path.glob("*.conf")):
                found[pipeline] = {
                    file.name: _read("pipelines", file, "make it a text file") for file in files
                }
        if not found:
            raise ValueError(f"pipelines: {folder} is no folder with *.conf files; put yours into it")
        for pipeline, texts in found.items():
            for name in (pipeline, *texts):
                if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) or name == OWN_PIPELINE_FILE:
                    raise ValueError(
                        f"pipelines: {name!r} can't be used; choose a name of letters, digits, `_`, `.` and `-`"
                        f" other than {OWN_PIPELINE_FILE}"
                    )
        return found

    @property
    def pipeline_ids(self) -> tuple[str, ...]:
        """All pipelines: those that inputs belong to, and those of the user's files."""
        return tuple(dict.fromkeys([*(input.pipeline for input in self.inputs), *self.pipeline_files]))

    @property
    def input_ids(self) -> tuple[str, ...]:
        """The ids that Logstash has: one for each protocol of an input."""
        return tuple(input.plugin_id(protocol) for input in self.inputs for protocol in input.protocols)

    @property
    def families(self) -> tuple[int, ...]:
        """The VIPs' address families: 4, 6 or both."""
        return tuple(sorted({vip.version for vip in self.vips}))

    @property
    def forwardings(self) -> frozenset[str]:
        """All ways of forwarding in use."""
        return frozenset(server.forwarding for server in self.virtual_servers)

    def senders_of(self, input: Input) -> tuple[Network, ...]:
        """Who may send to this input."""
        return self.senders if input.senders is None else input.senders

    @cached_property
    def virtual_servers(self) -> tuple[VirtualServer, ...]:
        """One for each input, protocol and VIP, in this order."""
        return tuple(
            VirtualServer(
                vip=vip,
                port=input.port,
                protocol=protocol.upper(),
                input=input,
                input_id=input.plugin_id(protocol),
                ops=protocol == "udp"
                and (input.scheduler not in ("lc", "wlc") if input.ops is None else input.ops),
                forwarding=input.forwards(protocol),
                real_servers=tuple(
                    RealServer(node, node.at(vip.version), input.target_port, *input.weighs(node.name))
                    for node in self.nodes
                ),
            )
            for input in self.inputs
            for protocol in input.protocols
            for vip in self.vips
        )

    @property
    def advert_int(self) -> float:
        """Seconds between VRRP adverts."""
        if self.advert_interval is None:
            return 1 if self.vrrp == 2 else 0.1
        return self.advert_interval

    @property
    def _ranked(self) -> bool:
        """Whether the user says who comes first."""
        return any(node.priority for node in self.nodes)

    def _priority(self, node: Node, rank: int, several: bool) -> int:
        """A node's priority where it is the `rank`th to become MASTER, from 0."""
        if self._ranked or (self.vrrp == 2 and not several):
            return node.priority or 100
        # As high as can be: a BACKUP waits the longer, the lower it is. And apart, so that two don't take over at once.
        return max(1, 254 - rank * max(1, min(10, 253 // len(self.nodes))))

    @cached_property
    def vrrp_instances(self) -> tuple[VrrpInstance, ...]:
        """One for each VIP. In VRRP 2 all priorities are the recipe's 100, unless they are given. Where there are
        several VIPs of a family, each node in turn comes first for one of them."""
        instances = []
        for version in self.families:
            vips = [vip for vip in self.vips if vip.version == version]
            several = len(vips) > 1
            preempt = self.preempt
            if preempt is None:
                preempt = several or self._ranked or self.vrrp == 2
            for index, vip in enumerate(vips):
                priorities = {
                    node.name: self._priority(node, (place - index) % len(self.nodes), several)
                    for place, node in enumerate(self.nodes)
                }
                equal = len(set(priorities.values())) == 1
                instances.append(
                    VrrpInstance(
                        name=f"VI_{index + 1}" if version == 4 else f"VI6_{index + 1}",
                        vip=vip,
                        virtual_router_id=self.virtual_router_id + index,
                        state="MASTER" if equal and preempt else "BACKUP",
                        priorities=priorities,
                        preempt=preempt,
                    )
                )
        return tuple(instances)

    @property
    def vrrp_pairs(self) -> tuple[tuple[VrrpInstance, VrrpInstance], ...]:
        """The instances of an IPv4 and an IPv6 VIP that belong on one node."""
        by_family = [
            [each for each in self.vrrp_instances if each.vip.version == version] for version in (4, 6)
        ]
        return tuple(zip(*by_family, strict=False))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What works, but may not be what its user wants; one line each, with the mend."""
        lines = []
        for index, input in enumerate(self.inputs):
            what = STICKY_CODECS.get(input.codec or "") or STICKY_PORTS.get(input.port)
            if what and "udp" in input.protocols and input.scheduler not in ("sh", "mh"):
                lines.append(
                    f"inputs.{index}.scheduler: {input.id} looks like {what}, whose datagrams belong together, and "
                    f"{input.scheduler} parts them; choose 'sh' or 'mh', so that a sender sticks to its node"
                )
            for version in self.families:
                if not any(sender.version == version for sender in self.senders_of(input)):
                    lines.append(
                        f"senders: none of {input.id} is {_FAMILY[version]}, though a VIP is; "
                        "add one, or take that VIP out"
                    )
        return tuple(lines)

    @model_validator(mode="after")
    def _check(self) -> Self:
        """What no field can tell alone."""
        if len(self.nodes) < 2:
            raise ValueError(
                f"nodes: {len(self.nodes)} given; name two machines or more, each with its address"
            )
        for field, values in (("inputs", self.inputs), ("vip", self.vips), ("network", self.networks)):
            if not values:
                raise ValueError(f"{field}: none given; name one or more")
        _unique("nodes", "name", (node.name.lower() for node in self.nodes))
        _unique("nodes", "address", (address for node in self.nodes for address in node.addresses))
        _unique("inputs", "id", (input.id for input in self.inputs))
        _unique("inputs", "id", self.input_ids)
        _unique("vip", "address", self.vips)
        _unique("senders", "entry", self.senders)
        if self.interface == "lo":
            raise ValueError(
                "interface: lo is the loopback interface; use the one that carries the nodes' addresses"
            )
        self._check_networks()
        self._check_ports()
        self._check_addresses()
        self._check_senders()
        self._check_vrrp()
        self._check_forwarding()
        self._check_logstash()
        return self

    def _check_networks(self) -> None:
        for version, family in _FAMILY.items():
            same = [network for network in self.networks if network.version == version]
            if len(same) > 1:
                raise ValueError(
                    f"network: {same[0]} and {same[1]} are both {family}; name the one that holds the nodes and the VIP"
                )
        for network in self.networks:
            if network.is_multicast or network.is_link_local:
                raise ValueError(
                    f"network: {network} is for multicast or for one link; name the one that holds the nodes"
                )

    def _check_ports(self) -> None:
        for protocol in ("udp", "tcp"):
            inputs = [input for input in self.inputs if protocol in input.protocols]
            _unique("inputs", f"{protocol} port", (input.port for input in inputs))
            _unique("inputs", f"{protocol} server_port", (input.target_port for input in inputs))
        for index, input in enumerate(self.inputs):
            if "tcp" in input.protocols and API_PORT in (input.port, input.target_port):
                field = "port" if input.port == API_PORT else "server_port"
                raise ValueError(
                    f"inputs.{index}.{field}: {API_PORT} is the port of Logstash's API; choose another one"
                )
            if "udp" in input.protocols and input.target_port == API_PORT:
                field = "server_port" if input.server_port else "port"
                raise ValueError(
                    f"inputs.{index}.{field}: {API_PORT} is where the nodes' health services ask each other; choose another one"
                )
            for name in input.weights:
                if name not in {node.name for node in self.nodes}:
                    raise ValueError(
                        f"inputs.{index}.weights: {name!r} is none of the nodes; {self._names()}"
                    )
            if input.weights and not any(input.weights.get(node.name, 1) for node in self.nodes):
                raise ValueError(f"inputs.{index}.weights: all are 0; give one node 1 or more")

    def _check_addresses(self) -> None:
        families = self.families
        words = " and ".join(_FAMILY[version] for version in families)
        for node in self.nodes:
            have = sorted(address.version for address in node.addresses)
            if have != list(families):
                has = " and ".join(_FAMILY[version] for version in have) or "no"
                raise ValueError(
                    f"nodes.{node.name}: has {has} addresses, the VIPs are {words}; "
                    "give it one address of each family that the VIPs have"
                )
            for address in node.addresses:
                self._check_address(f"nodes.{node.name}", address)
                if address in self.vips:
                    raise ValueError(
                        f"vip: {address} is {node.name}'s own address; choose a free address in {self._network(address)}"
                    )
        for vip in self.vips:
            self._check_address("vip", vip)

    def _network(self, address: Address) -> Network | None:
        return next((network for network in self.networks if address in network), None)

    def _check_address(self, field: str, address: Address) -> None:
        network = self._network(address)
        if network is None:
            networks = " and ".join(map(str, self.networks))
            raise ValueError(f"{field}: {address} is outside network {networks}; choose an address in it")
        ends = {network.network_address, *([network.broadcast_address] if network.version == 4 else [])}
        if address in ends:
            raise ValueError(
                f"{field}: {address} is {network}'s network or broadcast address; choose another one"
            )

    def _check_senders(self) -> None:
        for index, input in enumerate(self.inputs):
            field = "senders" if input.senders is None else f"inputs.{index}.senders"
            senders = self.senders_of(input)
            if not senders:
                raise ValueError(
                    f"senders: none given for {input.id}; name one or more, there or for all inputs"
                )
            _unique(field, "entry", senders)
            for sender in senders:
                if sender.version not in self.families:
                    raise ValueError(
                        f"{field}: {sender} is {_FAMILY[sender.version]}, and no VIP is; add one to vip, or take it out"
                    )

    def _check_vrrp(self) -> None:
        instances = self.vrrp_instances
        several = len(instances) > len(self.families)
        last = max(instance.virtual_router_id for instance in instances)
        if last > 255:
            raise ValueError(
                f"virtual_router_id: {self.virtual_router_id} is too high: each VIP takes the next one, up to {last}; "
                f"choose {self.virtual_router_id - last + 255} or less"
            )
        for node in self.nodes:
            if node.priority and several:
                raise ValueError(
                    f"nodes.{node.name}.priority: {node.priority} can't be used with several VIPs, which are "
                    "shared out in the nodes' order; take it out"
                )
        if several and self.preempt is False:
            raise ValueError(
                "preempt: with several VIPs each node must get its own back when it returns; take it out"
            )
        if self.vrrp == 2:
            if 6 in self.families:
                raise ValueError("vrrp: version 2 is for IPv4 only; choose 3 for an IPv6 VIP")
            if self.auth_pass_file is None:
                raise ValueError(
                    "auth_pass_file: is missing; name the file with the VRRP password, or leave vrrp at 3"
                )
            if self.advert_int not in range(1, 256):
                raise ValueError(
                    f"advert_interval: {self.advert_int:g} is not possible in VRRP 2; "
                    "choose whole seconds from 1 to 255, or vrrp=3"
                )
            _ = self.auth_pass
            return
        if self.auth_pass_file is not None:
            raise ValueError("auth_pass_file: VRRP 3 has no password; take it out, or choose vrrp=2")
        hundredths = round(self.advert_int * 100, 6)
        if not 1 <= hundredths <= 4095 or hundredths != round(hundredths):
            raise ValueError(
                f"advert_interval: {self.advert_int:g} is not possible in VRRP 3; "
                "choose 0.01 to 40.95 seconds in hundredths"
            )

    def _check_forwarding(self) -> None:
        for index, input in enumerate(self.inputs):
            if input.forwarding == "dr" and len(self.vips) > len(self.families):
                raise ValueError(
                    f"inputs.{index}.forwarding: 'dr' can't be used with several VIPs: a node that is MASTER of one "
                    "and BACKUP of another would send packets round in circles; choose one VIP, or 'snat' for TCP "
                    "and 'nat' for UDP"
                )
        if "snat" in self.forwardings and self.firewall == "none":
            raise ValueError(
                "firewall: 'none' leaves nobody to translate the source for 'snat'; "
                "choose 'firewalld', or forwarding 'dr' for TCP inputs"
            )

    def _check_logstash(self) -> None:
        if self.version not in (None, "latest") and self.version.split(".")[0] != str(self.logstash):
            raise ValueError(
                f"version: {self.version} is none of Logstash {self.logstash}; correct it, or set logstash"
            )
        if self.queue_max_bytes and self.queue == "memory":
            raise ValueError("queue_max_bytes: a queue in memory has no such limit; set queue='persisted'")
        _ = self.environment, self.pipeline_files

    def _names(self) -> str:
        return f"choose from {', '.join(node.name for node in self.nodes)}"

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


OWN_PIPELINE_FILE = "logstash-ha.conf"
"""The deploy's own file in each pipeline: the inputs."""


def define(
    *, nodes: dict[str, Any] | None = None, connection: dict[str, Any] | None = None, **settings: Any
) -> tuple[list[tuple[str, dict[str, Any]]], dict[str, Any]]:
    """A pyinfra group of the cluster's nodes, for `inventory.py`.

    `nodes` maps names to addresses, or to dictionaries of `Node`'s fields; `connection` is pyinfra's
    connection data for all of them; `settings` are `Cluster`'s other fields. Raises `ClusterError`.
    """
    if not isinstance(nodes, dict):
        raise ClusterError(f'nodes: {nodes!r} is no dictionary; write it as {{"stash1": "192.0.2.11", …}}')
    for name, node in nodes.items():
        if isinstance(node, dict) and "name" in node:
            raise _error(f"nodes.{name}.name: unknown setting; the name is what stands before the colon")
    members = [
        {"name": name, **(node if isinstance(node, dict) else {"address": node})}
        for name, node in nodes.items()
    ]
    cluster = _validate({"nodes": members, **settings})
    hosts: list[tuple[str, dict[str, Any]]] = [(node.name, {}) for node in cluster.nodes]
    return hosts, {"cluster": cluster.model_dump(mode="json", by_alias=True), **(connection or {})}


def cluster_of_host(host: Host) -> Cluster:
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
    raise _error(line)


def _error(line: str) -> ClusterError:
    """An error of one line, whatever a name or a path in it holds."""
    return ClusterError("".join(each if each.isprintable() else ascii(each)[1:-1] for each in line))


def _read(field: str, file: Path, mend: str) -> str:
    try:
        return file.read_text()
    except (OSError, ValueError) as error:  # ValueError: no text in it, or no path
        reason = "not text" if isinstance(error, UnicodeDecodeError) else getattr(error, "strerror", error)
        raise ValueError(f"{field}: {file} can't be read ({reason}); {mend}") from None


def _unique(field: str, part: str, values: Iterable[Hashable]) -> None:
    seen: set[Hashable] = set()
    for value in values:
        if value in seen:
            raise ValueError(f"{field}: {part} {value} is given twice; each must be different")
        seen.add(value)


_MENDS: dict[str, str | Callable[[ErrorDetails], str]] = {
    "missing": "is missing; add it",
    "literal_error": lambda error: (
        f"is unknown; choose from {error['ctx']['expected'].replace(' or ', ', ')}"
    ),
    "tuple_type": "is not a list; write it in square brackets",
    "dict_type": 'is not a dictionary; write it as {"stash1": 2}',
    "string_type": "is not a string; write it in quotes",
    "int_parsing": "is not a whole number; write it in digits",
    "int_type": "is not a whole number; write it in digits",
    "int_from_float": "is not a whole number; write it in digits",
    "float_parsing": "is not a number; write it as 0.1",
    "float_type": "is not a number; write it as 0.1",
    "bool_parsing": "is neither True nor False; write one of them",
    "bool_type": "is neither True nor False; write one of them",
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
    # The place in a list of one says nothing, and a node's address is what its name stands for.
    if path[0] in ("vip", "network") or (path[2:3] == ["address"] and kind != "missing"):
        path = [part for part in path if part != "address" and not isinstance(part, int)]
    field = ".".join(map(str, path))
    if kind == "value_error":
        between = "." if path[0] == "inputs" and len(path) == 2 else ": "  # `Input._check` names its field
        return f"{field}{between}{error['ctx']['error']}"
    if kind == "extra_forbidden":
        models: dict[object, type[_Model]] = {"inputs": Input, "nodes": Node}
        model = models[path[0]] if len(path) > 1 else Cluster
        known = [info.alias or name for name, info in model.model_fields.items()]
        near = difflib.get_close_matches(str(path[-1]), known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(known)}"
        return f"{field}: unknown setting; {hint}"
    mend = _MENDS.get(kind, f"is wrong; {error['msg']}")
    text = mend if isinstance(mend, str) else mend(error)
    return f"{field}: {text}" if kind == "missing" else f"{field}: {value!r} {text}"
