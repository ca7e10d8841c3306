"""What a machine must be before the deploy changes anything on it."""

from __future__ import annotations

from cluster import Cluster, ClusterError, Node
from desired import packages
from facts.machine import MachineState
from facts.packages import version_key

SUPPORTED = range(7, 11)
"""Major versions of Enterprise Linux."""


def check(cluster: Cluster, node: Node, machine: MachineState) -> int:
    """The machine's major version of Enterprise Linux. Raises `ClusterError` for what the machine lacks."""
    el = _check_system(node, machine)
    _check_root(node, machine)
    _check_addresses(cluster, node, machine)
    _check_firewall(cluster, node, machine, el)
    _check_keepalived(cluster, node, el)
    _check_logstash(cluster, node, machine, el)
    return el


def _check_system(node: Node, machine: MachineState) -> int:
    os = machine["os"]
    family = {os.get("ID", ""), *os.get("ID_LIKE", "").split()}
    version = os.get("VERSION_ID", "").split(".")[0]
    if not family & {"rhel", "centos", "rocky", "almalinux", "ol"} or version not in map(str, SUPPORTED):
        raise ClusterError(
            f"{node.name}: its system is {os.get('PRETTY_NAME', 'unknown')}; "
            f"take a machine with Enterprise Linux {SUPPORTED[0]} to {SUPPORTED[-1]}"
        )
    return int(version)


def _check_root(node: Node, machine: MachineState) -> None:
    if machine["root"] != "yes":
        raise ClusterError(
            f"{node.name}: no sudo ({machine['root'] or 'no answer'}); "
            "let the user that logs in run sudo without a password, or log in as root"
        )


def _check_addresses(cluster: Cluster, node: Node, machine: MachineState) -> None:
    addresses = machine["interfaces"].get(cluster.interface)
    if addresses is None:
        names = ", ".join(sorted(machine["interfaces"]))
        raise ClusterError(f"interface: {node.name} has no {cluster.interface}; choose one of {names}")
    for address in node.addresses:
        if str(address) not in addresses:
            has = ", ".join(addresses) or "no address"
            raise ClusterError(
                f"nodes.{node.name}: {address} is not on its {cluster.interface}, which has {has}; "
                "correct the address or the interface in inventory.py, or, if it is a clone, run clone.py"
            )


def _check_firewall(cluster: Cluster, node: Node, machine: MachineState, el: int) -> None:
    if cluster.firewall == "none":
        return
    mends = {
        "absent": f"{packages.manager(el)} install firewalld && systemctl enable --now firewalld",
        "masked": "systemctl unmask firewalld && systemctl enable --now firewalld",
    }
    if machine["firewalld"] != "active":
        mend = mends.get(machine["firewalld"], "systemctl enable --now firewalld")
        raise ClusterError(
            f"{node.name}: firewalld is {machine['firewalld']}, so Logstash's API would be open to everyone; "
            f"run `{mend}` there, or set firewall='none' where you have another one"
        )
    if "snat" in cluster.forwardings and not machine["iptables"]:
        raise ClusterError(
            f"{node.name}: has no iptables, which firewalld needs to translate the source for 'snat'; "
            f"run `{packages.manager(el)} install iptables-nft && systemctl restart firewalld` there, "
            "or choose forwarding 'dr'"
        )


def _check_keepalived(cluster: Cluster, node: Node, el: int) -> None:
    if el > 7:
        return
    if cluster.vrrp == 3:
        raise ClusterError(
            f"vrrp: 3 is not sound in the keepalived 1.3.5 of {node.name}'s Enterprise Linux 7; "
            "choose 2, which means IPv4 and whole seconds, or a node with Enterprise Linux 8 or later"
        )
    for index, input in enumerate(cluster.inputs):
        if input.scheduler == "mh":
            raise ClusterError(
                f"inputs.{index}.scheduler: 'mh' is not in the kernel of {node.name}'s Enterprise Linux 7; "
                "choose 'sh', or a node with Enterprise Linux 8 or later"
            )


def _check_logstash(cluster: Cluster, node: Node, machine: MachineState, el: int) -> None:
    given = f"logstash: {cluster.logstash}" if cluster.version is None else f"version: {cluster.version}"
    if el >= 10 and not packages.bundles_java(cluster):
        raise ClusterError(
            f"{given} needs Java 8, which {node.name}'s Enterprise Linux {el} does not have; "
            "choose a Logstash that brings its own, 7.10.0 or later"
        )
    # rpm in FIPS mode wants SHA-256 digests, which the packages have since 8.6.2 (elastic/logstash #14864).
    if machine["fips"] and el >= 8 and packages.release(cluster) < (8, 6, 2):
        raise ClusterError(
            f"{given} can't be installed on {node.name}, which is in FIPS mode: its package has no "
            "SHA-256 digests; choose 8.6.2 or later"
        )
    installed = machine["logstash"]
    if installed and cluster.version is None and version_key(installed)[0] != cluster.logstash:
        raise ClusterError(
            f"logstash: {node.name} has {installed}, not {cluster.logstash}, and is left at it while no version "
            f"is given; set version='latest' to change it, or logstash={version_key(installed)[0]}"
        )
