"""Codecs with options of their own: another character set, events of several lines, a tab as the separator."""

from cluster import define

nodes = define(
    nodes={"stash1": "192.0.2.11", "stash2": "192.0.2.12"},
    network="192.0.2.0/24",
    interface="ens33",
    vip="192.0.2.10",
    inputs=[
        {"id": "windows", "port": 5515, "protocol": "tcp", "codec": {"json": {"charset": "CP1252"}}},
        {
            "id": "java",
            "port": 5516,
            "protocol": "tcp",
            "codec": {"multiline": {"pattern": r"^\s", "what": "previous", "auto_flush_interval": 2}},
        },
        {"id": "tables", "port": 5517, "codec": {"csv": {"separator": "\t", "columns": ["time", "what"]}}},
    ],
    senders=["192.0.2.64/26"],
    support_escapes=True,  # or else no string could have a tab
)
