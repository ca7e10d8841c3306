"""Filebeat and other Beats by TLS, each with a certificate of its own; and events by HTTPS, for everybody who may send.

The files are yours, beside this one. Keep the key out of your repository.
"""

from cluster import define

nodes = define(
    nodes={"stash1": "192.0.2.11", "stash2": "192.0.2.12"},
    network="192.0.2.0/24",
    interface="ens33",
    vip="192.0.2.10",
    inputs=[
        {
            "id": "beats",
            "port": 5044,
            "plugin": "beats",
            "scheduler": "lc",  # Beats keep their connections: a new one goes where the fewest are
            "tls": {
                "certificate": "logs.pem",
                "key": "logs.key",
                "ca": "ca.pem",  # signs the certificates of the Beats
                "client_authentication": "required",
                "names": ["logs.example.com"],  # in filebeat.yml: hosts: ["logs.example.com:5044"]
            },
        },
        {
            "id": "https",
            "port": 8443,
            "plugin": "http",
            "tls": {"certificate": "logs.pem", "key": "logs.key", "names": ["logs.example.com"]},
        },
    ],
    senders=["192.0.2.64/26"],
)
