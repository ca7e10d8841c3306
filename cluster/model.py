"""The cluster as its user describes it in an inventory, and what follows from it."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from cluster import checks
from cluster.buffers import DEFAULT_BUFFER, held_events, needed_buffer
from cluster.certificates import ApiFiles, TlsFiles
from cluster.errors import ClusterError, listed, shown
from cluster.input_checks import check_input
from cluster.ipvs import VirtualServer, virtual_servers
from cluster.local_files import (
    read_api,
    read_auth_pass,
    read_environment,
    read_pipelines,
    read_repository,
    read_rpms,
    read_signing_keys,
    read_tls,
)
from cluster.package_sources import ELASTICS_FINGERPRINT, RepositoryFiles
from cluster.plugins import PLUGINS, UNKNOWN, Plugin
from cluster.rpm import RpmFile
from cluster.senders import senders_at
from cluster.types import (
    Address,
    Addresses,
    Codec,
    Count,
    Email,
    Fingerprints,
    Folder,
    InputId,
    Interface,
    JvmOption,
    Names,
    Network,
    Networks,
    NodeName,
    OneAddress,
    Options,
    Paths,
    PipelineFile,
    PipelineId,
    PluginName,
    Port,
    Priority,
    ProxyUrl,
    RouterId,
    SettingName,
    SettingValue,
    Size,
    StartTimeout,
    Url,
    Urls,
    Version,
    Weight,
    Word,
    in_a_list,
)
from cluster.vrrp import VrrpInstance, vrrp_instances, vrrp_pairs

NEWEST = 9
"""The newest major version of Logstash."""
MASK = SecretStr("********")
"""What is shown in the place of a secret."""


def _masked_api(files: ApiFiles) -> ApiFiles:
    return replace(
        files,
        password=MASK if files.password else None,
        keystores=dict.fromkeys(files.keystores, MASK),
        keystore_password=MASK if files.keystore_password else None,
    )


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Node(_Model):
    """One machine of the cluster: a director and a real server at once."""

    name: NodeName
    """Its name in the inventory, and keepalived's `router_id`."""
    addresses: Addresses = Field(alias="address")
    """Its own address, or two: one IPv4, one IPv6. Logstash listens here, and VRRP adverts come from here, where a VIP does
    not have `sources`."""
    interface: Interface | None = None
    """The network interface that has its own address (default: the cluster's `interface`)."""
    priority: Priority | None = None
    """VRRP's priority, 1 to 254: of the nodes that are up, the one with the highest priority becomes MASTER; the higher
    it is, the sooner a node takes over (default: in VRRP 3 from 254 down in the nodes' order; in VRRP 2, or where other
    nodes have one, 100)."""

    @cached_property
    def address(self) -> Address:
        """Where its Logstash's API listens, which the health checks ask: the IPv4 address where it has one."""
        return min(self.addresses, key=lambda address: address.version)

    def at(self, version: int) -> Address:
        """Its address of this family, 4 or 6."""
        return next(address for address in self.addresses if address.version == version)


class Vip(_Model):
    """A virtual address, and the network that it is in."""

    address: OneAddress
    """The address itself."""
    interface: Interface | dict[str, Interface] | None = None
    """The network interface that gets it, on all nodes or by node's name (default: the one that has the node's own
    address)."""
    sources: dict[str, OneAddress] = {}
    """The address that each node has on that interface, by node's name: VRRP adverts come from there (default: they come from
    the nodes' own addresses, and a VIP on another interface follows that interface's link)."""
    senders: Networks | None = None
    """Who may send to this VIP: addresses and networks. An input with `senders` of its own is open to those who are in both
    (default: the input's or the cluster's `senders`)."""


class Tls(_Model):
    """TLS of an input: what it shows to senders, and which of them it lets in."""

    certificate: Path
    """The local file with the certificate that senders see, in PEM: its own first, then those between it and its CA."""
    key: Path
    """The local file with its private key, in PEM, without a password."""
    ca: Path | None = None
    """The local file with the certificates of the CAs that sign the senders' certificates, in PEM."""
    client_authentication: Literal["none", "optional", "required"] | None = None
    """Whether senders need a certificate of their own (default: `required` with a `ca`, otherwise `none`)."""
    client_certificate: Path | None = None
    """The local file with a sender's certificate, in PEM, which `verify.py --send` shows where senders need one. It is not put on the
    nodes."""
    client_key: Path | None = None
    """The local file with its private key, in PEM, without a password."""
    names: Names = ()
    """What senders call the VIP, names and addresses: the certificate must be for all of them (default: the VIPs'
    addresses)."""

    @property
    def clients(self) -> str:
        """`none`, `optional` or `required`: whether senders need a certificate."""
        return self.client_authentication or ("required" if self.ca else "none")


class Repository(_Model):
    """The repository that Logstash's package comes from, where it is not laid out as Elastic's, or asks who comes."""

    urls: Urls = Field(default=(), alias="url")
    """The address of the folder that has `repodata` with Logstash's package; with several, each is a mirror of the others
    (default: Elastic's layout at `artifacts_url`)."""
    mirrorlist: Url | None = None
    """The address of a list of such addresses, one a line."""
    certificate: Path | None = None
    """The local file with the client certificate that the repository asks for, as Satellite and Pulp do, in PEM."""
    key: Path | None = None
    """The local file with its private key, in PEM, without a password."""
    ca: Path | None = None
    """The local file with the certificates of the CAs that sign the repository's, in PEM (default: those that the machine trusts)."""
    secrets: Path | None = None
    """The local file with the logins, as lines `NAME=value`: `USERNAME` and `PASSWORD` of the repository, `PROXY_USERNAME` and
    `PROXY_PASSWORD` of the `proxy`. On the nodes only root can read them."""
    seen_from: Literal["operator", "nodes"] = "operator"
    """Where the repository can be reached from: `operator`, then the machine that runs the deploy looks at it before any node is
    touched, or `nodes`, then it does not."""


class Api(_Model):
    """How Logstash's API is secured: by TLS, by a login, or by both (Logstash 7.16 and later)."""

    secrets: Path
    """The local file with the secrets, as lines `NAME=value`: `USERNAME` and `PASSWORD` of the login (HTTP Basic), where it
    is to have one, and `KEYSTORE_PASSWORD`, with a `keystore`. The password needs 8 characters or more, with an upper-case
    letter, a lower-case letter and a digit, as Logstash's policy says."""
    keystore: Path | None = None
    """The local file with the API's certificate and key, in PKCS #12: for the address of each node, or one for each node,
    with `<%= node.name %>` in the path (default: no TLS)."""
    ca: Path | None = None
    """The local file with the certificates of the CAs that sign the keystore's, in PEM: the nodes accept no other. Needed
    with a `keystore`."""


class Input(_Model):
    """One input of Logstash behind the VIP: a virtual server for each VIP and protocol."""

    id: InputId
    """The input's `id`, which the health check looks for in Logstash's API."""
    port: Port
    """Port at the VIP, 1 to 65535."""
    server_port: Port | None = None
    """Port at the nodes, 1024 to 65535, where it differs from `port`: below 1024 only root may listen (default: `port`)."""
    protocol: Literal["udp", "tcp", "both"] | None = None
    """`udp`, `tcp` or `both` (default: what the `plugin` listens on; `udp` without one)."""
    plugin: PluginName | None = None
    """Logstash's input plugin, such as `beats`, `http` or `syslog`: any that listens at a port (default: `udp` or `tcp`)."""
    options: Options = {}
    """More options of the plugin, by Logstash's names for them: strings, numbers, booleans, lists and dictionaries."""
    tls: Tls | None = None
    """TLS over TCP: a dictionary with the paths of its `certificate` and `key`, and more."""
    scheduler: Literal["rr", "wrr", "lc", "wlc", "sh", "mh"] = "wrr"
    """How IPVS chooses a node (ipvsadm(8)): in turn (`wrr`, `rr`), by the fewest connections (`wlc`, `lc`), or by the
    sender's address (`sh`, `mh`: a sender's events all go to one node). With `wrr` and `wlc`, a node that is slow or has
    just started gets less than the others."""
    ops: bool | None = None
    """One-packet scheduling, UDP only: each datagram is scheduled anew (default: on, but off with `lc`, `wlc`)."""
    weights: dict[str, Weight] = {}
    """Weight by node's name, with `wrr`, `wlc`, `sh` and `mh`; a node with 0 gets no events (default: 1 each)."""
    forwarding: Literal["nat", "snat", "dr"] | None = None
    """How events get from the director to a node: `nat` (UDP only), `snat` (Logstash sees the director's address) or `dr`
    (direct routing; no `server_port`) (default: `nat` for UDP, `snat` for TCP)."""
    codec: Codec | None = None
    """Logstash's codec: its name, or the name with options, `{"json": {"charset": "CP1252"}}` (default: the plugin's own)."""
    type: Word | None = None
    """The events' `type`."""
    tags: tuple[Word, ...] = ()
    """The events' `tags`."""
    workers: Count | None = None
    """Threads that process the datagrams in the input's queue; plugin `udp` only."""
    queue_size: Count | None = None
    """Datagrams that the input's queue holds in memory; plugin `udp` only."""
    receive_buffer_bytes: Count | None = DEFAULT_BUFFER
    """The socket's receive buffer in bytes, where events wait while Logstash collects garbage or has just started; plugin
    `udp` only. `net.core.rmem_max` is raised to it. `None` leaves the kernel's default, usually 208 kB (default:
    `16777216`, or more where `events_per_second` needs it)."""
    events_per_second: Count | None = None
    """The most events that come in a second, at the VIP; plugin `udp` only. The receive buffer then holds 12 seconds of
    them: all can go to one node, and to one that has just started."""
    event_bytes: Count = 200
    """The mean size of an event in bytes; plugin `udp` only. In the receive buffer, the kernel counts 2,304 bytes for each packet
    of an event, which has up to 1,472."""
    senders: Networks | None = None
    """Who may send to this input: addresses and networks (default: the cluster's `senders`)."""
    pipeline: PipelineId = "main"
    """The Logstash pipeline it belongs to."""
    defined_in: PipelineFile | None = None
    """The file in `pipelines` that has this input already: the deploy does not write it, but gives it virtual servers, firewall
    rules and health checks (default: the deploy writes it)."""
    text: bool | None = None
    """Whether a line of text makes an event, so that `verify.py --send` can send some (default: by plugin and codec)."""
    probe: bool | None = None
    """Whether health checks may send empty datagrams to its UDP port, and open its TCP port now and then (default: by
    plugin; not where that is unknown)."""

    @property
    def protocols(self) -> tuple[str, ...]:
        """`udp`, `tcp` or both of them."""
        protocol = self.protocol or self.known.default or "udp"
        return ("udp", "tcp") if protocol == "both" else (protocol,)

    @property
    def known(self) -> Plugin:
        """What is known of its plugin."""
        return PLUGINS.get(self.plugin or "", UNKNOWN)

    @property
    def plugins(self) -> dict[str, tuple[str, ...]]:
        """Logstash's inputs: the protocols by plugin. Without a `plugin`, each protocol has an input of its own."""
        if self.plugin:
            return {self.plugin: self.protocols}
        return {protocol: (protocol,) for protocol in self.protocols}

    @property
    def codec_name(self) -> str | None:
        """The name of its codec, if it is given."""
        return next(iter(self.codec)) if isinstance(self.codec, dict) else self.codec

    @property
    def codec_options(self) -> dict[str, Any]:
        """The options of its codec."""
        return next(iter(self.codec.values())) if isinstance(self.codec, dict) else {}

    def may_probe(self, protocol: str) -> bool:
        """Whether health checks may touch its port of this protocol."""
        if self.probe is not None:
            return self.probe
        known = PLUGINS.get(self.plugin or protocol, UNKNOWN)
        may_have_tls = protocol == "tcp" and (self.tls or self.defined_in)
        return known.probe and not may_have_tls

    @property
    def target_port(self) -> int:
        """Port at the nodes."""
        return self.server_port or self.port

    def plugin_id(self, protocol: str) -> str:
        """The `id` of the Logstash input for this protocol: where there are two inputs, each has its own."""
        return f"{self.id}-{protocol}" if len(self.plugins) > 1 else self.id

    def server_name(self, protocol: str) -> str:
        """The name of the virtual server for this protocol."""
        shared = self.plugin and len(self.protocols) > 1
        return f"{self.id} {protocol}" if shared else self.plugin_id(protocol)

    def forwards(self, protocol: str) -> str:
        """`nat`, `snat` or `dr`: how this protocol of the input is forwarded."""
        return self.forwarding or ("nat" if protocol == "udp" else "snat")

    def one_packet(self, protocol: str) -> bool:
        """Whether each datagram of this protocol is scheduled anew."""
        if protocol == "tcp":
            return False
        return self.scheduler not in ("lc", "wlc") if self.ops is None else self.ops

    @property
    def receive_buffer(self) -> int | None:
        """The size of the socket's receive buffer in bytes; None where it is the kernel's default."""
        if self.events_per_second is None or self.receive_buffer_bytes != DEFAULT_BUFFER:
            return self.receive_buffer_bytes
        return max(DEFAULT_BUFFER, needed_buffer(self.events_per_second, self.event_bytes))

    def waiting_events(self, plugin: str) -> int | None:
        """How many events wait in the socket of this plugin until one is lost; None over TCP, where senders wait."""
        if "udp" not in self.plugins[plugin]:
            return None
        return held_events(self.receive_buffer if plugin == "udp" else None, self.event_bytes)

    def weight_of(self, node: str) -> int:
        """A node's weight by the inventory."""
        return self.weights.get(node, 1)

    @property
    def percent_steps(self) -> bool:
        """Whether a node can get a share of its weight: where the scheduler uses weights, and no sender loses its node
        by that. Weights in IPVS are a hundred times the inventory's then."""
        return self.scheduler in ("wrr", "wlc")

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_input(self)
        return self


class Cluster(_Model):
    """The whole cluster: settings that are the same on all of its nodes, and the nodes."""

    nodes: tuple[Node, ...]
    """Two or more machines: addresses by name, or for each a dictionary with `address` and more."""
    networks: Networks = Field(alias="network")
    """The network that the nodes and the VIP are in; several where both IPv4 and IPv6 are used, or where VIPs are in networks
    of their own."""
    interface: Interface | None = None
    """The network interface that has a node's own address, and gets the VIP; needed where a node names none of its own."""
    virtual_addresses: tuple[Vip, ...] = Field(alias="vip")
    """The virtual address that events are sent to; one node holds it at a time. With several of a family, each of the first
    nodes is MASTER of one. A dictionary with `address` and more where it is not on the nodes' own interface."""
    inputs: tuple[Input, ...]
    """One or more inputs: a dictionary for each, with the settings below."""
    senders: Networks = ()
    """Who may send events: addresses and networks. An input can have senders of its own."""
    vrrp: Literal[2, 3] = 3
    """VRRP's version: 3 (RFC 5798; hundredths of a second, IPv4 and IPv6) or the recipe's 2 (RFC 3768; whole seconds,
    a password, IPv4), which Enterprise Linux 7 needs."""
    virtual_router_id: RouterId = 1
    """VRRP's number for this cluster, 1 to 255; a second VIP of a family gets the next number, and so on."""
    advert_interval: float | None = None
    """Seconds between VRRP adverts: 0.01 to 40.95 in VRRP 3, 1 to 255 in VRRP 2; a BACKUP takes over when three are
    missing (default: 0.1 in VRRP 3, 1 in VRRP 2)."""
    transport: Literal["unicast", "multicast"] = "unicast"
    """How adverts are sent: `unicast`, to each of the other nodes, or `multicast`, to VRRP's group."""
    preempt: bool | None = None
    """Whether a node with a higher priority takes the VIP back when it returns (default: yes where
    priorities are given or a family has several VIPs, and in VRRP 2; otherwise the VIP stays where it is)."""
    auth_pass_file: Path | None = None
    """The local file that holds the VRRP password, 1 to 8 characters; VRRP 2 only, and needed there. A relative path
    begins at the inventory's folder."""
    logstash: Literal[6, 7, 8, 9] | None = None
    """Logstash's major version (default: that of `version`, or else what the nodes have, or else 9)."""
    version: Version | None = None
    """Logstash's exact version, or `latest` of that major version (default: the newest one is installed once, and
    then left as it is)."""
    artifacts_url: Url = "https://artifacts.elastic.co"
    """Where Elastic's packages and their GPG key come from; it can be a mirror of your own."""
    repository: Repository | None = None
    """The repository with Logstash's package where it is laid out otherwise, has a login, or can be reached by the nodes alone: a
    dictionary (default: `artifacts_url`)."""
    signing_keys: Path | None = None
    """The local file with the OpenPGP keys that sign the packages, which the nodes get (default: they fetch
    `GPG-KEY-elasticsearch` from `artifacts_url`)."""
    key_fingerprints: Fingerprints = (ELASTICS_FINGERPRINT,)
    """The fingerprints of these keys: one with another fingerprint is refused (default: that of Elastic's key)."""
    packages: Literal["install", "managed"] = "install"
    """`install`, or `managed`: the packages are yours, and the deploy only looks whether they are there."""
    rpms: Paths = ()
    """RPM files on this machine, or folders of them: Logstash's, and others that the nodes lack. They are copied to the nodes and
    installed without any repository."""
    proxy: ProxyUrl | None = None
    """The proxy through which the nodes reach the repository (default: for the key, what dnf is configured to use)."""
    exclusive: bool = False
    """Whether Elastic's repository is enabled only during a deploy, so that no other package upgrade changes Logstash."""
    firewall: Literal["firewalld", "none"] = "firewalld"
    """`firewalld`, which must be running, or `none`: the firewall is yours."""
    notification_email: Email | None = None
    """Who gets keepalived's e-mails about changes of state (the recipe's step 7); `smtp_server` is needed then (default:
    nobody)."""
    smtp_server: OneAddress | None = None
    """The address of the mail server that takes these e-mails from each node, at port 25; `127.0.0.1` where each node runs one
    (default: none, and keepalived sends no e-mail)."""
    pipelines: Path | None = None
    """A local folder with your own pipeline files: `*.conf` for the pipeline `main`, `NAME/*.conf` for others.
    A relative path begins at the inventory's folder."""
    environment_file: Path | None = None
    """A local file with lines `NAME=value`, which pipelines use as `${NAME}`: the place for secrets. A relative path
    begins at the inventory's folder."""
    heap: Size | None = None
    """Logstash's Java heap, such as `4g`; an `LS_JAVA_OPTS` in /etc/default/logstash or /etc/sysconfig/logstash does not count
    then (default: Logstash's own)."""
    jvm_options: tuple[JvmOption, ...] = ()
    """Further options of Logstash's Java, such as `-Duser.timezone=UTC`, which come after those in jvm.options; the heap's
    size is `heap`."""
    queue: Literal["memory", "persisted"] = "memory"
    """Where events wait inside Logstash; those in a `persisted` queue survive a crash."""
    queue_max_bytes: Size | None = None
    """The maximum size of a persisted queue on disk, `64m` or more: that much must be free on each node (default: Logstash's own,
    1g)."""
    support_escapes: bool = False
    """Whether backslashes in the strings of pipeline files, yours too, stand for other characters, such as `\\t` for a tab
    (Logstash's `config.support_escapes`)."""
    pipeline_workers: Count | None = None
    """Threads that run filters and outputs (default: one for each CPU)."""
    cold_start_rate: Count = 1000
    """Events a second that a Logstash takes in its first 12 seconds, when its JVM is cold. A node that has just started gets no
    more than that and its receive buffer can take, as long as others take the rest."""
    start_timeout: StartTimeout = 180
    """Seconds within which Logstash must stop, and then start and have all its inputs; otherwise a deploy puts its old
    files back."""
    logstash_settings: dict[SettingName, SettingValue] = {}
    """Further settings for `logstash.yml`, by their full names, such as `{"config.reload.automatic": True}`; a text may
    have `<%= node.name %>` in it (default: none)."""
    pipeline_settings: dict[PipelineId, dict[SettingName, SettingValue]] = {}
    """By pipeline: settings of its own in `pipelines.yml`, by their full names, such as `{"main": {"pipeline.workers": 2,
    "pipeline.batch.size": 250, "pipeline.batch.delay": 50, "pipeline.ordered": "auto"}}` (default: Logstash's and
    `logstash_settings`)."""
    monitors: Networks = ()
    """Who else may read Logstash's API, such as Metricbeat or an exporter for Prometheus: addresses and networks. With
    `127.0.0.1` it listens at all addresses of the node, so that an agent there finds `localhost:9600` (default: the nodes
    alone)."""
    metrics: Folder | None = None
    """The folder on each node where node_exporter's textfile collector reads metrics, such as
    `/var/lib/node_exporter/textfile_collector`: the health service writes its own there (default: none are written)."""
    api: Api | None = None
    """TLS and a login for Logstash's API: a dictionary with the path of its `secrets`, and more (default: neither; the
    firewall lets only the nodes ask it)."""
    existing: Literal["adopt", "replace"] | None = None
    """What becomes of the keepalived and Logstash configuration that a node had before its first deploy: `adopt` keeps it
    in use beside the cluster's own, `replace` puts it out of use (default: such a node is refused)."""

    @field_validator("virtual_addresses", mode="before")
    @classmethod
    def _with_settings(cls, value: object) -> object:
        """An address alone is a VIP with no other settings."""
        return [each if isinstance(each, dict | Vip) else {"address": each} for each in in_a_list(value)]

    @cached_property
    def auth_pass(self) -> SecretStr | None:
        """The VRRP password in `auth_pass_file`."""
        return read_auth_pass(self.auth_pass_file) if self.auth_pass_file else None

    @cached_property
    def environment(self) -> dict[str, SecretStr]:
        """Logstash's variables in `environment_file`, by name."""
        return read_environment(self.environment_file) if self.environment_file else {}

    @cached_property
    def pipeline_files(self) -> dict[str, dict[str, str]]:
        """The user's own pipeline files: text by name, by pipeline."""
        return read_pipelines(self.pipelines) if self.pipelines else {}

    @cached_property
    def tls_files(self) -> dict[str, TlsFiles]:
        """The certificates and keys of the inputs that have TLS, by the input's id."""
        vips = [str(vip) for vip in self.vips]
        return {
            input.id: read_tls(f"inputs.{index}.tls", input.tls, list(input.tls.names) or vips)
            for index, input in enumerate(self.inputs)
            if input.tls
        }

    @cached_property
    def api_files(self) -> ApiFiles | None:
        """The API's login, and the nodes' keystores."""
        return read_api(self.api, self.nodes) if self.api else None

    def masked(self) -> Self:
        """The same cluster with `********` for each secret, so that nothing which is rendered from it holds one."""
        return self.model_copy(
            update={
                "auth_pass": MASK if self.auth_pass else None,
                "environment": dict.fromkeys(self.environment, MASK),
                "tls_files": {
                    id: replace(files, key=MASK, client=MASK if files.client else None)
                    for id, files in self.tls_files.items()
                },
                "repository_files": self.repository_files.masked(MASK),
                "api_files": _masked_api(self.api_files) if self.api_files else None,
            }
        )

    @cached_property
    def repository_files(self) -> RepositoryFiles:
        """The certificates and logins for the repository and the proxy."""
        return read_repository(self.repository) if self.repository else RepositoryFiles()

    @cached_property
    def signing_key_text(self) -> str | None:
        """The keys in `signing_keys`, which have the right fingerprints."""
        return read_signing_keys(self.signing_keys, self.key_fingerprints).text if self.signing_keys else None

    @cached_property
    def rpm_files(self) -> tuple[RpmFile, ...]:
        """The RPM files of `rpms`, signed by the keys in `signing_keys`."""
        return read_rpms(self.rpms, self.signing_keys, self.key_fingerprints) if self.rpms else ()

    @property
    def node_names(self) -> tuple[str, ...]:
        """The names of its nodes, which tell it from the other clusters of its inventory."""
        return tuple(node.name for node in self.nodes)

    @property
    def major(self) -> int:
        """Logstash's major version: the inventory's, or else 9, where `remote.majors` has not looked what the nodes have."""
        if self.logstash:
            return self.logstash
        return NEWEST if self.version in (None, "latest") else int(self.version.split(".")[0])

    @property
    def local_monitors(self) -> bool:
        """Whether programs on the nodes themselves read the API at `localhost`."""
        return any(monitor.is_loopback for monitor in self.monitors)

    @property
    def remote_monitors(self) -> tuple[Network, ...]:
        """Who else may read the API from other machines."""
        return tuple(monitor for monitor in self.monitors if not monitor.is_loopback)

    @property
    def pipeline_ids(self) -> tuple[str, ...]:
        """All pipelines: those that inputs belong to, and those of the user's files."""
        return tuple(dict.fromkeys([*(input.pipeline for input in self.inputs), *self.pipeline_files]))

    @property
    def input_ids(self) -> tuple[str, ...]:
        """The ids that Logstash has: one for each of its inputs, in the inventory's order."""
        return tuple(
            input.plugin_id(protocols[0]) for input in self.inputs for protocols in input.plugins.values()
        )

    @property
    def families(self) -> tuple[int, ...]:
        """The VIPs' address families: 4, 6 or both."""
        return tuple(sorted({vip.version for vip in self.vips}))

    @property
    def forwardings(self) -> frozenset[str]:
        """All ways of forwarding in use."""
        return frozenset(server.forwarding for server in self.virtual_servers)

    @cached_property
    def vips(self) -> tuple[Address, ...]:
        """The virtual addresses themselves."""
        return tuple(vip.address for vip in self.virtual_addresses)

    def senders_of(self, input: Input, vip: Address) -> tuple[Network, ...]:
        """Who may send to this input at this VIP."""
        return senders_at(self, input, vip)

    def all_senders_of(self, input: Input) -> tuple[Network, ...]:
        """Who may send to this input, at any VIP."""
        return tuple(dict.fromkeys(sender for vip in self.vips for sender in self.senders_of(input, vip)))

    def interface_of(self, node: Node) -> str:
        """The interface that has this node's own address."""
        return node.interface or self.interface or ""

    def interfaces_of(self, node: Node) -> tuple[str, ...]:
        """All interfaces of a node that the cluster uses, the one with its own address first."""
        vips = (self.vip_interface(vip, node) for vip in self.vips)
        return tuple(dict.fromkeys([self.interface_of(node), *vips]))

    def vip_interface(self, vip: Address, node: Node) -> str:
        """The interface that gets this VIP on this node."""
        named = self.virtual_address(vip).interface
        if isinstance(named, dict):
            return named.get(node.name, self.interface_of(node))
        return named or self.interface_of(node)

    def vrrp_interface(self, vip: Address, node: Node) -> str:
        """The interface through which a node's adverts for this VIP go."""
        with_sources = self.virtual_address(vip).sources
        return self.vip_interface(vip, node) if with_sources else self.interface_of(node)

    def vrrp_source(self, vip: Address, node: Node) -> Address:
        """The address that a node's adverts for this VIP come from."""
        return self.virtual_address(vip).sources.get(node.name) or node.at(vip.version)

    def sources_of(self, node: Node) -> tuple[Address, ...]:
        """The addresses that a node has on VIPs' interfaces beside its own ones."""
        named = (vip.sources.get(node.name) for vip in self.virtual_addresses)
        return tuple(dict.fromkeys(each for each in named if each and each not in node.addresses))

    def vip_prefix(self, vip: Address) -> int:
        """The length of the prefix with which a node gets this VIP. Where nodes have addresses of their own in its network, it
        is a single address and adds no second route; otherwise it brings the route to its network along."""
        network = self.network_of(vip)
        on_interface = (
            self.vrrp_source(vip, node)
            for node in self.nodes
            if self.vrrp_interface(vip, node) == self.vip_interface(vip, node)
        )
        return vip.max_prefixlen if any(source in network for source in on_interface) else network.prefixlen

    def network_of(self, address: Address) -> Network:
        """The network that an address of the cluster is in."""
        return next(network for network in self.networks if address in network)

    def virtual_address(self, vip: Address) -> Vip:
        """The settings of this VIP."""
        return next(each for each in self.virtual_addresses if each.address == vip)

    @property
    def spans_interfaces(self) -> bool:
        """Whether a VIP is on another interface than a node's own address."""
        return any(len(self.interfaces_of(node)) > 1 for node in self.nodes)

    @cached_property
    def virtual_servers(self) -> tuple[VirtualServer, ...]:
        """One for each input, protocol and VIP, in this order."""
        return virtual_servers(self)

    @property
    def advert_int(self) -> float:
        """Seconds between VRRP adverts."""
        if self.advert_interval is None:
            return 1 if self.vrrp == 2 else 0.1
        return self.advert_interval

    @cached_property
    def vrrp_instances(self) -> tuple[VrrpInstance, ...]:
        """One for each VIP, the IPv4 ones first."""
        return vrrp_instances(self)

    @property
    def vrrp_pairs(self) -> tuple[tuple[VrrpInstance, VrrpInstance], ...]:
        """The instances of an IPv4 and an IPv6 VIP that belong on one node."""
        return vrrp_pairs(self.vrrp_instances)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What works, but may not be what the user wants; one line each, with what to do."""
        return checks.warnings(self)

    @model_validator(mode="after")
    def _check(self) -> Self:
        checks.check_cluster(self)
        return self

    def node(self, name: str) -> Node:
        """The node of that name; `ClusterError` when there is none."""
        for node in self.nodes:
            if node.name == name:
                return node
        names = listed(node.name for node in self.nodes)
        raise ClusterError(
            f"nodes: {shown(name)} is not a node of the cluster ({names}); add it in inventory.py"
        )

    def peers(self, node: Node) -> tuple[Node, ...]:
        """All nodes but this one, in the inventory's order."""
        return tuple(peer for peer in self.nodes if peer != node)
