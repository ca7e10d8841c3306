"""A clone of one node becomes another one (the recipe's step 10).

    pyinfra inventory.py clone.py --limit stash2 --data ssh_hostname=stash1

`--limit` names the node that the clone becomes. `ssh_hostname` is where ssh reaches it now: at the address of
its source, which is powered off. See docs/clone.md.
"""

from pyinfra import host

from cluster import cluster_of_host, is_node
from operations import clone
from remote import lock, preflight, snapshot
from remote.clone import inspect

preflight.prepare(host)

if is_node(host):
    cluster = cluster_of_host(host)
    node = cluster.node(host.name)
    preflight.require_el(host, node)
    # With `ssh_hostname`, each node's name leads to this machine.
    lock.arm(host.state, cluster, only=host.state.inventory.get_host(host.name))
    snapshot.install(host, [])
    clone.become(
        name=f"10. Clone: becomes {node.name}",
        plan=inspect(host, cluster, node),
        addresses=[str(address) for address in node.addresses],
    )
