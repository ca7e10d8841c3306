"""What is known of Logstash's input plugins that listen at a port, and of its codecs: a row for each.

An inventory may name any other plugin, too; it then says itself what a row would have said (`protocol`, `scheduler`,
`probe`, `text`). To add what you know of one, add a row. Sources: the plugins' code (github.com/logstash-plugins).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Options = Mapping[str, Any]


@dataclass(frozen=True)
class TlsOptions:
    """What a plugin calls its options for TLS."""

    enable: str
    certificate: str
    key: str
    ca: str
    client: str
    """Whether senders need certificates."""
    values: Mapping[str, str | bool]
    """What `client` is for the inventory's `none`, `optional` and `required`; without `optional`, it has no such thing."""
    ca_list: bool = True
    """Whether `ca` takes a list of files."""

    @property
    def all(self) -> tuple[str, ...]:
        """All of them."""
        return (self.enable, self.certificate, self.key, self.ca, self.client)


_SAME = {value: value for value in ("none", "optional", "required")}
STANDARD_TLS = TlsOptions(
    *("ssl_enabled", "ssl_certificate", "ssl_key", "ssl_certificate_authorities"),
    "ssl_client_authentication",
    _SAME,
)
"""The names that all of Elastic's plugins have from Logstash 8.12 on; 9 has no others."""
STANDARD_SINCE = (8, 12)
_VERIFY_MODE = {"none": "none", "optional": "peer", "required": "force_peer"}
_MODE_TLS = TlsOptions(
    *("ssl", "ssl_certificate", "ssl_key", "ssl_certificate_authorities", "ssl_verify_mode"), _VERIFY_MODE
)
_VERIFY = {"none": False, "required": True}
_TCP_TLS = TlsOptions(
    *("ssl_enable", "ssl_cert", "ssl_key", "ssl_certificate_authorities", "ssl_verify"), _VERIFY
)
_RELP_TLS = TlsOptions(
    *("ssl_enable", "ssl_cert", "ssl_key", "ssl_cacert", "ssl_verify"), _VERIFY, ca_list=False
)


@dataclass(frozen=True)
class Plugin:
    """An input plugin that listens at a port. The defaults are what is assumed of one without a row."""

    protocols: tuple[str, ...] = ("udp", "tcp")
    """What it can listen on. One input serves both of them."""
    default: str | None = None
    """`udp`, `tcp` or `both`: what it listens on, unless the inventory says otherwise; None where that is unknown."""
    select: Mapping[str, Options] = field(default_factory=dict)
    """By the inventory's `protocol`: the options that make it listen on that."""
    since: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """By protocol: the first Logstash in which it can listen on that, where not all of them can."""
    sticky: str | None = None
    """What it takes over UDP, where several datagrams belong together."""
    probe: bool = False
    """Whether it makes nothing of an empty datagram, and of a connection without data: no event, and no line in its log."""
    text: bool = False
    """Whether a line of text makes an event."""
    ipv6: bool = True
    """Whether it can listen on IPv6."""
    tls: TlsOptions | None = None
    """Its options for TLS; None where it has none."""
    old_tls: TlsOptions | None = None
    """Those before Logstash 8.12, where they were others."""
    without_tls: Options = field(default_factory=dict)
    """The options that turn TLS off, where it is on by itself."""
    refused_codecs: Mapping[str, str] = field(default_factory=dict)
    """Codecs with which it does not start, though `logstash -t` accepts them: what to do instead."""
    reserved: tuple[str, ...] = ()
    """Options that only the deploy may set, beside those of `select` and of each input."""


_BEATS = Plugin(
    ("tcp",),
    "tcp",
    tls=STANDARD_TLS,
    old_tls=_MODE_TLS,
    refused_codecs={"multiline": "let the Beats join lines (`parsers` in filebeat.yml), and take it out"},
)
UDP_SETTINGS = ("workers", "queue_size", "receive_buffer_bytes")
"""Options of the udp input, which the inventory has as settings of their own."""
PLUGINS = {
    "udp": Plugin(("udp",), "udp", probe=True, text=True),
    "tcp": Plugin(
        ("tcp",), "tcp", probe=True, text=True, tls=STANDARD_TLS, old_tls=_TCP_TLS, reserved=("mode",)
    ),
    "beats": _BEATS,
    "elastic_agent": _BEATS,
    "elastic_serverless_forwarder": Plugin(
        ("tcp",), "tcp", tls=STANDARD_TLS, without_tls={"ssl_enabled": False}
    ),
    "logstash": Plugin(("tcp",), "tcp", tls=STANDARD_TLS, without_tls={"ssl_enabled": False}),
    "http": Plugin(("tcp",), "tcp", tls=STANDARD_TLS, old_tls=_MODE_TLS),
    "relp": Plugin(("tcp",), "tcp", tls=_RELP_TLS),
    "graphite": Plugin(("tcp",), "tcp", tls=STANDARD_TLS, old_tls=_TCP_TLS, reserved=("mode",)),
    # It always listens on both. An empty datagram may become an event, and each connection is a line in its log.
    "syslog": Plugin(("udp", "tcp"), "both", text=True),
    "gelf": Plugin(
        ("udp", "tcp"),
        "udp",
        select={"tcp": {"use_udp": False, "use_tcp": True}, "both": {"use_udp": True, "use_tcp": True}},
        sticky="GELF",  # large messages come in chunks
        ipv6=False,  # its UDP socket is one of IPv4, whatever `host` says
        reserved=("port_udp", "port_tcp"),
    ),
    "snmptrap": Plugin(
        ("udp", "tcp"),
        "udp",
        select={
            "tcp": {"supported_transports": ["tcp"]},
            "both": {"supported_transports": ["udp", "tcp"]},
        },
        since={"tcp": (8, 15)},  # its integration with `snmp`
    ),
    "ganglia": Plugin(("udp",), "udp"),
}
UNKNOWN = Plugin()


def tls_options(plugin: str, logstash: int, version: str | None) -> TlsOptions | None:
    """A plugin's options for TLS in this Logstash: its major version, and the exact one where the inventory names it."""
    known = PLUGINS.get(plugin, UNKNOWN)
    return known.old_tls if known.old_tls and release_of(logstash, version) < STANDARD_SINCE else known.tls


def release_of(logstash: int, version: str | None) -> tuple[int, ...]:
    """Logstash's release, to be compared: the exact version where the inventory names it, or else the newest one of its major
    version."""
    exact = version not in (None, "latest")
    return tuple(map(int, str(version).split("."))) if exact else (logstash, sys.maxsize)


FETCHING = {
    *(
        "azure_event_hubs",
        "cloudwatch",
        "couchdb_changes",
        "dead_letter_queue",
        "elasticsearch",
        "exec",
        "file",
    ),
    *(
        "generator",
        "github",
        "google_cloud_storage",
        "google_pubsub",
        "heartbeat",
        "http_poller",
        "imap",
        "irc",
    ),
    *(
        "java_generator",
        "java_stdin",
        "jdbc",
        "jms",
        "jmx",
        "kafka",
        "kinesis",
        "pipe",
        "rabbitmq",
        "redis",
        "rss",
    ),
    *(
        "s3",
        "salesforce",
        "snmp",
        "sqlite",
        "sqs",
        "stdin",
        "stomp",
        "twitter",
        "unix",
        "varnishlog",
        "wmi",
        "xmpp",
    ),
}
"""Inputs that fetch or make their events themselves, so that nobody can send them any."""


@dataclass(frozen=True)
class CodecRow:
    """A codec, by which an input reads what it gets."""

    text: bool = False
    """Whether a line of text makes an event at once."""
    sticky: str | None = None
    """What it reads, where several datagrams belong together."""


CODECS = {
    **dict.fromkeys(("plain", "line", "json", "json_lines"), CodecRow(text=True)),
    "netflow": CodecRow(sticky="NetFlow"),
    "sflow": CodecRow(sticky="sFlow"),
    "multiline": CodecRow(sticky="events of several lines"),
    **dict.fromkeys(
        (
            "avro",
            "cef",
            "cloudfront",
            "cloudtrail",
            "collectd",
            "csv",
            "edn",
            "edn_lines",
            "es_bulk",
            "fluent",
        ),
        CodecRow(),
    ),
    **dict.fromkeys(
        ("graphite", "gzip_lines", "jdots", "msgpack", "nmap", "protobuf", "rubydebug"), CodecRow()
    ),
}
STICKY_PORTS = {
    2055: "NetFlow",
    4739: "IPFIX",
    6343: "sFlow",
    9995: "NetFlow",
    9996: "NetFlow",
    12201: "GELF",
}
"""UDP ports whose protocols spread one thing over several datagrams."""
