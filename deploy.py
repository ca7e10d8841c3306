"""The recipe's steps on each node of the cluster: `pyinfra inventory.py deploy.py`."""

from functools import partial

from pyinfra import host, logger

from cluster import cluster_of_host, cluster_prefix, is_node
from desired.compared import compared_facts
from desired.existing import kept_files
from desired.files import desired_files
from desired.health_script import USER
from desired.logstash import UNIT as LOGSTASH
from desired.modules import module_names
from desired.sysctl import FILE as SYSCTL_FILE
from desired.sysctl import kernel_settings
from desired.translation import own_table
from desired.units import managed_units, retired_units
from operations import (
    activation,
    channel,
    clone,
    existing,
    files,
    firewalld,
    logstash,
    metrics,
    modules,
    nftables,
    packages,
    services,
    sysctl,
    users,
    verification,
)
from remote import lock, preflight, snapshot
from verification.observe import lasting_facts

preflight.prepare(host)

if is_node(host):
    cluster = cluster_of_host(host)
    node = cluster.node(host.name)
    preflight.require_valid_certificates(cluster, cluster_prefix(host))
    cluster, el, has_nftables = preflight.examine(host, cluster, node)
    with_table = own_table(cluster, el, has_nftables)
    if node == cluster.nodes[0]:
        for warning in cluster.warnings:
            logger.warning(f"{cluster_prefix(host)}{warning}")
    desired = list(desired_files(cluster, node, el, has_nftables).values())
    units = managed_units(cluster, node, el, has_nftables)
    names = [unit.name for unit in units]
    lock.arm(host.state, cluster)
    judged = lasting_facts(cluster, node, with_table, desired)
    snapshot.install(host, compared_facts(cluster, node, names, desired), remembered=judged.values())
    preflight.require_able_services(host, cluster, desired)
    preflight.require_all_to_know(host, cluster, desired)
    new_version = partial(packages.version_change, cluster, el)

    # 9 first: nothing is changed on a node that would not get its packets.
    firewalld.not_denied(name="9. firewalld: no address is in a zone that denies it", cluster=cluster)

    packages.key(name="2. Elastic's GPG key", cluster=cluster, el=el)
    files.put(name="2. Elastic's repository", files=desired, step=2)
    packages.installed(name="2. Packages", cluster=cluster, el=el)

    files.put(name="3. logstash.yml: the API at the node's own address", files=desired, step=3)

    files.put(name="4. Pipelines: an input for each port", files=desired, step=4)
    logstash.accepted(
        name="4. Logstash accepts its files", files=desired, units=names, find_change=new_version
    )

    # 5 (SELinux): nothing to do, since none of keepalived's checks opens a connection.

    files.put(name="6. sysctl: own files", files=desired, step=6)
    modules.loaded(name="6. Kernel modules", modules=module_names(cluster))
    sysctl.effective(
        name="6. sysctl: in force, no STIG", settings=kernel_settings(cluster, node), file=SYSCTL_FILE
    )

    # 8 before 7: keepalived.conf names the script's user and the verdict files, and its check needs both.
    users.system(name="8. User of the health script", user=USER)
    channel.key(name="8. Key of the health services", cluster=cluster, files=desired, user=USER)
    files.put(name="8. Health script and service", files=desired, step=8)
    metrics.writable(name="8. Folder of the health service's metrics", cluster=cluster, user=USER)
    existing.adopted(name="7. Others' blocks in keepalived.conf are adopted", cluster=cluster)
    files.put(name="7. keepalived.conf", files=desired, step=7)

    files.put(name="9. nftables: the file of the table of our own", files=desired, step=9)
    nftables.added(name="9. nftables: sources translated", cluster=cluster, node=node, own_table=with_table)
    firewalld.allowed(
        name="9. firewalld: VRRP, API, events", cluster=cluster, node=node, own_table=with_table
    )
    firewalld.sets_loaded(name="9. firewalld has the ipsets of senders", cluster=cluster, _serial=True)

    # clone.py makes a clone the node that it should be.
    clone.recorded(
        name="10. Hardware recorded, so that a clone is told by it", interface=cluster.interface_of(node)
    )

    files.put(name="11. keepalived starts again when it dies", files=desired, step=11)
    activation.drain_flags_cleared(name="11. No node is left out by a run that was interrupted")
    # One node after the other, the MASTER last; meanwhile the others take the events.
    for masters, role in ((False, "BACKUPs"), (True, "MASTER")):
        activation.rolling_restart(
            name=f"11. keepalived and Logstash are up with their files: {role}",
            cluster=cluster,
            units=units,
            files=desired,
            masters=masters,
            package_changes={LOGSTASH: partial(logstash.tested_change, desired, names, new_version)},
            _serial=True,
        )

    # What an earlier deploy has put there, and this cluster does not need.
    services.absent(name="12. No unit of an earlier deploy", units=retired_units(names))
    files.pruned(name="12. No file of an earlier deploy", files=desired, kept=kept_files(cluster))
    firewalld.pruned(
        name="12. No firewall rule of an earlier deploy", cluster=cluster, node=node, own_table=with_table
    )
    nftables.pruned(
        name="12. No nftables rule of an earlier deploy", cluster=cluster, node=node, own_table=with_table
    )
    sysctl.restored(
        name="12. No kernel setting of an earlier deploy", settings=kernel_settings(cluster, node)
    )
    files.put(name="12. The version of this project", files=desired, step=12)

    verification.verified(name="12. The cluster is whole", cluster=cluster)
