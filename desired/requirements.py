"""What a machine must be before the deploy changes anything on it."""

from __future__ import annotations

from collections.abc import Iterator

from cluster import Cluster, ClusterError, Node
from cluster.checks import lists_one_pipeline, secures_api
from cluster.errors import listed
from cluster.queues import persisted_queues, queues_folder
from desired import keepalived, packages
from desired.modules import needed_modules
from desired.translation import FIRST_TABLE, own_table
from facts.machine import MachineState, needs_terminal
from facts.packages import version_key

SUPPORTED = range(7, 11)
"""Major versions of Enterprise Linux."""
WRONG_PASSWORD = "incorrect password attempt"
"""In what sudo says of a password that is wrong (in English, as it is asked with `LC_ALL=C`)."""


def problems(cluster: Cluster, node: Node, machine: MachineState) -> list[str]:
    """All that keeps a deploy from working on this machine, in a line each. Where the system is wrong, that alone."""
    found = machine_problems(cluster, node, machine)
    if supported_release(machine) is None:
        return found
    return [*_addresses(cluster, node, machine), *found]


def machine_problems(cluster: Cluster, node: Node, machine: MachineState) -> list[str]:
    """As `problems`, but for the machine's addresses."""
    el = supported_release(machine)
    if el is None:
        return [
            f"{node.name}: its system is {machine['os'].get('PRETTY_NAME', 'unknown')}; "
            f"take a machine with Enterprise Linux {SUPPORTED[0]} to {SUPPORTED[-1]}"
        ]
    return [
        *_root_problems(node, machine),
        *_firewall(cluster, node, machine, el),
        *_modules(cluster, node, machine, el),
        *_release(cluster, node, el),
        *_keepalived_version(node, machine),
        *_logstash(cluster, node, machine, el),
        *_queues(cluster, node, machine),
    ]


def check_release(cluster: Cluster, node: Node, el: int) -> None:
    """Raises `ClusterError` where a node with Enterprise Linux `el` can't do what the cluster's description asks for."""
    for problem in _release(cluster, node, el):
        raise ClusterError(problem)


def _release(cluster: Cluster, node: Node, el: int) -> Iterator[str]:
    yield from _keepalived(cluster, node, el)
    yield from _java(cluster, node, el)


def supported_release(machine: MachineState) -> int | None:
    """A machine's Enterprise Linux, by its major version; None where it has another system, or another version."""
    os = machine["os"]
    family = {os.get("ID", ""), *os.get("ID_LIKE", "").split()}
    version = os.get("VERSION_ID", "").split(".")[0]
    if not family & {"rhel", "centos", "rocky", "almalinux", "ol"} or version not in map(str, SUPPORTED):
        return None
    return int(version)


def asked_modules(cluster: Cluster) -> list[str]:
    """The kernel modules to ask a machine for whose Enterprise Linux is not known yet."""
    return list(dict.fromkeys(name for el in SUPPORTED for name in needed_modules(cluster, el)))


def asked_queues(cluster: Cluster) -> str | None:
    """The folder in which a machine is asked for its room for persisted queues."""
    return queues_folder(cluster) if persisted_queues(cluster) else None


def _queues(cluster: Cluster, node: Node, machine: MachineState) -> Iterator[str]:
    """Logstash opens a queue only where all that it may grow to is free, and else starts without that pipeline
    (org.logstash.ackedqueue.Queue)."""
    free, size = machine["queues_free"], machine["queues_size"] or 0
    needed = sum(queue.max_bytes for queue in persisted_queues(cluster)) - size
    if free is not None and needed > free:
        yield (
            f"{node.name}: its persisted queues may grow by {_gib(needed)}, and {_gib(free)} are free in {queues_folder(cluster)}; "
            "Logstash would not open them: make room there, or choose a smaller queue_max_bytes"
        )


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"


def _root_problems(node: Node, machine: MachineState) -> Iterator[str]:
    """Why the user that logs in can't be root there."""
    if needs_terminal(machine):
        yield (
            f"{node.name}: no sudo without a terminal ({machine['root']}); add a line `Defaults:USER !requiretty` with visudo "
            "there, with the name of the user that logs in, or log in as root"
        )
    elif machine["root"] != "yes":
        yield f"{node.name}: {no_sudo(node.name, machine['root'] or 'no answer')}"


def require_root(node: Node, machine: MachineState) -> None:
    """Raise `ClusterError` where the user can't be root on the machine."""
    for problem in _root_problems(node, machine):
        raise ClusterError(problem)


def no_sudo(name: str, said: str) -> str:
    """That the user can't be root on this machine, with what sudo has said and what to do."""
    return f"no sudo ({said}); {sudo_advice(name, said)}"


def sudo_advice(name: str, said: str) -> str:
    """What to do where sudo on this machine has said why the user can't be root."""
    if WRONG_PASSWORD in said:
        return (
            f"type the password that it has on {name}, or correct `_sudo_password`; where it is another one than on the other "
            f"nodes, give it in the `connection` of {name}. It was tried once"
        )
    return (
        "run this on a terminal, which asks for the password, or give `_sudo_password` in `connection`; or let the user that "
        "logs in run sudo without a password, or log in as root"
    )


def _addresses(cluster: Cluster, node: Node, machine: MachineState) -> Iterator[str]:
    own, *others = cluster.interfaces_of(node)
    absent = [interface for interface in (own, *others) if interface not in machine["interfaces"]]
    for interface in absent:
        names = ", ".join(sorted(machine["interfaces"]))
        field = "interface" if interface == own else "vip.interface"
        yield f"{field}: {node.name} has no {interface}; choose one of {names}"
    addresses = machine["interfaces"].get(own, [])
    for address in node.addresses:
        if own not in absent and str(address) not in addresses:
            has = ", ".join(addresses) or "no address"
            yield (
                f"nodes.{node.name}: {address} is not on its {own}, which has {has}; "
                "correct the address or the interface in inventory.py, or, if it is a clone, run clone.py"
            )
    for vip in cluster.virtual_addresses:
        if node.name not in vip.sources:
            continue
        source, interface = vip.sources[node.name], cluster.vip_interface(vip.address, node)
        addresses = machine["interfaces"].get(interface, [])
        if interface not in absent and str(source) not in addresses:
            has = ", ".join(addresses) or "no address"
            yield (
                f"vip.sources.{node.name}: {source} is not on its {interface}, which has {has}; correct it in inventory.py, or "
                "leave sources out: adverts then come from the nodes' own addresses"
            )


def _firewall(cluster: Cluster, node: Node, machine: MachineState, el: int) -> Iterator[str]:
    if cluster.firewall == "none":
        return
    remedies = {
        "absent": f"{packages.manager(el)} install firewalld && systemctl enable --now firewalld",
        "masked": "systemctl unmask firewalld && systemctl enable --now firewalld",
    }
    if machine["firewalld"] != "active":
        remedy = remedies.get(machine["firewalld"], "systemctl enable --now firewalld")
        yield (
            f"{node.name}: firewalld is {machine['firewalld']}, so Logstash's API would be open to everyone; "
            f"run `{remedy}` there, or set firewall='none' where you have another one"
        )
    translated = {server.protocol for server in cluster.virtual_servers if server.forwarding == "snat"}
    if "UDP" in translated and not own_table(cluster, el, machine["nftables"]):
        remedy = (
            f"run `{packages.manager(el)} install nftables && modprobe nft_nat` there, or choose forwarding 'nat' or 'dr'"
            if el >= FIRST_TABLE
            else "choose forwarding 'nat' or 'dr', or a node with Enterprise Linux 8 or later"
        )
        yield (
            f"{node.name}: 'snat' for UDP needs an nftables table of our own, and it has no nft, or no kernel module nft_nat; "
            f"{remedy}"
        )
    elif (
        "snat" in cluster.forwardings
        and not own_table(cluster, el, machine["nftables"])
        and not machine["iptables"]
    ):
        name, module, package = (
            ("nft", "nft_nat", "nftables") if el >= FIRST_TABLE else ("iptables", "xt_nat", "iptables")
        )
        yield (
            f"{node.name}: has no {name}, or no kernel module {module}, which translate the source for 'snat'; run "
            f"`{packages.manager(el)} install {package} && modprobe {module}` there, or choose forwarding 'dr'"
        )


def _modules(cluster: Cluster, node: Node, machine: MachineState, el: int) -> Iterator[str]:
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
    yield (
        f"{node.name}: its kernel {machine['kernel']} does not have all modules that this cluster needs "
        f"(missing: {listed(missing)}); {remedy}"
    )


def _keepalived(cluster: Cluster, node: Node, el: int) -> Iterator[str]:
    if el > 7:
        return
    if cluster.vrrp == 3:
        yield (
            f"vrrp: 3 is not sound in the keepalived 1.3.5 of {node.name}'s Enterprise Linux 7; "
            "choose 2, which means IPv4 and whole seconds, or a node with Enterprise Linux 8 or later"
        )
    for index, input in enumerate(cluster.inputs):
        if input.scheduler == "mh":
            yield (
                f"inputs.{index}.scheduler: 'mh' is not in the kernel of {node.name}'s Enterprise Linux 7; "
                "choose 'sh', or a node with Enterprise Linux 8 or later"
            )


def _keepalived_version(node: Node, machine: MachineState) -> Iterator[str]:
    if (version := machine["keepalived"]) in keepalived.CRASHES:
        yield f"{node.name}: its keepalived {version} {keepalived.CRASHES_MEND}"


def _java(cluster: Cluster, node: Node, el: int) -> Iterator[str]:
    if el >= 10 and not packages.bundles_java(cluster):
        yield (
            f"{_given(cluster)} needs Java 8, which {node.name}'s Enterprise Linux {el} does not have; "
            "choose a Logstash that brings its own, 7.10.0 or later"
        )


def _given(cluster: Cluster) -> str:
    """The setting that decides which Logstash it is, and its value."""
    return f"logstash: {cluster.major}" if cluster.version is None else f"version: {cluster.version}"


def _logstash(cluster: Cluster, node: Node, machine: MachineState, el: int) -> Iterator[str]:
    # rpm in FIPS mode wants SHA-256 digests, which the packages have since 8.6.2 (elastic/logstash #14864).
    if machine["fips"] and el >= 8 and packages.release(cluster) < (8, 6, 2):
        yield (
            f"{_given(cluster)} can't be installed on {node.name}, which is in FIPS mode: its package has no "
            "SHA-256 digests; choose 8.6.2 or later"
        )
    installed = machine["logstash"]
    if cluster.version is None and lists_one_pipeline(installed) and len(cluster.pipeline_ids) > 1:
        yield (
            f"version: {node.name} has {installed}, whose API lists one of several pipelines (elastic/logstash #11021); "
            "set version to 7.4.0 or later, or choose one pipeline for all inputs"
        )
    if installed and cluster.version is None and cluster.api and not secures_api(installed):
        yield (
            f"api: {node.name} has {installed}, whose API can't be secured; set version to 7.16.0 or later, or take api out"
        )
    if installed and cluster.version is None and version_key(installed)[0] != cluster.major:
        has = f"logstash: {node.name} has {installed}, not {cluster.major}"
        if cluster.packages == "managed":
            yield (
                f"{has}, and with packages='managed' it is not changed; "
                f"install Logstash {cluster.major} there, or set logstash={version_key(installed)[0]}"
            )
        else:
            yield (
                f"{has}, and is left at it while no version is given; set version='latest' to change it, "
                f"or logstash={version_key(installed)[0]}"
            )
