"""A Satellite or Pulp server: the repository of your own content asks for a client certificate, and a mirror takes its place.

`satellite/client.pem` and `.key` are a certificate that Satellite lets in, such as an organization's debug certificate;
`ca.pem` is /etc/pki/katello/certs/katello-default-ca.crt, and `GPG-KEY-elasticsearch` a copy of the key at
https://artifacts.elastic.co/GPG-KEY-elasticsearch. `satellite/secrets` has the proxy's login in two lines, PROXY_USERNAME=…
and PROXY_PASSWORD=….
"""

from cluster import define

nodes = define(
    nodes={"stash1": "192.0.2.11", "stash2": "192.0.2.12"},
    network="192.0.2.0/24",
    interface="ens33",
    vip="192.0.2.10",
    inputs=[{"id": "udp-5514", "port": 5514}],
    senders=["192.0.2.64/26"],
    logstash=8,
    version="8.19.3",
    repository={
        "url": [
            "https://satellite.example.com/pulp/content/ACME/Library/custom/elastic/logstash-8",
            "https://capsule.example.com/pulp/content/ACME/Library/custom/elastic/logstash-8",
        ],
        "certificate": "satellite/client.pem",
        "key": "satellite/client.key",
        "ca": "satellite/ca.pem",
        "secrets": "satellite/secrets",
        "seen_from": "operator",  # "nodes" where the machine that deploys can't reach it
    },
    signing_keys="satellite/GPG-KEY-elasticsearch",
    proxy="http://proxy.example.com:3128",
)
