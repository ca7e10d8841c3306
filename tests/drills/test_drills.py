"""Three nodes, and one thing after the other that fails. Each time events flow, and the loss is counted."""

import json
import sys
import time
from pathlib import Path

import pytest

from drills.catalogue import DRILLS, Drill
from drills.result import Loss
from drills.run import HEAL
from tests.drills.conftest import NODES, Three, tell
from tests.lab import vlan
from tests.lab.conftest import ALL_ADDRESSES, VIP
from tests.until import until

pytestmark = pytest.mark.long

ANYWHERE = [drill for drill in DRILLS if not drill.needs]


def as_a_user(three: Three, name: str, inventory: Path) -> None:
    """A drill on the MASTER as a user runs it: its own expectation, and verify.py's verdict before, during and after."""
    until(lambda: three.whole(inventory), 60, "the cluster whole before the drill")
    done = three.run(
        sys.executable, "verify.py", "drill", name, "--inventory", str(inventory), "--yes", "--json"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    loss = json.loads(done.stdout)["loss"]
    tell(name, Loss(**loss))


@pytest.mark.parametrize("drill", ANYWHERE, ids=[drill.name for drill in ANYWHERE])
def test_the_master_in_trouble(three: Three, drill: Drill) -> None:
    as_a_user(three, drill.name, three.file)


def test_an_interface_that_its_driver_has_made_is_left_alone(three: Three) -> None:
    done = three.run(
        sys.executable, "verify.py", "drill", "interface-made-anew", "--inventory", str(three.file), "--yes"
    )
    assert done.returncode == 2
    assert "its eth0 is not a VLAN, bond or bridge" in done.stderr


def test_a_bad_configuration_is_attempted(three: Three, tmp_path: Path) -> None:
    (tmp_path / "filter.conf").write_text("filter { mutate { add_tag => } }\n")
    bad = three.inventory("bad", nodes=ALL_ADDRESSES, vrrp=3, pipelines=str(tmp_path))
    with three.drilled("bad", most=0):
        done = three.deploy("-y", inventory=bad)
        assert done.returncode == 1
        assert "Logstash refuses it" in done.stdout + done.stderr
        assert three.deploy("-y", inventory=three.file).returncode == 0


def test_a_deploy_changes_what_runs(three: Three) -> None:
    changed = three.inventory(
        "changed",
        nodes=ALL_ADDRESSES,
        vrrp=3,
        advert_interval=0.05,
        inputs=[{"id": "udp-5514", "port": 5514, "tags": ["changed"]}],
    )
    with three.drilled("changed", most=0):
        for inventory in (changed, three.file):
            done = three.deploy("-y", inventory=inventory)
            assert done.returncode == 0, done.stdout + done.stderr


def test_a_kernel_panics(three: Three) -> None:
    with three.drilled("panic"):
        name = three.holder
        guest = three.lab.guest(name)
        three.on(
            name,
            "echo 1 >/proc/sys/kernel/sysrq; nohup sh -c 'sleep 1; sync; echo c >/proc/sysrq-trigger' >/dev/null 2>&1 &",
        )
        until(lambda: not guest.running(), 30, "the end of its kernel")
        guest.forget_connection()
        until(
            lambda: three.verify("--inventory", str(three.file))["vips"][VIP]["holders"] not in ([], [name]),
            30,
            "another holder",
        )
        three.lab.power_on(name, lambda text: None)


@pytest.mark.parametrize("role", ["MASTER", "BACKUP"])
def test_a_node_loses_power_and_comes_back(three: Three, role: str) -> None:
    with three.drilled(f"power-{role}"):
        holder = three.holder
        name = holder if role == "MASTER" else next(each for each in NODES if each != holder)
        three.get(name, "sync")  # what its Logstash took and wrote is not lost on the way
        three.lab.guest(name).power_off()
        until(
            lambda: len(three.verify("--inventory", str(three.file))["vips"][VIP]["holders"]) == 1,
            30,
            "a holder",
        )
        report = three.verify("--inventory", str(three.file))
        assert report["status"] == 1
        assert any(
            each["node"] == name and "can't be looked at" in each["what"] for each in report["problems"]
        )
        three.lab.power_on(name, lambda text: None)


def test_a_link_is_cut_and_healed_and_one_master_remains(three: Three) -> None:
    """Meanwhile two nodes hold the VIP, each on its side of the cut."""
    with three.drilled("split"):
        name = three.holder
        machine = three.lab.guest(name).machine
        three.lab.network.cut(machine)
        start = time.monotonic()
        try:
            until(lambda: three.holder != name, 60, "the VIP on another node")
            until(lambda: time.monotonic() > start + 10, 20, "ten seconds")
        finally:
            three.lab.network.heal(machine)
        until(three.is_whole, HEAL, "the cluster whole again")
        mac = three.get(three.holder, "cat /sys/class/net/eth0/address")
        until(
            lambda: f"lladdr {mac} " in three.get("sender", f"ip neigh show {VIP}"),
            10,
            "the holder's MAC at the sender",
        )


def test_all_nodes_are_rebooted_at_once(three: Three) -> None:
    until(three.is_whole, 60, "the cluster whole before the drill")
    boots = {name: three.get(name, "cat /proc/sys/kernel/random/boot_id") for name in NODES}
    for name in NODES:
        three.on(name, "systemctl reboot")
        three.lab.guest(name).forget_connection()

    def rebooted(name: str) -> bool:
        done = three.on(name, "cat /proc/sys/kernel/random/boot_id")
        return done.returncode == 0 and done.stdout.strip() != boots[name]

    for name in NODES:
        until(lambda name=name: rebooted(name), HEAL, f"{name} up again")  # type: ignore[misc]
    until(three.is_whole, HEAL, "the cluster whole again")
    with three.stream("rebooted") as sent:
        until(three.is_whole, 60, "a look at it")
    assert three.lost("rebooted", sent[0], NODES) == []


def test_an_interface_is_made_anew(three: Three) -> None:
    """The last one, since it leaves the cluster on a VLAN. The first MASTER takes the VIP again when the second one's
    VLAN is made anew in its turn."""
    inventory = vlan.deploy(three, NODES, vrrp=3)

    def holder() -> str:
        (name,) = three.verify("--inventory", str(inventory))["vips"][vlan.VIP]["holders"]
        return str(name)

    first = holder()
    as_a_user(three, "interface-made-anew", inventory)
    assert holder() != first
    as_a_user(three, "interface-made-anew", inventory)
    assert holder() == first
