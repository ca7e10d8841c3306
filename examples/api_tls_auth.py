"""Logstash's API over TLS and with a login, which the nodes' own health checks use, too.

`api.secrets` has the lines `USERNAME=…`, `PASSWORD=…` and `KEYSTORE_PASSWORD=…`; keep it out of your repository. A keystore
for the addresses of all nodes is made by `openssl pkcs12 -export -in api.pem -inkey api.key -out api.p12`; where each node
has its own, write `api-<%= node.name %>.p12`. A running cluster can be given this, and nodes that have not changed yet are
asked as before.
"""

from cluster import define

nodes = define(
    nodes={"stash1": "192.0.2.11", "stash2": "192.0.2.12"},
    network="192.0.2.0/24",
    interface="ens33",
    vip="192.0.2.10",
    inputs=[{"id": "udp-5514", "port": 5514}],
    senders=["192.0.2.64/26"],
    logstash=9,
    api={"secrets": "api.secrets", "keystore": "api.p12", "ca": "api-ca.pem"},  # beside this file
)
