"""The cluster's rules, and how they get into firewalld: the scripts really run, with a stand-in for it."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyinfra_testing.util import FakeHost

from cluster import Cluster
from desired.firewalld import direct_rules, rules, sender_sets
from operations import firewalld
from tests.unit.clusters import make_cluster
from tests.unit.machine import SHELLS, ShellMachine

# As firewall-cmd does in 0.6.3 and 1.3.4: of several rules in one call, it warns of those that it refuses, and fails
# only when it has accepted none. `refused` has the rules that it does not understand, `broken` the error of its check.
# It is a shell script, since tests start it some thousand times.
FIREWALL_CMD = r"""
echo "$*" >>calls
end() { # exit status, and what is said
    if [ $1 = 0 ]; then echo "$2"; else echo "$2" >&2; fi
    exit $1
}
has() { # whether a file has a line
    [ -s "$1" ] && grep -qxF -e "$2" "$1"
}
side=runtime zone=
for word; do
    case $word in --permanent) side=permanent ;; --zone=*) zone=${word#*=} ;; esac
done
[ ! -s stopped ] || end 252 "FirewallD is not running"
[ ! -s failed ] || end 251 failed
case $* in
--state) end 0 running ;;
*--get-default-zone*) end 0 public ;;
*--get-zones*) has gone internal && end 0 public || end 0 "internal public" ;;
*--list-all-zones*)
    for zone in internal public; do
        active= bound=
        [ $side = permanent ] || active=" (active)"
        [ $side = permanent ] || ! has zone $zone && { [ -s zone ] || [ $zone != public ]; } || bound=eth0
        printf '%s%s\n  interfaces: %s\n  services: ssh\n  rich rules: \n' $zone "$active" $bound
        [ ! -e $side-$zone ] || sed 's/^/\t/' $side-$zone
        echo
    done
    exit ;;
*--get-all-rules*) [ ! -e $side-direct ] || cat $side-direct; exit ;;
*--reload*)
    rm -f runtime-*
    for file in permanent-*; do cp $file runtime-${file#permanent-}; done
    end 0 success ;;
esac
! has gone "$zone" || end 112 "Error: INVALID_ZONE: $zone"
printf '%s\n' "$@" | awk -v side=$side -v file=$side-$zone '
function warn(what, rule) { print "Warning: " what ": " rule >"/dev/stderr" }
BEGIN {
    while ((getline line <file) > 0) there[line]
    while ((getline line <"refused") > 0) refused[line]
}
/^--(add|remove)-rich-rule=/ {
    rule = rest = substr($0, index($0, "=") + 1)
    bad = rule in refused
    while (match(rest, /source ipset="[^"]*"/)) {
        set = side "-set-" substr(rest, RSTART + 14, RLENGTH - 15)
        if ((getline line <set) < 0) bad = 1
        close(set)
        rest = substr(rest, RSTART + RLENGTH)
    }
    if (bad) { warn("INVALID_RULE", rule); next }
    good = 1
    if (/^--add/ && rule in there) warn("ALREADY_ENABLED", rule)
    else if (/^--add/) there[rule]
    else if (rule in there) delete there[rule]
    else warn("NOT_ENABLED", rule)
}
END {
    printf "" >file
    for (rule in there) print rule >file
    exit !good
}' && end 0 success
end 22 "Error: INVALID_RULE"
"""

# Its D-Bus interface, as busctl shows it: what is read, direct rules, ipsets, and the check.
BUSCTL = r"""
fail() {
    echo "$1" >&2
    exit 1
}
has() { # whether a file has a line
    [ -s "$1" ] && grep -qxF -e "$2" "$1"
}
drop() { # a line from a file
    grep -vxF -e "$2" "$1" >new
    mv new "$1"
}
quoted() { # how many lines there are, and each of them
    awk '{
        n = split($0, parts, "\"")
        text = parts[1]
        for (i = 2; i <= n; i++) text = text "\\\"" parts[i]
        line[NR] = text
    } END {
        printf "%d", NR
        for (i = 1; i <= NR; i++) printf " \"%s\"", line[i]
    }'
}
strings() { # those in a file
    if [ -s "$1" ]; then quoted <"$1"; else echo 0; fi
}
settings() { # of a zone in a configuration, with the file that has its sources
    read -r target 2>/dev/null <target-$2 || target=default
    sources=0
    [ ! -s $3 ] || sources=$(sed -n "s/^$2 //p" $3 | quoted)
    rules=$(strings $1-$2)
    if [ $1 = runtime ]; then
        echo "a{sv} 3 \"target\" s \"$target\" \"sources\" as $sources \"rules_str\" as $rules"
    else
        echo "(sssbsasa(ss)asba(ssss)asasasasa(ss)b) \"\" \"\" \"\" false \"$target\" 0 0 0 false 0 0 $sources $rules 0 0 false"
    fi
}
fill() { # a set with entries, which may not overlap
    set=$1
    shift
    printf '%s\n' "$@" | awk '{
        split($0, part, "[./]")
        size[NR] = 2 ^ (32 - (part[5] == "" ? 32 : part[5]))
        low[NR] = ((part[1] * 256 + part[2]) * 256 + part[3]) * 256 + part[4]
        for (i = 1; i < NR; i++) if (low[i] < low[NR] + size[NR] && low[NR] < low[i] + size[i]) exit 1
    }' || fail "Call failed: INVALID_ENTRY: overlaps"
    printf '%s\n' "$@" >$set
}
verb=$1
shift
if [ "$1" = -- ]; then shift; else
    case " $* " in *" -p "* | *checkPermanentConfig*) fail "busctl would take -p for its own" ;; esac
fi
echo "$verb $*" >>calls
[ ! -s silent ] || fail "Call failed: Connection timed out"
[ ! -s stopped ] || fail "The name org.fedoraproject.FirewallD1 was not provided by any .service files"
top=/org/fedoraproject/FirewallD1
[ "$1 ${2%%/config*}" = "org.fedoraproject.FirewallD1 $top" ] || fail "no name $1 with $2"
object=${2#$top} call="${3#org.fedoraproject.FirewallD1} $4"
shift 4
side=runtime
case $object in /config*) side=permanent ;; esac
case "$verb $object $call" in
"get-property   state") [ -s failed ] && echo 's "FAILED"' || echo 's "RUNNING"' ;;
"get-property   IPSetTypes") [ -e no_sets ] && echo 'as 1 "hash:ip"' || echo 'as 2 "hash:ip" "hash:net"' ;;
"call  .zone getActiveZones")
    awk '
    !($1 in known) { known[$1]; zones[++n] = $1 }
    FILENAME == "zone" { home[$1]; next }
    { count[$1]++; bound[$1] = bound[$1] " \"" $2 "\"" }
    END {
        printf "a{sa{sas}} %d", n
        for (i = 1; i <= n; i++) {
            zone = zones[i]
            printf " \"%s\" %d", zone, (zone in home) + (zone in count)
            if (zone in home) printf " \"interfaces\" 1 \"eth0\""
            if (zone in count) printf " \"sources\" %d%s", count[zone], bound[zone]
        }
        print ""
    }' zone sources ;;
"call   getDefaultZone") echo 's "public"' ;;
"call  .zone getZoneSettings2") settings runtime $2 sources ;;
"call /config .config getZoneByName") ! has gone "$2" || fail "Call failed: INVALID_ZONE"; echo "o \"$top/config/zone/$2\"" ;;
"call /config/zone/"*" .config.zone getSettings") settings permanent ${object##*/} kept-sources ;;
"call  .zone getRichRules") ! has gone "$2" && echo "as $(strings runtime-$2)" || fail "Call failed: INVALID_ZONE" ;;
"call /config/zone/"*" .config.zone getRichRules") echo "as $(strings permanent-${object##*/})" ;;
"call  .direct getAllRules" | "call /config .config.direct getAllRules")
    [ -e $side-direct ] || : >$side-direct
    awk '{
        all = all " \"" $1 "\" \"" $2 "\" \"" $3 "\" " $4 " " NF - 4
        for (i = 5; i <= NF; i++) all = all " \"" $i "\""
    } END { print "a(sssias) " NR all }' $side-direct ;;
"call  .direct "*Rule | "call /config .config.direct "*Rule)
    [ "$1 $6" = "sssias $(($# - 6))" ] || fail "not a rule: $*"
    file=$side-direct rule="$2 $3 $4 $5"
    shift 6
    rule="$rule $*"
    ! has refused "$rule" || fail "Call failed: COMMAND_FAILED: $rule"
    case $call in
    *addRule)
        ! has refused-$side "$rule" || fail "Call failed: COMMAND_FAILED: $rule"
        ! has $file "$rule" || fail "Call failed: ALREADY_ENABLED: $rule"
        printf '%s\n' "$rule" >>$file ;;
    *removeRule)
        has $file "$rule" || fail "Call failed: NOT_ENABLED: $rule"
        drop $file "$rule" ;;
    esac ;;
"call  .ipset "*)
    file=runtime-set-$2
    [ -e $file ] || fail "Call failed: INVALID_IPSET: $2"
    case $call in
    *getEntries) echo "as $(strings $file)" ;;
    *addEntry) ! has $file $3 && fill $file $(cat $file) $3 || fail "Call failed: ALREADY_ENABLED" ;;
    *removeEntry) has $file $3 && drop $file $3 || fail "Call failed: NOT_ENABLED" ;;
    esac ;;
"call /config .config getIPSetByName")
    [ -e permanent-set-$2 ] || fail "Call failed: INVALID_IPSET: $2"
    echo "o \"$top/config/ipset/$2\"" ;;
"call /config .config addIPSet")
    name=$2
    [ "$1 $6 $7 $8 $9 ${10}" = "s(ssssa{ss}as) hash:net 1 family inet $(($# - 10))" ] || fail "not a set: $*"
    [ ${#name} -le 31 ] || fail "Call failed: INVALID_NAME"
    shift 10
    fill permanent-set-$name "$@" ;;
"call /config/ipset/"*)
    file=permanent-set-${object##*/}
    case $call in
    ".config.ipset getEntries") echo "as $(strings $file)" ;;
    ".config.ipset setEntries")
        [ "$1 $2" = "as $(($# - 2))" ] || fail "not entries: $*"
        shift 2
        fill $file "$@" ;;
    ".config.ipset remove") rm $file ;;
    *) fail "Unknown method $call" ;;
    esac ;;
"call   checkPermanentConfig")
    [ ! -s old ] ||
        fail "Call failed: org.freedesktop.DBus.Error.UnknownMethod: Unknown method: checkPermanentConfig"
    [ ! -s broken ] || fail "Call failed: $(cat broken)" ;;
*) fail "Unknown method $verb $object $call" ;;
esac
"""

UNMANAGED = 'rule family="ipv4" source address="192.0.2.1" port port="22" protocol="tcp" accept'
RECORD = "/var/lib/logstash-ha/record"


class Firewall:
    """A machine with firewalld; the interface's zone is `internal`, and somebody else has a rule there."""

    def __init__(self, machine: ShellMachine) -> None:
        self.machine = machine
        self.state = machine.root / "firewalld"
        self.state.mkdir()
        for name, text in (("firewall-cmd", FIREWALL_CMD), ("busctl", BUSCTL)):
            machine.program(name, f"cd {self.state} || exit\n{text}")
        machine.write("/etc/firewalld/direct.xml", "")
        self.put("zone", "internal")
        self.put("sources")
        for side in ("runtime", "permanent"):
            self.put(f"{side}-internal", UNMANAGED)

    def put(self, name: str, *lines: str) -> None:
        (self.state / name).write_text("".join(f"{line}\n" for line in lines))

    def lines(self, name: str) -> list[str]:
        file = self.state / name
        return file.read_text().splitlines() if file.exists() else []

    def rules(self, zone: str = "internal") -> dict[str, set[str]]:
        """By configuration, rich rules of the zone and direct rules."""
        return {
            side: {*self.lines(f"{side}-{zone}"), *self.lines(f"{side}-direct")}
            for side in ("runtime", "permanent")
        }

    @property
    def record(self) -> list[str]:
        file = self.machine.path(RECORD)
        return file.read_text().splitlines() if file.exists() else []

    def deploy(self, cluster: Cluster, own_table: bool = False) -> list[subprocess.CompletedProcess[str]]:
        """Add all rules of the first node, and then remove the obsolete ones."""
        done: list[subprocess.CompletedProcess[str]] = []
        for operation in (firewalld.allowed, firewalld.pruned):
            if not done or done[-1].returncode == 0:
                done += self.machine.run(
                    operation, cluster=cluster, node=cluster.nodes[0], own_table=own_table
                )
        return done


both_shells = pytest.mark.parametrize("machine", SHELLS, indirect=True)
"""For the tests that run each of the scripts; for the others, which find other states, the one of Enterprise Linux does."""


@pytest.fixture
def machine(tmp_path: Path, request: pytest.FixtureRequest) -> ShellMachine:
    return ShellMachine(tmp_path, getattr(request, "param", "bash"))


@pytest.fixture
def firewall(machine: ShellMachine) -> Firewall:
    return Firewall(machine)


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Cluster]:
    return lambda **settings: make_cluster(tmp_path, **settings)


def make_dual_stack(**settings: Any) -> Cluster:
    """A cluster with both families; `settings` replace its own."""
    return Cluster.model_validate({**BOTH, **settings})


def all_rules(cluster: Cluster) -> set[str]:
    node = cluster.nodes[0]
    return {*rules(cluster, node), *direct_rules(cluster, node)}


def accept(source: str, destination: str, port: int, protocol: str) -> str:
    family = "ipv6" if ":" in destination else "ipv4"
    return (
        f'rule family="{family}" source address="{source}" destination address="{destination}"'
        f' port port="{port}" protocol="{protocol}" accept'
    )


def vrrp(source: str) -> str:
    family = "ipv6" if ":" in source else "ipv4"
    return f'rule family="{family}" source address="{source}" protocol value="vrrp" accept'


TCP = {"id": "tcp-6514", "port": 6514, "protocol": "tcp"}
SYSLOG = {"id": "syslog", "port": 514, "server_port": 5514, "protocol": "both"}
BOTH: dict[str, Any] = {
    "nodes": [
        {"name": "stash1", "address": ["10.77.0.11", "fd00:77::11"]},
        {"name": "stash2", "address": ["10.77.0.12", "fd00:77::12"]},
    ],
    "network": ["10.77.0.0/24", "fd00:77::/64"],
    "interface": "eth0",
    "vip": ["10.77.0.10", "fd00:77::10"],
    "inputs": [TCP],
    "senders": ["10.77.0.96/27", "fd00:77::100/120", "fd00:77::65"],
    "vrrp": 3,
}


def test_a_node_accepts_vrrp_the_api_and_events_as_in_the_recipe(make: Callable[..., Cluster]) -> None:
    """Step 9: VRRP from each node, the API from each node, events to the node's address and to the VIP. And from the
    other node, whose health service asks whether somebody listens at the port."""
    cluster = make()
    assert rules(cluster, cluster.nodes[1]) == [
        vrrp("10.77.0.11"),
        vrrp("10.77.0.12"),
        accept("10.77.0.11", "10.77.0.12", 9600, "tcp"),
        accept("10.77.0.12", "10.77.0.12", 9600, "tcp"),
        accept("10.77.0.11", "10.77.0.12", 9600, "udp"),
        accept("10.77.0.101", "10.77.0.12", 5514, "udp"),
        accept("10.77.0.101", "10.77.0.10", 5514, "udp"),
        accept("10.77.0.11", "10.77.0.12", 5514, "udp"),
    ]
    assert direct_rules(cluster, cluster.nodes[1]) == []


def test_each_input_accepts_its_own_senders_and_protocols(make: Callable[..., Cluster]) -> None:
    cluster = make(inputs=[{"id": "udp-5514", "port": 5514}, {**SYSLOG, "port": 515, "server_port": 5515, "senders": ["192.0.2.0/24"]}])  # fmt: skip
    assert all_rules(cluster) - {vrrp("10.77.0.11"), vrrp("10.77.0.12")} == {
        accept("10.77.0.11", "10.77.0.11", 9600, "tcp"),
        accept("10.77.0.12", "10.77.0.11", 9600, "tcp"),
        accept("10.77.0.12", "10.77.0.11", 9600, "udp"),
        accept("10.77.0.101", "10.77.0.11", 5514, "udp"),
        accept("10.77.0.101", "10.77.0.10", 5514, "udp"),
        accept("10.77.0.12", "10.77.0.11", 5514, "udp"),
        accept("10.77.0.12", "10.77.0.11", 5515, "udp"),
        # At the VIP its port, at the node the node's port; TCP comes to the node from the other director.
        accept("192.0.2.0/24", "10.77.0.11", 5515, "udp"),
        accept("192.0.2.0/24", "10.77.0.10", 515, "udp"),
        accept("192.0.2.0/24", "10.77.0.10", 515, "tcp"),
        accept("10.77.0.12", "10.77.0.11", 5515, "tcp"),
        "ipv4 nat POSTROUTING 0 -p tcp -d 10.77.0.12 --dport 5515 -j SNAT --to-source 10.77.0.11",
    }


def test_direct_routing_translates_nothing_and_accepts_the_synchronization(
    make: Callable[..., Cluster],
) -> None:
    cluster = make(inputs=[{**TCP, "forwarding": "dr"}])
    sync = 'rule family="ipv4" source address="{}" port port="8848" protocol="udp" accept'
    assert all_rules(cluster) == {
        vrrp("10.77.0.11"),
        vrrp("10.77.0.12"),
        accept("10.77.0.11", "10.77.0.11", 9600, "tcp"),
        accept("10.77.0.12", "10.77.0.11", 9600, "tcp"),
        accept("10.77.0.12", "10.77.0.11", 9600, "udp"),
        accept("10.77.0.101", "10.77.0.10", 6514, "tcp"),
        accept("10.77.0.12", "10.77.0.11", 6514, "tcp"),
        sync.format("10.77.0.11"),
        sync.format("10.77.0.12"),
    }


def test_direct_routing_is_not_tracked_beside_translated_sources() -> None:
    routed = {"id": "dr", "port": 7514, "protocol": "both", "forwarding": "dr"}
    cluster = make_dual_stack(inputs=[TCP, routed])
    assert direct_rules(cluster, cluster.nodes[1]) == [
        "ipv4 nat POSTROUTING 0 -p tcp -d 10.77.0.11 --dport 6514 -j SNAT --to-source 10.77.0.12",
        "ipv6 nat POSTROUTING 0 -p tcp -d fd00:77::11 --dport 6514 -j SNAT --to-source fd00:77::12",
        "ipv4 raw PREROUTING 0 -p tcp -d 10.77.0.10 --dport 7514 -j CT --notrack",
        "ipv6 raw PREROUTING 0 -p tcp -d fd00:77::10 --dport 7514 -j CT --notrack",
    ]
    alone = make_dual_stack(inputs=[routed])
    assert direct_rules(alone, alone.nodes[1]) == []


def test_two_families_get_rules_of_both() -> None:
    cluster = make_dual_stack()
    assert all_rules(cluster) == {
        *map(vrrp, ("10.77.0.11", "10.77.0.12", "fd00:77::11", "fd00:77::12")),
        accept("10.77.0.11", "10.77.0.11", 9600, "tcp"),
        accept("10.77.0.12", "10.77.0.11", 9600, "tcp"),
        accept("10.77.0.12", "10.77.0.11", 9600, "udp"),
        accept("10.77.0.96/27", "10.77.0.10", 6514, "tcp"),
        accept("10.77.0.12", "10.77.0.11", 6514, "tcp"),
        accept("fd00:77::100/120", "fd00:77::10", 6514, "tcp"),
        accept("fd00:77::65", "fd00:77::10", 6514, "tcp"),
        accept("fd00:77::12", "fd00:77::11", 6514, "tcp"),
        "ipv4 nat POSTROUTING 0 -p tcp -d 10.77.0.12 --dport 6514 -j SNAT --to-source 10.77.0.11",
        "ipv6 nat POSTROUTING 0 -p tcp -d fd00:77::12 --dport 6514 -j SNAT --to-source fd00:77::11",
    }


def test_ipv6_multicast_is_accepted_from_link_local_addresses() -> None:
    found = {rule for rule in all_rules(make_dual_stack(transport="multicast")) if "vrrp" in rule}
    assert found == {*map(vrrp, ("10.77.0.11", "10.77.0.12", "fe80::/10"))}


def test_ipv6_alone_gets_no_rule_of_ipv4() -> None:
    cluster = make_dual_stack(
        nodes=[{"name": f"stash{n}", "address": f"fd00:77::1{n}"} for n in (1, 2)],
        vip="fd00:77::10",
        senders=["fd00:77::65"],
        inputs=[{"id": "u", "port": 5514, "forwarding": "dr"}],
    )
    assert all_rules(cluster) == {
        *map(vrrp, ("fd00:77::11", "fd00:77::12")),
        accept("fd00:77::11", "fd00:77::11", 9600, "tcp"),
        accept("fd00:77::12", "fd00:77::11", 9600, "tcp"),
        accept("fd00:77::12", "fd00:77::11", 9600, "udp"),
        accept("fd00:77::65", "fd00:77::10", 5514, "udp"),
        accept("fd00:77::12", "fd00:77::11", 5514, "udp"),
        'rule family="ipv6" source address="fe80::/10" port port="8848" protocol="udp" accept',
    }


def test_several_vips_repeat_no_rule(make: Callable[..., Cluster]) -> None:
    cluster = make(vip=["10.77.0.10", "10.77.0.9"])
    found = rules(cluster, cluster.nodes[0])
    assert len(found) == len(set(found)) == 4 + 3 + 2
    assert accept("10.77.0.101", "10.77.0.9", 5514, "udp") in found


@both_shells
def test_a_fresh_firewall_gets_all_rules_and_a_second_run_changes_nothing(
    firewall: Firewall, make: Callable[..., Cluster]
) -> None:
    cluster = make(inputs=[SYSLOG])
    done = firewall.deploy(cluster)
    assert [(run.returncode, run.stdout, run.stderr) for run in done] == [(0, "", "")]
    assert firewall.rules() == {
        "runtime": all_rules(cluster) | {UNMANAGED},
        "permanent": all_rules(cluster) | {UNMANAGED},
    }
    assert {*firewall.record} == {
        f"rich internal {rule}" if rule.startswith("rule") else f"direct {rule}"
        for rule in all_rules(cluster)
    }
    assert len(firewall.record) == len(all_rules(cluster))
    assert firewall.deploy(cluster) == []
    assert not [call for call in firewall.lines("calls") if "reload" in call]


@pytest.mark.parametrize("side", ["runtime", "permanent"])
def test_a_configuration_without_a_rule_gets_it(
    firewall: Firewall, make: Callable[..., Cluster], side: str
) -> None:
    cluster = make(inputs=[SYSLOG])
    firewall.deploy(cluster)
    firewall.put(f"{side}-internal", UNMANAGED, *rules(cluster, cluster.nodes[0])[1:])
    firewall.put(f"{side}-direct")
    (done,) = firewall.deploy(cluster)
    assert done.returncode == 0, done.stderr
    assert firewall.rules() == {
        "runtime": all_rules(cluster) | {UNMANAGED},
        "permanent": all_rules(cluster) | {UNMANAGED},
    }
    assert len(firewall.record) == len(all_rules(cluster))


def test_a_rule_that_others_have_put_there_is_not_recorded(
    firewall: Firewall, make: Callable[..., Cluster]
) -> None:
    """Even if it is a desired one."""
    cluster = make()
    theirs = rules(cluster, cluster.nodes[0])[0]
    for side in ("runtime", "permanent"):
        firewall.put(f"{side}-internal", UNMANAGED, theirs)
    firewall.deploy(cluster)
    assert f"rich internal {theirs}" not in firewall.record


def test_more_rules_than_a_command_line_holds_are_all_added(
    firewall: Firewall, make: Callable[..., Cluster]
) -> None:
    """More than one argument of a command line holds."""
    inputs = [{"id": f"udp-{port}", "port": port} for port in range(5000, 5063)]
    cluster = make(inputs=inputs, senders=[f"198.51.100.{number}" for number in range(16)])
    assert [run.returncode for run in firewall.deploy(cluster)] == [0]
    assert len(firewall.rules()["runtime"]) == 6 + 63 * (16 * 2 + 1)


@both_shells
@pytest.mark.parametrize("side", ["permanent", "runtime"])
def test_a_refused_rule_is_named_and_its_call_taken_back(
    firewall: Firewall, make: Callable[..., Cluster], side: str
) -> None:
    cluster = make(inputs=[SYSLOG])
    bad = rules(cluster, cluster.nodes[0])[2]
    firewall.put("refused", bad)
    if side == "runtime":  # the other configuration has it already
        firewall.put("permanent-internal", UNMANAGED, *rules(cluster, cluster.nodes[0]))
        firewall.put("permanent-direct", *direct_rules(cluster, cluster.nodes[0]))
    (done,) = firewall.deploy(cluster)
    assert done.returncode == 1
    assert done.stderr.startswith("firewalld refuses new rules, and they were taken back: ")
    assert bad in done.stderr
    assert firewall.rules()[side] == {UNMANAGED}
    assert firewall.rules()["runtime"] == {UNMANAGED}


def test_a_refused_direct_rule_is_named_and_all_taken_back(
    firewall: Firewall, make: Callable[..., Cluster]
) -> None:
    cluster = make(inputs=[SYSLOG])
    (bad,) = direct_rules(cluster, cluster.nodes[0])
    firewall.put("refused", bad)
    (done,) = firewall.deploy(cluster)
    assert done.returncode == 1
    assert f"taken back: Call failed: COMMAND_FAILED: {bad}" in done.stderr
    assert firewall.rules() == {"runtime": {UNMANAGED}, "permanent": {UNMANAGED}}


@both_shells
@pytest.mark.parametrize("recorded", [True, False])
def test_what_the_running_firewalld_refuses_is_never_left_in_the_permanent_configuration(
    firewall: Firewall, make: Callable[..., Cluster], recorded: bool
) -> None:
    """At its next start firewalld would fall back to its stock rules. Nor what an earlier deploy has left there."""
    cluster = make(inputs=[SYSLOG])
    (bad,) = direct_rules(cluster, cluster.nodes[0])
    if recorded:
        firewall.deploy(cluster)
        firewall.put("runtime-direct")
        assert firewall.lines("permanent-direct") == [bad]
    firewall.put("refused-runtime", bad)
    (done,) = firewall.deploy(cluster)
    assert done.returncode == 1
    assert firewall.lines("runtime-direct") == firewall.lines("permanent-direct") == []


def test_a_permanent_rule_of_others_stays_when_the_running_firewalld_refuses_it(
    firewall: Firewall, make: Callable[..., Cluster]
) -> None:
    cluster = make(inputs=[SYSLOG])
    (bad,) = direct_rules(cluster, cluster.nodes[0])
    firewall.put("permanent-direct", bad)
    firewall.put("refused-runtime", bad)
    (done,) = firewall.deploy(cluster)
    assert done.returncode == 1
    assert firewall.rules() == {"runtime": {UNMANAGED}, "permanent": {UNMANAGED, bad}}


def test_a_configuration_that_would_be_broken_is_taken_back(
    firewall: Firewall, make: Callable[..., Cluster]
) -> None:
    firewall.put("broken", "INVALID_PORT: 99999")
    (done,) = firewall.deploy(make(inputs=[SYSLOG]))
    assert done.returncode == 1
    assert "INVALID_PORT: 99999" in done.stderr
    assert firewall.rules() == {"runtime": {UNMANAGED}, "permanent": {UNMANAGED}}


@both_shells
def test_an_old_firewalld_without_a_check_gets_its_rules(
    firewall: Firewall, make: Callable[..., Cluster]
) -> None:
    firewall.put("old", "0.5.3")
    assert [run.returncode for run in firewall.deploy(make())] == [0]
    assert [call for call in firewall.lines("calls") if "checkPermanentConfig" in call]


def test_a_firewalld_that_does_not_answer_fails_the_operations(
    firewall: Firewall, make: Callable[..., Cluster]
) -> None:
    """It runs, so that to ask for its state is not enough."""
    firewall.put("silent", "yes")
    cluster = make()
    arguments = {"cluster": cluster, "node": cluster.nodes[0], "own_table": False}
    runs = (
        firewall.machine.run(firewalld.allowed, **arguments),
        firewall.machine.run(firewalld.sets_loaded, cluster=cluster),
        firewall.machine.run(firewalld.pruned, **arguments),
    )
    for (done,) in runs:
        assert done.returncode == 1
        assert done.stderr == "firewalld runs, but its rules could not be read; run the deploy again\n"


def test_a_stopped_firewalld_fails_the_operation(firewall: Firewall, make: Callable[..., Cluster]) -> None:
    firewall.put("stopped", "yes")
    cluster = make()
    for operation in (firewalld.allowed, firewalld.pruned):
        (done,) = firewall.machine.run(operation, cluster=cluster, node=cluster.nodes[0], own_table=False)
        assert (done.returncode, done.stderr) == (252, "FirewallD is not running\n")


def test_nothing_is_put_into_the_stock_rules_of_a_failed_firewalld(
    firewall: Firewall, make: Callable[..., Cluster]
) -> None:
    firewall.put("failed", "yes")
    cluster = make()
    for operation in (firewalld.allowed, firewalld.pruned):
        (done,) = firewall.machine.run(operation, cluster=cluster, node=cluster.nodes[0], own_table=False)
        assert (done.returncode, done.stderr) == (251, "failed\n")
    assert firewall.rules() == {"runtime": {UNMANAGED}, "permanent": {UNMANAGED}}


def test_somebody_elses_firewall_is_not_touched(firewall: Firewall, make: Callable[..., Cluster]) -> None:
    assert firewall.deploy(make(firewall="none")) == []
    assert firewall.lines("calls") == []


@both_shells
def test_obsolete_rules_are_removed_after_new_ones_are_added(
    firewall: Firewall, make: Callable[..., Cluster]
) -> None:
    """A node, a sender and a port are gone, and the VIP is another one."""
    before = make(count=3, inputs=[SYSLOG])
    after = make(vip="10.77.0.9", senders=["10.77.0.99"], inputs=[{**SYSLOG, "protocol": "tcp"}])
    firewall.deploy(before)
    firewall.machine.run(firewalld.allowed, cluster=after, node=after.nodes[0], own_table=False)
    for side in ("runtime", "permanent"):
        assert firewall.rules()[side] == all_rules(before) | all_rules(after) | {UNMANAGED}
    done = firewall.deploy(after)
    assert {run.returncode for run in done} == {0}
    for side in ("runtime", "permanent"):
        assert firewall.rules()[side] == all_rules(after) | {UNMANAGED}
    assert len(firewall.record) == len(all_rules(after))
    assert firewall.deploy(after) == []


def test_a_new_zone_gets_the_rules_and_the_old_one_loses_them(
    firewall: Firewall, make: Callable[..., Cluster]
) -> None:
    cluster = make(inputs=[SYSLOG])
    firewall.deploy(cluster)
    firewall.put("zone", "public")
    assert {run.returncode for run in firewall.deploy(cluster)} == {0}
    for side in ("runtime", "permanent"):
        assert {*firewall.lines(f"{side}-internal")} == {UNMANAGED}
        assert firewall.rules("public")[side] == all_rules(cluster)
    assert firewall.deploy(cluster) == []


@both_shells
def test_rules_in_a_zone_that_is_gone_leave_the_record(
    firewall: Firewall, make: Callable[..., Cluster]
) -> None:
    cluster = make()
    firewall.deploy(cluster)
    firewall.put("zone")  # none: the default zone
    firewall.put("gone", "internal")
    assert {run.returncode for run in firewall.deploy(cluster)} == {0}
    assert not [line for line in firewall.record if "internal" in line]


def test_removal_takes_all_recorded_rules_and_nothing_else(
    firewall: Firewall, make: Callable[..., Cluster]
) -> None:
    firewall.deploy(make(inputs=[SYSLOG]))
    record = firewall.record
    firewall.machine.path(RECORD).write_text("\n".join(["package logstash", *record, "user x"]) + "\n")
    rich = [line.removeprefix("rich ") for line in record if line.startswith("rich ")]
    direct = [line.removeprefix("direct ") for line in record if line.startswith("direct ")]
    for command in firewalld.removal(rich, direct):
        assert firewall.machine.sh(command).returncode == 0
    assert firewall.rules() == {"runtime": {UNMANAGED}, "permanent": {UNMANAGED}}
    assert firewall.record == ["package logstash", "user x"]


def test_rules_of_others_are_listed(
    firewall: Firewall, make: Callable[..., Cluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    messages: list[str] = []
    monkeypatch.setattr(FakeHost, "noop", lambda self, text: messages.append(text))
    cluster = make()
    firewall.deploy(cluster)
    messages.clear()
    firewall.deploy(cluster)
    assert messages == [
        "all rules are in zone internal",
        f"no rule of an earlier deploy is left in zone internal; put there by others: {UNMANAGED}",
    ]


def test_the_shell_takes_direct_rules_as_they_are() -> None:
    """It splits them at white space, and nothing else in them has a meaning for it."""
    cluster = make_dual_stack(inputs=[TCP, {"id": "dr", "port": 7514, "protocol": "tcp", "forwarding": "dr"}])
    for rule in direct_rules(cluster, cluster.nodes[0]):
        assert shlex.split(rule) == rule.split()
        assert not set(rule) & set("*?[]$`")


# Many senders: an ipset for all of them. firewalld makes it only when it reloads.

MANY = [f"198.51.100.{number}" for number in range(17)]


def from_set(name: str, destination: str, port: int, protocol: str = "udp") -> str:
    return accept("", destination, port, protocol).replace('address=""', f'ipset="{name}"')


def reload(
    firewall: Firewall, keepalived: str = "active", zone: str = "internal"
) -> subprocess.CompletedProcess[str]:
    """What `sets_loaded` runs on the node itself. `zone` is NetworkManager's for the interface."""
    firewall.machine.program("nmcli", f"case $* in *' eth0') echo wired ;; *' wired') echo {zone} ;; esac")
    firewall.machine.program(
        "systemctl", f'echo "$@" >>{firewall.state}/calls; [ $1 != is-active ] || echo {keepalived}'
    )
    done = firewall.machine.sh(firewalld._RELOADABLE)
    return done if done.returncode else firewall.machine.sh(firewalld._RELOAD)


def sets(firewall: Firewall, name: str = "logstash-ha-ipv4") -> list[set[str]]:
    return [set(firewall.lines(f"{side}-set-{name}")) for side in ("permanent", "runtime")]


def test_many_senders_are_in_one_ipset_for_all_inputs_that_have_them(make: Callable[..., Cluster]) -> None:
    own = [f"192.0.2.{number}" for number in range(20)]
    cluster = make(
        senders=MANY,
        inputs=[
            {"id": "a", "port": 1001, "server_port": 5001},
            {"id": "b", "port": 5002, "senders": own},
            {"id": "c", "port": 5003, "senders": MANY[::-1]},
            {"id": "d", "port": 5004, "protocol": "both", "senders": own},
            {"id": "e", "port": 5005, "senders": MANY[:16]},
        ],
    )
    assert sender_sets(cluster) == {"logstash-ha-ipv4": MANY, "logstash-ha-5002-udp-ipv4": own}
    found = [rule for rule in rules(cluster, cluster.nodes[0]) if "ipset" in rule]
    assert found == [
        from_set("logstash-ha-ipv4", "10.77.0.11", 5001),
        from_set("logstash-ha-ipv4", "10.77.0.10", 1001),
        from_set("logstash-ha-5002-udp-ipv4", "10.77.0.11", 5002),
        from_set("logstash-ha-5002-udp-ipv4", "10.77.0.10", 5002),
        from_set("logstash-ha-ipv4", "10.77.0.11", 5003),
        from_set("logstash-ha-ipv4", "10.77.0.10", 5003),
        from_set("logstash-ha-5002-udp-ipv4", "10.77.0.11", 5004),
        from_set("logstash-ha-5002-udp-ipv4", "10.77.0.10", 5004),
        from_set("logstash-ha-5002-udp-ipv4", "10.77.0.10", 5004, "tcp"),
    ]
    assert len([rule for rule in rules(cluster, cluster.nodes[0]) if 'port="5005"' in rule]) == 16 * 2 + 1


def test_the_entries_of_an_ipset_do_not_overlap() -> None:
    ipv4 = ["10.0.0.0/8", *(f"10.0.0.{number}" for number in range(20)), *MANY]
    cluster = make_dual_stack(
        senders=[*ipv4, *(f"fd00::{number:x}" for number in range(1, 18)), "fd00::/127"]
    )
    assert sender_sets(cluster) == {
        "logstash-ha-ipv4": ["10.0.0.0/8", *MANY],
        "logstash-ha-ipv6": ["fd00::/127", *(f"fd00::{number:x}" for number in range(2, 18))],
    }


def test_an_ipset_has_a_name_that_firewalld_takes(make: Callable[..., Cluster]) -> None:
    cluster = make(inputs=[{"id": "x" * 64, "port": 65535, "protocol": "both", "senders": MANY}], senders=[])
    assert [len(name) <= 31 for name in sender_sets(cluster)] == [True]


@both_shells
def test_an_ipset_is_made_by_a_reload_while_keepalived_stands_still(
    firewall: Firewall, make: Callable[..., Cluster]
) -> None:
    """Until then, no rule in force names it; afterwards all rules are there, and a second run changes nothing."""
    cluster = make(senders=MANY)
    of_set = {rule for rule in all_rules(cluster) if "ipset" in rule}
    assert {run.returncode for run in firewall.deploy(cluster)} == {0}
    assert sets(firewall) == [set(MANY), set()]
    assert firewall.rules() == {
        "permanent": all_rules(cluster) | {UNMANAGED},
        "runtime": all_rules(cluster) - of_set | {UNMANAGED},
    }
    done = reload(firewall)
    assert (done.returncode, done.stderr) == (0, "")
    assert [call for call in firewall.lines("calls") if "keepalived" in call or "--reload" in call] == [
        "is-active keepalived",
        "stop keepalived",
        "--reload",
        "start keepalived",
    ]
    assert sets(firewall) == [set(MANY)] * 2
    assert firewall.rules()["runtime"] == all_rules(cluster) | {UNMANAGED}
    assert firewall.deploy(cluster) == []
    assert "ipset logstash-ha-ipv4" in firewall.record


def test_a_keepalived_that_does_not_run_is_not_started_by_a_reload(firewall: Firewall) -> None:
    assert reload(firewall, "inactive").returncode == 0
    assert "start keepalived" not in firewall.lines("calls")


def test_a_reload_that_would_lose_what_others_have_only_in_force_is_refused(
    firewall: Firewall, make: Callable[..., Cluster]
) -> None:
    firewall.put("runtime-public", DENY := UNMANAGED.replace("accept", "drop"))
    firewall.deploy(make(senders=MANY))
    done = reload(firewall)
    assert done.returncode == 1
    assert f"would lose what is not permanent: public: {DENY}; make it permanent with" in done.stderr
    assert "--reload" not in firewall.lines("calls")
    assert "stop keepalived" not in firewall.lines("calls")


@both_shells
@pytest.mark.parametrize(
    ("zone", "networkmanager", "kept"),
    [
        ("internal", "internal", True),
        ("internal", "", False),
        ("internal", "public", False),
        ("public", "", True),
    ],
)
def test_a_reload_that_would_put_an_interface_into_another_zone_is_refused(
    firewall: Firewall, zone: str, networkmanager: str, kept: bool
) -> None:
    """firewalld forgets the zone of an interface, unless it is permanent, NetworkManager's or the default one."""
    firewall.put("zone", zone)
    done = reload(firewall, zone=networkmanager)
    assert done.returncode == (0 if kept else 1)
    assert (f"would lose what is not permanent: {zone}: interface eth0; make it" in done.stderr) == (not kept)


@both_shells
def test_a_change_of_many_senders_needs_no_reload(firewall: Firewall, make: Callable[..., Cluster]) -> None:
    """New ones are in before the old ones are out. A wider network takes the place of those inside it at once."""
    before, after = (
        make(senders=[*MANY, "192.0.2.0/25"]),
        make(senders=[*MANY[1:], "192.0.2.0/24", "203.0.113.9"]),
    )
    firewall.deploy(before)
    reload(firewall)
    firewall.put("calls")
    node = after.nodes[0]
    assert [
        run.returncode
        for run in firewall.machine.run(firewalld.allowed, cluster=after, node=node, own_table=False)
    ] == [
        0,
        0,
    ]
    assert sets(firewall) == [{*MANY, "192.0.2.0/24", "203.0.113.9"}] * 2
    assert {run.returncode for run in firewall.deploy(after)} == {0}
    assert sets(firewall) == [{*MANY[1:], "192.0.2.0/24", "203.0.113.9"}] * 2
    assert firewall.deploy(after) == []
    assert "--reload" not in firewall.lines("calls")
    assert not firewall.machine.commands(firewalld.sets_loaded, cluster=after)


@both_shells
def test_an_obsolete_ipset_is_removed_after_its_rules(
    firewall: Firewall, make: Callable[..., Cluster]
) -> None:
    """A set of others stays. In the running firewalld, which can't remove one, ours is without rules."""
    firewall.deploy(make(senders=MANY))
    reload(firewall)
    firewall.put("permanent-set-theirs", "192.0.2.1")
    few = make(senders=MANY[:2])
    assert {run.returncode for run in firewall.deploy(few)} == {0}
    assert firewall.rules() == {side: all_rules(few) | {UNMANAGED} for side in ("runtime", "permanent")}
    assert not (firewall.state / "permanent-set-logstash-ha-ipv4").exists()
    assert firewall.lines("permanent-set-theirs") == ["192.0.2.1"]
    assert not [line for line in firewall.record if "ipset" in line]
    assert firewall.deploy(few) == []


@both_shells
def test_a_firewalld_without_ipsets_is_named(firewall: Firewall, make: Callable[..., Cluster]) -> None:
    firewall.put("no_sets")
    (done,) = firewall.deploy(make(senders=MANY))
    assert (done.returncode, done.stderr) == (
        1,
        "firewalld can't use ipsets here; install ipset, and restart firewalld\n",
    )
    assert firewall.record == []


# Sources that are bound to another zone never meet the rules of the interface's zone.


@both_shells
def test_rules_are_where_their_sources_are_bound(firewall: Firewall, make: Callable[..., Cluster]) -> None:
    """Networks overlap in part; the API and VRRP are in both zones."""
    cluster = make(senders=["198.51.100.0/24", "203.0.113.7"])
    firewall.put(
        "sources", "public 198.51.100.128/25", "public 10.77.0.12", "dmz 192.0.2.0/24", "trusted 203.0.113.7"
    )
    firewall.put("target-trusted", "ACCEPT")
    assert {run.returncode for run in firewall.deploy(cluster)} == {0}
    for side in ("runtime", "permanent"):
        assert {*firewall.lines(f"{side}-internal")} == all_rules(cluster) | {UNMANAGED}
        assert {*firewall.lines(f"{side}-public")} == {
            vrrp("10.77.0.12"),
            accept("10.77.0.12", "10.77.0.11", 9600, "tcp"),
            accept("10.77.0.12", "10.77.0.11", 9600, "udp"),
            accept("10.77.0.12", "10.77.0.11", 5514, "udp"),
            accept("198.51.100.0/24", "10.77.0.11", 5514, "udp"),
            accept("198.51.100.0/24", "10.77.0.10", 5514, "udp"),
        }
        assert firewall.lines(f"{side}-dmz") == firewall.lines(f"{side}-trusted") == []
    assert firewall.deploy(cluster) == []
    firewall.put("sources")
    assert {run.returncode for run in firewall.deploy(cluster)} == {0}
    assert firewall.lines("runtime-public") == firewall.lines("permanent-public") == []
    assert not [line for line in firewall.record if line.startswith("rich public")]


@pytest.mark.parametrize("source", ["52:54:00:00:00:01", "ipset:management"])
def test_anybody_may_be_behind_a_mac_address_or_in_an_ipset(
    firewall: Firewall, make: Callable[..., Cluster], source: str
) -> None:
    cluster = make()
    firewall.put("sources", f"public {source}")
    firewall.deploy(cluster)
    assert {*firewall.lines("runtime-public")} == {*firewall.lines("permanent-public")} == all_rules(cluster)


@both_shells
def test_sources_that_are_bound_from_the_next_start_on_count_too(
    firewall: Firewall, make: Callable[..., Cluster]
) -> None:
    """Elements of rich rules are none."""
    firewall.put("kept-sources", "public 10.77.0.0/24", "dmz 192.0.2.1")
    rule = '<rule family="ipv4">\n    <source address="10.77.0.11"/>\n    <accept/>\n  </rule>'
    one_line = '<rule><source address="10.77.0.11"/><accept/></rule>'
    for zone, source in (
        ("public", '<source address="10.77.0.0/24"/>'),
        ("dmz", '<source address="192.0.2.1"/>'),
        ("home", ""),
    ):
        firewall.machine.write(
            f"/etc/firewalld/zones/{zone}.xml", f"<zone>\n  {rule}\n  {one_line}\n  {source}\n</zone>"
        )
    cluster = make()
    firewall.deploy(cluster)
    assert {*firewall.lines("runtime-public")} == {*firewall.lines("permanent-public")} == all_rules(cluster)
    assert firewall.lines("permanent-dmz") == firewall.lines("permanent-home") == []


def test_many_senders_meet_a_zone_by_their_entries(firewall: Firewall, make: Callable[..., Cluster]) -> None:
    cluster = make(senders=MANY)
    firewall.put("sources", "public 198.51.100.16", "dmz 198.51.100.17")
    firewall.deploy(cluster)
    assert {*firewall.lines("permanent-public")} == {rule for rule in all_rules(cluster) if "ipset" in rule}
    assert firewall.lines("permanent-dmz") == []
