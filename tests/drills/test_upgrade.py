"""A cluster that the previous release has deployed is deployed by this one, and back: meanwhile events flow, and none is lost."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from desired.paths import VERSION_FILE
from desired.version import VERSION
from drills.run import RATE
from lab.lab import Lab
from tests.lab.conftest import NODES, ROOT, Cluster
from tests.release import check_out, previous, python_for
from tests.until import until

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The previous release."""
    return check_out(previous(), tmp_path_factory.mktemp("upgrade") / "release")


@pytest.fixture(scope="module")
def old(release: Path) -> Iterator[Cluster]:
    """Two nodes that the previous release has deployed, and its own commands."""
    lab = Lab(ROOT / ".lab-test")
    lab.down()
    try:
        lab.up(nodes=2, el=(9, 8), logstash_delay=2.0, progress=lambda text: None)
        cluster = Cluster(lab, release, python_for(release))
        done = cluster.deploy("-y", inventory=cluster.inventory("upgrade"))
        assert done.returncode == 0, done.stdout + done.stderr
        yield cluster
    finally:
        lab.down()


def deploy(cluster: Cluster, mark: str) -> None:
    """Deploy to a whole cluster, which stays whole: no event is lost, and a second deploy would change nothing."""
    inventory = cluster.lab.folder / "upgrade.py"
    until(lambda: cluster.whole(inventory), 60, "the cluster whole before the deploy")
    with cluster.stream(mark, rate=RATE) as sent:
        done = cluster.deploy("-y", inventory=inventory)
        until(lambda: cluster.whole(inventory), 60, "the cluster whole after the deploy")
    lost = cluster.lost(mark, sent[0])
    print(f"{mark}: {sent[0]} sent, {len(lost)} lost")
    assert done.returncode == 0, done.stdout + done.stderr
    assert lost == []
    assert cluster.plan(inventory)[0] == {}


def versions(cluster: Cluster) -> set[str]:
    """The versions that have last deployed the nodes, by the nodes' own files."""
    return {cluster.get(name, f"cat {VERSION_FILE}") for name in NODES}


def test_an_upgrade_and_the_way_back_lose_no_event(old: Cluster) -> None:
    new = replace(old, checkout=ROOT, python=Cluster(old.lab).python)
    said = old.run(old.python, "verify.py", "--version").stdout
    (before,) = versions(old)
    assert before in said
    assert before != VERSION, "nobody could tell this version from the previous release"
    deploy(new, "upgrade")
    assert versions(new) == {VERSION}
    deploy(old, "back")
    assert versions(old) == {before}
