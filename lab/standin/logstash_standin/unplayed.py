"""Plugins of the real one that have only their names here, and the options they can't do without."""

from collections.abc import Mapping
from typing import TypeVar

from .options import Option

T = TypeVar("T")

INPUTS = """beats:port elastic_agent:port elasticsearch exec:command file:path gelf heartbeat http
    http_poller:urls jdbc kafka pipeline:address rabbitmq:host redis:data_type,key s3:bucket snmptrap
    sqs:queue syslog"""
FILTERS = """aggregate:task_id,code anonymize:fields,key cidr clone csv date de_dot dissect dns elasticsearch
    fingerprint geoip:source grok http:url json:source kv memcached metrics prune ruby sleep split syslog_pri
    throttle:key translate truncate:length_bytes urldecode useragent:source uuid:target xml:source"""
OUTPUTS = """csv:path,fields elasticsearch email:to graphite http:url,http_method kafka:topic_id
    lumberjack:hosts,port,ssl_certificate pipe:command pipeline:send_to rabbitmq:host,exchange,exchange_type
    redis s3:bucket sns sqs:queue tcp:host,port udp:host,port"""
CODECS = """avro:schema_uri cef collectd dots edn edn_lines es_bulk fluent graphite msgpack multiline:pattern,what
    netflow"""


def unplayed(base: type[T], options: Mapping[str, Option], words: str) -> dict[str, type[T]]:
    """A kind of `base` for each word: a name, a colon, the required options; it takes any other option too."""
    made = {}
    for word in words.split():
        name, _, required = word.partition(":")
        needs = {option: Option("any", required=True) for option in required.split(",") if option}
        made[name] = type(name, (base,), {"NAME": name, "OPTIONS": {**options, **needs}, "PLAYED": False})
    return made
