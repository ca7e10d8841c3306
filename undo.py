"""Takes a node out of the cluster: `pyinfra inventory.py undo.py --limit stash3`.

What the deploy has put there is taken away again, and nothing else. Then take the node out of `inventory.py`,
and deploy, so that the others forget it.
"""

from pyinfra import host

from cluster import of
from operations import activation, health, keepalived, logstash, packages, preflight, undo, vip

preflight.prepare(host)

if "nodes" in host.groups:
    cluster = of(host)
    el = preflight.inspect(host, cluster, cluster.node(host.name))

    activation.left(
        name="11. Logstash and keepalived stopped, with the others taking the events",
        cluster=cluster,
        units=[keepalived.UNIT, health.LEAVE, logstash.UNIT, health.UNIT, vip.UNIT],
        _serial=True,
    )
    undo.rules(name="9. firewalld: no rules of ours")
    undo.files(name="8. 7. 6. 4. 3. 2. Files as they were")
    undo.users(name="8. No user of the health script")
    undo.packages(name="2. Packages and the key", manager=packages.manager(el))
    undo.record(name="Nothing is noted any more")
