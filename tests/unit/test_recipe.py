"""The defaults reproduce the recipe: its two nodes, on EL 7 with Logstash 6, line by line against its steps 2 to 9.

Where the deploy does something else on purpose, `DIFFERENCES` says what, and docs/recipe.md tells it to people.
"""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from logstash_pipeline_parser import Pipeline

from cluster import Cluster, Node
from desired import (
    fallback,
    firewalld,
    health,
    health_script,
    keepalived,
    logstash,
    modules,
    packages,
    reload,
    sysctl,
)
from desired.files import desired_files
from desired.paths import VERSION_FILE
from tests.unit.clusters import PASSWORD, example
from tests.unit.test_render import parse_keepalived

DOCUMENT = Path(__file__).parents[2] / "docs/recipe.md"


def recipe(own: str, peer: str) -> set[str]:
    """What the recipe puts on a node, one statement a line: the step, the place, and what stands there."""
    check = '7 virtual_server 192.0.2.10 5514 > real_server {0} 5514 > MISC_CHECK > misc_path "/bin/python SCRIPT {0} udp-5514"'
    rule = '9 rule family="ipv4" source address="{}" {} accept'
    to, port = 'destination address="{}" {}', 'port port="{}" protocol="{}"'
    return {
        *(f"2 package {name}" for name in ("java", "tcpdump", "ipvsadm", "keepalived", "logstash")),
        "2 rpm --import https://artifacts.elastic.co/GPG-KEY-elasticsearch",
        "2 [logstash-6.x] name = Elastic repository for 6.x packages",
        "2 [logstash-6.x] baseurl = https://artifacts.elastic.co/packages/6.x/yum",
        "2 [logstash-6.x] gpgcheck = 1",
        "2 [logstash-6.x] gpgkey = https://artifacts.elastic.co/GPG-KEY-elasticsearch",
        "2 [logstash-6.x] enabled = 1",
        "2 [logstash-6.x] autorefresh = 1",
        "2 [logstash-6.x] type = rpm-md",
        f"3 http.host: {own}",
        "3 http.port: 9600",
        "4 input > udp > id => udp-5514",
        f"4 input > udp > host => {own}",
        "4 input > udp > port => 5514",
        "4 output > file > path => /tmp/itworked.txt",
        "4 output > file > codec => json_lines",
        "5 setsebool nis_enabled",
        "6 net.ipv4.ip_forward = 1",
        "6 net.ipv4.ip_nonlocal_bind = 1",
        "7 global_defs > notification_email > root@localhost",
        "7 global_defs > smtp_server localhost",
        "7 global_defs > smtp_connect_timeout 30",
        "7 global_defs > router_id LVS_MASTER",
        "7 vrrp_instance VI_1 > state MASTER",
        "7 vrrp_instance VI_1 > interface ens33",
        "7 vrrp_instance VI_1 > virtual_router_id 1",
        "7 vrrp_instance VI_1 > priority 100",
        "7 vrrp_instance VI_1 > authentication > auth_type PASS",
        f"7 vrrp_instance VI_1 > authentication > auth_pass {PASSWORD}",
        f"7 vrrp_instance VI_1 > unicast_src_ip {own}",
        f"7 vrrp_instance VI_1 > unicast_peer > {peer}",
        "7 vrrp_instance VI_1 > virtual_ipaddress > 192.0.2.10",
        "7 virtual_server 192.0.2.10 5514 > delay_loop 5",
        "7 virtual_server 192.0.2.10 5514 > lb_algo rr",
        "7 virtual_server 192.0.2.10 5514 > lb_kind NAT",
        "7 virtual_server 192.0.2.10 5514 > protocol UDP",
        "7 virtual_server 192.0.2.10 5514 > ops",
        *(check.format(node) for node in (own, peer)),
        *(rule.format(node, 'protocol value="vrrp"') for node in (own, peer)),
        *(rule.format(node, to.format(own, port.format(9600, "tcp"))) for node in (own, peer)),
        *(
            rule.format("192.0.2.101", to.format(node, port.format(5514, "udp")))
            for node in (own, peer, "192.0.2.10")
        ),
    }


@dataclass(frozen=True)
class Difference:
    """A row of docs/recipe.md's table, and the statements it is about: `*` stands for any words."""

    recipe: str
    here: str
    why: str
    gone: tuple[str, ...] = ()
    come: tuple[str, ...] = ()


SERVER = "7 virtual_server 192.0.2.10 5514 > "
CHECK = f"{SERVER}real_server * 5514 > MISC_CHECK > "
SPARE = "7 virtual_server fwmark 1819501665 > "
WEIGHED = (
    "/usr/bin/sh -c '[ ! -s /run/keepalived-health/{0} ] || exit 1; [ -s /run/keepalived-health/reductions/{1} ] || exit 0; "
    "read p < /run/keepalived-health/reductions/{1}; exit $((102 - p))'"
)
DIFFERENCES = [
    Difference(
        "settings edited in place",
        "whole files, each checked by its own program (`logstash -t`, `keepalived -t`) and then moved into place",
        "no program reads half a file or a wrong one; what somebody changed by hand shows in `--dry --diff`",
        come=("3 path.data: /var/lib/logstash", "3 path.logs: /var/log/logstash"),  # as Elastic's package has it
    ),
    Difference(
        "`java`, in whichever version",
        "`java-1.8.0-openjdk-headless`, and none from Logstash 7.10 on",
        "Logstash 6 needs exactly Java 8; later ones bring their own",
        gone=("2 package java",),
        come=("2 package java-1.8.0-openjdk-headless",),
    ),
    Difference(
        "`router_id LVS_MASTER` on both",
        "the node's name",
        "a message says which node it is from",
        gone=("7 global_defs > router_id LVS_MASTER",),
        come=("7 global_defs > router_id stash*",),
    ),
    Difference(
        "keepalived sends e-mails to `root@localhost`, by a mail server on the node",
        "none; with `notification_email` and `smtp_server` in the inventory it sends them",
        "there is rarely a mail server, and keepalived logs an error for each change of state then; "
        "[metrics and alerts](monitoring.md) are what monitoring is for",
        gone=(
            "7 global_defs > notification_email > root@localhost",
            "7 global_defs > smtp_server localhost",
            "7 global_defs > smtp_connect_timeout 30",
        ),
    ),
    Difference(
        "script run by root",
        "with `enable_script_security`, and by `keepalived_script`; on EL 7 by root",
        "it is `/usr/bin/test`, or a line of the shell; EL 7's SELinux policy does not let keepalived become another user",
        come=("7 global_defs > script_user root", "7 global_defs > enable_script_security"),
    ),
    Difference(
        "keepalived runs the script for each input of each node, every 5 s",
        "a health service asks each node every 0.5 s; keepalived reads its verdicts",
        "an input that died is out of the pools within a tenth of a second, and many inputs cost no more than one",
        gone=(f"{SERVER}delay_loop 5", f'{CHECK}misc_path "/bin/python SCRIPT * udp-5514"'),
        come=(
            f"{SERVER}delay_loop 1",
            f'{CHECK}misc_path "%s"' % WEIGHED.format("*/udp-5514", "*/udp-5514"),
            f"{CHECK}misc_dynamic",
            "8 file /etc/keepalived/logstash_ha_health.py",
            "8 file /etc/keepalived/logstash_ha_api.py",
            "8 file /etc/keepalived/logstash_ha_channel.py",
            "8 file /etc/keepalived/logstash_ha_flags.py",
            "8 file /etc/keepalived/logstash_ha_links.py",
            "8 file /etc/keepalived/logstash_ha_listeners.py",
            "8 file /etc/keepalived/logstash_ha_metrics.py",
            "8 file /etc/keepalived/logstash_ha_peers.py",
            "8 file /etc/keepalived/logstash_ha_slow_start.py",
            "8 file /etc/keepalived/logstash_ha_health.json",
            "8 file /etc/keepalived/logstash_ha_api.json",
            "8 file /etc/systemd/system/logstash-ha-health.service",
            "8 file /etc/tmpfiles.d/logstash-ha-health.conf",
        ),
    ),
    Difference(
        "keepalived goes on when its interface is made anew",
        "the health service has it reloaded by systemd",
        "keepalived has no socket for adverts then, and never holds the VIP again",
        come=(
            "8 file /etc/keepalived/logstash_ha_reload.py",
            "8 file /etc/systemd/system/logstash-ha-reload.path",
            "8 file /etc/systemd/system/logstash-ha-reload.service",
        ),
    ),
    Difference(
        "a socket's buffer has the kernel's default size, 208 kB",
        "16 MiB (`receive_buffer_bytes`), and `net.core.rmem_max` for it",
        "208 kB are 90 to 270 events: what comes beyond them while Logstash collects garbage is lost",
        come=("4 input > udp > receive_buffer_bytes => 16777216", "6 net.core.rmem_max = 16777216"),
    ),
    Difference(
        "`lb_algo rr`",
        "`wrr`, with weights a hundred times the inventory's",
        "with equal weights it is the same; a node that is slow or has just started [gets less](health.md#slow-start), in percent",
        gone=(f"{SERVER}lb_algo rr",),
        come=(f"{SERVER}lb_algo wrr", f"{SERVER}real_server * 5514 > weight 100"),
    ),
    Difference(
        "an input listed by the API is up",
        "its pipeline must also run, and its port must be open: the nodes may send to each other's ports",
        "the API also lists an input whose pipeline has crashed or whose socket is lost; an empty datagram makes no event",
        come=('9 rule family="ipv4" source address="PEER" destination address="*" port port="5514" protocol="udp" accept',),
    ),
    Difference(
        "Logstash stops at once when it is told to",
        "it leaves all pools first: the nodes' health services tell each other, at UDP port 9600",
        "what is sent to it meanwhile would be lost; so a restart by hand, an update and a reboot lose nothing",
        come=(
            "8 file /etc/systemd/system/logstash-ha-leave.service",
            '9 rule family="ipv4" source address="PEER" destination address="*" port port="9600" protocol="udp" accept',
        ),
    ),
    Difference(
        "keepalived starts at boot",
        "once firewalld has loaded its rules, and not while its state is FAILED; with VRRP 3 it also waits in FAULT for 3 s before it takes part",
        "a node that comes back would hear no advert, and become MASTER beside another one",
        come=(
            "11 keepalived.service: ExecStartPre = -/bin/sh -c 'until timeout 60 firewall-cmd --quiet --state; [ $$? != 251 ];"
            ' do echo "waits: firewalld has fallen back to its stock rules: journalctl -u firewalld"; sleep 5; done\'',
            "11 file /etc/systemd/system/logstash-ha-firewall.service",
        ),
    ),
    Difference(
        "keepalived is up when it runs",
        "and follows a spare verdict and a spare weight, of a virtual server for a firewall mark that no packet has",
        "where SELinux denies keepalived something, it can take failed checks for passed ones, without a message",
        come=(
            f"{SPARE}delay_loop 1",
            f"{SPARE}lb_algo wrr",
            f"{SPARE}lb_kind NAT",
            f"{SPARE}alpha",
            f"{SPARE}real_server 127.0.0.1 9 > weight 100",
            f'{SPARE}real_server 127.0.0.1 9 > MISC_CHECK > misc_path "%s"' % WEIGHED.format("spare", "spare"),
            f"{SPARE}real_server 127.0.0.1 9 > MISC_CHECK > misc_dynamic",
            f"{SPARE}real_server 127.0.0.1 9 > MISC_CHECK > misc_timeout 4",
            f"{SPARE}real_server 127.0.0.1 9 > MISC_CHECK > warmup 0",
        ),
    ),
    Difference(
        "SELinux's `nis_enabled` on",
        "no boolean",
        "keepalived's checks read a file, and open no connection",
        gone=("5 setsebool nis_enabled",),
    ),
    Difference(
        "VRRP takes part always",
        "not while the node is in maintenance (a `vrrp_script` on EL 7, a `track_file` later)",
        "[an operator's node](maintenance.md) holds no VIP, over reboots, too",
        come=(
            '7 vrrp_script maintenance > script "/usr/bin/test ! -s /run/keepalived-health/maintenance"',
            "7 vrrp_script maintenance > interval 1",
            "7 vrrp_script maintenance > timeout 10",
            "7 vrrp_script maintenance > weight 0",
            "7 vrrp_instance VI_1 > track_script > maintenance",
        ),
    ),
    Difference(
        "no time-out",
        "3 s in the script, `misc_timeout` 4 s in keepalived",
        "a hung Logstash leaves the pool",
        come=(f"{CHECK}misc_timeout 4",),
    ),
    Difference(
        "a node is in the pool until its check fails",
        "once its first check has passed (`alpha`, `warmup 0`)",
        "no event goes to a node that is not ready",
        come=(f"{SERVER}alpha", f"{CHECK}warmup 0"),
    ),
    Difference(
        "defaults left out",
        "`advert_int 1` and the weights written out",
        "they are settings of the inventory",
        come=("7 vrrp_instance VI_1 > advert_int 1",),
    ),
    Difference(
        "VIP as written",
        "VIP/32",
        "the VIP adds no second route to the network",
        gone=("7 vrrp_instance VI_1 > virtual_ipaddress > 192.0.2.10",),
        come=("7 vrrp_instance VI_1 > virtual_ipaddress > 192.0.2.10/32",),
    ),
    Difference(
        "output to `/tmp/itworked.txt`",
        "to `/var/log/logstash/events.json`",
        "newer kernels refuse to write other users' files in `/tmp`",
        gone=("4 output > file > path => /tmp/itworked.txt",),
        come=("4 output > file > path => /var/log/logstash/events.json",),
    ),
    Difference(
        "IPVS's modules loaded when they are needed",
        "`ip_vs` and its schedulers loaded at boot",
        "their settings in `/etc/sysctl.d` exist only once they are loaded",
        come=("6 module ip_vs", "6 module ip_vs_wrr"),
    ),
    Difference(
        "`net.ipv4.ip_forward` alone",
        "also `net.ipv4.conf.all.forwarding` and that of the interface",
        "the first is another name of the same switch, by which the STIG turns it off; an interface has a switch of its own",
        come=("6 net.ipv4.conf.all.forwarding = 1", "6 net.ipv4.conf.ens33.forwarding = 1"),
    ),
    Difference(
        "events accepted at each node's address, on both nodes",
        "at a node's own address and at the VIP",
        "nothing for another node's address arrives here",
        gone=('9 rule family="ipv4" source address="192.0.2.101" destination address="PEER" port port="5514" protocol="udp" accept',),
    ),
    Difference(
        "keepalived as packaged",
        "a drop-in with `Restart=on-failure`, and a script that has another node take the VIP before keepalived stops, and removes it when keepalived was killed and another node has it",
        "a killed keepalived leaves the VIP behind on its node; one that stops takes it away [before another node has it](failover.md#a-keepalived-that-stops)",
        come=(
            "11 keepalived.service: Restart = on-failure",
            "11 keepalived.service: RestartSec = 1",
            "11 keepalived.service: ExecStop = -/usr/bin/python /etc/keepalived/release_vips.py --stop $MAINPID /run/keepalived-health/maintenance ens33 5 1=192.0.2.10",
            "11 keepalived.service: ExecStopPost = -/usr/bin/python /etc/keepalived/release_vips.py ens33 5 1=192.0.2.10",
        ),
    ),
    Difference(
        "Logstash as packaged, with `Nice=19`",
        "a drop-in with `Nice=0`",
        "beside any busy program it would get 1.5 % of a CPU, and UDP does not wait",
        come=("11 logstash.service: Nice = 0",),
    ),
    Difference(
        "the output's file grows for ever",
        "logrotate keeps seven days of it",
        "a full disk stops Logstash",
        come=("2 package logrotate", "4 file /etc/logrotate.d/logstash-ha"),
    ),
]  # fmt: skip
"""The rest of docs/recipe.md's table is about how the deploy works, not about what it puts on a node."""


def here(cluster: Cluster, node: Node) -> set[str]:
    """What the deploy puts on a node, in the same form. A file of which nothing is known ends the test."""
    files = {path: file.content for path, file in desired_files(cluster, node, 7).items()}
    del files[health_script.CHECK]  # step 8: tests/unit/test_check_script.py
    del files[keepalived.RELEASE_VIPS]  # tests/unit/test_release_vips.py
    del files[VERSION_FILE]  # of the deploy itself
    del files[fallback.FILE]
    service = [
        path
        for path in (
            health.SERVICE,
            *health.MODULES,
            health.SETTINGS,
            health_script.ACCESS,
            health.FILE,
            health.LEAVE_FILE,
            health.TMPFILES,
            reload.PROGRAM,
            reload.PATH_FILE,
            reload.SERVICE_FILE,
        )
        if files.pop(path)
    ]
    repository = _ini(files.pop(packages.REPOSITORY))
    drop_ins = {path.split("/")[-2].removesuffix(".d"): _ini(files.pop(path)) for path in (keepalived.DROP_IN, logstash.DROP_IN)}  # fmt: skip
    pipeline = Pipeline(files.pop(logstash.own_file(cluster, "main"))).parse()
    said = {
        *(f"2 package {name}" for name in (*packages.package_names(cluster), "logstash")),
        f"2 rpm --import {packages.key_url(cluster)}",
        *(
            f"2 [{name}] {key} = {repository[name][key]}"
            for name in repository.sections()
            for key in repository[name]
        ),
        *(f"3 {key}: {value}" for key, value in yaml.safe_load(files.pop(logstash.SETTINGS)).items()),
        *(
            f"4 {section} > {plugin} > {option} => {value[0]}"
            for section, plugins in pipeline
            for plugin, options in plugins
            for option, value in options
        ),
        *(f"6 module {name}" for name in files.pop(modules.FILE).splitlines()),
        *(f"6 {line}" for line in files.pop(sysctl.FILE).splitlines() if not line.startswith("#")),
        *(f"7 {line}" for line in _flat(parse_keepalived(files.pop(keepalived.CONF)))),
        *(f"4 file {path}" for path in (logstash.ROTATION,) if files.pop(path)),
        *(f"8 file {path}" for path in service),
        f"11 file {fallback.FILE}",
        *(f"9 {rule}" for rule in firewalld.desired_rules(cluster, node, own_table=False)),
        *(
            f"11 {unit}: {key} = {value}"
            for unit, drop_in in drop_ins.items()
            for key, value in drop_in["Service"].items()
        ),
    }
    assert not files, f"not of the recipe: {', '.join(files)}"
    return {line.replace(health_script.CHECK, "SCRIPT") for line in said}


def _ini(text: str) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser()
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # names as they are written
    parser.read_string(text)
    return parser


def _flat(block: list[object], place: str = "") -> Iterator[str]:
    for each in block:
        if isinstance(each, tuple):
            yield from _flat(each[1], f"{place}{each[0]} > ")
        else:
            yield f"{place}{each}"


def _matches(line: str, patterns: tuple[str, ...], peer: str) -> bool:
    return any(
        re.fullmatch(re.escape(pattern.replace("PEER", peer)).replace(r"\*", r"[\w.]+"), line)
        for pattern in patterns
    )


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return example("recipe", tmp_path)


@pytest.mark.parametrize(("own", "peer"), [(0, 1), (1, 0)])
def test_the_defaults_are_the_recipe(cluster: Cluster, own: int, peer: int) -> None:
    node, other = cluster.nodes[own], str(cluster.nodes[peer].address)
    theirs, ours = recipe(str(node.address), other), here(cluster, node)
    gone, come = theirs - ours, ours - theirs
    for difference in DIFFERENCES:
        for patterns, lines in ((difference.gone, gone), (difference.come, come)):
            explained = {line for line in lines if _matches(line, patterns, other)}
            assert len(explained) >= len(patterns), f"no longer a difference: {difference.here}"
            lines -= explained
    assert (gone, come) == (set(), set()), (
        "the recipe's lines that are gone, and lines that are not the recipe's"
    )


def test_only_the_recipes_logstash_and_vrrp_are_not_the_defaults(cluster: Cluster) -> None:
    """All that its inventory names beside what is a node's, a sender's or a secret."""
    others = {name for name, info in Cluster.model_fields.items() if getattr(cluster, name) != info.default}
    assert others == {
        *(
            "nodes",
            "networks",
            "interface",
            "virtual_addresses",
            "inputs",
            "senders",
            "vrrp",
            "auth_pass_file",
            "logstash",
        )
    }


def test_the_document_tells_each_difference() -> None:
    lines = DOCUMENT.read_text().splitlines()
    rows = [f"| {each.recipe} | {each.here} | {each.why} |" for each in DIFFERENCES]
    missing = [row for row in rows if row not in lines]
    assert not missing, "missing in docs/recipe.md, `What differs from the recipe`:\n" + "\n".join(missing)
