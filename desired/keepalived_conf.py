"""The blocks of a keepalived.conf that others have written (keepalived.conf(5)): what they are, and whether they can be
adopted. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address

from cluster import Cluster, Node
from facts.ipvs import socket_name

_SAMPLE_VIPS = {"192.168.200.16", "192.168.200.17", "192.168.200.18", "192.168.200.11"}
_SAMPLE_SERVERS = {"192.168.200.100 443", "10.10.10.2 1358", "10.10.10.3 1358"}
"""What is in the sample that keepalived's package puts into /etc/keepalived/keepalived.conf."""


@dataclass
class Block:
    """A statement, and those in its braces."""

    words: list[str]
    body: list[Block] = field(default_factory=list)

    def statements(self, name: str) -> list[Block]:
        """The statements of this name in its braces."""
        return [block for block in self.body if block.words[:1] == [name]]

    def value(self, name: str) -> str | None:
        """The first word after the name of the last such statement."""
        return next((block.words[1] for block in reversed(self.statements(name)) if block.words[1:]), None)

    @property
    def title(self) -> str:
        """Its words, as they are written."""
        return " ".join(self.words)


def parse(lines: Iterable[str]) -> list[Block]:
    """The outermost blocks and statements of a file. What is not closed ends with the file."""
    root = Block([])
    open_blocks = [root]
    for line in lines:
        statement: Block | None = None
        for token in re.findall(r'"[^"]*"|[{}]|[^\s{}"]+', re.split(r"[!#]", line, maxsplit=1)[0]):
            body = open_blocks[-1].body
            if token == "{":  # of this line's statement, or of the last one
                open_blocks.append(body[-1] if body else root)
                statement = None
            elif token == "}":
                if len(open_blocks) > 1:
                    open_blocks.pop()
                statement = None
            elif statement:
                statement.words.append(token.strip('"'))
            else:
                statement = Block([token.strip('"')])
                body.append(statement)
    return root.body


def foreign(blocks: Iterable[Block]) -> list[Block]:
    """The blocks by which somebody has keepalived do something: VRRP instances, virtual servers, and what is included. The
    sample of keepalived's package has some that nobody means."""
    return [block for block in blocks if _is_foreign(block)]


def _is_foreign(block: Block) -> bool:
    match block.words:
        case ["vrrp_instance", *_]:
            vips = _vips(block)
            return not vips or not set(vips) <= _SAMPLE_VIPS
        case ["virtual_server", *address]:
            return " ".join(address) not in _SAMPLE_SERVERS
        case [name, *_]:
            return name.startswith("include")
    return False


def _vips(instance: Block) -> list[str]:
    """The virtual addresses of a VRRP instance, without their prefixes."""
    return [
        line.words[0].split("/")[0]
        for name in ("virtual_ipaddress", "virtual_ipaddress_excluded")
        for block in instance.statements(name)
        for line in block.body
        if line.words
    ]


def servers(blocks: Iterable[Block]) -> set[str]:
    """The virtual servers with an address, as IPVS is read: `TCP 192.0.2.20:443`."""
    found = set()
    for block in blocks:
        if block.words[:1] == ["virtual_server"] and len(block.words) == 3 and block.words[2].isdigit():
            try:
                address = ip_address(block.words[1])
            except ValueError:  # `group NAME`, or what keepalived itself will refuse
                continue
            protocol = (block.value("protocol") or "TCP").upper()
            found.add(f"{protocol} {socket_name(address, int(block.words[2]))}")
    return found


def obstacles(cluster: Cluster, node: Node, blocks: list[Block]) -> Iterator[tuple[str, str]]:
    """Why these blocks can't be in use beside the cluster's own, and what to do."""
    for block in foreign(blocks):
        if block.words[0].startswith("include"):
            yield (
                f"it has `{block.title}`, and what is in there can't be compared with the cluster's own blocks",
                "move these blocks into keepalived.conf itself",
            )
    used = {instance.name for instance in cluster.vrrp_instances}
    numbers = {(instance.vip.version, str(instance.virtual_router_id)) for instance in cluster.vrrp_instances}
    vips = set(map(str, cluster.vips))
    default_version = next(
        (found for block in blocks if block.words[:1] == ["global_defs"] and (found := block.value("vrrp_version"))),
        "2",
    )  # fmt: skip
    for block in blocks:
        if block.words[:1] != ["vrrp_instance"]:
            continue
        name, number = block.words[-1], block.value("virtual_router_id") or ""
        addresses = _vips(block)
        version = 6 if any(":" in address for address in addresses) else 4
        if name in used:
            yield f"its instance {name} has the name of one of the cluster's", "give it another name there"
        interface = block.value("interface")
        if interface in cluster.interfaces_of(node) and (version, number) in numbers:
            yield (
                f"its instance {name} has the virtual_router_id {number} of the cluster on {interface}",
                "choose another virtual_router_id in inventory.py",
            )
        for address in vips.intersection(addresses):
            yield (
                f"its instance {name} has the VIP {address} of the cluster",
                "choose another vip in inventory.py",
            )
        if not block.value("version") and default_version != str(cluster.vrrp):
            yield (
                f"its instance {name} says no version, and would change from VRRP {default_version} to {cluster.vrrp}",
                f"write `version {default_version}` into it",
            )
    ours = {f"{server.protocol} {socket_name(server.vip, server.port)}" for server in cluster.virtual_servers}
    for server in sorted(servers(blocks) & ours):
        yield f"its virtual server {server} is one of the cluster's", "take it out there"
    for group in blocks:
        if group.words[:1] == ["vrrp_sync_group"] and re.fullmatch(r"VG_\d+", group.words[-1]):
            yield f"its {group.title} may have the name of one of the cluster's", "give it another name there"
    yield from _scripts(blocks)


def _scripts(blocks: Iterable[Block]) -> Iterator[tuple[str, str]]:
    """Scripts that would run as another user than now: the cluster's `script_user` holds for all that name none."""
    for block in blocks:
        name = block.words[0]
        runs_script = name in ("vrrp_script", "MISC_CHECK")
        notifies = name.startswith("notify") and len(block.words) == 2  # `notify SCRIPT USER` has three
        if notifies or (runs_script and not block.statements("user")):
            yield (
                f"`{block.title}` names no user for its script, which would run as the health script's",
                "name one, such as root, there",
            )
        yield from _scripts(block.body)
