"""Takes a node out of the cluster: `pyinfra inventory.py undo.py --limit stash3`.

Everything that the deploy has put there is removed, and nothing else. Then take the node out of
`inventory.py`, and deploy, so that the other nodes no longer expect it.
"""

from pyinfra import host

from cluster import cluster_of_host, is_node
from desired.packages import manager
from desired.units import EVER_MANAGED
from operations import activation, record, undo
from remote import lock, preflight, snapshot

preflight.prepare(host)

if is_node(host):
    cluster = cluster_of_host(host)
    el = preflight.require_el(host, cluster.node(host.name))
    lock.arm(host.state, cluster)
    snapshot.install(host, [])

    activation.retired(
        name="11. Logstash and keepalived stopped, with the others taking the events",
        cluster=cluster,
        units=list(reversed(EVER_MANAGED)),
        _serial=True,
    )
    undo.rules(name="9. firewalld and nftables: no rules of ours")
    undo.files(name="8. 7. 6. 4. 3. 2. Files as they were")
    undo.users(name="8. No user of the health script")
    undo.packages(name="2. Packages and the key", manager=manager(el))
    record.removed(name="No record is left")
