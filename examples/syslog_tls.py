"""Syslog over TLS at its own port (RFC 5425): Logstash's syslog plugin has no TLS, so it is the tcp plugin."""

from cluster import define

nodes = define(
    nodes={"stash1": "192.0.2.11", "stash2": "192.0.2.12"},
    network="192.0.2.0/24",
    interface="ens33",
    vip="192.0.2.10",
    inputs=[
        {
            "id": "syslog",
            "port": 6514,
            "protocol": "tcp",
            "type": "syslog",
            "tls": {"certificate": "logs.pem", "key": "logs.key"},  # for the VIP's address
            "options": {"ssl_supported_protocols": ["TLSv1.2", "TLSv1.3"]},
        }
    ],
    senders=["192.0.2.64/26"],
)
