"""What a machine must be before the deploy changes anything on it."""

from __future__ import annotations

from collections.abc import Callable

from cluster import Cluster, ClusterError, Node
from cluster.checks import lists_one_pipeline
from cluster.errors import listed
from desired import keepalived, packages
from desired.modules import needed_modules
from desired.translation import FIRST_TABLE, own_table
from facts.machine import MachineState, needs_terminal
from facts.packages import version_key

SUPPORTED = range(7, 11)
"""Major versions of Enterprise Linux."""


def check(cluster: Cluster, node: Node, machine: MachineState) -> int:
    """The machine's major version of Enterprise Linux. Raises `ClusterError` for what the machine lacks."""
    el = _check_system(node, machine)
    _check_root(node, machine)
    _check_addresses(cluster, node, machine)
    _check_firewall(cluster, node, machine, el)
    _check_modules(cluster, node, machine, el)
    check_release(cluster, node, el)
    _check_keepalived_version(node, machine)
    _check_logstash(cluster, node, machine, el)
    return el


def check_release(cluster: Cluster, node: Node, el: int) -> None:
    """Raises `ClusterError` where a node with Enterprise Linux `el` can't do what the cluster's description asks for."""
    _check_keepalived(cluster, node, el)
    _check_java(cluster, node, el)


def machine_problems(cluster: Cluster, node: Node, machine: MachineState) -> list[str]:
    """All that `check` refuses on this machine, but for its addresses. Where the system is wrong, that alone."""
    el = supported_release(machine)
    if el is None:
        return _messages(lambda: _check_system(node, machine))
    return _messages(
        lambda: _check_root(node, machine),
        lambda: _check_firewall(cluster, node, machine, el),
        lambda: _check_modules(cluster, node, machine, el),
        lambda: check_release(cluster, node, el),
        lambda: _check_keepalived_version(node, machine),
        lambda: _check_logstash(cluster, node, machine, el),
    )


def _messages(*checks: Callable[[], object]) -> list[str]:
    """What each of these checks says that fails."""
    found = []
    for check in checks:
        try:
            check()
        except ClusterError as error:
            found.append(str(error))
    return found


def supported_release(machine: MachineState) -> int | None:
    """A machine's Enterprise Linux, by its major version; None where it has another system, or another version."""
    os = machine["os"]
    family = {os.get("ID", ""), *os.get("ID_LIKE", "").split()}
    version = os.get("VERSION_ID", "").split(".")[0]
    if not family & {"rhel", "centos", "rocky", "almalinux", "ol"} or version not in map(str, SUPPORTED):
        return None
    return int(version)


def _check_system(node: Node, machine: MachineState) -> int:
    el = supported_release(machine)
    if el is None:
        raise ClusterError(
            f"{node.name}: its system is {machine['os'].get('PRETTY_NAME', 'unknown')}; "
            f"take a machine with Enterprise Linux {SUPPORTED[0]} to {SUPPORTED[-1]}"
        )
    return el


def asked_modules(cluster: Cluster) -> list[str]:
    """The kernel modules to ask a machine for whose Enterprise Linux is not known yet."""
    return list(dict.fromkeys(name for el in SUPPORTED for name in needed_modules(cluster, el)))


def _check_root(node: Node, machine: MachineState) -> None:
    if needs_terminal(machine):
        raise ClusterError(
            f"{node.name}: no sudo without a terminal ({machine['root']}); add a line `Defaults:USER !requiretty` with visudo "
            "there, with the name of the user that logs in, or log in as root"
        )
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
    remedies = {
        "absent": f"{packages.manager(el)} install firewalld && systemctl enable --now firewalld",
        "masked": "systemctl unmask firewalld && systemctl enable --now firewalld",
    }
    if machine["firewalld"] != "active":
        remedy = remedies.get(machine["firewalld"], "systemctl enable --now firewalld")
        raise ClusterError(
            f"{node.name}: firewalld is {machine['firewalld']}, so Logstash's API would be open to everyone; "
            f"run `{remedy}` there, or set firewall='none' where you have another one"
        )
    if (
        "snat" in cluster.forwardings
        and not own_table(cluster, el, machine["nftables"])
        and not machine["iptables"]
    ):
        name, module, package = (
            ("nft", "nft_nat", "nftables") if el >= FIRST_TABLE else ("iptables", "xt_nat", "iptables")
        )
        raise ClusterError(
            f"{node.name}: has no {name}, or no kernel module {module}, which translate the source for 'snat'; run "
            f"`{packages.manager(el)} install {package} && modprobe {module}` there, or choose forwarding 'dr'"
        )


def _check_modules(cluster: Cluster, node: Node, machine: MachineState, el: int) -> None:
    missing = [name for name in needed_modules(cluster, el) if name in machine["missing_modules"]]
    if not missing:
        return
    if package := machine["modules_package"]:
        name = package.removesuffix(f"-{machine['kernel'].partition('+')[0]}")
        remedy = (
            f"run `{packages.manager(el)} install {package}` there, or, where no repository has that version any more, "
            f"update the kernel, install {name}, and reboot"
        )
    else:
        remedy = "boot it into a kernel of its distribution whose modules are installed"
    raise ClusterError(
        f"{node.name}: its kernel {machine['kernel']} does not have all modules that this cluster needs "
        f"(missing: {listed(missing)}); {remedy}"
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


def _check_keepalived_version(node: Node, machine: MachineState) -> None:
    if (version := machine["keepalived"]) in keepalived.CRASHES:
        raise ClusterError(f"{node.name}: its keepalived {version} {keepalived.CRASHES_MEND}")


def _check_java(cluster: Cluster, node: Node, el: int) -> None:
    if el >= 10 and not packages.bundles_java(cluster):
        raise ClusterError(
            f"{_given(cluster)} needs Java 8, which {node.name}'s Enterprise Linux {el} does not have; "
            "choose a Logstash that brings its own, 7.10.0 or later"
        )


def _given(cluster: Cluster) -> str:
    """The setting that decides which Logstash it is, and its value."""
    return f"logstash: {cluster.logstash}" if cluster.version is None else f"version: {cluster.version}"


def _check_logstash(cluster: Cluster, node: Node, machine: MachineState, el: int) -> None:
    # rpm in FIPS mode wants SHA-256 digests, which the packages have since 8.6.2 (elastic/logstash #14864).
    if machine["fips"] and el >= 8 and packages.release(cluster) < (8, 6, 2):
        raise ClusterError(
            f"{_given(cluster)} can't be installed on {node.name}, which is in FIPS mode: its package has no "
            "SHA-256 digests; choose 8.6.2 or later"
        )
    installed = machine["logstash"]
    if cluster.version is None and lists_one_pipeline(installed) and len(cluster.pipeline_ids) > 1:
        raise ClusterError(
            f"version: {node.name} has {installed}, whose API lists one of several pipelines (elastic/logstash #11021); "
            "set version to 7.4.0 or later, or choose one pipeline for all inputs"
        )
    if installed and cluster.version is None and version_key(installed)[0] != cluster.logstash:
        if cluster.packages == "managed":
            raise ClusterError(
                f"logstash: {node.name} has {installed}, not {cluster.logstash}, and with packages='managed' it is not changed; "
                f"install Logstash {cluster.logstash} there, or set logstash={version_key(installed)[0]}"
            )
        raise ClusterError(
            f"logstash: {node.name} has {installed}, not {cluster.logstash}, and is left at it while no version "
            f"is given; set version='latest' to change it, or logstash={version_key(installed)[0]}"
        )
