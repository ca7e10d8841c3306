"""A node in maintenance: `pyinfra inventory.py maintain.py --limit stash1`.

It gets no events and holds no VIP until `--data back=yes`, over reboots and deploys, or until its time is up:
`--data hours=2`, or `--data until=2026-11-28T06:00` (in your time zone, unless it names another). The last node that takes an
input's events stays, unless `--data last=yes` is given. See docs/maintenance.md.
"""

from datetime import datetime

from pyinfra import host

from cluster import ClusterError, cluster_of_host, cluster_prefix, is_node
from desired.maintenance import request
from operations import maintenance
from remote import lock, preflight, session

asked = request(host.inventory.get_override_data(), datetime.now().astimezone())
preflight.prepare(host)

if is_node(host):
    cluster = cluster_of_host(host)
    el = preflight.require_el(host, cluster.node(host.name))
    lock.arm(host.state, cluster)
    if asked.back:
        maintenance.ended(name="Back from maintenance", cluster=cluster, _serial=True)
    else:
        if len(session.members_in_run(host.state, cluster)) == len(cluster.nodes):
            raise ClusterError(
                f"{cluster_prefix(host)}nodes: all of them can't be in maintenance; name one with --limit"
            )
        maintenance.entered(
            name="In maintenance", cluster=cluster, el=el, until=asked.until, last=asked.last, _serial=True
        )
