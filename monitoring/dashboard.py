"""Grafana's dashboard of a cluster: `python -m monitoring.dashboard` writes monitoring/dashboard.json, which Grafana imports.

It asks for the metrics that the nodes write (docs/monitoring.md), and has a variable for the data source.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from grafana_foundation_sdk.builders import common, prometheus, stat, statetimeline, timeseries
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    BigValueGraphMode,
    BigValueTextMode,
    LegendDisplayMode,
    LegendPlacement,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    GridPos,
    ValueMap,
    ValueMappingResult,
)

FILE = Path(__file__).with_name("dashboard.json")
DATASOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
_WIDTH, _HEIGHT = 12, 7
"""Of a panel, in Grafana's grid of 24 columns."""
State = tuple[str, str]
"""A text and a color."""
Panel = statetimeline.Panel | timeseries.Panel | stat.Panel


@dataclass(frozen=True)
class Graph:
    """A panel with one expression."""

    title: str
    expression: str
    legend: str
    unit: str = "short"
    states: tuple[State, State] | None = None
    """What 0 and 1 mean, where it shows states over time."""
    now: bool = False
    """Whether it shows only the last value."""


GRAPHS = (
    Graph(
        "Who holds the VIP",
        "logstash_ha_node_holder",
        "{{vip}} {{node}}",
        states=(("BACKUP", "blue"), ("MASTER", "green")),
    ),
    Graph(
        "Inputs by node",
        "min by (cluster, input, node) (logstash_ha_node_up)",
        "{{input}} {{node}}",
        states=(("down", "red"), ("up", "green")),
    ),
    Graph(
        "Events in, by input and node",
        "sum by (cluster, input, node) (rate(logstash_ha_node_events_in_total[1m]))",
        "{{input}} {{node}}",
        unit="eps",
    ),
    Graph(
        "Events out, by pipeline and node",
        "sum by (cluster, pipeline, node) (rate(logstash_ha_node_events_out_total[1m]))",
        "{{pipeline}} {{node}}",
        unit="eps",
    ),
    Graph(
        "Datagrams that sockets had no room for",
        "rate(logstash_ha_node_socket_drops_total[1m])",
        "{{input}} {{node}}",
        unit="pps",
    ),
    Graph("Waiting in sockets", "logstash_ha_node_socket_bytes", "{{input}} {{node}}", unit="bytes"),
    Graph(
        "Threads that wait for room in the queue", "logstash_ha_node_queue_pressure", "{{pipeline}} {{node}}"
    ),
    Graph(
        "Part of its weight that a node gets",
        "min by (cluster, input, node) (logstash_ha_node_share)",
        "{{input}} {{node}}",
        unit="percentunit",
    ),
    Graph(
        "Health services that are heard",
        "min by (cluster, node) (logstash_ha_node_heard)",
        "{{node}}",
        states=(("silent", "red"), ("heard", "green")),
    ),
    Graph(
        "Links",
        "logstash_ha_node_link_up",
        "{{node}} {{interface}}",
        states=(("down", "red"), ("up", "green")),
    ),
    Graph(
        "Time of a poll",
        "rate(logstash_ha_node_poll_seconds_total[1m]) / rate(logstash_ha_node_polls_total[1m])",
        "{{director}} asks {{node}}",
        unit="s",
    ),
    Graph(
        "Changes of verdicts in 5 minutes",
        "max by (cluster, input, node) (increase(logstash_ha_node_changes_total[5m]))",
        "{{input}} {{node}}",
    ),
    Graph(
        "Why inputs are down, slow or in doubt",
        "max by (cluster, input, node, reason) (logstash_ha_node_reason)",
        "{{input}} {{node}}: {{reason}}",
        states=(("", "green"), ("so", "orange")),
    ),
    Graph(
        "Certificates end in",
        "logstash_ha_node_certificate_end_timestamp_seconds - time()",
        "{{input}} {{node}}",
        unit="s",
        now=True,
    ),
    Graph("Version that deployed the node", "logstash_ha_node_info", "{{node}} {{version}}", now=True),
)


def expressions() -> list[str]:
    """What the dashboard asks Prometheus."""
    return [graph.expression for graph in GRAPHS]


def _panel(graph: Graph, place: int) -> Panel:
    panel: Panel
    if graph.states:
        mapping = {
            str(number): ValueMappingResult(text=text, color=color, index=number)
            for number, (text, color) in enumerate(graph.states)
        }
        panel = statetimeline.Panel().mappings([ValueMap(options=mapping)]).show_value(VisibilityMode.NEVER)
    elif graph.now:
        last = common.ReduceDataOptions().calcs(["lastNotNull"])
        panel = stat.Panel().text_mode(BigValueTextMode.VALUE_AND_NAME).graph_mode(BigValueGraphMode.NONE)
        panel = panel.reduce_options(last)
    else:
        legend = (
            common.VizLegendOptions().display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM)
        )
        panel = timeseries.Panel().min(0).legend(legend.show_legend(True))
    query = prometheus.Dataquery().expr(graph.expression).legend_format(graph.legend).ref_id("A")
    column, line = place % 2 * _WIDTH, place // 2 * _HEIGHT
    return (
        panel.title(graph.title)
        .datasource(DATASOURCE)
        .unit(graph.unit)
        .with_target(query)
        .grid_pos(GridPos(h=_HEIGHT, w=_WIDTH, x=column, y=line))
    )


def text(graphs: Sequence[Graph] = GRAPHS) -> str:
    """The dashboard as Grafana imports it."""
    board = (
        builders.Dashboard("Logstash behind a VIP")
        .uid("logstash-ha")
        .tags(["logstash", "keepalived"])
        .editable()
        .refresh("30s")
        .time("now-3h", "now")
        .with_variable(builders.DatasourceVariable("datasource").label("Data source").type("prometheus"))
    )
    for place, graph in enumerate(graphs):
        board = board.with_panel(_panel(graph, place))
    return JSONEncoder(sort_keys=True, indent=2).encode(board.build()) + "\n"


if __name__ == "__main__":
    FILE.write_text(text())
