"""The recipe, replayed on each node of the cluster: `pyinfra inventory.py deploy.py`."""

from pyinfra import host

from cluster import of
from operations import (
    files,
    firewalld,
    keepalived,
    logstash,
    packages,
    preflight,
    selinux,
    services,
    sysctl,
    users,
)
from templates import meant

preflight.prepare(host)

if "nodes" in host.groups:
    cluster = of(host)
    node = cluster.node(host.name)
    el = preflight.inspect(host, cluster, node)
    file = meant(cluster, node, el)
    rules = firewalld.rules(cluster, node)
    inputs_listed = keepalived.probe(cluster, node, el)

    packages.key(name="2. Elastic's GPG key", url=packages.key_url(cluster), path=packages.KEY)
    files.put(name="2. Elastic's repository", file=file[packages.REPOSITORY])
    packages.installed(name="2. Packages", packages=packages.NAMES, manager="yum" if el == 7 else "dnf")

    files.put(name="3. logstash.yml: the API at the node's own address", file=file[logstash.SETTINGS])

    files.put(name="4. Pipeline: an input for each port", file=file[logstash.PIPELINE])

    selinux.boolean(name="5. SELinux: keepalived's scripts may use the network", boolean=selinux.BOOLEAN)

    files.put(name="6. sysctl: own file", file=file[sysctl.FILE])
    sysctl.effective(name="6. sysctl: in force, no STIG", settings=sysctl.SETTINGS, file=sysctl.FILE)

    # 8 before 7: keepalived.conf names the script and its user, and they are checked with it.
    users.system(name="8. User of the health script", user=keepalived.SCRIPT_USER)
    files.put(name="8. Health script", file=file[keepalived.SCRIPT])
    files.put(name="7. keepalived.conf", file=file[keepalived.CONF])

    firewalld.rich_rules(name="9. firewalld: VRRP, API, events", interface=cluster.interface, rules=rules)

    # 10. The clone's identity has its place here.

    # One node after the other: the others take the events meanwhile.
    files.put(name="11. keepalived starts again when it dies", file=file[keepalived.DROP_IN])
    services.up(
        name="11. Logstash is up, its API lists every input",
        unit=logstash.unit(probe=inputs_listed),
        files=[*file.values()],
        _serial=True,
    )
    services.up(name="11. keepalived is up", unit=keepalived.unit(el), files=[*file.values()], _serial=True)
