"""Logstash's files and its service (the recipe's steps 3 and 4)."""

from __future__ import annotations

from functools import partial
from typing import Any

from pydantic import SecretStr

from cluster import API_PORT, OWN_PIPELINE_FILE, Cluster, Input, Node
from cluster.language import codec, literal
from cluster.plugins import UDP_SETTINGS, tls_options
from desired.render import render, render_user_file, render_user_setting
from desired.textfile import TextFile
from desired.unit import Unit

HOME = "/etc/logstash"
SETTINGS = f"{HOME}/logstash.yml"
PIPELINES = f"{HOME}/pipelines.yml"
ENVIRONMENT = f"{HOME}/logstash-ha.env"
DROP_IN = "/etc/systemd/system/logstash.service.d/logstash-ha.conf"
PACKAGE_SETTINGS = (
    "path.data: /var/lib/logstash",
    "path.logs: /var/log/logstash",
    "pipeline.ordered: auto",
    "queue.type: memory",
)
"""Lines of logstash.yml that say what is so anyway: some version's package has them, or its comments."""
ROTATION = "/etc/logrotate.d/logstash-ha"
START_ROTATION = "! systemctl cat logrotate.timer >/dev/null 2>&1 || systemctl enable --now logrotate.timer"
"""Where logrotate has just been installed, its timer (Enterprise Linux 9 and later) does not run yet."""
TLS = f"{HOME}/tls"
"""The folder of the certificates and keys of inputs with TLS."""
KEYSTORE = f"{TLS}/api.p12"
"""The API's certificate and key."""
API_VARIABLES = {
    "username": "LOGSTASH_HA_API_USERNAME",
    "password": "LOGSTASH_HA_API_PASSWORD",
    "keystore_password": "LOGSTASH_HA_API_KEYSTORE_PASSWORD",
}
"""The variables of Logstash's process that have what is secret of its API, so that logstash.yml has no secret."""
UNIT = "logstash"
USER = "logstash"
"""The user that it runs as, which its package makes."""


def folder(cluster: Cluster, pipeline: str) -> str:
    """The folder of a pipeline's files: the package's own for `main` (the recipe's step 4). Where existing files are
    replaced, it is another one, so that Logstash does not read those that others have put into the package's."""
    if pipeline == "main" and cluster.existing != "replace":
        return f"{HOME}/conf.d"
    return f"{HOME}/pipelines.d/{pipeline}"


def own_file(cluster: Cluster, pipeline: str) -> str:
    """The deploy's own file in a pipeline."""
    return f"{folder(cluster, pipeline)}/{OWN_PIPELINE_FILE}"


def writes_events(cluster: Cluster, pipeline: str) -> bool:
    """Whether the deploy's own output writes a pipeline's events to a file: only where nothing else outputs them, neither
    the user's files nor those that are adopted."""
    return cluster.existing != "adopt" and pipeline not in cluster.pipeline_files


def events_files(cluster: Cluster) -> list[str]:
    """All files that the deploy's own outputs write events to."""
    return [events_file(pipeline) for pipeline in cluster.pipeline_ids if writes_events(cluster, pipeline)]


def read_patterns(cluster: Cluster) -> list[str]:
    """The shell patterns of the files that Logstash reads into its pipelines when it starts."""
    return [f"{folder(cluster, pipeline)}/*.conf" for pipeline in cluster.pipeline_ids]


def events_file(pipeline: str) -> str:
    """The file that a pipeline without files of the user's writes its events to: one JSON object a line."""
    return f"/var/log/logstash/events{'' if pipeline == 'main' else '-' + pipeline}.json"


def listen_address(cluster: Cluster, node: Node, input: Input) -> str:
    """The address at which an input listens: the node's own, or the one that stands for all addresses.

    With direct routing, events come to the VIP itself, and with two families to two addresses.
    """
    if len(cluster.families) == 1 and input.forwarding != "dr":
        return str(node.address)
    return "0.0.0.0" if cluster.families == (4,) else "::"


def api_host(cluster: Cluster, node: Node) -> str:
    """The address at which the API listens: the node's own, or, for programs on the node that ask `localhost`, all of its
    addresses. The firewall opens the node's own alone."""
    if not cluster.local_monitors:
        return str(node.address)
    return "0.0.0.0" if node.address.version == 4 else "::"


def writes_pipelines(cluster: Cluster) -> bool:
    """Whether pipelines.yml is the deploy's; otherwise the package's will do, which has `main` alone."""
    return (
        cluster.pipeline_ids != ("main",)
        or cluster.existing == "replace"
        or any(cluster.pipeline_settings.values())
    )


def certificate_file(input: Input) -> str:
    """The file with the certificate of an input with TLS, and those between it and its CA."""
    return f"{TLS}/{input.id}.crt"


def ca_file(input: Input) -> str:
    """The file with the certificates of the CAs that sign the senders' certificates."""
    return f"{TLS}/{input.id}.ca"


def certificate_paths(cluster: Cluster) -> list[str]:
    """All files with certificates: of inputs with TLS, and of the CAs that sign the senders'."""
    return [
        path
        for input in cluster.inputs
        if input.tls
        for path in (certificate_file(input), *([ca_file(input)] if input.tls.ca else []))
    ]


def _tls_files(cluster: Cluster) -> list[TextFile]:
    """The certificates and keys of the inputs with TLS; only Logstash may read a key."""
    files = []
    for input in cluster.inputs:
        if input.tls is None:
            continue
        found = cluster.tls_files[input.id]
        key = found.key.get_secret_value()
        files.append(TextFile(certificate_file(input), found.certificate, step=4, read_by=UNIT))
        files.append(
            TextFile(f"{TLS}/{input.id}.key", key, step=4, mode="400", owner=USER, read_by=UNIT, secret=True)
        )
        if found.ca:
            files.append(TextFile(ca_file(input), found.ca, step=4, read_by=UNIT))
    return files


def _keystore(cluster: Cluster, node: Node) -> list[TextFile]:
    """The API's certificate and key, where it has TLS; only Logstash may read them."""
    if cluster.api_files is None or node.name not in cluster.api_files.keystores:
        return []
    content = cluster.api_files.keystores[node.name].get_secret_value()
    return [
        TextFile(KEYSTORE, content, step=3, mode="400", owner=USER, read_by=UNIT, secret=True, in_base64=True)
    ]


def _tls_options(cluster: Cluster, input: Input, plugin: str) -> dict[str, Any]:
    """The options by which a plugin has TLS, or has none."""
    names = tls_options(plugin, cluster.major, cluster.version)
    if input.tls is None or names is None:
        return dict(input.known.without_tls)
    ca = {names.ca: [ca_file(input)] if names.ca_list else ca_file(input)} if input.tls.ca else {}
    return {
        names.enable: True,
        names.certificate: certificate_file(input),
        names.key: f"{TLS}/{input.id}.key",
        **ca,
        names.client: names.values[input.tls.clients],
    }


def options(cluster: Cluster, node: Node, input: Input, plugin: str) -> dict[str, str]:
    """The options of an input's plugin, by name, as a pipeline file writes them: the inventory's own come last."""
    protocols = input.plugins[plugin]
    values: dict[str, Any] = {
        "id": input.plugin_id(protocols[0]),
        "host": listen_address(cluster, node, input),
        "port": input.target_port,
        **input.known.select.get("both" if len(protocols) > 1 else protocols[0], {}),
        **_tls_options(cluster, input, plugin),
    }
    if plugin == "tcp":
        values["dns_reverse_lookup_enabled"] = False
    if plugin == "udp":
        settings = {name: getattr(input, name) for name in UDP_SETTINGS}
        settings["receive_buffer_bytes"] = input.receive_buffer
        values |= {name: value for name, value in settings.items() if value}
    written = {name: literal(value, cluster.support_escapes) for name, value in values.items()}
    if input.codec_name:
        written["codec"] = codec(input.codec_name, input.codec_options, cluster.support_escapes)
    values = {**({"type": input.type} if input.type else {}), **({"tags": input.tags} if input.tags else {})}
    values |= input.options
    return written | {name: literal(value, cluster.support_escapes) for name, value in values.items()}


def files(cluster: Cluster, node: Node) -> list[TextFile]:
    """The files that Logstash reads. One that would be as the package has it is not written."""
    further = {
        name: render_user_setting(cluster, node, name, value)
        for name, value in cluster.logstash_settings.items()
    }
    keystore = _keystore(cluster, node)
    settings = render(
        "logstash.yml.j2",
        cluster=cluster,
        api_host=api_host(cluster, node),
        port=API_PORT,
        keystore=KEYSTORE if keystore else None,
        variables=API_VARIABLES,
        settings=further,
    )
    texts: dict[str, str] = {}
    for pipeline in cluster.pipeline_ids:
        user_files = cluster.pipeline_files.get(pipeline, {})
        texts[own_file(cluster, pipeline)] = render(
            "pipeline.conf.j2",
            inputs=[
                (plugin, options(cluster, node, input, plugin))
                for input in cluster.inputs
                if input.pipeline == pipeline and not input.defined_in
                for plugin in input.plugins
            ],
            events=events_file(pipeline) if writes_events(cluster, pipeline) else None,
        )
        for name, text in user_files.items():
            texts[f"{folder(cluster, pipeline)}/{name}"] = render_user_file(
                cluster, node, pipeline, name, text
            )
    if writes_pipelines(cluster):
        texts[PIPELINES] = render(
            "pipelines.yml.j2",
            cluster=cluster,
            folder=partial(folder, cluster),
            settings=lambda id: cluster.pipeline_settings.get(id, {}),
        )
    environment = _environment(cluster)
    texts[DROP_IN] = render("logstash.service.conf.j2", environment=ENVIRONMENT if environment else None)
    return [
        TextFile(SETTINGS, settings, step=3, read_by=UNIT),
        *keystore,
        *(TextFile(path, text, step=4, read_by=UNIT) for path, text in texts.items()),
        *_tls_files(cluster),
        *environment,
        *_rotation(cluster),
    ]


def _environment(cluster: Cluster) -> list[TextFile]:
    """The file with the variables of Logstash's process, where there are any: those that pipelines use, what is secret of
    the API, and Java's options.

    systemd lets any `EnvironmentFile` win over `Environment`, so Java's options are in the file that it reads last.
    """
    secrets = cluster.environment | _api_variables(cluster)
    if not secrets and not java_options(cluster):
        return []
    # Read by systemd and by a shell: both give these characters a meaning, unless they are escaped.
    escape = str.maketrans({character: f"\\{character}" for character in '\\"$`'})
    variables = {name: value.get_secret_value().translate(escape) for name, value in secrets.items()}
    if options := java_options(cluster):
        variables["LS_JAVA_OPTS"] = options
    text = render("environment.j2", variables=variables)
    return [TextFile(ENVIRONMENT, text, step=4, mode="600", read_by=UNIT, secret=True)]


def _api_variables(cluster: Cluster) -> dict[str, SecretStr]:
    """What is secret of the API, by the names in `API_VARIABLES`."""
    files = cluster.api_files
    if files is None:
        return {}
    secrets = {
        "username": SecretStr(files.username) if files.username else None,
        "password": files.password,
        "keystore_password": files.keystore_password,
    }
    return {API_VARIABLES[name]: value for name, value in secrets.items() if value}


def java_options(cluster: Cluster) -> str:
    """The options of Logstash's Java that come after those in jvm.options."""
    heap = [f"-Xms{cluster.heap}", f"-Xmx{cluster.heap}"] if cluster.heap else []
    return " ".join([*heap, *cluster.jvm_options])


def _rotation(cluster: Cluster) -> list[TextFile]:
    """What keeps the files of the deploy's own outputs from filling the disk, where there are any."""
    if not (paths := events_files(cluster)):
        return []
    return [TextFile(ROTATION, render("logrotate.j2", paths=paths), step=4, then=START_ROTATION)]


def unit(cluster: Cluster, listed: str) -> Unit:
    """Logstash's service; as a Java program, it takes tens of seconds to start.

    `listed` is a shell command that succeeds once the API lists every input. The API lists an input also when
    another program has its port, so the probe checks Logstash's sockets, too.
    """
    udp, tcp = (
        [input.target_port for input in cluster.inputs if protocol in input.protocols]
        for protocol in ("udp", "tcp")
    )
    bound = [
        f"sockets=$(ss -nl{option}p | grep -F pid=$(systemctl show -p MainPID logstash | cut -d = -f 2),)"
        + "".join(
            f" && {{ echo \"$sockets\" | grep -q ':{port} ' || {{ echo port {port} is not bound; false; }}; }}"
            for port in ports
        )
        for option, ports in (("u", udp), ("t", tcp))
        if ports
    ]
    return Unit(
        UNIT,
        probe=" &&\n".join([listed, *bound]),
        bound=cluster.start_timeout,
        log="/var/log/logstash/logstash-plain.log",
        idle=f"! ss -nlu | awk '$2 > 0 && $4 ~ /:({'|'.join(map(str, udp)) or '-'})$/ {{ found = 1 }} END {{ exit !found }}'",
    )
