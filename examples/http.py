"""Events by HTTP, with a password: for webhooks, and for programs that need an answer; by HTTPS in beats_tls.py."""

from cluster import define

nodes = define(
    nodes={"stash1": "192.0.2.11", "stash2": "192.0.2.12"},
    network="192.0.2.0/24",
    interface="ens33",
    vip="192.0.2.10",
    inputs=[
        {
            "id": "webhooks",
            "port": 8080,
            "plugin": "http",
            "codec": "json",
            "options": {
                "user": "webhook",
                "password": "${HTTP_PASSWORD}",
                "response_headers": {"Content-Type": "text/plain"},
                "additional_codecs": {"application/x-ndjson": "json_lines"},
            },
        }
    ],
    senders=["192.0.2.64/26"],
    environment_file="logstash.env",  # beside this file
)
