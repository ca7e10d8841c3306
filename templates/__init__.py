"""The files that the deploy writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from cluster import API_PORT, Cluster, ClusterError, Node
from facts.ipvs import DRAINED
from operations import health, keepalived, logstash, modules, packages, sysctl, vip
from operations.files import TextFile

_HERE = Path(__file__).parent

_OPTIONS: dict[str, Any] = {
    "undefined": StrictUndefined,
    "keep_trailing_newline": True,
    "trim_blocks": True,
    "lstrip_blocks": True,
}

_environment = Environment(loader=FileSystemLoader(_HERE), **_OPTIONS)

# Marks that Logstash's own language has no use for, unlike jinja's: `%{`, `{ {` and `#{` are common in it.
_of_the_user = Environment(
    variable_start_string="<%=",
    variable_end_string="%>",
    block_start_string="<%!",
    block_end_string="%>",
    comment_start_string="<%#",
    comment_end_string="%>",
    **_OPTIONS,
)


def meant(cluster: Cluster, node: Node, el: int) -> dict[str, TextFile]:
    """Each file that the deploy writes on this node with Enterprise Linux `el`, by its path.

    Raises `ClusterError` for a pipeline file of the user's that can't be rendered.
    """

    def render(template: str, **values: object) -> str:
        return _environment.get_template(template).render(cluster=cluster, node=node, **values)

    script = TextFile(
        keepalived.SCRIPT,
        (_HERE.parent / "files" / "check_logstash_input.py").read_text(),
        mode="755",
        check=keepalived.script_check(el),
    )
    files = [
        TextFile(packages.REPOSITORY, render("logstash.repo.j2")),
        *_logstash(cluster, node, render),
        TextFile(modules.FILE, "".join(f"{name}\n" for name in modules.names(cluster))),
        TextFile(sysctl.FILE, render("sysctl.conf.j2", settings=sysctl.settings(cluster))),
        script,
        *_health(cluster, node, script, el, render),
        TextFile(
            keepalived.CONF,
            render(
                "keepalived.conf.j2",
                script_user=keepalived.SCRIPT_USER,
                file_check=el >= keepalived.FILE_CHECK,
                inputs=cluster.input_ids,
                verdict=health.verdict,
                paced=health.paced(cluster),
                pace=health.pace,
                away=_away(el),
            ),
            mode="600",
            check=keepalived.CONF_CHECK,
            read_by="keepalived",
        ),
        TextFile(keepalived.GIVE_UP, (_HERE.parent / "files" / "give_up_vips.py").read_text(), mode="755"),
        TextFile(
            keepalived.DROP_IN,
            render(
                "restart.conf.j2",
                command=f"{keepalived.PYTHON[el]} {keepalived.GIVE_UP}",
                vips=" ".join(f"{each.virtual_router_id}={each.vip}" for each in cluster.vrrp_instances),
            ),
            then="systemctl daemon-reload",
        ),
    ]
    if "dr" in cluster.forwardings:
        files.append(TextFile(vip.FILE, render("vip.service.j2"), read_by=vip.UNIT))
    return {file.path: file for file in files}


def _away(el: int) -> str | None:
    """The file that keepalived's instances follow, where they can follow one."""
    return health.AWAY if el >= keepalived.TRACK_FILE else None


def _health(cluster: Cluster, node: Node, script: TextFile, el: int, render: Any) -> list[TextFile]:
    """The health service, and the files that it tells keepalived its verdicts by."""
    service = render(
        "health.service.j2",
        el=el,
        user=keepalived.SCRIPT_USER,
        command=f"{keepalived.PYTHON[el]} {health.SERVICE} {health.SETTINGS}",
        script=script,
    )
    verdicts = render(
        "health.tmpfiles.j2",
        folder=health.FOLDER,
        reasons=health.REASONS,
        inputs=cluster.input_ids,
        user=keepalived.SCRIPT_USER,
        verdict=health.verdict,
        paced=health.paced(cluster),
        pace=health.pace,
        away=_away(el),
    )
    return [
        TextFile(health.TMPFILES, verdicts, then=f"systemd-tmpfiles --create {health.TMPFILES}"),
        TextFile(
            health.SERVICE,
            (_HERE.parent / "files" / "logstash_ha_health.py").read_text(),
            mode="755",
            check=keepalived.script_check(el),
            read_by=health.UNIT,
        ),
        TextFile(
            health.SETTINGS,
            render("health.json.j2", settings=health.settings(cluster, node)),
            read_by=health.UNIT,
        ),
        TextFile(health.FILE, service, read_by=health.UNIT),
        TextFile(
            health.LEAVE_FILE,
            render(
                "leave.service.j2",
                folder=DRAINED,
                flag=f"{DRAINED}/{node.address}",
                seconds=health.LEAVE_TIME,
            ),
            read_by=health.LEAVE,
        ),
    ]


def _logstash(cluster: Cluster, node: Node, render: Any) -> list[TextFile]:
    """What Logstash reads. What is as the package has it, is not written."""
    settings = render("logstash.yml.j2", port=API_PORT)
    files = {logstash.SETTINGS: settings}
    for pipeline in cluster.pipeline_ids:
        own = cluster.pipeline_files.get(pipeline, {})
        files[logstash.own_file(pipeline)] = render(
            "pipeline.conf.j2",
            inputs=[
                (input, protocol)
                for input in cluster.inputs
                if input.pipeline == pipeline
                for protocol in input.protocols
            ],
            listen=lambda input: logstash.listen(cluster, node, input),
            events=None if own else logstash.events(pipeline),
        )
        for name, text in own.items():
            files[f"{logstash.folder(pipeline)}/{name}"] = _user_file(cluster, node, pipeline, name, text)
    if cluster.pipeline_ids != ("main",):
        files[logstash.PIPELINES] = render("pipelines.yml.j2", folder=logstash.folder)
    files[logstash.DROP_IN] = render("logstash.service.conf.j2", environment=logstash.ENVIRONMENT)
    texts = [TextFile(path, text, read_by=logstash.UNIT) for path, text in files.items()]
    if cluster.environment:
        # Read by systemd and by a shell: both take these characters for themselves, unless escaped.
        escape = str.maketrans({character: f"\\{character}" for character in '\\"$`'})
        variables = {
            name: value.get_secret_value().translate(escape) for name, value in cluster.environment.items()
        }
        text = render("environment.j2", variables=variables)
        texts.append(TextFile(logstash.ENVIRONMENT, text, mode="600", read_by=logstash.UNIT, secret=True))
    return texts


def _user_file(cluster: Cluster, node: Node, pipeline: str, name: str, text: str) -> str:
    """A user's pipeline file, with `<%= node.name %>` and the like filled in."""
    try:
        return _of_the_user.from_string(text).render(cluster=cluster, node=node)
    except Exception as error:  # whatever the user's expression does
        where = name if pipeline == "main" else f"{pipeline}/{name}"
        raise ClusterError(
            f"pipelines: {where}: {error}; correct it, or write `<%= node.name %>` for what it should say"
        ) from None
