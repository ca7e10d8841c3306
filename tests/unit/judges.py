"""Who is to read what is rendered, and what each says against it: lines of text, none when it accepts."""

from __future__ import annotations

import configparser
import fcntl
import os
import re
import subprocess
import sys
import tempfile
import warnings
from functools import cache
from pathlib import Path

import yaml
from cryptography.hazmat.primitives.serialization.pkcs12 import load_pkcs12
from logstash_pipeline_parser import Pipeline
from logstash_pipeline_parser.tree import ParseError

from cluster import Cluster, Node
from desired import firewalld, health, keepalived, logstash, modules, packages, reload, sysctl, vip
from desired.files import desired_files
from desired.textfile import TextFile
from lab.settings import cache_dir
from lab.shell import run


@cache
def debian(package: str) -> Path:
    """The files of a Debian package, unpacked in the lab's cache: nothing is installed, enabled or started.

    Raises `LabError` when apt does not know it, or can't get it.
    """
    unpacked = cache_dir() / "unpacked"
    unpacked.mkdir(parents=True, exist_ok=True)
    with (unpacked / f"{package}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run side by side
        if not (unpacked / package).exists():
            with tempfile.TemporaryDirectory(dir=unpacked) as name:
                work = Path(name)
                run("apt-get", "download", "-qq", package, cwd=work)
                run("dpkg-deb", "-x", *work.glob("*.deb"), work / "tree")
                (work / "tree").rename(unpacked / package)
    return unpacked / package


def objections(cluster: Cluster, node: Node, el: int, work: Path) -> list[str]:
    """What any of them says against what is rendered for this node."""
    every = desired_files(cluster, node, el)
    files = {path: file.content for path, file in every.items()}
    return [
        *(f"{path}: a line does not end" for path, text in files.items() if text and text[-1] != "\n"),
        *of_keepalived(files[keepalived.CONF], " ".join(cluster.interfaces_of(node)), work),
        *of_firewalld(firewalld.rules(cluster, node)),
        *of_iptables(firewalld.direct_rules(cluster, node)),
        *of_the_pipelines(cluster, files),
        *of_the_kernel(files[sysctl.FILE], files[modules.FILE]),
        *of_yum(files, cluster),
        *(
            line
            for path in (health.FILE, health.LEAVE_FILE, reload.SERVICE_FILE, vip.FILE)
            if path in files
            for line in of_systemd(files[path])
        ),
        *of_the_environment(files, cluster),
        *of_the_api(every, cluster),
    ]


ADOPTED = """\
vrrp_instance ADOPTED {
    version 2
    interface adopted0
    virtual_router_id 255
    virtual_ipaddress {
        192.0.2.80
    }
}
"""


def of_keepalived(text: str, interfaces: str, work: Path, adopted: str = ADOPTED) -> list[str]:
    """keepalived's own test, as the deploy runs it, in a network that has these interfaces. Needs root. `adopted` is what the
    file that keepalived.conf includes has, if it does."""
    new = work / "keepalived.conf"
    new.write_text(text.replace(keepalived.ADOPTED, f"{work}/adopted.conf"))
    (work / "adopted.conf").write_text(adopted)
    (work / "scratch").mkdir(exist_ok=True)
    script = f"set -eu; for link in {interfaces} adopted0; do ip link add $link type bridge; done; new={new}; work={work}/scratch; {keepalived.CONF_CHECK}"
    done = subprocess.run(
        ["unshare", "--net", "bash", "-c", script],
        env={"PATH": f"{debian('keepalived')}/usr/sbin:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    return [f"keepalived: {done.stdout}{done.stderr}"] if done.returncode else []


def of_firewalld(rules: list[str]) -> list[str]:
    """firewalld's own parser, which must also spell a rule as we do: that is how we know it again."""
    sys.path.append(str(debian("python3-firewall") / "usr/lib/python3/dist-packages"))
    try:
        with warnings.catch_warnings(action="ignore"):
            from firewall.core.rich import Rich_Rule
            from firewall.errors import FirewallError
    finally:
        sys.path.pop()
    said = []
    for rule in rules:
        try:
            parsed = Rich_Rule(rule_str=rule)
            parsed.check()
            if str(parsed) != rule:
                said.append(f"firewalld writes it as {parsed}: {rule}")
        except FirewallError as error:
            said.append(f"firewalld: {error}: {rule}")
    return said


def of_iptables(rules: list[str]) -> list[str]:
    """firewalld.direct_rules(5): family, table, chain, priority, and what iptables(8) is given."""
    form = r"ipv[46] (nat POSTROUTING|raw PREROUTING) 0( -[pdsio] \S+| --[sd]port [0-9]+)+ -j (SNAT --to-source [0-9a-f.:]+|CT --notrack)"
    return [f"direct rule: {rule}" for rule in rules if not re.fullmatch(form, rule)]


def of_the_pipelines(cluster: Cluster, files: dict[str, str]) -> list[str]:
    """The pipeline language's grammar, and YAML: each pipeline is there by its name, with its inputs."""
    said = []
    settings = yaml.safe_load(files[logstash.SETTINGS])
    if not all(isinstance(key, str) and isinstance(value, str | int) for key, value in settings.items()):
        said.append(f"logstash.yml: {settings}")
    if logstash.PIPELINES in files:
        ids = [each["pipeline.id"] for each in yaml.safe_load(files[logstash.PIPELINES])]
        if ids != list(cluster.pipeline_ids):
            said.append(f"pipelines.yml: {ids} instead of {cluster.pipeline_ids}")
    found = []
    for pipeline in cluster.pipeline_ids:
        folder = f"{logstash.folder(cluster, pipeline)}/"
        text = "\n".join(files[path] for path in sorted(files) if path.startswith(folder))
        try:
            sections = Pipeline(text).parse()
        except ParseError as error:
            said.append(f"pipeline {pipeline}: {error}")
            continue
        for kind, plugins in sections:
            if kind == "input":
                found += [
                    (name, str(dict(options)["id"][0]), dict(options)["port"][0]) for name, options in plugins
                ]
    # Of those in a file of the user's, the inventory's id alone must be right.
    named = {
        each.plugin_id(protocols[0])
        for each in cluster.inputs
        if each.defined_in
        for protocols in each.plugins.values()
    }
    missing = named - {id for _, id, _ in found}
    said += [f"pipelines: no input {id}" for id in sorted(missing)]
    found = [each for each in found if each[1] not in named]
    wanted = [
        (plugin, each.plugin_id(protocols[0]), each.target_port)
        for each in cluster.inputs
        if not each.defined_in
        for plugin, protocols in each.plugins.items()
    ]
    if not said and sorted(found) != sorted(wanted):
        said.append(f"pipelines: inputs {found} instead of {wanted}")
    return said


def of_the_api(files: dict[str, TextFile], cluster: Cluster) -> list[str]:
    """YAML, systemd and OpenSSL: each secret of the API's is where its reader looks for it, and nowhere else."""
    settings = yaml.safe_load(files[logstash.SETTINGS].content)
    if cluster.api_files is None:
        return [f"logstash.yml: {name}" for name in settings if name.startswith(("api.ssl", "api.auth"))]
    said = []
    variables = _environment(files[logstash.ENVIRONMENT].content)
    filled = {
        name: variables[value[2:-1]]
        for name, value in settings.items()
        if name.startswith("api.") and str(value).startswith("${")
    }
    password, opening = cluster.api_files.password, cluster.api_files.keystore_password
    if password and filled["api.auth.basic.password"] != password.get_secret_value():
        said.append("logstash.yml: the password")
    if opening:
        if filled["api.ssl.keystore.password"] != opening.get_secret_value():
            said.append("logstash.yml: the keystore's password")
        load_pkcs12(
            files[settings["api.ssl.keystore.path"]].data, filled["api.ssl.keystore.password"].encode()
        )
    readable = {path: file for path, file in files.items() if file.mode not in ("400", "600")}
    secrets = [secret.get_secret_value() for secret in (password, opening) if secret]
    return said + [
        f"{path}: a secret"
        for path, file in readable.items()
        if any(each in file.content for each in secrets)
    ]


def of_the_kernel(settings: str, names: str) -> list[str]:
    """sysctl.conf(5) and modules-load.d(5)."""
    lines = [line for line in settings.splitlines() if not line.startswith("#")]
    return [
        *(
            f"sysctl: {line}"
            for line in lines
            if not re.fullmatch(r"(net|kernel|vm)(\.[\w/-]+)+ = [0-9]+", line)
        ),
        *(f"modules: {line}" for line in names.splitlines() if not re.fullmatch(r"(#.*|[a-z0-9_]+)", line)),
    ]


def of_yum(files: dict[str, str], cluster: Cluster) -> list[str]:
    """yum.conf(5): one repository, with signed packages only, whose options have values of one line; none where it is not used."""
    if not packages.has_repository(cluster):
        return [f"yum: {path}" for path in files if path.startswith(("/etc/yum.repos.d/", packages.FOLDER))]
    repository = configparser.ConfigParser(interpolation=None)
    repository.read_string(files[packages.REPOSITORY])
    (name,) = repository.sections()
    section = dict(repository[name])
    places = section.pop("baseurl", section.get("mirrorlist", "")).split()
    own = cluster.repository
    named = [*own.urls, *filter(None, [own.mirrorlist])] if own else []
    right = places == named if named else places and places[0].startswith(f"{cluster.artifacts_url}/")
    good = section["gpgcheck"] == "1" and right
    lone = [option for option, value in section.items() if not value.isprintable() or " #" in value]
    ours = [section[name] for name in ("sslclientcert", "sslclientkey", "sslcacert") if name in section]
    missing = [path for path in ours if "-----BEGIN " not in files.get(path, "")]
    known = {
        "name",
        "username",
        "password",
        "sslclientcert",
        "sslclientkey",
        "sslcacert",
        "proxy",
        "proxy_username",
    }
    known |= {"proxy_password", "gpgcheck", "gpgkey", "enabled", "autorefresh", "type", "mirrorlist"}
    return [f"yum: {section}"] if not good or lone or missing or set(section) - known else []


def of_systemd(text: str) -> list[str]:
    """systemd.unit(5): sections of `Name=value`."""
    unit = configparser.RawConfigParser(strict=False)
    unit.read_string(text)
    return [] if unit.has_option("Service", "ExecStart") else [f"systemd: {text}"]


def of_the_environment(files: dict[str, str], cluster: Cluster) -> list[str]:
    """systemd's escapes are a shell's: each variable has the value that its user wrote."""
    if logstash.ENVIRONMENT not in files:
        return []
    meant = {name: value.get_secret_value() for name, value in cluster.environment.items()}
    found = _environment(files[logstash.ENVIRONMENT])
    return [f"environment: {name}" for name, value in meant.items() if found.get(name) != value]


def _environment(text: str) -> dict[str, str]:
    """The variables of an EnvironmentFile, as a shell has them."""
    done = subprocess.run(
        ["bash", "-c", "set -a; . /dev/stdin; exec /usr/bin/env -0"],
        input=text,
        env={},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    return dict(line.split("=", 1) for line in done.stdout.split("\0") if line)
