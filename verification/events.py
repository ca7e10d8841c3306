"""The events of a test: where they are sent, what the sender says of them, and what arrived. Pure data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from pydantic import SecretStr

from cluster import VirtualServer
from cluster.plugins import CODECS, PLUGINS, UNKNOWN, CodecRow
from verification.finding import words


@dataclass(frozen=True)
class Target:
    """A virtual server that events are sent to."""

    index: int
    """Its place in the cluster's list of virtual servers."""
    server: VirtualServer
    flows: int
    """Sockets that the events take turns over: IPVS picks a node for each, or for each event with `ops`."""
    numbered: bool
    """Whether the events can be told apart where they arrive: in a file of the deploy's own output."""
    certificate: str | None = None
    """With TLS, the SHA-256 of the certificate that it must show."""
    client: SecretStr | None = None
    """The certificate and the key, as PEM, that the sender shows it."""


class Sent(NamedTuple):
    """What the sender says of a target; `files/send_events.py` describes the fields."""

    sent: int
    refused: int = 0
    source: str | None = None
    error: str | None = None
    errno: int | None = None
    seconds: float = 0


@dataclass
class Arrived:
    """What has arrived on a node."""

    events: list[tuple[int, int]] = field(default_factory=list)
    """Index of the target and number of each event, as often as it came."""
    counts: dict[str, int] = field(default_factory=dict)
    """By input id, how many events Logstash's API counted."""


def name_of(target: Target) -> str:
    """What is counted: the virtual server's events, or those of the input."""
    return target.server.name if target.numbered else target.server.input_id


def label(targets: Iterable[Target]) -> str:
    """A name for targets of one input: its id, or their virtual server's name, and their VIPs."""
    first, *others = targets
    return f"{name_of(first)} at {words(str(target.server.vip) for target in (first, *others))}"


def no_text(server: VirtualServer) -> str | None:
    """Why no line of text can be sent to a virtual server as an event, in words; None where one can."""
    input = server.input
    if input.tls and input.tls.clients == "required" and not input.tls.client_certificate:
        return "its senders need certificates, and its `tls` names none for verify.py (`client_certificate`, `client_key`)"
    if input.text is not None:
        return None if input.text else "its `text` is False in the inventory"
    if input.defined_in:
        return f"what its pipeline file {input.defined_in} makes of text is not known (`text`)"
    plugin = input.plugin or server.protocol.lower()
    if not PLUGINS.get(plugin, UNKNOWN).text:
        return f"its plugin {plugin} does not take lines of text"
    if input.codec_name and not CODECS.get(input.codec_name, CodecRow()).text:
        return f"its codec {input.codec_name} does not take lines of text"
    return None
