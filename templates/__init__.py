"""The files that the deploy writes."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from cluster import API_PORT, Cluster, Node
from operations import keepalived, logstash, packages, sysctl
from operations.files import TextFile

_HERE = Path(__file__).parent

_environment = Environment(
    loader=FileSystemLoader(_HERE),
    undefined=StrictUndefined,
    keep_trailing_newline=True,
    trim_blocks=True,
    lstrip_blocks=True,
)


def meant(cluster: Cluster, node: Node, el: int) -> dict[str, TextFile]:
    """Each file that the deploy writes on this node with Enterprise Linux `el`, by its path."""

    def render(template: str, **values: object) -> str:
        return _environment.get_template(template).render(cluster=cluster, node=node, **values)

    script = f"{keepalived.PYTHON[el]} {keepalived.SCRIPT}"
    files = [
        TextFile(packages.REPOSITORY, render("logstash.repo.j2")),
        TextFile(
            logstash.SETTINGS,
            render("logstash.yml.j2", port=API_PORT),
            check=logstash.SETTINGS_CHECK,
            read_by="logstash",
        ),
        TextFile(
            logstash.PIPELINE,
            render("pipeline.conf.j2", events=logstash.EVENTS),
            check=logstash.PIPELINE_CHECK,
            read_by="logstash",
        ),
        TextFile(sysctl.FILE, render("sysctl.conf.j2", settings=sysctl.SETTINGS)),
        TextFile(
            keepalived.SCRIPT,
            (_HERE.parent / "files" / "check_logstash_input.py").read_text(),
            mode="755",
            check=keepalived.script_check(el),
        ),
        TextFile(
            keepalived.CONF,
            render("keepalived.conf.j2", script=script, script_user=keepalived.SCRIPT_USER),
            mode="600",
            check=keepalived.CONF_CHECK,
            read_by="keepalived",
        ),
        TextFile(keepalived.DROP_IN, render("restart.conf.j2"), then="systemctl daemon-reload"),
    ]
    return {file.path: file for file in files}
