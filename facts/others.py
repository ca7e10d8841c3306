"""What others have on a machine: their configuration of keepalived and Logstash, and what may fight with the cluster."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field

from pyinfra.api import FactBase

OURS = "# Written by the deploy"
"""How a file that the deploy writes begins."""


@dataclass(frozen=True)
class Chain:
    """A chain of a firewall that drops what it does not accept."""

    table: str
    hook: str
    """Where it is: `input`, `forward` or `output`."""


@dataclass(frozen=True)
class Socket:
    """A socket that waits for packets."""

    protocol: str
    """`udp` or `tcp`."""
    address: str
    """Its own address, or `*` for all."""
    port: int
    program: str
    unit: str
    """The systemd unit of the program, or its cgroup; "" where it is not known."""


@dataclass(frozen=True)
class Route:
    """A route of the kernel's main table, IPv4."""

    destination: str
    """A network such as `192.0.2.0/24`."""
    interface: str
    metric: int


@dataclass
class OthersState:
    """What was found. On a machine that has the deploy's record, `first` is false, and what only counts before the first
    deploy is not looked for: virtual servers, addresses and neighbours."""

    looked: bool = False
    """Whether the machine let the user look; otherwise all else is empty."""
    first: bool = False
    keepalived: list[str] = field(default_factory=list)
    """The lines of a keepalived.conf that is not the deploy's, without passwords."""
    adopted: list[str] | None = None
    """The lines of the blocks that were adopted from it, without passwords; None where nothing has been adopted."""
    pipeline_files: dict[str, bool] = field(default_factory=dict)
    """By path: whether a pipeline file that the deploy does not write has an output."""
    settings: list[str] = field(default_factory=list)
    """Of a logstash.yml that is not the deploy's: the lines with a key, without their values and without the package's."""
    pipelines: list[str] = field(default_factory=list)
    """Of a pipelines.yml that is not the deploy's: the lines with an id or a path."""
    virtual_servers: list[str] = field(default_factory=list)
    """IPVS's virtual servers, as /proc/net/ip_vs has them: `UDP 0A4D000A:158A`."""
    addresses: dict[str, list[str]] = field(default_factory=dict)
    """The machine's addresses by interface."""
    neighbours: dict[str, str] = field(default_factory=dict)
    """By address: the MAC address that answers for it."""
    enabled: list[str] = field(default_factory=list)
    """Those of the units that start at boot."""
    running: list[str] = field(default_factory=list)
    """Those of the units that have a process."""
    links: list[str] = field(default_factory=list)
    """Interfaces that only another program makes."""
    vrrp: bool = False
    """Whether any program receives VRRP's packets."""
    sockets: list[Socket] = field(default_factory=list)
    chains: list[Chain] = field(default_factory=list)
    trusted: bool = False
    """Whether a rule of fapolicyd names the folder of the deploy's programs."""
    noexec: list[str] = field(default_factory=list)
    """Folders of temporary files where no program can be run."""
    temporary: bool = False
    """Whether Logstash's Java has been given another folder for temporary files."""
    routes: list[Route] = field(default_factory=list)
    rp_filter: dict[str, int] = field(default_factory=dict)
    """The kernel's reverse-path filter, for `all` and for each of the interfaces."""
    selinux: tuple[str, str] = ("", "")
    """SELinux's mode now, and at the next boot."""


def parse_others(output: list[str]) -> OthersState:
    """Lines that begin with what they are about."""
    state = OthersState()
    table = chain = ""
    answers = set()
    for line in output:
        kind, _, rest = line.lstrip().partition(" ")
        words = rest.split()
        match kind:
            case "looked":
                state.looked = True
            case "first":
                state.first = True
            case "keepalived":
                state.keepalived.append(rest)
            case "adopted":
                state.adopted = [*(state.adopted or []), rest]
            case "pipeline":
                state.pipeline_files.setdefault(rest, False)
            case "output":
                state.pipeline_files[rest] = True
            case "settings":
                state.settings.append(rest)
            case "pipelines":
                state.pipelines.append(rest)
            case "ipvs" if words and words[0] in ("TCP", "UDP", "SCTP", "FWM"):
                state.virtual_servers.append(" ".join(words[:2]))
            case "address" if len(words) > 3:  # 2: eth0 inet 192.0.2.11/24 …
                state.addresses.setdefault(words[1], []).append(words[3].split("/")[0])
            case "answers":
                answers.add(rest)
            case "neighbour" if "lladdr" in words[:-1] and (words[0] in answers or words[-1] == "REACHABLE"):
                state.neighbours[words[0]] = words[words.index("lladdr") + 1].lower()
            case "enabled":
                state.enabled.append(rest)
            case "running":
                state.running.append(rest)
            case "link":
                state.links.append(rest)
            case "vrrp":
                state.vrrp = True
            case "socket":
                state.sockets += _socket(words)
            case "table" if len(words) > 1:
                table = " ".join(words[:2])
            case "chain" if words:
                chain = words[0]
            case "type" if found := re.match(r"filter hook (\w+) .*policy drop", rest):
                state.chains.append(Chain(f"{table} {chain}", found[1]))
            case "iptables" if words[:1] == ["-P"] and words[2:] == ["DROP"]:
                state.chains.append(Chain(f"iptables {words[1]}", words[1].lower()))
            case "trusted":
                state.trusted = True
            case "noexec":
                state.noexec.append(rest)
            case "temporary":
                state.temporary = True
            case "route" if len(words) > 7 and int(words[3], 16) & 1:  # it is up
                state.routes.append(_route(words))
            case "rp_filter" if len(words) > 1 and words[1].isdigit():
                state.rp_filter[words[0]] = int(words[1])
            case "enforcing" if words:
                state.selinux = ("enforcing" if words[0] == "1" else "permissive", state.selinux[1])
            case "selinux":
                state.selinux = (state.selinux[0], rest.strip().lower())
    return state


def _socket(words: list[str]) -> list[Socket]:
    """The socket of a line of ss(8), after the unit of its process, or `-`."""
    if len(words) < 6 or words[1] not in ("udp", "tcp"):
        return []
    address, _, port = words[5].rpartition(":")
    program = re.search(r'users:\(\("([^"]*)"', " ".join(words[6:]))
    if not port.isdigit():
        return []
    host = address.strip("[]").split("%")[0]
    return [
        Socket(
            protocol=words[1],
            address="*" if host in ("*", "0.0.0.0", "::") else host,
            port=int(port),
            program=program[1] if program else "",
            unit="" if words[0] == "-" else words[0],
        )
    ]


def _route(words: list[str]) -> Route:
    """A line of /proc/net/route; its addresses are in the machine's byte order, which is little endian."""
    network = ".".join(str(byte) for byte in reversed(bytes.fromhex(words[1])))
    return Route(f"{network}/{int(words[7], 16).bit_count()}", words[0], int(words[6]))


_COMMAND = """\
PATH=$PATH:/usr/sbin:/sbin
first=yes; [ ! -s {record} ] || first=
[ -z "$first" ] || echo first
ours() {{ # whether the deploy writes the file $1
    line=; {{ IFS= read -r line <"$1"; }} 2>/dev/null
    case $line in "{ours}"*) return 0;; esac
    return 1
}}
lines() {{ # the lines of the file $1, each after $2, but none with a password
    while IFS= read -r line || [ -n "$line" ]; do
        case $line in *auth_pass*|*password*) ;; *) printf '%s\\n' "$2 $line";; esac
    done <"$1"
}}
keys() {{ # the keys in the YAML file $1, each after $2, but no values
    while IFS= read -r line || [ -n "$line" ]; do
        case $line in {package}) ;; *:*) key=${{line%%:*}}; case $key in *'#'*|*' - '*|-*) ;; *) echo "$2 $key:";; esac;; esac
    done <"$1"
}}
if [ -f {conf} ] && ! ours {conf}; then lines {conf} keepalived; fi
if [ -f {adopted} ]; then lines {adopted} adopted; fi
if [ -f {settings} ] && ! ours {settings}; then keys {settings} settings; fi
if [ -f {pipelines} ] && ! ours {pipelines}; then
    while IFS= read -r line || [ -n "$line" ]; do
        case $line in [[:space:]]\\#*|\\#*) ;; *pipeline.id*|*path.config*) printf '%s\\n' "pipelines $line";; esac
    done <{pipelines}
fi
set --
for file in {globs}; do
    case $file in {known}) continue;; esac
    [ -f "$file" ] && set -- "$@" "$file" && echo "pipeline $file"
done
if [ $# -gt 0 ]; then
    grep -lsE '{output}' "$@" | while IFS= read -r file; do echo "output $file"; done
fi
for unit in {units}; do
    for wants in /etc/systemd/system/*.wants/$unit.service /usr/lib/systemd/system/*.wants/$unit.service; do
        if [ -L "$wants" ]; then echo "enabled $unit"; break; fi
    done
    for group in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
        if [ -d "$group/system.slice/$unit.service" ]; then echo "running $unit"; break; fi
    done
done
[ ! -e /sys/class/net/kube-ipvs0 ] || echo link kube-ipvs0
for file in /proc/net/raw /proc/net/raw6; do
    [ ! -r $file ] || while read -r _ local _; do
        case $local in *:0070) echo vrrp; break;; esac # IP protocol 112
    done <$file
done
ss -nlptu '( {ports} )' 2>/dev/null | while read -r line; do
    pid=${{line##*,pid=}} unit=-
    pid=${{pid%%[!0-9]*}}
    if [ -n "$pid" ] && [ -r "/proc/$pid/cgroup" ]; then
        while read -r group; do
            case $group in *.service|*.scope) unit=${{group##*/}};; esac
        done <"/proc/$pid/cgroup"
    fi
    echo "socket $unit $line"
done
if command -v nft >/dev/null; then
    nft list chains 2>/dev/null
elif command -v iptables >/dev/null; then
    for chain in INPUT FORWARD OUTPUT; do
        iptables -S $chain 2>/dev/null | while read -r line; do case $line in -P*) echo "iptables $line";; esac; done
    done
fi
if [ -d /etc/fapolicyd ]; then
    ! grep -qrsF {programs} /etc/fapolicyd/rules.d /etc/fapolicyd/fapolicyd.rules /etc/fapolicyd/compiled.rules || echo trusted
fi
while read -r _ folder _ options _; do
    case $folder in /tmp|/var/tmp) case ,$options, in *,noexec,*) echo "noexec $folder";; esac;; esac
done </proc/self/mounts
for file in /etc/logstash/jvm.options /etc/logstash/jvm.options.d/*.options /etc/default/logstash /etc/sysconfig/logstash; do
    [ ! -f "$file" ] || while IFS= read -r line || [ -n "$line" ]; do
        case $line in \\#*) ;; *-Djava.io.tmpdir=*) echo temporary;; esac
    done <"$file"
done
[ ! -r /proc/net/route ] || while read -r line; do
    case $line in Iface*) ;; *) echo "route $line";; esac
done </proc/net/route
for name in all {interfaces}; do
    line=; {{ read -r line </proc/sys/net/ipv4/conf/$name/rp_filter; }} 2>/dev/null; echo "rp_filter $name $line"
done
[ ! -r /sys/fs/selinux/enforce ] || {{ line=; read -r line </sys/fs/selinux/enforce; echo "enforcing $line"; }}
[ ! -r /etc/selinux/config ] || while read -r line; do
    case $line in SELINUX=*) echo "selinux ${{line#SELINUX=}}";; esac
done </etc/selinux/config
if [ -n "$first" ]; then
    [ ! -r /proc/net/ip_vs ] || while read -r line; do echo "ipvs $line"; done </proc/net/ip_vs
    for place in {places}; do
        address=${{place#*=}} interface=${{place%%=*}}
        case $address in *:*) ping=-6;; *) ping=;; esac
        ping $ping -n -q -c 1 -W 1 -I $interface $address >/dev/null 2>&1 && echo "answers $address" &
    done
    wait
    ip -o addr show 2>/dev/null | while read -r line; do echo "address $line"; done
    for name in {interfaces}; do
        ip neigh show dev $name 2>/dev/null | while read -r line; do echo "neighbour $line"; done
    done
fi
echo looked"""


class Others(FactBase[OthersState]):
    """
    What others have on the machine. It is read as root: by sudo where somebody else logs in, so that it can be asked
    together with what needs no root. It starts two or three processes, since the shell reads all files by itself; before a
    first deploy some more, and then it takes a second.

    + record: the deploy's record, without which it is the first deploy
    + conf, adopted: keepalived.conf, and the file of adopted blocks
    + settings, pipelines: logstash.yml and pipelines.yml
    + package: the lines of logstash.yml that the package has
    + globs: patterns of the pipeline files
    + known: those of them that the deploy writes
    + units: the systemd units that are looked for
    + ports: the ports on which sockets are looked for
    + programs: the folder of the deploy's programs
    + links: by interface, the addresses of the VIPs and the nodes there
    + always: whether to look also where the record is; otherwise nothing is found there

    .. code:: python

        OthersState(pipeline_files={"/etc/logstash/conf.d/10-app.conf": True}, enabled=["nftables"], …)
    """

    default = OthersState

    def command(
        self,
        record: str,
        conf: str,
        adopted: str,
        settings: str,
        pipelines: str,
        package: list[str],
        globs: list[str],
        known: list[str],
        units: list[str],
        ports: list[int],
        programs: str,
        links: dict[str, list[str]],
        always: bool = True,
    ) -> str:
        command = _COMMAND.format(
            ours=OURS,
            record=shlex.quote(record),
            conf=shlex.quote(conf),
            adopted=shlex.quote(adopted),
            settings=shlex.quote(settings),
            pipelines=shlex.quote(pipelines),
            package="|".join(["''", "'#'*", *map(shlex.quote, package)]),
            globs=" ".join(globs),
            known="|".join(map(shlex.quote, known)),
            output=r"^([^#]*[^[:alnum:]_.#-])?output[[:space:]]*(\{|$)",
            units=shlex.join(units),
            ports=" or ".join(f"sport = :{port}" for port in ports),
            programs=shlex.quote(programs),
            interfaces=shlex.join(links),
            places=" ".join(f"{name}={address}" for name, found in links.items() for address in found),
        )
        return (
            'as_root() { if [ -O /proc/1 ]; then eval "$1"; else sudo -n sh -c "$1" 2>/dev/null; fi; }; '
            + ("" if always else f"[ -s {shlex.quote(record)} ] && echo looked || ")
            + f"as_root {shlex.quote(command)} || true"
        )

    def process(self, output: list[str]) -> OthersState:
        return parse_others(output)
