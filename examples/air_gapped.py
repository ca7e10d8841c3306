"""No repository at all: RPM files beside the inventory are copied to the nodes and installed there.

The folder `rpms` has Logstash's, and what else the nodes lack and their own repositories don't have. Each must be signed by a key in
`signing_keys`: here by Elastic's and by the one of Rocky Linux 9.
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
    rpms="rpms",
    signing_keys="rpms/keys.asc",
    key_fingerprints=[
        "4609 5ACC 8548 582C 1A26  99A9 D27D 666C D88E 42B4",
        "21CB 256A E16F C54C 6E65  2949 702D 426D 350D 275D",
    ],
)
