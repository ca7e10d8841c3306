"""Two clusters in one inventory, on four nodes: each command of the project for one of them, and for both. On the nodes of one, sudo
asks for a password, on each for another one."""

import json
import os
import pty
import secrets
import select
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from desired.paths import STATE
from drills.run import HEAL
from lab.lab import Lab
from tests.lab.conftest import ALLOWED, ROOT, Cluster, Done, tool
from tests.lab.test_6c_sudo import SUDOERS, USER, on_a_terminal
from tests.until import until

pytestmark = pytest.mark.long

NODES = {
    "syslog": {"stash1": "10.77.0.11", "stash2": "10.77.0.12"},
    "netflow": {"stash3": "10.77.0.13", "stash4": "10.77.0.14"},
}
VIPS = {"syslog": "10.77.0.10", "netflow": "10.77.0.20"}


class Clusters(Cluster):
    """The lab with both."""

    passwords: ClassVar = {name: f"Aa1 '{secrets.token_hex(8)}" for name in NODES["netflow"]}
    """Those of the user who logs in to the nodes of `netflow`."""

    @property
    def file(self) -> Path:
        return self.lab.folder / "clusters.py"

    def write(self) -> None:
        """Their inventory."""
        config = {"ssh_config_file": f"{self.lab.folder}/ssh_config", "_sudo": True}
        asked = {
            name: {**config, "ssh_user": USER, "_sudo_password": text}
            for name, text in self.passwords.items()
        }
        lines = ["from cluster import define", ""]
        for number, (name, nodes) in enumerate(NODES.items(), 1):
            settings = {
                "nodes": {
                    node: {"address": address, "connection": asked.get(node, config)}
                    for node, address in nodes.items()
                },
                "network": "10.77.0.0/24",
                "interface": "eth0",
                "vip": VIPS[name],
                "virtual_router_id": number,
                "inputs": [{"id": f"udp-{name}", "port": 5513 + number}],
                "senders": [ALLOWED],
                "artifacts_url": "http://10.77.0.1",
                "repository": {"seen_from": "nodes"},
            }
            lines += [f"{name} = define(**{settings!r})", f"{name}_senders = (['sender'], {config!r})"]
        self.file.write_text("\n".join(lines) + "\n")

    def command(self, *words: str) -> Done:
        """`verify.py` with these words."""
        return self.run(self.python, "verify.py", *words, "--inventory", str(self.file))

    def verdicts(self) -> dict[str, Any]:
        """By cluster, whether all is good; the whole answer where there is none."""
        document = json.loads(self.command("--json").stdout)
        return (
            {name: document["clusters"][name]["ok"] for name in NODES} if "clusters" in document else document
        )

    def knows_none(self, text: str) -> bool:
        """Whether a text has none of the passwords."""
        return not any(password in text for password in self.passwords.values())

    def are_whole(self) -> bool:
        return self.verdicts() == dict.fromkeys(NODES, True)

    def pyinfra(self, file: str, *words: str) -> Done:
        return self.run(tool("pyinfra"), "-y", str(self.file), file, *words)


@pytest.fixture(scope="module")
def both() -> Iterator[Clusters]:
    """Both, deployed by one run."""
    lab = Lab(ROOT / ".lab-test")
    lab.down()
    try:
        lab.up(nodes=4, el=(9, 10, 9, 8), logstash_delay=2.0, progress=lambda text: None)
        clusters = Clusters(lab)
        clusters.write()
        for name, password in clusters.passwords.items():
            rule = f"{USER} ALL=(ALL) ALL"
            allow = f"chpasswd; echo '{rule}' >{SUDOERS}; chmod 440 {SUDOERS}"
            clusters.get(name, allow, f"{USER}:{password}\n")
        done = clusters.pyinfra("deploy.py")
        assert done.returncode == 0, done.stdout + done.stderr
        yield clusters
    finally:
        lab.down()


@pytest.fixture(autouse=True)
def whole_before(both: Clusters) -> None:
    until(both.are_whole, HEAL, lambda: f"both whole before; there is {both.verdicts()}")


def test_events_reach_the_nodes_of_their_own_cluster(both: Clusters) -> None:
    done = both.command("--send", "4", "--json")
    assert done.returncode == 0, done.stdout
    for name, document in json.loads(done.stdout)["clusters"].items():
        assert set(document["nodes"]) == set(NODES[name])
        (sent,) = document["send"]["inputs"]
        assert (sent["input"], sent["received"]) == (f"udp-{name}", dict.fromkeys(NODES[name], 2))


def test_a_form_for_one_cluster_wants_its_name(both: Clusters, tmp_path: Path) -> None:
    page, metrics = tmp_path / "page.html", tmp_path / "metrics"
    for form in (["--report", str(page)], ["--nagios"], ["--prometheus", str(metrics)]):
        refused = both.command(*form)
        assert refused.returncode in (2, 3)
        assert (
            f"{form[0]}: shows one cluster; name one of syslog, netflow with --cluster"
            in refused.stdout + refused.stderr
        )
        for name, vip in VIPS.items():
            done = both.command(*form, "--cluster", name)
            assert done.returncode == 0, done.stdout + done.stderr
            shown = Path(form[1]).read_text() if len(form) > 1 else done.stdout
            (other,) = {*VIPS.values()} - {vip}
            assert (vip in shown or form == ["--nagios"], other in shown) == (True, False)


def test_a_live_view_wants_a_name(both: Clusters) -> None:
    refused = both.command("--watch")
    assert (refused.returncode, "--cluster" in refused.stderr) == (2, True)
    terminal, other = pty.openpty()
    view = subprocess.Popen(
        [both.python, "verify.py", "--watch", "--cluster", "netflow", "--inventory", str(both.file)],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "120", "LINES": "50", "TERM": "xterm"},
        stdin=other,
        stdout=other,
        stderr=other,
    )
    seen = ""

    def shown() -> bool:
        nonlocal seen
        if select.select([terminal], [], [], 1)[0]:
            seen += os.read(terminal, 65536).decode(errors="replace")
        return "events a second" in seen and "udp-netflow" in seen

    try:
        until(shown, 60, lambda: f"the view; there is {seen}")
        assert VIPS["syslog"] not in seen
    finally:
        view.send_signal(signal.SIGINT)
    assert view.wait(30) == 0


def test_what_asks_for_one_sender_or_one_input_looks_at_one_cluster(both: Clusters) -> None:
    why = both.command("why", ALLOWED, "--cluster", "netflow", "--send", "--json")
    assert why.returncode == 0, why.stdout + why.stderr
    capacity = both.command(
        "capacity", "--cluster", "netflow", "--most", "500", "--seconds", "2", "--yes", "--json"
    )
    assert capacity.returncode in (0, 1), capacity.stdout + capacity.stderr
    assert "udp-netflow" in capacity.stdout


@pytest.mark.parametrize("drill", ["link-down", "rebooted", "keepalived-killed"])
def test_a_drill_where_sudo_asks_for_a_password(both: Clusters, drill: str) -> None:
    done = both.command("drill", drill, "--cluster", "netflow", "--yes", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert both.knows_none(done.stdout + done.stderr)


def test_a_node_of_one_cluster_in_maintenance(both: Clusters) -> None:
    done = both.pyinfra("maintain.py", "--limit", "stash3")
    assert done.returncode == 0, done.stdout + done.stderr
    try:
        warnings = json.loads(both.command("--json").stdout)["clusters"]
        assert [name for name in NODES if warnings[name]["maintenance"]] == ["netflow"]
    finally:
        done = both.pyinfra("maintain.py", "--limit", "stash3", "--data", "back=yes")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_wrong_password_is_refused_before_either_cluster_is_changed(both: Clusters) -> None:
    text = both.file.read_text()
    both.file.write_text(text.replace(repr(both.passwords["stash4"]), "'wrong'"))
    try:
        done = both.pyinfra("deploy.py")
        assert done.returncode != 0
        assert "stash4: no sudo (sudo: 1 incorrect password attempt)" in done.stdout + done.stderr
    finally:
        both.file.write_text(text)


def test_a_password_that_is_not_given_is_asked_for_on_a_terminal(both: Clusters) -> None:
    text, password = both.file.read_text(), both.passwords["stash3"]
    both.file.write_text(text.replace(f", '_sudo_password': {password!r}", ""))
    try:
        code, said = on_a_terminal(
            both, password, both.python, "verify.py", "--json", "--inventory", str(both.file)
        )
    finally:
        both.file.write_text(text)
    assert code == 0, said


def test_one_cluster_is_taken_away_and_comes_back(both: Clusters) -> None:
    """By a user whose sudo asks for a password; the other one's events go on."""
    with both.stream("meanwhile") as sent:
        done = both.pyinfra("undo.py", "--limit", "netflow")
        assert done.returncode == 0, done.stdout + done.stderr
        for name in NODES["netflow"]:
            assert both.get(name, f"find {STATE} /etc/keepalived -type f 2>/dev/null || true") == ""
            assert both.knows_none(both.get(name, "journalctl --no-pager -o cat"))
        assert both.verdicts() == {"syslog": True, "netflow": False}
        again = both.pyinfra("deploy.py", "--limit", "netflow")
        assert again.returncode == 0, again.stdout + again.stderr
    assert both.lost("meanwhile", sent[0], tuple(NODES["syslog"])) == []
