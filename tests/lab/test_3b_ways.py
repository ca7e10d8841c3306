"""`verify.py why` names the step at which a sender's events end: one thing is broken after the other, and mended."""

import json
import shlex
import sys
from contextlib import nullcontext
from typing import Any

import pytest

from tests.lab.conftest import NODES, Cluster
from tests.lab.ways import BACKUP, BURST, FAULTS, MASTER, Fault
from tests.until import until

SECONDS = "1"


@pytest.fixture(scope="module", autouse=True)
def whole_before(cluster: Cluster) -> None:
    """Each thing is broken on a whole cluster."""
    until(cluster.whole, 60, "the cluster whole before")


def why(cluster: Cluster, *arguments: str) -> dict[str, Any]:
    """The JSON of `verify.py why`, with its exit status as `status`."""
    done = cluster.run(sys.executable, "verify.py", "why", *arguments, "--seconds", SECONDS, "--json")
    document: dict[str, Any] = json.loads(done.stdout)
    return {**document, "status": done.returncode}


def test_no_step_is_wrong_where_all_is_well(cluster: Cluster) -> None:
    document = why(cluster, "--send")
    (way,) = document["ways"]
    assert (document["status"], document["sender"], way["broken"]) == (0, "10.77.0.101", None), way
    assert {step["status"] for step in way["steps"]} == {"ok"}, way
    # Nothing of it is left on the machines.
    for name in NODES:
        assert cluster.get(name, "pgrep -fc '[p]acket_socket' || true") == "0"
    assert cluster.get("sender", "pgrep -fc '[l]ogstash-ha-verify' || true") == "0"


@pytest.mark.parametrize(
    "fault",
    [pytest.param(each, id=each.what, marks=pytest.mark.long if each.long else ()) for each in FAULTS],
)
def test_why_names_the_step(cluster: Cluster, fault: Fault) -> None:
    (master,) = cluster.holders()
    (backup,) = {*NODES} - {master}
    names = [{MASTER: master, BACKUP: backup}.get(place, place) for place in fault.where]
    try:
        for name in names:
            cluster.get(name, fault.do)
        if fault.settles:
            until(cluster.whole, 60, "the cluster whole until events come")
        if fault.burst:
            cluster.get("sender", f"python3 -c {shlex.quote(BURST)}")
        with cluster.stream("why", port=fault.sends) if fault.sends else nullcontext():
            document = why(cluster, fault.sender)
    finally:
        for name in names:
            cluster.get(name, fault.undo)
    (way,) = document["ways"]
    assert (document["status"], way["broken"]) == (1, fault.step), way
    broken = next(step for step in way["steps"] if step["step"] == fault.step)
    assert fault.seen in broken["seen"]
    assert fault.mend in way["do"]
    # The steps before it are right, but for those that only wait for it.
    before = way["steps"][: way["steps"].index(broken)]
    assert all(step["status"] != "wrong" or step["follows"] for step in before)
    if fault.heals:
        until(cluster.whole, 60, "the cluster whole again")
