"""The recipe, replayed on each node of the cluster: `pyinfra inventory.py deploy.py`."""

from functools import partial

from pyinfra import host, logger

from cluster import of
from operations import (
    activation,
    clone,
    files,
    firewalld,
    health,
    keepalived,
    logstash,
    modules,
    packages,
    preflight,
    services,
    sysctl,
    users,
    vip,
)
from templates import meant

preflight.prepare(host)

if "nodes" in host.groups:
    cluster = of(host)
    node = cluster.node(host.name)
    el = preflight.inspect(host, cluster, node)
    if node == cluster.nodes[0]:
        for warning in cluster.warnings:
            logger.warning(warning)
    file = meant(cluster, node, el)
    everything = [*file.values()]

    packages.key(name="2. Elastic's GPG key", cluster=cluster)
    files.put(name="2. Elastic's repository", files=[file[packages.REPOSITORY]])
    packages.installed(name="2. Packages", cluster=cluster, el=el)

    files.put(name="3. logstash.yml: the API at the node's own address", files=[file[logstash.SETTINGS]])

    files.put(name="4. Pipelines: an input for each port", files=logstash.pipelines(everything))
    update = partial(packages.update, cluster, el)
    logstash.accepted(name="4. Logstash accepts its files", files=everything, update=update)

    # 5 (SELinux) has nothing to do: no check of keepalived's opens a connection any more.

    files.put(name="6. sysctl: own files", files=[file[modules.FILE], file[sysctl.FILE]])
    modules.loaded(name="6. Kernel modules", modules=modules.names(cluster))
    sysctl.effective(name="6. sysctl: in force, no STIG", settings=sysctl.settings(cluster), file=sysctl.FILE)

    # 8 before 7: keepalived.conf names the script's user and the service's verdicts, and is checked with them.
    users.system(name="8. User of the health script", user=keepalived.SCRIPT_USER)
    files.put(
        name="8. Health script and service",
        files=[
            file[path]
            for path in (
                keepalived.SCRIPT,
                health.TMPFILES,
                health.SERVICE,
                health.SETTINGS,
                health.FILE,
                health.LEAVE_FILE,
            )
        ],
    )
    files.put(
        name="7. keepalived.conf", files=[file[path] for path in (keepalived.CONF, vip.FILE) if path in file]
    )

    firewalld.allowed(name="9. firewalld: VRRP, API, events", cluster=cluster, node=node)

    # A machine that is the clone of another one becomes itself by clone.py.
    clone.remember(name="10. Hardware noted, so that a clone is told by it", interface=cluster.interface)

    files.put(
        name="11. keepalived starts again when it dies",
        files=[file[keepalived.GIVE_UP], file[keepalived.DROP_IN]],
    )
    activation.undrained(name="11. No node is left out by a run that was broken off")
    # One node after the other, and the MASTER last: the others take the events meanwhile.
    units = [
        *([vip.unit()] if vip.FILE in file else []),
        health.unit(),
        logstash.unit(
            cluster,
            listed=keepalived.probe(cluster, node, el),
            files=everything,
            update=update,
        ),
        health.leave(),
        keepalived.unit(cluster, el),
    ]
    for masters, who in ((False, "BACKUPs"), (True, "MASTER")):
        activation.roll(
            name=f"11. keepalived and Logstash are up with their files: {who}",
            cluster=cluster,
            units=units,
            files=everything,
            masters=masters,
            _serial=True,
        )

    # What an earlier run has put there for another cluster than this one.
    firewalld.pruned(name="12. firewalld: no rules of ours beside", cluster=cluster, node=node)
    sysctl.restored(name="12. sysctl: no settings of ours beside", settings=sysctl.settings(cluster))
    if vip.FILE not in file:
        services.absent(name="12. No VIP on the loopback interface", unit=vip.UNIT, file=vip.FILE)
