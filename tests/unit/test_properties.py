"""Generated clusters: each is refused in one good line, or rendered as its readers accept it.

Every run generates the same clusters, and shows the first that fails as it is. To hunt for more, and make what fails
as small as can be: `PROPERTY_EXAMPLES=5000 pytest tests/unit/test_properties.py`.
"""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from cluster import Api, Cluster, ClusterError, Input, Node, Repository, Vip, define
from cluster.clusters import check_clusters
from cluster.errors import shorten
from cluster.plugins import PLUGINS, UNKNOWN, release_of
from desired import firewalld, keepalived, logstash
from desired.files import desired_files
from tests.certificates import Authority
from tests.packages import Signer
from tests.unit import judges
from tests.unit.clusters import API_PASSWORD, KEYSTORE_PASSWORD, make_cluster, write_api
from tests.unit.judges import objections

Settings = dict[str, Any]
HUNT = int(os.environ.get("PROPERTY_EXAMPLES", 0))
ELS = [7, 8, 9, 10]


def examples(count: int) -> Callable[[Any], Any]:
    """So many examples, always the same ones."""
    return settings(
        max_examples=HUNT or count,
        derandomize=not HUNT,
        database=None,
        deadline=None,
        print_blob=True,
        phases=[Phase.generate, Phase.shrink] if HUNT else [Phase.generate],
        report_multiple_bugs=bool(HUNT),
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


# A cluster's files: the secrets, and the user's pipelines.

PASSWORDS = st.from_regex(r"\A[A-Za-z0-9._+=:/@%^-]{1,8}\Z")
VARIABLES = st.dictionaries(
    st.from_regex(r"\AMY_[A-Z0-9_]{1,8}\Z"),
    st.text(
        st.characters(codec="utf-8", categories=["L", "N", "P", "S"], include_characters=" "), max_size=20
    ),
    min_size=1,
    max_size=3,
)
FILTER = 'filter { mutate { add_field => { "node" => "<%= node.name %>" } } }\n'


def _files(folder: Path, password: str, variables: dict[str, str], pipelines: list[str]) -> None:
    (folder / "auth_pass").write_text(f"{password}\n")
    (folder / "environment").write_text("".join(f"{name}={value}\n" for name, value in variables.items()))
    for name in pipelines:
        target = folder / "pipelines" / ("" if name == "main" else name)
        target.mkdir(parents=True, exist_ok=True)
        (target / "filter.conf").write_text(FILTER)


@cache
def _certificates() -> dict[str, bytes]:
    """A certificate for each VIP that a cluster here can have, its key and its CA, and a keystore for each node's address:
    content by file name."""
    with tempfile.TemporaryDirectory() as name:
        write_api(Path(name), *(_address(version, 11 + place) for version in (4, 6) for place in range(5)))
        authority = Authority(Path(name))
        vips = [
            address(version, 200 + place)
            for address in (_address, _elsewhere)
            for version in (4, 6)
            for place in range(3)
        ]
        authority.issue("logs", "logs.example.com", *vips)
        login = f"USERNAME=monitor\nPASSWORD={API_PASSWORD}\n"
        (Path(name) / "login.secrets").write_text(login)
        (Path(name) / "tls.secrets").write_text(f"KEYSTORE_PASSWORD={KEYSTORE_PASSWORD}\n")
        return {file.name: file.read_bytes() for file in Path(name).iterdir()}


@cache
def _signer() -> Signer:
    """The key that signs packages."""
    with tempfile.TemporaryDirectory() as name:
        return Signer(Path(name))


def _named_inputs(inputs: list[Settings]) -> dict[str, str]:
    """The user's own files `named.conf`, with the inputs that are said to be there: text by pipeline."""
    texts: dict[str, str] = {}
    for each in inputs:
        if "defined_in" not in each:
            continue
        protocols = ["udp", "tcp"] if each["protocol"] == "both" else [each["protocol"]]
        plugins = [each["plugin"]] if "plugin" in each else protocols
        for plugin in plugins:
            id = f"{each['id']}-{plugin}" if len(plugins) > 1 else each["id"]
            port = each.get("server_port", each["port"])
            text = f'input {{ {plugin} {{ id => "{id}" host => "<%= node.address %>" port => {port} }} }}\n'
            pipeline = each.get("pipeline", "main")
            texts[pipeline] = texts.get(pipeline, "") + text
    return texts


@contextmanager
def _folder(case: Case) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _files(folder, case.password, case.variables, case.pipelines)
        for pipeline, text in case.named.items():
            target = folder / "pipelines" / ("" if pipeline == "main" else pipeline)
            target.mkdir(parents=True, exist_ok=True)
            (target / "named.conf").write_text(text)
        for file, content in _certificates().items():
            (folder / file).write_bytes(content)
        (folder / "signer.asc").write_text(_signer().file_text)
        (folder / "login").write_text("USERNAME=stash\nPASSWORD=pass#word\n")
        yield folder


@dataclass
class Case:
    """What a user has written: the settings for `define()`, and the files that they name."""

    settings: Settings
    password: str
    variables: dict[str, str]
    pipelines: list[str]
    named: dict[str, str]

    def cluster(self, folder: Path) -> Cluster:
        """The cluster as the deploy has it: through pyinfra's host data."""
        settings: Settings = {
            key: str(folder / value)
            if key in ("auth_pass_file", "environment_file", "pipelines", "signing_keys", "rpms")
            and isinstance(value, str)
            else value
            for key, value in self.settings.items()
        }
        if isinstance(settings.get("inputs"), list):
            settings["inputs"] = [_with_certificates(folder, input) for input in settings["inputs"]]
        if isinstance(settings.get("repository"), dict):
            settings["repository"] = {
                name: str(folder / value)
                if name in ("certificate", "key", "ca", "secrets") and isinstance(value, str)
                else value
                for name, value in settings["repository"].items()
            }
        if settings.get("key_fingerprints") == "of signer":
            settings["key_fingerprints"] = _signer().fingerprint
        if settings.get("rpms") == str(folder / "rpms"):
            (folder / "rpms").mkdir(exist_ok=True)
            version = settings.get("version")
            _signer().rpm(
                folder / "rpms",
                version=version if isinstance(version, str) and _names_a_file(version) else "8.19.3",
            )
        if isinstance(settings.get("api"), dict):
            settings["api"] = {
                name: str(folder / value) if value in _certificates() else value
                for name, value in settings["api"].items()
            }
        _, data = define(**settings)
        return Cluster.model_validate(data["cluster"])


def _with_certificates(folder: Path, input: Any) -> Any:
    """An input whose certificates are in this folder."""
    if not isinstance(input, dict) or not isinstance(input.get("tls"), dict):
        return input
    files = {
        name: str(folder / value) if value in _certificates() else value
        for name, value in input["tls"].items()
        if isinstance(value, str)
    }
    return {**input, "tls": {**input["tls"], **files}}


# Clusters that are as they should be.

NETWORKS = {4: "192.0.2.0/24", 6: "2001:db8::/64"}
OTHER_NETWORKS = {4: "203.0.113.0/24", 6: "2001:db8:0:7::/64"}
"""In which only VIPs are, and sometimes further addresses of the nodes."""
SENDERS = {
    4: ["0.0.0.0/0", "198.51.100.7", "198.51.100.0/25", "192.0.2.64/26", "10.0.0.0/8", "203.0.113.255"],
    6: ["::/0", "2001:db8:1::/48", "2001:db8::7", "fd00::/8", "2001:db8:0:0:1::/80"],
}
MAIL_SERVERS = ["127.0.0.1", "192.0.2.25", "2001:db8::25"]
MONITORS = {
    4: ["127.0.0.1", "198.51.100.20", "203.0.113.0/28"],
    6: ["::1", "2001:db8::20", "2001:db8:2::/48"],
}
APIS: list[Settings] = [
    {"secrets": "api.secrets", "keystore": "api.p12", "ca": "api-ca.pem"},
    {"secrets": "tls.secrets", "keystore": "api.p12", "ca": "api-ca.pem"},
    {"secrets": "login.secrets"},
]
COUNTS = st.integers(1, 100_000)
PIPELINE_SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "pipeline.workers": COUNTS,
        "pipeline.batch.size": COUNTS,
        "pipeline.batch.delay": st.integers(0, 1000),
        "queue.type": st.sampled_from(["memory", "persisted"]),
        "queue.drain": st.booleans(),
    },
)
"""Those that each Logstash has."""


def _address(version: int, number: int) -> str:
    return f"192.0.2.{number}" if version == 4 else str(ip_address(f"2001:db8::{number:x}"))


def _elsewhere(version: int, number: int) -> str:
    return f"203.0.113.{number}" if version == 4 else str(ip_address(f"2001:db8:0:7::{number:x}"))


def _sometimes(values: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Settings]:
    """Any of these settings, or none."""
    return st.fixed_dictionaries({}, optional=values)


WRITABLE = st.recursive(
    st.one_of(
        st.booleans(),
        st.integers(-(10**6), 10**6),
        st.floats(-1e6, 1e6).map(lambda number: round(number, 3)),
        st.text(
            st.characters(codec="utf-8", categories=["L", "N", "P", "S"], exclude_characters="\"'\\"),
            max_size=8,
        ),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.from_regex(r"\A[a-z]{2,5}\Z"), inner, max_size=3)
    ),
    max_leaves=4,
)
"""Values that every pipeline file can have."""
OPTIONS = st.dictionaries(st.from_regex(r"\A[a-z]{2,6}_x\Z"), WRITABLE, min_size=1, max_size=3)
CODEC_SETTINGS = st.one_of(
    st.sampled_from(["json", "json_lines", "plain", "netflow", "cef", "acme"]),
    st.builds(lambda name, options: {name: options}, st.sampled_from(["json", "multiline", "acme"]), OPTIONS),
)
LISTENING = {
    **{name: row.protocols + (("both",) if len(row.protocols) > 1 else ()) for name, row in PLUGINS.items()},
    "acme": ("udp", "tcp", "both"),
}
"""By plugin: what it can listen on."""


@st.composite
def an_input(
    draw: Callable[..., Any], number: int, names: list[str], senders: list[str], dr: bool, ipv6: bool
) -> Settings:
    """An input that is good beside others with other numbers."""
    fitting = [name for name in LISTENING if not ipv6 or PLUGINS.get(name, UNKNOWN).ipv6]
    plugin = draw(st.one_of(st.none(), st.sampled_from(fitting)))
    protocol = draw(st.sampled_from(LISTENING[plugin] if plugin else ["udp", "tcp", "both"]))
    scheduler = draw(st.sampled_from(["rr", "wrr", "lc", "wlc", "sh", "mh"]))
    port = draw(st.sampled_from([514, 162, 2055, 5514, 12201, 60000])) + number
    made: Settings = {
        "id": draw(st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9_.-]{0,20}\Z")) + f".{number}",
        "port": port,
        "protocol": protocol,
        "scheduler": scheduler,
        **({"plugin": plugin} if plugin else {}),
    }
    if dr and port >= 1024 and draw(st.booleans()):
        made["forwarding"] = "dr"
    elif port < 1024 or draw(st.booleans()):
        made["server_port"] = 20000 + number
    if "forwarding" not in made and protocol != "tcp" and draw(st.integers(0, 3)) == 0:
        made["forwarding"] = "snat"
    if protocol == "udp" and scheduler not in ("lc", "wlc"):
        made |= draw(_sometimes({"ops": st.booleans()}))
    if scheduler not in ("rr", "lc"):
        weights = st.dictionaries(st.sampled_from(names[1:]), st.integers(0, 32767))
        made |= draw(_sometimes({"weights": weights}))
    if (plugin or protocol) in ("udp", "both"):
        made |= draw(_sometimes({"workers": COUNTS, "queue_size": COUNTS, "receive_buffer_bytes": COUNTS}))
        made |= draw(
            _sometimes({"events_per_second": st.integers(1, 20_000), "event_bytes": st.integers(1, 1500)})
        )
        if "events_per_second" in made:
            made.pop("receive_buffer_bytes", None)
    more: Settings = draw(
        _sometimes(
            {
                "codec": CODEC_SETTINGS,
                "options": OPTIONS,
                "text": st.booleans(),
                "probe": st.booleans(),
                "type": st.sampled_from(["syslog", "cef-1.0"]),
                "tags": st.lists(st.sampled_from(["edge", "dc-1", "x_y"]), unique=True),
                "senders": st.lists(st.sampled_from(senders), min_size=1, unique=True),
                "pipeline": st.from_regex(r"\A([a-z0-9]{1,4}|1e3|null|yes|[0-9]+_[0-9]+)\Z"),
            }
        )
    )
    made |= more
    if (
        plugin in ("beats", "elastic_agent")
        and isinstance(made.get("codec"), dict)
        and "multiline" in made["codec"]
    ):
        del made["codec"]  # these do not start with it
    if protocol == "tcp" and PLUGINS.get(plugin or "tcp", UNKNOWN).tls and draw(st.booleans()):
        tls = {"certificate": "logs.pem", "key": "logs.key"}
        clients = st.fixed_dictionaries(
            {"ca": st.just("ca.pem")},
            optional={"client_authentication": st.just("required")},
        )
        own = {"client_certificate": "logs.pem", "client_key": "logs.key"}
        shown = clients.flatmap(lambda chosen: st.sampled_from([chosen, chosen | own]))
        nobody = st.sampled_from([{}, {"client_authentication": "none"}])
        called = st.lists(st.sampled_from(["logs.example.com"]), max_size=1)
        made["tls"] = tls | draw(st.one_of(nobody, shown)) | draw(_sometimes({"names": called}))
    if draw(st.integers(0, 4)) == 0:  # one that stands in a pipeline file of the user's
        for field in ("codec", "options", "tls", "type", "tags", "workers", "queue_size"):
            made.pop(field, None)
        made["defined_in"] = "named.conf"
    return made


SIGNED: Settings = {"signing_keys": "signer.asc", "key_fingerprints": "of signer"}
"""The settings of the key that has signed the test's packages."""
MIRRORS = [f"https://{name}.example/pulp/content/ACME/logstash" for name in "abc"]


def _package_sources(kind: str) -> dict[str, st.SearchStrategy[Any]]:
    """Settings that may be there together where packages come from Elastic's layout, another one, files, or others."""
    if kind == "managed":
        return {"packages": st.just("managed")}
    if kind == "rpms":
        return {"rpms": st.just("rpms")}
    repository = {"seen_from": st.sampled_from(["operator", "nodes"]), "secrets": st.just("login")}
    if kind == "repository":
        place = st.one_of(
            st.sampled_from(MIRRORS), st.lists(st.sampled_from(MIRRORS), min_size=1, unique=True)
        )
        client = {"certificate": st.just("logs.pem"), "key": st.just("logs.key"), "ca": st.just("ca.pem")}
        return {
            "proxy": st.just("http://proxy.example:3128"),
            "exclusive": st.booleans(),
            "repository": st.builds(
                lambda url, more, client: {"url": url, **more, **client},
                place,
                _sometimes({"seen_from": repository["seen_from"], "secrets": st.just("login")}),
                st.one_of(st.just({}), st.fixed_dictionaries(client)),
            ),
        }
    return {
        "proxy": st.just("http://proxy.example:3128"),
        "exclusive": st.booleans(),
        "repository": _sometimes({"seen_from": repository["seen_from"]}),
    }


INTERFACES = st.sampled_from(["eth0", "ens33", "bond0.100", "br-lan"])


@st.composite
def a_vip(draw: Callable[..., Any], version: int, place: int, names: list[str]) -> Any:
    """A VIP on the nodes' own interface, or on another one in the other network."""
    if draw(st.booleans()):
        return _address(version, 200 + place)
    made: Settings = draw(
        _sometimes({"senders": st.lists(st.sampled_from(SENDERS[version]), min_size=1, unique=True)})
    )
    if draw(st.booleans()):
        return {"address": _address(version, 200 + place), **made}
    made["address"] = _elsewhere(version, 200 + place)
    by_node = st.fixed_dictionaries(dict.fromkeys(names, INTERFACES))
    if draw(st.integers(0, 3)):
        made["interface"] = draw(st.one_of(st.sampled_from(["vlan20", "eth1"]), by_node))
    if draw(st.booleans()):
        made["sources"] = {name: _elsewhere(version, number) for number, name in enumerate(names, 11)}
    return made


@st.composite
def good_cases(draw: Callable[..., Any]) -> Case:
    """A cluster that the model must take."""
    families = draw(st.sampled_from([(4,), (4,), (6,), (4, 6)]))
    names = draw(st.lists(st.from_regex(r"\A[a-z][a-z0-9-]{0,8}[a-z0-9](\.example)?\Z"), min_size=2, max_size=5, unique=True))  # fmt: skip
    vips = {version: draw(st.integers(1, 3)) for version in families}
    several = max(vips.values()) > 1
    vrrp = 3 if 6 in families else draw(st.sampled_from([2, 3]))
    nodes: Settings = {}
    for number, name in enumerate(names, 11):
        addresses = [_address(version, number) for version in families]
        nodes[name] = {"address": addresses if len(addresses) > 1 or draw(st.booleans()) else addresses[0]}
        nodes[name] |= draw(_sometimes({"interface": INTERFACES}))
        if not several:
            nodes[name] |= draw(_sometimes({"priority": st.integers(1, 254)}))
    senders = [sender for version in families for sender in SENDERS[version]]
    dr = not several and draw(st.booleans())
    inputs = [
        draw(an_input(number, names, senders, dr, 6 in families))
        for number in range(1, 1 + draw(st.integers(1, 4)))
    ]
    snat = any(
        each.get("forwarding", "nat" if each["protocol"] == "udp" else "snat") == "snat" for each in inputs
    )
    persisted = draw(st.booleans())
    logstash = draw(st.sampled_from([6, 7, 8, 9]))
    made: Settings = {
        "nodes": nodes,
        "network": [
            network for version in families for network in (NETWORKS[version], OTHER_NETWORKS[version])
        ],
        "interface": draw(INTERFACES),
        "vip": [draw(a_vip(version, place, names)) for version in families for place in range(vips[version])],
        "inputs": inputs,
        "senders": draw(st.lists(st.sampled_from(senders), min_size=1, unique=True)),
        "vrrp": vrrp,
        "logstash": logstash,
        **({"auth_pass_file": "auth_pass"} if vrrp == 2 else {}),
        **({"queue": "persisted"} if persisted else {}),
    }
    interval = st.integers(1, 255) if vrrp == 2 else st.integers(1, 4095).map(lambda number: number / 100)
    optional = {
        "virtual_router_id": st.integers(1, 253),
        "advert_interval": interval,
        "transport": st.sampled_from(["unicast", "multicast"]),
        "preempt": st.just(True) if several else st.booleans(),
        "version": st.sampled_from(["latest", f"{logstash}.1.3"]),
        "artifacts_url": st.sampled_from(["http://192.0.2.1:8080/mirror/elastic", "https://mirror.example"]),
        **_package_sources(draw(st.sampled_from(["elastic", "repository", "rpms", "managed"]))),
        "firewall": st.just("firewalld") if snat else st.sampled_from(["firewalld", "none"]),
        "environment_file": st.just("environment"),
        "pipelines": st.just("pipelines"),
        "heap": st.sampled_from(["512m", "4g"]),
        "pipeline_workers": COUNTS,
        "support_escapes": st.booleans(),
        "start_timeout": st.integers(30, 3600),
        "metrics": st.just("/var/lib/node_exporter/textfile_collector"),
        "cold_start_rate": COUNTS,
        "logstash_settings": st.dictionaries(
            st.sampled_from(["node.name", "config.reload.automatic", "xpack.monitoring.enabled"]),
            st.one_of(st.booleans(), COUNTS, st.sampled_from(["a: b # c", "\"'\\", "${NAME}", "{}", "é"])),
        ),
        "existing": st.sampled_from(["adopt", "replace"]),
        "monitors": st.lists(st.sampled_from(MONITORS[min(families)]), unique=True),
        "jvm_options": st.lists(st.sampled_from(["-Duser.timezone=UTC", "-XX:+UseG1GC"]), unique=True),
        "pipeline_settings": st.fixed_dictionaries({inputs[0].get("pipeline", "main"): PIPELINE_SETTINGS}),
        **({"api": st.sampled_from(APIS)} if logstash > 7 else {}),
        **({"queue_max_bytes": st.sampled_from(["100m", "8g"])} if persisted else {}),
    }
    made |= draw(_sometimes(optional))
    if draw(st.booleans()):
        made |= {
            "notification_email": "ops+ha@mail.example",
            "smtp_server": draw(st.sampled_from(MAIL_SERVERS)),
        }
    if "rpms" in made:
        made |= {"version": f"{logstash}.1.3", **SIGNED}
    if "certificate" in (made.get("repository") or {}) or "url" in (made.get("repository") or {}):
        made |= SIGNED
    if made.get("packages") == "managed" and made.get("version") == "latest":
        del made["version"]
    for each in inputs:
        since = PLUGINS.get(each.get("plugin", ""), UNKNOWN).since
        if any(release_of(logstash, made.get("version")) < first for first in since.values()):
            each["protocol"] = "udp"  # this Logstash does not know it over TCP
    if any("defined_in" in each for each in inputs):
        made["pipelines"] = "pipelines"
    pipelines = draw(st.lists(st.sampled_from(["main", "netflow", "audit-2"]), min_size=1, unique=True))
    return Case(made, draw(PASSWORDS), draw(VARIABLES), pipelines, _named_inputs(inputs))


@examples(80)
@given(good_cases(), st.data())
def test_a_good_cluster_is_rendered_as_its_readers_accept_it(case: Case, data: st.DataObject) -> None:
    with _folder(case) as folder:
        cluster = case.cluster(folder)
        node = data.draw(st.sampled_from(cluster.nodes), label="node")
        assert objections(cluster, node, data.draw(st.sampled_from(ELS), label="el"), folder) == []


# Clusters with something wrong: a good one, in which a setting or some are others.

LOOSE = "a\nb", "x}", 'say "x"', "", " ", "ä", "-", "a" * 300, "\x00", "%{x}", "eth0 {", "main", "1e3", "lo"
NUMBERS = -1, 0, 1, 7, 254, 255, 256, 514, 1023, 5514, 9600, 65535, 65536, 10**9, 0.01, 0.5, 1.5, 41.0
ODD: tuple[Any, ...] = (
    None,
    True,
    False,
    float("nan"),
    float("inf"),
    [],
    {},
    [None],
    {"a": 1},
    [[]],
    b"x",
    ("a", "b"),
)
PLACES = (
    *("192.0.2.11", "192.0.2.200", "192.0.2.0", "192.0.2.255", "198.51.100.1", "192.0.2.300", "192.0.2.1/24"),
    *(
        "2001:db8::b",
        "2001:db8::",
        "2001:db8::/64",
        "fe80::1%eth0",
        "fe80::1%a\nb",
        "::",
        "::1",
        "192.0.2.0/24",
    ),
    *("127.0.0.1", "0.0.0.0", "224.0.0.18", "255.255.255.255", "::ffff:192.0.2.11", "ff02::12", "0.0.0.0/0"),
)
WORDS = (
    "/nowhere",
    "ftp://192.0.2.1",
    "http://u:p@proxy:1",
    "root@localhost",
    "auth_pass",
    "environment",
    "pipelines",
)
JUNK = [*LOOSE, *NUMBERS, *ODD, *PLACES, *WORDS]
CHOICES: dict[str, list[Any]] = {
    "network": [
        ["192.0.2.0/24"],
        ["2001:db8::/64"],
        ["0.0.0.0/0", "::/0"],
        ["192.0.2.0/25", "192.0.2.128/25"],
        "192.0.2.0/31",
        "192.0.2.8/29",
        "192.0.2.8/30",
        "192.0.2.11",
        "2001:db8::8/125",
        "2001:db8::a/127",
        "127.0.0.0/8",
        "240.0.0.0/4",
        "::/0",
    ],
    "vip": [
        "192.0.2.10",
        "2001:db8::10",
        "2001:db8::10%eth0",
        "2001:db8::10%a\nb",
        ["192.0.2.10", "2001:db8::10"],
        ["192.0.2.10", "192.0.2.20"],
        {"address": "192.0.2.10", "interface": "eth1"},
        {"address": "203.0.113.10"},
        {"address": "203.0.113.10", "interface": {"stash1": "eth1"}},
        [{"address": "192.0.2.10", "sources": {"stash1": "192.0.2.11"}}, {"interface": "eth1"}],
        {"address": "192.0.2.10", "senders": ["198.51.100.7"]},
        {"address": "192.0.2.10", "sender": []},
        {"address": "192.0.2.10", 1: 2},
    ],
    "address": [
        "192.0.2.99",
        "2001:db8::99%eth0",
        ["192.0.2.99", "2001:db8::99"],
        ["192.0.2.98", "192.0.2.99"],
        "::ffff:1.2.3.4",
    ],
    "senders": [
        "2001:db8::99%eth0",
        ["0.0.0.0/0"],
        ["::/0"],
        ["192.0.2.7", "192.0.2.7/32"],
        "192.0.2.7",
        [],
        ["192.0.2.0/24", "192.0.2.1"],
    ],
    "interface": ["lo", "eth1", "ä0"],
    "vrrp": [2, 3],
    "advert_interval": [0.01, 0.1, 1, 2, 3.33, 40.95, 255, 0.005],
    "virtual_router_id": [1, 254, 255],
    "transport": ["unicast", "multicast"],
    "preempt": [True, False],
    "auth_pass_file": [None, "auth_pass", "a\0b"],
    "pipelines": ["pipelines", "a\0b", "a" * 5000],
    "environment_file": ["environment", "a\0b", "a" * 5000],
    "logstash": [6, 7, 8, 9],
    "version": ["latest", "6.8.23", "8.19.3", "9.0.0", "8.19"],
    "firewall": ["firewalld", "none"],
    "queue": ["memory", "persisted"],
    "existing": ["adopt", "replace", None],
    "logstash_settings": [{}, {"node.name": "x"}, {"api.ssl.enabled": True}, {"a b": 1}, {"a": float("nan")}],
    "queue_max_bytes": ["1g", "100m", "5"],
    "start_timeout": [29, 30, 3600],
    "cold_start_rate": [0, 1, 2**31],
    "priority": [1, 100, 254],
    "protocol": ["udp", "tcp", "both"],
    "forwarding": ["nat", "snat", "dr", None],
    "scheduler": ["rr", "wrr", "lc", "wlc", "sh", "mh"],
    "ops": [True, False],
    "port": [514, 5514, 9600, 22, 65535],
    "server_port": [514, 5514, 9600, 20001, 65535, None],
    "receive_buffer_bytes": [212992, 212993, 8388608, 33554432],
    "events_per_second": [1, 4000, 200_000, None],
    "event_bytes": [1, 200, 1472, 1473, 65507],
    "weights": [{}, {"nobody": 1}, {"stash1": 0}],
    "plugin": [*PLUGINS, "acme", "kafka", "netflow", "Beats", None],
    "codec": [
        "json",
        "beats",
        "gelf",
        "kafka",
        {"json": {"charset": "CP1252"}},
        {"json": 1},
        {},
        {"a": {}, "b": {}},
    ],
    "options": [
        {},
        {"a": None},
        {"a b": 1},
        {"id": "x"},
        {"host": "::"},
        {"workers": 2},
        {"mode": "client"},
        {"use_tcp": True},
        {"a": "\t"},
        {"a": "x\\"},
        {"a": "'\""},
        {"a": [{"b": {"c": [1.5, True, "x"]}}]},
        {"a": float("inf")},
        {1: 2},
    ],
    "support_escapes": [True, False],
    "tls": [
        {"certificate": "logs.pem", "key": "logs.key"},
        {"certificate": "logs.pem", "key": "logs.pem"},
        {"certificate": "logs.pem", "key": "logs.key", "names": ["nobody.example.com"]},
        {"certificate": "logs.pem", "key": "logs.key", "ca": "ca.pem", "client_authentication": "optional"},
        {"certificate": "logs.pem", "key": "logs.key", "client_authentication": "required"},
        {"certificate": "ca.pem", "key": "logs.key"},
        {"certificate": "logs.pem"},
        {"certificate": 1, "key": "\0", "name": {}},
        {1: 2},
        "logs.pem",
    ],
    "repository": [
        {"seen_from": "nodes"},
        {"url": MIRRORS[0]},
        {"url": MIRRORS[:2], "secrets": "login"},
        {"url": MIRRORS[0], "certificate": "logs.pem"},
        {"certificate": "logs.pem", "key": "logs.key"},
        {"mirrorlist": MIRRORS[0], "url": MIRRORS[0]},
        {"url": "ftp://a"},
        {"secrets": "environment"},
        {"url": [], "seen": "x"},
        {1: 2},
        "x",
    ],
    "signing_keys": ["signer.asc", "logs.pem", "a\0b", None],
    "key_fingerprints": ["of signer", "x", [], ["A" * 40, "A" * 40]],
    "packages": ["install", "managed"],
    "rpms": ["rpms", "auth_pass", "nowhere", [], "a\0b"],
    "proxy": ["http://proxy.example:3128", None],
    "defined_in": ["named.conf", "other.conf", "a/b.conf", ".conf", None],
    "id": ["a", "a-udp", "a" * 64, "a.1"],
}
FIELDS: dict[type[BaseModel], list[str]] = {
    model: [info.alias or name for name, info in model.model_fields.items()]
    for model in (Api, Cluster, Input, Node, Repository, Vip)
}
PARTS: list[type[BaseModel]] = [Cluster, Cluster, Input, Input, Node]


@st.composite
def other_cases(draw: Callable[..., Any]) -> Case:
    """A cluster that the model may take or refuse."""
    case: Case = draw(good_cases())
    dice = random.Random(repr(case))  # evenly, which draws are not
    made = case.settings = deepcopy(case.settings)
    for _ in range(dice.choice([1, 1, 2, 3])):
        where = dice.choice(PARTS)
        held = {Input: made["inputs"], Node: [*made["nodes"].values()]}.get(where, [made])
        holder = dice.choice(held)
        what = dice.choice([*["choice"] * 7, "junk", "junk", "list", "drop", "stranger"])
        fields = [field for field in FIELDS[where] if field not in ("nodes", "inputs")]
        if what == "choice":
            field = dice.choice([field for field in fields if field in CHOICES])
            holder[field] = dice.choice(CHOICES[field])
        elif what == "junk":
            holder[dice.choice(fields)] = dice.choice(JUNK)
        elif what == "list":
            holder[dice.choice(fields)] = dice.sample(PLACES, 2)
        elif what == "drop":
            holder.pop(dice.choice(fields), None)
        else:
            holder[dice.choice(["prot", "a\nb"])] = 1
    odd = dice.choice([*[""] * 14, "nodes", "inputs", "input", "node", "name", "password"])
    if odd in ("nodes", "inputs"):
        made[odd] = dice.choice(JUNK)
    elif odd == "input":
        made["inputs"].append(dice.choice([*made["inputs"], *ODD]))
    elif odd == "node":
        made["nodes"]["stash9"] = dice.choice([*made["nodes"].values(), *ODD])
    elif odd == "name":
        made["nodes"][dice.choice(LOOSE)] = made["nodes"].popitem()[1]
    elif odd == "password":
        case.password = dice.choice(LOOSE)
    return case


def names_a_field(place: str, case: Case) -> bool:
    """Whether an error's first words are a setting's name: a node's after the node, an input's after its number, one of
    logstash.yml after `logstash_settings`."""
    field, _, rest = place.partition(".")
    if field == "nodes" and rest:
        shown = [shorten(name) + "." for name in case.settings["nodes"]]
        return any(f"{rest}.".startswith(name) and _is_of(Node, rest[len(name) :]) for name in shown)
    if field == "inputs" and rest:
        number, _, rest = rest.partition(".")
        return number.isdigit() and _is_of(Input, rest)
    if field == "repository" and rest:
        return rest.removesuffix(".0").removesuffix(".1") in FIELDS[Repository]
    if field == "vip" and rest:
        return _is_of(Vip, rest)
    if field == "api" and rest:
        return _is_of(Api, rest)
    if field == "logstash_settings" and rest:
        return rest in map(shorten, case.settings[field])
    return field in FIELDS[Cluster] and rest.replace(".", "").isdigit() == bool(rest)


def _names_a_file(text: str) -> bool:
    """Whether it can be a part of a file's name."""
    return text.isprintable() and "/" not in text and len(text.encode()) < 200


def _is_of(model: type[BaseModel], rest: str) -> bool:
    return not rest or rest.split(".")[0] in FIELDS[model]


@examples(200)
@given(other_cases(), st.data())
def test_any_cluster_is_refused_in_one_line_or_rendered_well(case: Case, data: st.DataObject) -> None:
    with _folder(case) as folder:
        try:
            cluster = case.cluster(folder)
        except ClusterError as error:
            (line,) = error.args
            assert line.isprintable(), "more than one line"
            assert len(line) < 1000, "more than fits on a screen"
            place, _, text = line.partition(": ")
            assert "; " in text, "no remedy"
            no_setting = "unknown setting" in text or "is not the name of a setting" in text
            assert no_setting or names_a_field(place, case), f"no setting: {place}"
            assert len(case.password) < 4 or case.password not in line or case.password in repr(case.settings)
            return
        assert objections(cluster, cluster.nodes[0], data.draw(st.sampled_from(ELS)), folder) == []


@examples(40)
@given(good_cases(), good_cases(), st.integers(0, 2))
def test_two_clusters_share_nothing_that_each_needs_for_itself(one: Case, other: Case, alike: int) -> None:
    """Or it is said in one line. Most of these do share something; `alike` takes away first the names, then the addresses."""
    with _folder(one) as first_folder, _folder(other) as second_folder:
        first, second = one.cluster(first_folder), other.cluster(second_folder)
    if alike:
        names = {node.name: f"other{number}" for number, node in enumerate(second.nodes)}
        nodes = tuple(node.model_copy(update={"name": names[node.name]}) for node in second.nodes)
        second = second.model_copy(update={"nodes": nodes})
    if alike == 2:
        second = second.model_copy(update={"virtual_router_id": 200})
    try:
        check_clusters({"first": first, "second": second})
    except ClusterError as error:
        (line,) = error.args
        assert line.startswith("second: ")
        assert "first" in line
        assert "; " in line
        assert line.isprintable()
        return
    assert {*first.node_names}.isdisjoint(second.node_names)
    assert {*first.vips}.isdisjoint(second.vips)
    addresses = [{address for node in each.nodes for address in node.addresses} for each in (first, second)]
    assert addresses[0].isdisjoint(addresses[1])


def test_those_who_judge_can_refuse(tmp_path: Path) -> None:
    """What is wrong in one place only is told, and nothing else."""
    cluster = make_cluster(tmp_path)
    files = {path: file.content for path, file in desired_files(cluster, cluster.nodes[0], 9).items()}
    good = files[keepalived.CONF]
    assert judges.of_keepalived(good, "eth0", tmp_path) == []
    assert (
        "Unknown keyword 'stat'" in judges.of_keepalived(good.replace("state", "stat"), "eth0", tmp_path)[0]
    )
    assert "eth0" in judges.of_keepalived(good, "eth1", tmp_path)[0]
    (rule,) = firewalld.rules(cluster, cluster.nodes[0])[:1]
    assert judges.of_firewalld([rule]) == []
    assert "INVALID" in judges.of_firewalld([rule.replace("10.77.0.11", "10.77.0.300")])[0]
    assert "firewalld writes it as" in judges.of_firewalld([rule.replace("accept", " accept")])[0]
    own = logstash.own_file(cluster, "main")
    assert judges.of_the_pipelines(cluster, files) == []
    assert judges.of_the_pipelines(cluster, {**files, own: files[own].replace("=>", "=")})
    assert judges.of_the_pipelines(cluster, {**files, own: files[own].replace("udp-5514", "udp")})
    assert judges.of_the_kernel("net.ipv4.ip_forward = 1\n", "ip_vs\n") == []
    assert judges.of_the_kernel("net.ipv4.ip_forward = \n", "ip vs\n") == [
        "sysctl: net.ipv4.ip_forward = ",
        "modules: ip vs",
    ]


# The user's own pipeline files.

MARKS = "<%=", "<%!", "<%#"
PIECES = st.one_of(
    st.sampled_from(
        ["%{", "%{[host][ip]}", "<%{POSINT:priority}>", "#{x}", "{{", "}}", "{%", "%}", "{#", "#}"]
    ),
    st.sampled_from(["<", "<%", "%", "%>", "-%>", "\n", "  ", "\\", '"', "'", "${KEY}", "# if", "= x"]),
    st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=5),
)


def _rendered(folder: Path, text: str) -> str:
    """A user's pipeline file as the second node gets it."""
    pipelines = folder / "pipelines"
    pipelines.mkdir()
    (pipelines / "own.conf").write_text(text, encoding="utf-8", newline="")
    cluster = make_cluster(folder, pipelines=pipelines)
    return desired_files(cluster, cluster.nodes[1], 9)[f"{logstash.HOME}/conf.d/own.conf"].content


@examples(60)
@given(st.lists(st.lists(PIECES).map("".join), min_size=1, max_size=4))
def test_only_our_marks_are_filled_in(parts: list[str]) -> None:
    assume(not any(mark in part for mark in MARKS for part in parts))
    with tempfile.TemporaryDirectory() as folder:
        rendered = _rendered(Path(folder), "<%= node.address %>".join(parts))
    assert rendered == "10.77.0.12".join(parts)


@pytest.mark.parametrize(
    "mistake", ["<%= node.adress %>", "<%= node.name", "<%= node.at(6) %>", "<%= 1 / 0 %>"]
)
def test_a_mistake_in_a_users_file_is_told_in_one_line(mistake: str, tmp_path: Path) -> None:
    with pytest.raises(ClusterError) as error:
        _rendered(tmp_path, f"filter {{\n}}\n{mistake}\n")
    (line,) = error.value.args
    assert line.startswith("pipelines: own.conf")
    assert line.isprintable()
    assert "; " in line
