"""The nodes are patched, one after the other: `pyinfra inventory.py patch.py`.

BACKUPs come first, the MASTER last. Each node goes into maintenance, gets its packages upgraded, reboots where that is needed,
and comes back; the next one follows when it takes events again. See docs/maintenance.md.

    --data packages=all|NAME,…      what is upgraded (all)
    --data hold=none|NAME,…         what is not (logstash,keepalived)
    --data reboot=needed|always|never
    --data canary=NODE              this one first, and then it is watched
    --data soak=MINUTES             for so long (10)
"""

from pyinfra import host

from cluster import ClusterError, cluster_name, cluster_of_host, is_node
from desired.patch import request
from operations import patch
from remote import lock, preflight

preflight.prepare(host)

if is_node(host):
    cluster = cluster_of_host(host)
    asked = request(host.inventory.get_override_data(), cluster, cluster_name(host))
    if asked.canary and not host.state.is_host_in_limit(host.inventory.get_host(asked.canary)):
        raise ClusterError(f"canary: {asked.canary} is not in --limit; add it there")
    el = preflight.require_el(host, cluster.node(host.name))
    lock.arm(host.state, cluster)
    if asked.canary:
        patch.patched(
            name=f"Canary: {asked.canary}",
            cluster=cluster,
            el=el,
            asked=asked,
            only=asked.canary,
            _serial=True,
        )
        patch.soaked(name=f"Soak: {asked.canary}", cluster=cluster, el=el, asked=asked, _serial=True)
    for masters, role in ((False, "BACKUPs"), (True, "MASTER")):
        patch.patched(
            name=f"Patched: {role}", cluster=cluster, el=el, asked=asked, masters=masters, _serial=True
        )
