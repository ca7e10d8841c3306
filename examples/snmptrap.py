"""SNMP traps of switches and power supplies, which send to port 162. The nodes listen on 1162."""

from cluster import define

nodes = define(
    nodes={"stash1": "192.0.2.11", "stash2": "192.0.2.12"},
    network="192.0.2.0/24",
    interface="ens33",
    vip="192.0.2.10",
    inputs=[
        {
            "id": "traps",
            "port": 162,
            "server_port": 1162,
            "plugin": "snmptrap",
            "options": {"community": ["public", "${SNMP_COMMUNITY}"]},
        }
    ],
    senders=["192.0.2.64/26"],
    environment_file="logstash.env",  # beside this file
)
