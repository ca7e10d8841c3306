"""Stubs: the real one's plugins that exist here by name only, with their required options."""

from collections.abc import Mapping
from typing import TypeVar

from .options import Option

T = TypeVar("T")

INPUTS = """elasticsearch exec:command file:path graphite:port heartbeat http_poller:urls jdbc kafka logstash:port
    pipeline:address rabbitmq:host redis:data_type,key relp:port s3:bucket sqs:queue"""
FILTERS = """aggregate:task_id,code anonymize:fields,key cidr clone csv date de_dot dissect dns elasticsearch
    fingerprint geoip:source grok http:url json:source kv memcached metrics prune ruby sleep split syslog_pri
    throttle:key translate truncate:length_bytes urldecode useragent:source uuid:target xml:source"""
OUTPUTS = """csv:path,fields elasticsearch email:to graphite http:url,http_method kafka:topic_id
    lumberjack:hosts,port,ssl_certificate pipe:command pipeline:send_to rabbitmq:host,exchange,exchange_type
    redis s3:bucket sns sqs:queue tcp:host,port udp:host,port"""
CODECS = "avro:schema_uri cef collectd dots edn edn_lines es_bulk fluent graphite msgpack netflow"


def make_stubs(base: type[T], options: Mapping[str, Option], declarations: str) -> dict[str, type[T]]:
    """A subclass of `base` for each declaration `NAME` or `NAME:OPTION,…`, whose options are required."""
    stubs = {}
    for declaration in declarations.split():
        name, _, required = declaration.partition(":")
        needed = {option: Option("any", required=True) for option in required.split(",") if option}
        members = {"NAME": name, "OPTIONS": {**options, **needed}, "IMPLEMENTED": False}
        stubs[name] = type(name, (base,), members)
    return stubs
