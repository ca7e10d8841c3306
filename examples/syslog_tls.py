"""Syslog over TLS at its own port (RFC 5425), from senders with certificates. Logstash's syslog plugin has no TLS, so it is `tcp`."""

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
            "tls": {
                "certificate": "logs.pem",  # for the VIP's address
                "key": "logs.key",
                "ca": "ca.pem",  # signs the senders' certificates
                "client_certificate": "verify.pem",  # such a one, for `verify.py --send`
                "client_key": "verify.key",
            },
            "options": {"ssl_supported_protocols": ["TLSv1.2", "TLSv1.3"]},
        }
    ],
    senders=["192.0.2.64/26"],
)
