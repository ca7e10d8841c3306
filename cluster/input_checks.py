"""Checks of one input: what its plugin, its codec, its options and its forwarding can be together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.buffers import COLD_SECONDS, DEFAULT_BUFFER, LARGEST_BUFFER, held_events, needed_buffer
from cluster.errors import listed
from cluster.plugins import CODECS, FETCHING, PLUGINS, UDP_SETTINGS, UNKNOWN

if TYPE_CHECKING:
    from cluster.model import Input

_OF_THE_INPUT = ("id", "port", "codec", "type", "tags")
"""Options of each plugin that an input has as settings of its own."""
_WRITTEN = ("options", "tls", "codec", "type", "tags", "workers", "queue_size")
"""Settings that are only written into a pipeline file."""


def check_input(input: Input) -> None:
    """Raises `ValueError`, which begins with the setting's name without the input's."""
    _check_plugin(input)
    _check_codec(input)
    _check_options(input)
    _check_tls(input)
    if input.defined_in:
        for field in _WRITTEN:
            if getattr(input, field) != type(input).model_fields[field].default:
                raise ValueError(
                    f"{field}: is written in {input.defined_in}, where the input is; take it out"
                )
    if input.target_port < 1024:
        field = "server_port" if input.server_port else "port"
        if input.forwarding == "dr":
            raise ValueError(
                f"{field}: {input.target_port} is below 1024, where only root may listen, and direct routing "
                "can't change a port; leave forwarding out, or choose one from 1024"
            )
        raise ValueError(
            f"{field}: {input.target_port} is below 1024, where only root may listen; "
            f"set server_port to one from 1024 to 65535, such as {input.target_port + 5000}"
        )
    if "tcp" in input.protocols and input.forwarding == "nat":
        raise ValueError(
            "forwarding: 'nat' can't work for TCP here: the replies would bypass the director; "
            "choose 'snat' or 'dr', or leave it out"
        )
    if input.forwarding == "dr" and input.target_port != input.port:
        raise ValueError(
            f"server_port: {input.server_port} differs from port {input.port}, and direct routing can't "
            "change a port; leave forwarding out, or make them equal"
        )
    if input.ops and input.protocols == ("tcp",):
        raise ValueError("ops: one-packet scheduling is for UDP only; take it out")
    if input.ops and input.scheduler in ("lc", "wlc"):
        raise ValueError(
            f"ops: {input.scheduler} counts connections, and with ops there are none; choose wrr, or take ops out"
        )
    if input.weights and input.scheduler in ("rr", "lc"):
        raise ValueError(
            f"weights: {input.scheduler} ignores them; choose w{input.scheduler}, or take them out"
        )
    if "udp" not in input.plugins:
        (plugin,) = input.plugins
        for field in UDP_SETTINGS:
            if getattr(input, field) not in (None, type(input).model_fields[field].default):
                remedy = "take it out" if plugin in PLUGINS else "take it out, or write it into options"
                raise ValueError(f"{field}: Logstash's {plugin} input has no such setting; {remedy}")
        for field in ("events_per_second", "event_bytes"):
            if getattr(input, field) not in (None, type(input).model_fields[field].default):
                raise ValueError(
                    f"{field}: sizes the receive buffer of Logstash's udp input only; take it out"
                )
    _check_receive_buffer(input)
    if input.senders == ():
        raise ValueError("senders: none given; name one or more, or leave it out")


def _check_receive_buffer(input: Input) -> None:
    """Raises `ValueError` where the receive buffer can't be as large as the rate needs it, or is said to be smaller."""
    rate, size = input.events_per_second, input.receive_buffer_bytes
    if rate is None:
        return
    needed = needed_buffer(rate, input.event_bytes)
    if needed > LARGEST_BUFFER:
        raise ValueError(
            f"events_per_second: {rate} events of {input.event_bytes} bytes need a receive buffer of {needed} bytes, and the "
            f"kernel's limit is {LARGEST_BUFFER}; spread them over several inputs"
        )
    if size != DEFAULT_BUFFER and (size is None or size < needed):
        seconds = held_events(size, input.event_bytes) / rate
        raise ValueError(
            f"receive_buffer_bytes: {size} holds {seconds:.2g} s of events_per_second={rate}, and {COLD_SECONDS} s are "
            f"needed; leave it out, or write {needed} or more"
        )


def _check_plugin(input: Input) -> None:
    name = input.plugin
    if name in FETCHING:
        raise ValueError(
            f"plugin: {name} gets its events by itself, and nobody can send it any; put it into a pipeline file of "
            "yours (`pipelines`)"
        )
    if name in CODECS and name not in PLUGINS:
        raise ValueError(f"plugin: {name} is a codec and not an input; write codec={name!r}")
    if name and input.known.default is None and input.protocol is None:
        raise ValueError(
            f"protocol: is not known of the plugin {name} (known are: {listed(PLUGINS)}); "
            "write whether it listens on 'udp', 'tcp' or 'both'"
        )
    for protocol in input.protocols:
        if protocol not in input.known.protocols:
            (only,) = input.known.protocols
            raise ValueError(f"protocol: Logstash's {name} input listens on {only} only; take it out")


def _check_codec(input: Input) -> None:
    name = input.codec_name
    if name is None:
        return
    if remedy := input.known.refused_codecs.get(name):
        raise ValueError(f"codec: Logstash's {input.plugin} input does not start with {name}; {remedy}")
    if name in CODECS:
        return
    if name in PLUGINS:
        raise ValueError(f"codec: {name} is an input and not a codec; write plugin={name!r}")
    if name in FETCHING:
        raise ValueError(
            f"codec: {name} is an input and not a codec, and gets its events by itself; put it into a pipeline file "
            "of yours (`pipelines`)"
        )


def _check_options(input: Input) -> None:
    """Raises `ValueError` for an option that the deploy writes itself."""
    rows = [PLUGINS.get(plugin, UNKNOWN) for plugin in input.plugins]
    of_tls = {option for row in rows for names in (row.tls, row.old_tls) if names for option in names.all}
    by_protocol = {option for options in input.known.select.values() for option in options}
    for option in input.options:
        if option in _OF_THE_INPUT or (option in UDP_SETTINGS and "udp" in input.plugins):
            raise ValueError(f"options.{option}: is a setting of the input itself; write it beside options")
        if option == "host":
            raise ValueError("options.host: each node listens at its own address; take it out")
        if option in by_protocol:
            raise ValueError(
                f"options.{option}: follows from the input's protocol; write that, and take it out"
            )
        if option in of_tls:
            raise ValueError(f"options.{option}: follows from the input's `tls`; write that, and take it out")
        if any(option in row.reserved for row in rows):
            raise ValueError(
                f"options.{option}: must be as the deploy has it, so that events reach the input; take it out"
            )


def _check_tls(input: Input) -> None:
    if input.tls is None:
        return
    if "udp" in input.protocols:
        raise ValueError("tls: there is none over UDP; choose protocol='tcp', or one input for each protocol")
    (plugin,) = input.plugins
    if plugin not in PLUGINS:
        raise ValueError(
            f"tls: the names of the options of {plugin} are not known; take it out, and write them into options, with "
            "files that are on the nodes"
        )
    if PLUGINS[plugin].tls is None:
        raise ValueError(
            f"tls: Logstash's {plugin} input has none; choose plugin='tcp', with a codec and filters"
        )
    if input.tls.clients != "none" and input.tls.ca is None:
        raise ValueError(
            f"tls.ca: is missing, and client_authentication is {input.tls.clients!r}; name the file with the certificates "
            "of the CAs that sign senders' certificates"
        )
    if input.tls.ca and input.tls.clients == "none":
        raise ValueError(
            "tls.ca: no sender is asked for a certificate, as client_authentication is 'none'; take one of the two out"
        )
    given = {field for field in ("client_certificate", "client_key") if getattr(input.tls, field)}
    if len(given) == 1:
        (missing,) = {"client_certificate", "client_key"} - given
        raise ValueError(f"tls.{missing}: is missing, and {given.pop()} is given; name both, or none")
    if given and input.tls.clients == "none":
        raise ValueError(
            "tls.client_certificate: senders need none here; name a ca, or take it out with its key"
        )
