"""Checks that concern several settings, and warnings. Each names the setting, its value and what to write instead."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable
from fnmatch import fnmatchcase
from ipaddress import ip_network
from itertools import combinations
from typing import TYPE_CHECKING, Any

from cluster.constants import API_PORT
from cluster.errors import listed, shorten, shown
from cluster.language import literal
from cluster.package_sources import check_logstash_rpm
from cluster.plugins import (
    CODECS,
    STICKY_PORTS,
    CodecRow,
    release_of,
    tls_options,
)
from cluster.queues import persisted_queues
from cluster.types import Address, Network

if TYPE_CHECKING:
    from cluster.model import Cluster, Repository
    from cluster.package_sources import RepositoryFiles

_FAMILY = {4: "IPv4", 6: "IPv6"}
UNUSABLE = {
    ip_network("0.0.0.0/8"): "unspecified, RFC 1122",
    ip_network("127.0.0.0/8"): "loopback, RFC 1122",
    ip_network("169.254.0.0/16"): "link-local, RFC 3927",
    ip_network("224.0.0.0/4"): "multicast, RFC 5771",
    ip_network("240.0.0.0/4"): "reserved, RFC 1112",
    ip_network("::/128"): "unspecified, RFC 4291",
    ip_network("::1/128"): "loopback, RFC 4291",
    ip_network("::/8"): "reserved, RFC 4291",
    ip_network("fe80::/10"): "link-local, RFC 4291",
    ip_network("ff00::/8"): "multicast, RFC 4291",
}
"""Networks whose addresses a cluster can't have, and why."""
_API = "all nodes' health checks ask the API at the node's own address; take it out"
_SECURED = "the health checks could not ask the API then; take it out, and use api"
_PIPELINES = "the deploy says in pipelines.yml which files Logstash reads; take it out, and use pipelines"
_OWNED = {
    "api.ssl.*": _SECURED,
    "api.auth.*": _SECURED,
    "api.*": _API,
    "http.*": _API,
    "path.logs": "the deploy reads Logstash's log in /var/log/logstash; take it out",
    "path.config": _PIPELINES,
    "config.string": _PIPELINES,
    "pipeline.id": _PIPELINES,
    "config.test_and_exit": "Logstash would end as soon as it has read its files; take it out",
    "xpack.management.*": "with central management, Logstash does not read the cluster's pipelines; take it out",
    "queue.type": "take it out, and use queue",
    "queue.max_bytes": "take it out, and use queue_max_bytes",
    "config.support_escapes": "take it out, and use support_escapes",
    "pipeline.workers": "take it out, and use pipeline_workers",
}
"""Settings of logstash.yml, as patterns, that `logstash_settings` can't have, and why."""
_COUNT = ("[1-9][0-9]{0,8}", "a whole number from 1 on; write it in digits")
_SWITCH = ("true|false", "True or False; write one of them")
_BYTES = ("[1-9][0-9]*[kmgt]b", "a size; write it as 512mb or 4gb")
_OF_A_PIPELINE: dict[str, tuple[str, str, tuple[int, int]]] = {
    "pipeline.workers": (*_COUNT, (6, 0)),
    "pipeline.batch.size": (*_COUNT, (6, 0)),
    "pipeline.batch.delay": ("[0-9]{1,9}", "a number of milliseconds; write it in digits", (6, 0)),
    "pipeline.ordered": ("auto|true|false", "'auto', True or False; write one of them", (7, 7)),
    "pipeline.ecs_compatibility": ("disabled|v1|v8", "'disabled', 'v1' or 'v8'; write one of them", (7, 10)),
    "queue.type": ("memory|persisted", "'memory' or 'persisted'; write one of them", (6, 0)),
    "queue.max_bytes": (*_BYTES, (6, 0)),
    "queue.page_capacity": (*_BYTES, (6, 0)),
    "queue.drain": (*_SWITCH, (6, 0)),
    "dead_letter_queue.enable": (*_SWITCH, (6, 0)),
    "dead_letter_queue.max_bytes": (*_BYTES, (6, 0)),
}
"""What `pipeline_settings` can have: the pattern of its values, what they are in words, and the first Logstash that has it."""


def check_cluster(cluster: Cluster) -> None:
    """Raises `ValueError`, which begins with the setting's name."""
    if len(cluster.nodes) < 2:
        raise ValueError(
            f"nodes: {len(cluster.nodes)} given; name two machines or more, each with its address"
        )
    for field, values in (("inputs", cluster.inputs), ("vip", cluster.vips), ("network", cluster.networks)):
        if not values:
            raise ValueError(f"{field}: none given; name one or more")
    _unique("nodes", "name", (node.name.lower() for node in cluster.nodes))
    _unique("nodes", "address", (address for node in cluster.nodes for address in node.addresses))
    _unique("inputs", "id", (input.id for input in cluster.inputs))
    _unique("inputs", "id", cluster.input_ids)
    _unique("vip", "address", cluster.vips)
    _unique("senders", "entry", cluster.senders)
    _check_interfaces(cluster)
    _check_networks(cluster)
    _check_ports(cluster)
    _check_weights(cluster)
    _check_addresses(cluster)
    _check_families(cluster)
    _check_senders(cluster)
    _check_vrrp(cluster)
    _check_forwarding(cluster)
    _check_reach(cluster)
    _check_logstash(cluster)
    _check_packages(cluster)
    _check_mail(cluster)
    _check_metrics(cluster)


def _unique(field: str, part: str, values: Iterable[Hashable]) -> None:
    seen: set[Hashable] = set()
    for value in values:
        if value in seen:
            raise ValueError(f"{field}: {part} {value} is given twice; each must be different")
        seen.add(value)


def _check_interfaces(cluster: Cluster) -> None:
    names = [node.name for node in cluster.nodes]
    for vip in cluster.virtual_addresses:
        if vip.senders == ():
            raise ValueError("vip.senders: none given; name one or more, or leave it out")
        _unique("vip.senders", "entry", vip.senders or ())
        for field, by_node in (("interface", vip.interface), ("sources", vip.sources)):
            if not isinstance(by_node, dict) or not by_node:
                if field == "interface" and by_node == {}:
                    raise ValueError(
                        "vip.interface: names no interface; write its name, or one for each node"
                    )
                continue
            for name in by_node:
                if name not in names:
                    raise ValueError(f"vip.{field}: {shown(name)} is not a node; choose from {listed(names)}")
            if missing := [name for name in names if name not in by_node]:
                raise ValueError(
                    f"vip.{field}: {listed(missing)} is missing for {vip.address}; add each node"
                )
    if not any(map(cluster.interface_of, cluster.nodes)):
        raise ValueError("interface: is missing; add it")
    for node in cluster.nodes:
        if not cluster.interface_of(node):
            raise ValueError(
                f"interface: is missing for {node.name}; add it there, or once for all nodes that name none"
            )
        if "lo" in cluster.interfaces_of(node):
            field, use = (
                ("interface", "the one that carries the nodes' addresses")
                if cluster.interface_of(node) == "lo"
                else ("vip.interface", "the one that leads to the senders")
            )
            raise ValueError(f"{field}: lo is the loopback interface; use {use}")


def _check_networks(cluster: Cluster) -> None:
    for one, other in combinations(cluster.networks, 2):
        if one.version == other.version and one.overlaps(other):
            raise ValueError(f"network: {one} and {other} overlap; name the larger one alone")
    for network in cluster.networks:
        for part, why in UNUSABLE.items():
            if network.version == part.version and network.overlaps(part):
                raise ValueError(
                    f"network: {network} overlaps {part} ({why}), which no cluster can use; "
                    "name the layer-2 network of the nodes, such as 192.0.2.0/24 or 2001:db8::/64"
                )
        family = [other for other in cluster.networks if other.version == network.version]
        needed = sum(
            address in network if len(family) > 1 else address.version == network.version
            for address in _all_addresses(cluster)
        )
        if needed > (usable := _usable(network)):
            raise ValueError(
                f"network: {network} has {usable} address{'es' if usable > 1 else ''} for machines, and the nodes and "
                f"VIPs need {needed}; name the larger network that they are in"
            )


def _all_addresses(cluster: Cluster) -> list[Address]:
    """The addresses of the nodes, on all of their interfaces, and the VIPs."""
    of_nodes = (address for node in cluster.nodes for address in (*node.addresses, *cluster.sources_of(node)))
    return [*cluster.vips, *of_nodes]


def _usable(network: Network) -> int:
    """How many machines' addresses a network has: without IPv4's network and broadcast addresses, which a /31 has not
    (RFC 3021), and without IPv6's anycast address of the routers (RFC 4291, section 2.6.1), which a /127 has not (RFC
    6164)."""
    others = 2 if network.version == 4 else 1
    return network.num_addresses - (others if network.num_addresses > 2 else 0)


def _check_ports(cluster: Cluster) -> None:
    for protocol in ("udp", "tcp"):
        inputs = [input for input in cluster.inputs if protocol in input.protocols]
        _unique("inputs", f"{protocol} port", (input.port for input in inputs))
        _unique("inputs", f"{protocol} server_port", (input.target_port for input in inputs))
    for index, input in enumerate(cluster.inputs):
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


def _check_weights(cluster: Cluster) -> None:
    names = [node.name for node in cluster.nodes]
    for index, input in enumerate(cluster.inputs):
        for name in input.weights:
            if name not in names:
                raise ValueError(
                    f"inputs.{index}.weights: {shown(name)} is not a node; choose from {listed(names)}"
                )
        if input.weights and not any(input.weights.get(name, 1) for name in names):
            raise ValueError(f"inputs.{index}.weights: all are 0; give one node 1 or more")


def _check_addresses(cluster: Cluster) -> None:
    families = cluster.families
    words = " and ".join(_FAMILY[version] for version in families)
    for node in cluster.nodes:
        have = sorted(address.version for address in node.addresses)
        if have != list(families):
            has = " and ".join(_FAMILY[version] for version in have) or "no"
            raise ValueError(
                f"nodes.{node.name}: has {has} addresses, the VIPs are {words}; "
                "give it one address of each family that the VIPs have"
            )
        for address in node.addresses:
            network = _network_of(cluster, f"nodes.{node.name}", address)
            if address in cluster.vips:
                raise ValueError(
                    f"vip: {address} is {node.name}'s own address; choose a free address in {network}"
                )
    for vip in cluster.vips:
        _network_of(cluster, "vip", vip)
    _check_sources(cluster)


def _check_sources(cluster: Cluster) -> None:
    owners = {address: node.name for node in cluster.nodes for address in node.addresses}
    for vip in cluster.virtual_addresses:
        for name, source in vip.sources.items():
            field = f"vip.sources.{name}"
            if source.version != vip.address.version:
                raise ValueError(
                    f"{field}: {source} is {_FAMILY[source.version]}, and the VIP {vip.address} is not; "
                    f"give the node's {_FAMILY[vip.address.version]} address on that interface"
                )
            _network_of(cluster, field, source)
            if source in cluster.vips:
                raise ValueError(f"{field}: {source} is a VIP; give the node's own address on that interface")
            if owners.setdefault(source, name) != name:
                raise ValueError(f"{field}: {source} is {owners[source]}'s address; each node needs its own")


def _check_reach(cluster: Cluster) -> None:
    """Raises `ValueError` for what can't work through a router, where nodes' own addresses are in different networks."""
    for version in cluster.families:
        networks = dict.fromkeys(cluster.network_of(node.at(version)) for node in cluster.nodes)
        if len(networks) == 1:
            continue
        apart = " and ".join(map(str, networks))
        for vip in cluster.virtual_addresses:
            if cluster.transport == "multicast" and vip.address.version == version and not vip.sources:
                raise ValueError(
                    f"transport: multicast adverts don't leave a network, and the nodes are in {apart}; choose 'unicast', "
                    f"or give the sources of {vip.address}"
                )
        for index, input in enumerate(cluster.inputs):
            if input.forwarding == "dr":
                raise ValueError(
                    f"inputs.{index}.forwarding: 'dr' reaches only nodes in the director's own network, and the nodes are in "
                    f"{apart}; choose 'snat', or 'nat' for UDP"
                )


def _network_of(cluster: Cluster, field: str, address: Address) -> Network:
    """The network that a machine's address is in. Raises `ValueError` where there is none, or no machine can have it."""
    network = next((network for network in cluster.networks if address in network), None)
    if network is None:
        networks = " and ".join(map(str, cluster.networks))
        raise ValueError(f"{field}: {address} is outside network {networks}; choose an address in it")
    ends = {network.network_address, *([network.broadcast_address] if network.version == 4 else [])}
    if address in ends:
        raise ValueError(
            f"{field}: {address} is {network}'s network or broadcast address; choose another one"
        )
    return network


def _check_families(cluster: Cluster) -> None:
    for index, input in enumerate(cluster.inputs):
        if 6 in cluster.families and not input.known.ipv6:
            raise ValueError(
                f"inputs.{index}.plugin: Logstash's {input.plugin} input listens on IPv4 only, and there is an IPv6 VIP; "
                "choose another plugin, or a cluster of its own with an IPv4 VIP"
            )


def _check_senders(cluster: Cluster) -> None:
    for index, input in enumerate(cluster.inputs):
        field = "senders" if input.senders is None else f"inputs.{index}.senders"
        senders = cluster.all_senders_of(input) or (input.senders or ())
        if not senders:
            raise ValueError(f"senders: none given for {input.id}; name one or more, there or for all inputs")
        _unique(field, "entry", cluster.senders if input.senders is None else input.senders)
        for sender in senders:
            if sender.version not in cluster.families:
                raise ValueError(
                    f"{field}: {sender} is {_FAMILY[sender.version]}, and no VIP is; add one to vip, or take it out"
                )


def _check_vrrp(cluster: Cluster) -> None:
    instances = cluster.vrrp_instances
    several = len(instances) > len(cluster.families)
    last = max(instance.virtual_router_id for instance in instances)
    if last > 255:
        raise ValueError(
            f"virtual_router_id: {cluster.virtual_router_id} is too high: each VIP takes the next one, up to {last}; "
            f"choose {cluster.virtual_router_id - last + 255} or less"
        )
    for node in cluster.nodes:
        if node.priority and several:
            raise ValueError(
                f"nodes.{node.name}.priority: {node.priority} can't be used with several VIPs, which the nodes "
                "become MASTER of in their order; take it out"
            )
    if several and cluster.preempt is False:
        raise ValueError(
            "preempt: with several VIPs each node must get its own back when it returns; take it out"
        )
    if cluster.vrrp == 2:
        _check_vrrp_2(cluster)
    else:
        _check_vrrp_3(cluster)


def _check_vrrp_2(cluster: Cluster) -> None:
    if 6 in cluster.families:
        raise ValueError("vrrp: version 2 is for IPv4 only; choose 3 for an IPv6 VIP")
    if cluster.auth_pass is None:
        raise ValueError(
            "auth_pass_file: is missing; name the file with the VRRP password, or leave vrrp at 3"
        )
    if cluster.advert_int not in range(1, 256):
        raise ValueError(
            f"advert_interval: {cluster.advert_int:g} is not possible in VRRP 2; "
            "choose whole seconds from 1 to 255, or vrrp=3"
        )


def _check_vrrp_3(cluster: Cluster) -> None:
    if cluster.auth_pass_file is not None:
        raise ValueError("auth_pass_file: VRRP 3 has no password; take it out, or choose vrrp=2")
    hundredths = round(cluster.advert_int * 100, 6)
    if not 1 <= hundredths <= 4095 or hundredths != round(hundredths):
        raise ValueError(
            f"advert_interval: {cluster.advert_int:g} is not possible in VRRP 3; "
            "choose 0.01 to 40.95 seconds in hundredths"
        )


def _check_forwarding(cluster: Cluster) -> None:
    for index, input in enumerate(cluster.inputs):
        if input.forwarding == "dr" and len(cluster.vips) > len(cluster.families):
            raise ValueError(
                f"inputs.{index}.forwarding: 'dr' can't be used with several VIPs: a node that is MASTER of one "
                "and BACKUP of another would send packets round in circles; choose one VIP, or 'snat' for TCP "
                "and 'nat' for UDP"
            )
    if "snat" in cluster.forwardings and cluster.firewall == "none":
        raise ValueError(
            "firewall: with 'none' nothing translates the source addresses for 'snat'; "
            "choose 'firewalld', or forwarding 'dr' for TCP inputs"
        )


def _check_mail(cluster: Cluster) -> None:
    """keepalived logs an error for each e-mail that no mail server takes, so both are said or none."""
    if cluster.notification_email and not cluster.smtp_server:
        raise ValueError(
            f"notification_email: {cluster.notification_email} gets no e-mail without a mail server; "
            "add smtp_server='127.0.0.1', or take it out"
        )
    if cluster.smtp_server and not cluster.notification_email:
        raise ValueError(
            f"smtp_server: {cluster.smtp_server} has nobody to send e-mails to; "
            "add notification_email='root@localhost', or take it out"
        )


_PRIVATE = ("/home", "/root", "/run/user", "/tmp", "/var/tmp", "/dev")
"""What systemd hides from the health service (ProtectHome=, PrivateTmp= and PrivateDevices= of systemd.exec(5))."""


def _check_metrics(cluster: Cluster) -> None:
    folder = cluster.metrics
    if folder and any(f"{folder}/".startswith(f"{private}/") for private in _PRIVATE):
        raise ValueError(
            f"metrics: {folder} can't be seen by the health service, whose /home and /tmp are its own; "
            "choose a folder below /var/lib"
        )


def _check_logstash(cluster: Cluster) -> None:
    version = cluster.version
    if cluster.logstash is None and not 6 <= cluster.major <= 9:
        raise ValueError(f"version: {shorten(str(version))} is not of Logstash 6 to 9; choose one of them")
    if (
        cluster.logstash
        and version not in (None, "latest")
        and cluster.logstash != int(version.split(".")[0])
    ):
        raise ValueError(
            f"version: {shorten(version)} is not a Logstash {cluster.logstash} version; correct it, or set logstash"
        )
    if len(cluster.pipeline_ids) > 1 and lists_one_pipeline(version):
        raise ValueError(
            f"version: the API of {version} lists one of several pipelines (elastic/logstash #11021), so inputs of the others "
            "would count as down; choose 7.4.0 or later, or one pipeline for all inputs"
        )
    for index, input in enumerate(cluster.inputs):
        for protocol in input.protocols:
            since = input.known.since.get(protocol)
            if since and release_of(cluster.major, version) < since:
                raise ValueError(
                    f"inputs.{index}.protocol: Logstash's {input.plugin} input listens on {protocol} from "
                    f"{since[0]}.{since[1]} on only; choose that or a newer one with version or logstash, or take it out"
                )
        names = tls_options(next(iter(input.plugins)), cluster.major, version) if input.tls else None
        if input.tls and names and input.tls.clients not in names.values:
            raise ValueError(
                f"inputs.{index}.tls.client_authentication: {input.tls.clients!r} is not possible with the "
                f"{next(iter(input.plugins))} input of this Logstash; choose from {listed(map(repr, names.values))}"
            )
        _check_values(f"inputs.{index}.options", input.options, cluster.support_escapes)
        _check_values(f"inputs.{index}.codec", input.codec_options, cluster.support_escapes)
    if cluster.queue_max_bytes and cluster.queue == "memory":
        raise ValueError("queue_max_bytes: a queue in memory has no such limit; set queue='persisted'")
    for field in ("heap", "jvm_options"):
        if getattr(cluster, field) and "LS_JAVA_OPTS" in cluster.environment:
            raise ValueError(
                f"{field}: {shorten(str(cluster.environment_file))} sets LS_JAVA_OPTS, which overrides it; "
                "take one of them out"
            )
    for option in cluster.jvm_options:
        if re.match("-Xm[sx]", option):
            raise ValueError(f"jvm_options: {shorten(option)} is the heap's size; take it out, and use heap")
    for name in cluster.logstash_settings:
        if reason := owned_setting(name):
            raise ValueError(f"logstash_settings.{shorten(name)}: {reason}")
    # Reads them, and so checks them.
    _ = cluster.environment, cluster.pipeline_files, cluster.tls_files, cluster.api_files
    if cluster.api and (cluster.major < 7 or not secures_api(version)):
        raise ValueError(
            f"api: Logstash {cluster.major if version in (None, 'latest') else version} can't secure its API; choose 7.16.0 or "
            "later, or take it out"
        )
    _check_pipeline_settings(cluster)
    _check_queues(cluster)
    _check_monitors(cluster)
    _check_defined_inputs(cluster)


def _check_packages(cluster: Cluster) -> None:
    if cluster.packages == "managed":
        _check_managed(cluster)
    if cluster.rpms:
        for field in ("repository", "proxy", "exclusive"):
            if getattr(cluster, field):
                raise ValueError(
                    f"{field}: no repository is used with rpms, from which all is installed; take one of them out"
                )
        check_logstash_rpm(cluster.rpm_files, cluster.version)
    if not cluster.key_fingerprints:
        raise ValueError("key_fingerprints: none given; write that of the key which signs the packages")
    _unique("key_fingerprints", "entry", cluster.key_fingerprints)
    files = cluster.repository_files
    if cluster.repository:
        _check_repository(cluster, cluster.repository, files)
    if files.proxy_login and not cluster.proxy:
        raise ValueError(
            "proxy: is missing, and repository.secrets has a PROXY_USERNAME; name the proxy, or take the login out"
        )
    _ = cluster.signing_key_text  # reads it, and so checks it


def _check_managed(cluster: Cluster) -> None:
    for field in ("rpms", "repository", "signing_keys", "proxy", "exclusive"):
        if getattr(cluster, field):
            raise ValueError(
                f"{field}: nothing is installed with packages='managed'; take it out, or choose packages='install'"
            )
    if cluster.version == "latest":
        raise ValueError(
            "version: 'latest' can't be checked with packages='managed'; write the version that the nodes must have, or none"
        )


def _check_repository(cluster: Cluster, repository: Repository, files: RepositoryFiles) -> None:
    if repository.urls and repository.mirrorlist:
        raise ValueError(
            "repository.mirrorlist: is another way to say what repository.url says; take one of them out"
        )
    _unique("repository.url", "entry", repository.urls)
    # The nodes fetch the key of Elastic's layout with no more than a proxy.
    own = repository.urls or repository.mirrorlist or files.certificate or files.ca or files.login
    if own and cluster.signing_keys is None:
        raise ValueError(
            "signing_keys: is missing; name the local file with the key that signs the repository's packages, such as a copy of "
            "https://artifacts.elastic.co/GPG-KEY-elasticsearch"
        )


def _check_pipeline_settings(cluster: Cluster) -> None:
    for pipeline, values in cluster.pipeline_settings.items():
        if pipeline not in cluster.pipeline_ids:
            raise ValueError(
                f"pipeline_settings.{pipeline}: is not a pipeline of this cluster; choose from {listed(cluster.pipeline_ids)}"
            )
        for name, value in values.items():
            field = f"pipeline_settings.{pipeline}.{shorten(name)}"
            if name not in _OF_A_PIPELINE:
                raise ValueError(
                    f"{field}: is not a setting of one pipeline; choose from {', '.join(_OF_A_PIPELINE)}"
                )
            form, say, since = _OF_A_PIPELINE[name]
            if not re.fullmatch(form, str(value).lower()):
                raise ValueError(f"{field}: {shown(value)} is not {say}")
            exact = None if cluster.version in (None, "latest") else cluster.version
            if (exact and _release(exact) < since) or cluster.major < since[0]:
                raise ValueError(
                    f"{field}: Logstash {exact or cluster.major} does not know it; choose {since[0]}.{since[1]}.0 or later, "
                    "or take it out"
                )


def _check_queues(cluster: Cluster) -> None:
    """Logstash does not start with a queue that is smaller than one of its files (PersistedQueueConfigValidator)."""
    for queue in persisted_queues(cluster):
        if queue.page_capacity > queue.max_bytes:
            own = cluster.pipeline_settings.get(queue.pipeline, {})
            is_own = "queue.max_bytes" in own or "queue.page_capacity" in own
            field = f"pipeline_settings.{queue.pipeline}.queue.max_bytes" if is_own else "queue_max_bytes"
            raise ValueError(
                f"{field}: {queue.max_bytes // 2**20} MiB are less than one file of the queue has, {queue.page_capacity // 2**20} "
                "MiB, and Logstash would not start; choose as much or more, or a smaller queue.page_capacity"
            )


def _check_monitors(cluster: Cluster) -> None:
    _unique("monitors", "entry", cluster.monitors)
    version = cluster.nodes[0].address.version
    for monitor in cluster.monitors:
        if not monitor.is_loopback and monitor.version != version:
            raise ValueError(
                f"monitors: {monitor} is {_FAMILY[monitor.version]}, and the API listens at the nodes' {_FAMILY[version]} "
                f"addresses; name an {_FAMILY[version]} one"
            )


def _check_defined_inputs(cluster: Cluster) -> None:
    for index, input in enumerate(cluster.inputs):
        ids = [input.plugin_id(protocols[0]) for protocols in input.plugins.values()]
        name = input.defined_in
        if name is None:
            _check_not_defined(f"inputs.{index}.id", ids, cluster.pipeline_files)
            continue
        if cluster.pipelines is None:
            raise ValueError(
                f"inputs.{index}.defined_in: {name} is to be in the folder `pipelines`, which is missing; add it"
            )
        files = cluster.pipeline_files.get(input.pipeline, {})
        if name not in files:
            raise ValueError(
                f"inputs.{index}.defined_in: {name} is not a file of the pipeline {input.pipeline} "
                f"(there are: {listed(files) or 'none'}); correct it, or the input's `pipeline`"
            )
        found = _ids_in(files[name])
        computed = any(mark in id for id in found for mark in ("<%", "${"))
        for id in ids:
            if id not in found and not computed:
                raise ValueError(
                    f'inputs.{index}.id: {name} has no input with id => "{id}"; give it that id, by which health checks '
                    "find it"
                )


def _check_not_defined(field: str, ids: Iterable[str], pipelines: dict[str, dict[str, str]]) -> None:
    """Raises `ValueError` where a file of the user's has an id that an input gets from the deploy."""
    for files in pipelines.values():
        for name, text in files.items():
            for id in set(ids) & _ids_in(text):
                raise ValueError(
                    f"{field}: {name} has a plugin with id {id}, too; write defined_in={name!r} where it is this "
                    "input, or else choose another id"
                )


def _ids_in(text: str) -> set[str]:
    """The ids of plugins in a pipeline file."""
    text = re.sub(r"^\s*#.*", "", text, flags=re.MULTILINE)
    found = re.findall(r"""\bid\s*=>\s*("[^"]*"|'[^']*'|[\w.-]+)""", text)
    return {id.strip("\"'") for id in found}


def _check_values(field: str, options: dict[str, Any], escapes: bool) -> None:
    """Raises `ValueError` for a value that no pipeline file can have."""
    for option, value in options.items():
        try:
            literal(value, escapes)
        except ValueError as error:
            raise ValueError(f"{field}.{option}: {error}") from None
        except RecursionError:
            raise ValueError(f"{field}.{option}: is nested too deep; write it with fewer levels") from None


def lists_one_pipeline(version: str | None) -> bool:
    """Whether the API of this Logstash lists one pipeline alone, whichever comes first (elastic/logstash #11021)."""
    return (version or "").startswith("7.3.")


def secures_api(version: str | None) -> bool:
    """Whether the API of this Logstash can have TLS and a login."""
    return version in (None, "latest") or _release(version) >= (7, 16)


def _release(version: str) -> tuple[int, ...]:
    """The major and the minor version."""
    return tuple(map(int, version.split(".")[:2]))


def owned_setting(name: str) -> str | None:
    """Why `logstash_settings` can't have this setting of logstash.yml, and what to do; None where it can."""
    return next((reason for pattern, reason in _OWNED.items() if fnmatchcase(name, pattern)), None)


def warnings(cluster: Cluster) -> tuple[str, ...]:
    """What works, but may not be what the user wants; one line each, with what to do."""
    lines = []
    for index, input in enumerate(cluster.inputs):
        what = (
            input.known.sticky
            or CODECS.get(input.codec_name or "", CodecRow()).sticky
            or (STICKY_PORTS.get(input.port) if input.plugin in (None, "udp") else None)
        )
        if what and "udp" in input.protocols and input.scheduler not in ("sh", "mh"):
            lines.append(
                f"inputs.{index}.scheduler: {input.id} looks like {what}, whose datagrams belong together, and "
                f"{input.scheduler} separates them; choose 'sh' or 'mh', so that a sender sticks to its node"
            )
        for version in cluster.families:
            if not any(sender.version == version for sender in cluster.all_senders_of(input)):
                lines.append(
                    f"senders: {input.id} has no {_FAMILY[version]} sender, though there is an {_FAMILY[version]} VIP; "
                    "add one, or take that VIP out"
                )
    for vip in cluster.virtual_addresses:
        version = vip.address.version
        if not any(
            sender.version == version
            for input in cluster.inputs
            for sender in cluster.senders_of(input, vip.address)
        ) and any(
            sender.version == version for input in cluster.inputs for sender in cluster.all_senders_of(input)
        ):
            lines.append(
                f"vip.senders: nobody may send to {vip.address}, as no input has a sender that is among them; add some, or "
                "take that VIP out"
            )
        apart = dict.fromkeys(cluster.network_of(node.at(version)) for node in cluster.nodes)
        own = all(
            cluster.vip_interface(vip.address, node) == cluster.interface_of(node) for node in cluster.nodes
        )
        if len(apart) > 1 and own:
            lines.append(
                f"vip: {vip.address} can move between {' and '.join(map(str, apart))} only where both are one layer-2 network; "
                "give it an interface on which all nodes are in one"
            )
    if cluster.api_files and cluster.api_files.username and not cluster.api_files.ca:
        lines.append(
            "api: the API's login goes through the network as it is, for everyone there to read; add a keystore and its ca"
        )
    if any(monitor.prefixlen == 0 for monitor in cluster.monitors) and not (
        cluster.api_files and cluster.api_files.username
    ):
        lines.append(
            "monitors: everyone may read the API, which has no login; name those who should, or give it one with api"
        )
    return tuple(lines)
