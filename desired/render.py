"""Files rendered from `templates/`, and from a user's pipeline files, which are templates, too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from cluster import Cluster, ClusterError, Node

_ROOT = Path(__file__).parents[1]

_OPTIONS: dict[str, Any] = {
    "undefined": StrictUndefined,
    "keep_trailing_newline": True,
    "trim_blocks": True,
    "lstrip_blocks": True,
}

_templates = Environment(loader=FileSystemLoader(_ROOT / "templates"), **_OPTIONS)

# Not jinja's own delimiters, which are too close to Logstash's language: `%{`, `{ {` and `#{` are common
# there. These mean nothing in it.
_user_templates = Environment(
    variable_start_string="<%=",
    variable_end_string="%>",
    block_start_string="<%!",
    block_end_string="%>",
    comment_start_string="<%#",
    comment_end_string="%>",
    **_OPTIONS,
)


def render(template: str, **values: object) -> str:
    """A template of `templates/`, filled in."""
    return _templates.get_template(template).render(**values)


def program(name: str) -> str:
    """The text of a program in `files/`."""
    return (_ROOT / "files" / name).read_text()


def render_user_file(cluster: Cluster, node: Node, pipeline: str, name: str, text: str) -> str:
    """A user's pipeline file, with `<%= node.name %>` and the like filled in.

    Raises `ClusterError` where an expression fails.
    """
    where = name if pipeline == "main" else f"{pipeline}/{name}"
    return _render_user_text(cluster, node, f"pipelines: {where}", text)


def render_user_setting(cluster: Cluster, node: Node, name: str, value: object) -> str:
    """The YAML of a value in `logstash_settings`, with `<%= node.name %>` and the like filled in.

    Raises `ClusterError` where an expression fails.
    """

    def filled(part: object) -> object:
        if isinstance(part, list):
            return [filled(text) for text in part]
        if isinstance(part, str):
            return _render_user_text(cluster, node, f"logstash_settings.{name}", part)
        return part

    return json.dumps(filled(value), ensure_ascii=False)


def _render_user_text(cluster: Cluster, node: Node, where: str, text: str) -> str:
    try:
        return _user_templates.from_string(text).render(cluster=cluster, node=node)
    except Exception as error:  # a user's expression can raise anything
        raise ClusterError(
            f"{where}: {error}; correct it, or write `<%= node.name %>` for what it should say"
        ) from None
