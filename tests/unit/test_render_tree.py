"""`python -m desired`: what a deploy would put on each node, as files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cluster import Cluster
from desired.__main__ import LIST, main, replace
from desired.files import desired_files
from desired.firewalld import desired_rules
from desired.packages import logstash_package
from desired.translation import own_table
from desired.tree import TreeFile, tree
from desired.version import VERSION
from tests.unit.clusters import PASSWORD, example, make_cluster
from tests.unit.test_shapes import SHAPES

ROOT = Path(__file__).parents[2]
SECRET = "correct horse battery staple"
PIPELINE = """\
filter { mutate { add_field => { "node" => "<%= node.name %>" } } }
output { stdout { id => "<%= cluster.environment.ES_PASSWORD.get_secret_value() %>" } }
"""


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    """Two nodes with a VRRP password, variables, and a pipeline file that has one of them written out."""
    folder = tmp_path / "logs"
    (folder / "pipelines").mkdir(parents=True)
    (folder / "pipelines" / "output.conf").write_text(PIPELINE)
    (folder / "auth_pass").write_text(PASSWORD)
    (folder / "logstash.env").write_text(f"ES_PASSWORD={SECRET}\nES_USER=writer-of-logs\n")
    file = folder / "inventory.py"
    file.write_text(
        """
from cluster import define

nodes = define(
    nodes={"stash1": "192.0.2.11", "stash2": "192.0.2.12"},
    network="192.0.2.0/24",
    interface="ens33",
    vip="192.0.2.10",
    inputs=[{"id": "udp-5514", "port": 5514}],
    senders=["192.0.2.64/26"],
    vrrp=2,
    auth_pass_file="auth_pass",
    environment_file="logstash.env",
    pipelines="pipelines",
)
"""
    )
    return file


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Each file's bytes and mode, by its path."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mode & 0o777)
        for path in folder.rglob("*")
        if path.is_file()
    }


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """The one line of a run that wrote nothing."""
    assert main([str(argument) for argument in arguments]) == 1
    out, error = capsys.readouterr()
    assert out == ""
    (line,) = error.splitlines()
    assert line.startswith("desired: ")
    return line.removeprefix("desired: ")


def test_the_program_writes_each_nodes_files_with_their_modes(inventory: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        (sys.executable, "-m", "desired", "--inventory", str(inventory), "--to", str(tmp_path / "tree")),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    found = contents(tmp_path / "tree")
    conf, mode = found["stash2/etc/keepalived/keepalived.conf"]
    assert b"router_id stash2" in conf
    assert mode == 0o600
    assert found["stash1/etc/logstash/logstash-ha.env"][1] == 0o600
    assert found["stash1/etc/keepalived/check_logstash_input.py"][1] == 0o755
    assert found["stash1/etc/logstash/logstash.yml"][1] == 0o644
    assert found["stash1/var/lib/logstash-ha/version"][0] == f"{VERSION}\n".encode()
    assert f"{len(found) - 1} files in {tmp_path}/tree" in done.stdout


@pytest.mark.parametrize("shape", SHAPES)
def test_the_tree_holds_all_that_a_deploy_puts(shape: str, tmp_path: Path) -> None:
    cluster = example(shape, tmp_path)
    for el in {SHAPES[shape], 9}:
        found = tree(cluster, el)
        masked = cluster.masked()
        for node in masked.nodes:
            files = desired_files(masked, node, el)
            assert {path.partition("/")[2] for path in found if path.startswith(f"{node.name}/")} == {
                *(path.removeprefix("/") for path in files),
                *("packages", "modules", "sysctl", "units", "firewalld.rules"),
            }
            for path, file in files.items():
                assert found[f"{node.name}{path}"] == TreeFile(file.content, int(file.mode, 8))
            rules = found[f"{node.name}/firewalld.rules"].content.splitlines()
            assert rules == desired_rules(cluster, node, own_table(cluster, el, has_nftables=True))


def test_what_is_no_file_is_in_lists(tmp_path: Path) -> None:
    found = tree(make_cluster(tmp_path, version="8.19.3"), 9)
    lists = {name: found[f"stash1/{name}"].content.splitlines() for name in ("packages", "modules", "units")}
    assert lists == {
        "packages": ["tcpdump", "ipvsadm", "keepalived", "logrotate", "logstash 8.19.3"],
        "modules": ["ip_vs", "ip_vs_wrr"],
        "units": [
            "logstash-ha-health",
            "logstash",
            "logstash-ha-leave",
            "keepalived",
            "logstash-ha-firewall",
            "firewalld",
        ],
    }
    assert "net.ipv4.ip_forward = 1" in found["stash1/sysctl"].content.splitlines()


def test_without_firewalld_there_are_no_rules(tmp_path: Path) -> None:
    found = tree(make_cluster(tmp_path, firewall="none"), 9)
    assert "stash1/firewalld.rules" not in found
    assert "firewalld" not in found["stash1/units"].content


@pytest.mark.parametrize(
    ("version", "text"),
    [
        (None, "logstash 8.x"),
        ("latest", "logstash 8.x, the latest"),
        ("8.19.3", "logstash 8.19.3"),
    ],
)
def test_logstash_is_named_by_the_version_that_is_wanted(
    tmp_path: Path, version: str | None, text: str
) -> None:
    assert logstash_package(make_cluster(tmp_path, version=version)) == text


def test_no_file_of_the_tree_holds_a_secret(inventory: Path, tmp_path: Path) -> None:
    assert main(["--inventory", str(inventory), "--to", str(tmp_path / "tree")]) == 0
    found = contents(tmp_path / "tree")
    for secret in (PASSWORD, SECRET, "writer-of-logs"):
        assert [path for path, (text, _) in found.items() if secret.encode() in text] == []
    environment = found["stash1/etc/logstash/logstash-ha.env"][0].decode()
    assert environment.splitlines()[1:] == ['ES_PASSWORD="********"', 'ES_USER="********"']
    assert b"auth_pass ********\n" in found["stash1/etc/keepalived/keepalived.conf"][0]
    assert b'id => "********"' in found["stash2/etc/logstash/conf.d/output.conf"][0]


def test_the_deploys_own_files_hold_the_secrets(tmp_path: Path) -> None:
    """A masked cluster is a copy."""
    cluster = make_cluster(tmp_path, vrrp=2)
    assert [file.content for file in tree(cluster, 9).values() if PASSWORD in file.content] == []
    assert [
        path for path, file in desired_files(cluster, cluster.nodes[0], 9).items() if PASSWORD in file.content
    ]


def test_the_same_inventory_gives_the_same_bytes(inventory: Path, tmp_path: Path) -> None:
    trees = []
    for name in ("one", "other", "one"):
        assert main(["--inventory", str(inventory), "--to", str(tmp_path / name)]) == 0
        trees.append(contents(tmp_path / name))
    assert trees[0] == trees[1] == trees[2]


def test_an_earlier_runs_files_are_replaced(inventory: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tree"
    assert main(["--inventory", str(inventory), "--to", str(folder)]) == 0
    other = inventory.with_name("other.py")  # pyinfra reads a file once
    other.write_text(inventory.read_text().replace("stash2", "stash9"))
    assert main(["--inventory", str(other), "--to", str(folder), "--el", "7"]) == 0
    assert sorted(path.name for path in folder.iterdir()) == [LIST, "stash1", "stash9"]


@pytest.mark.parametrize("other", ["notes", "stash1/etc/notes", "stash1/empty/"])
def test_a_folder_with_other_things_in_it_is_refused(
    inventory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], other: str
) -> None:
    folder = tmp_path / "tree"
    for earlier in (False, True):
        if earlier:
            replace(folder, {"stash1/etc/hosts": TreeFile("earlier\n")})
        path = folder / other
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir() if other.endswith("/") else path.write_text("mine\n")
        before = contents(folder)
        line = refusal(capsys, "--inventory", inventory, "--to", folder)
        assert line.startswith(f"--to: {folder / other.partition('/')[0]}")
        assert line.endswith("name an empty or a new folder")
        assert contents(folder) == before
        path.rmdir() if other.endswith("/") else path.unlink()
        for parent in path.parents:
            if parent == folder:
                break
            if not any(parent.iterdir()):
                parent.rmdir()


def test_a_file_in_the_folders_place_is_refused(
    inventory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tree").write_text("mine")
    assert "can't be written (File exists)" in refusal(
        capsys, "--inventory", inventory, "--to", tmp_path / "tree"
    )
    assert (tmp_path / "tree").read_text() == "mine"


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ('vip="192.0.2.10"', 'vip="192.0.2.11"', "vip: 192.0.2.11 is stash1's own address;"),
        ('"auth_pass"', '"nowhere"', "auth_pass_file: "),
        ("vrrp=2", "vrrp=3", "auth_pass_file: VRRP 3 has no password;"),
        ("nodes = define(", "_nodes = define(", "nodes: no such group in the inventory;"),
    ],
)
def test_a_wrong_inventory_is_refused_and_nothing_is_written(
    inventory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, line: str
) -> None:
    inventory.write_text(inventory.read_text().replace(old, new))
    assert refusal(capsys, "--inventory", inventory, "--to", tmp_path / "tree").startswith(line)
    assert not (tmp_path / "tree").exists()


def test_what_an_enterprise_linux_can_not_do_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the deploy refuses it."""
    line = refusal(capsys, "--inventory", ROOT / "inventory.py", "--to", tmp_path / "tree", "--el", "7")
    assert line.startswith("vrrp: 3 is not sound in the keepalived 1.3.5 of stash1's")
    assert not (tmp_path / "tree").exists()


def test_a_warning_is_shown_and_the_tree_is_written(
    inventory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inventory.write_text(inventory.read_text().replace('"udp-5514", "port": 5514', '"flow", "port": 2055'))
    assert main(["--inventory", str(inventory), "--to", str(tmp_path / "tree")]) == 0
    assert capsys.readouterr().err.startswith("desired: warning: inputs.0.scheduler: flow looks like NetFlow")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"logstash-ha {VERSION}\n"


def test_masked_leaves_the_rest_as_it_is(tmp_path: Path) -> None:
    cluster = make_cluster(tmp_path)
    assert cluster.masked() == cluster
    assert isinstance(cluster.masked(), Cluster)
    assert cluster.masked().auth_pass is None
