"""What is known of Logstash's input plugins that listen at a port, and of its codecs: a row for each.

An inventory may name any other plugin, too; it then says itself what a row would have said (`protocol`, `scheduler`,
`probe`, `text`). To add what you know of one, add a row. Sources: the plugins' code (github.com/logstash-plugins).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Options = Mapping[str, Any]


@dataclass(frozen=True)
class Plugin:
    """An input plugin that listens at a port. The defaults are what is assumed of one without a row."""

    protocols: tuple[str, ...] = ("udp", "tcp")
    """What it can listen on. One input serves both of them."""
    default: str | None = None
    """`udp`, `tcp` or `both`: what it listens on, unless the inventory says otherwise; None where that is unknown."""
    select: Mapping[str, Options] = field(default_factory=dict)
    """By the inventory's `protocol`: the options that make it listen on that."""
    sticky: str | None = None
    """What it takes over UDP, where several datagrams belong together."""
    probe: bool = False
    """Whether it makes nothing of an empty datagram, and of a connection without data: no event, and no line in its log."""
    text: bool = False
    """Whether a line of text makes an event."""
    ipv6: bool = True
    """Whether it can listen on IPv6."""
    reserved: tuple[str, ...] = ()
    """Options that only the deploy may set, beside those of `select` and of each input."""


UDP_SETTINGS = ("workers", "queue_size", "receive_buffer_bytes")
"""Options of the udp input, which the inventory has as settings of their own."""
PLUGINS = {
    "udp": Plugin(("udp",), "udp", probe=True, text=True),
    "tcp": Plugin(("tcp",), "tcp", probe=True, text=True, reserved=("mode",)),
    "beats": Plugin(("tcp",), "tcp"),
    "elastic_agent": Plugin(("tcp",), "tcp"),
    "lumberjack": Plugin(("tcp",), "tcp"),
    "http": Plugin(("tcp",), "tcp"),
    "relp": Plugin(("tcp",), "tcp"),
    "graphite": Plugin(("tcp",), "tcp"),
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
    # TCP since Logstash 8.15.
    "snmptrap": Plugin(
        ("udp", "tcp"),
        "udp",
        select={
            "tcp": {"supported_transports": ["tcp"]},
            "both": {"supported_transports": ["udp", "tcp"]},
        },
    ),
    "ganglia": Plugin(("udp",), "udp"),
}
UNKNOWN = Plugin()
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
