"""The benchmarks without a lab: each part that needs no lab is run once."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from bench import detection, failover, flap, health, machines, slow_start, udp
from bench.wait import wait_until
from lab.lab import Lab
from tests.unit.test_check_script import body
from tests.unit.test_check_script import serving as serving_api

LAB = Lab(Path("/nonexistent"))


def run_health(*arguments: str) -> Result:
    return CliRunner().invoke(
        health.main, ["0.5", "--nodes", "2", "--inputs", "1", "--runs", "1", *arguments]
    )


def test_the_cost_of_the_health_checks_is_measured() -> None:
    result = run_health()
    assert result.exit_code == 0, result.output
    *_, row = result.output.splitlines()
    match = re.fullmatch(r"\| 1 \| 2 \| (\d+\.\d\d) \| (\d+\.\d\d) \| 1/\d+ \|", row)
    assert match, result.output
    recipe, service = map(float, match.groups())
    assert 0 < service < recipe


def test_the_service_is_measured_with_all_that_a_deploy_gives_it(tmp_path: Path) -> None:
    """Its settings name no file and no address of a node, and each file that they name is there."""
    with health.simulated_cluster(nodes=3, inputs=2) as cluster:
        settings = health.write_files(cluster, cluster.nodes[0], tmp_path).read_text()
    assert not re.search(r"/run|192\.0\.2|eth0", settings)
    files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    for input_id in cluster.input_ids:
        assert {f"{health.LOOPBACK}{host}/{input_id}" for host in (1, 2, 3)} <= files
    named = set(re.findall(rf'"{tmp_path}/([^"]+)"', settings))
    made = {
        "reload/keepalived",
        "logstash_ha.prom",
    }  # a request and the metrics, which the service makes itself
    assert named - made <= files


@pytest.mark.parametrize(
    ("program", "limit", "message"),
    [
        ("raise SystemExit('no settings')", 30, "the health service ended with status 1:\nno settings"),
        ("import time; time.sleep(60)", 0.5, "not within 0.5 s: the health service ready"),
    ],
    ids=["ends", "never ready"],
)
def test_a_service_that_does_not_run_is_not_measured(
    program: str, limit: float, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = tmp_path / "service.py"
    service.write_text(program)
    monkeypatch.setattr(health, "SERVICE", service)
    monkeypatch.setattr(health, "READY_LIMIT", limit)
    result = run_health()
    assert result.exit_code == 1
    assert message in result.output


def test_a_service_that_finds_inputs_down_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def silent(*_: object) -> Iterator[None]:
        yield

    monkeypatch.setattr(health, "serving", silent)
    monkeypatch.setattr(health, "recipe_cost", lambda *_: 1.0)
    result = run_health()
    assert result.exit_code == 1
    _, found, reasons = result.output.partition("the health service found inputs down:\n")
    assert found, result.output
    assert "udp-" in reasons


def test_a_recipes_script_that_fails_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    with health.simulated_cluster(nodes=2, inputs=1) as cluster, serving_api(body(b"{}")) as address:
        monkeypatch.setattr(health, "LOOPBACK", address[:-1])
        with pytest.raises(SystemExit, match=r"check\.py ended with status 1:"):
            health.recipe_cost(cluster, 1)


@pytest.mark.parametrize(
    ("recipe", "service", "name"), [(0.0, 1.0, "recipe's script"), (1.0, 0.0, "health service")]
)
def test_no_cpu_time_is_no_measurement(recipe: float, service: float, name: str) -> None:
    with pytest.raises(SystemExit, match=f"^the {name} used no CPU time: nothing was measured"):
        health.row(1, 2, recipe, service)


@pytest.mark.parametrize(
    ("main", "arguments"),
    [
        (health.main, ["0"]),
        (detection.main, ["0"]),
        (failover.main, ["0"]),
        (flap.main, ["0"]),
        (slow_start.main, ["9"]),
        (udp.main, ["0"]),
        (udp.main, ["1", "0"]),
        (detection.main, ["--failure", "tired"]),
        (detection.main, ["--checks", "theirs"]),
        (failover.main, ["--failure", "tired"]),
        (failover.main, ["--vrrp", "slow"]),
        (flap.main, ["1", "slow"]),
        (udp.main, ["--path", "pigeon"]),
    ],
)
def test_what_would_measure_nothing_is_refused_before_the_lab_is_touched(
    main: click.Command, arguments: list[str]
) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert "Error: Invalid value for" in result.output
    assert repr(arguments[-1]) in result.output or f" {float(arguments[-1]):g}" in result.output


@pytest.mark.parametrize("main", [detection.main, failover.main, flap.main])
def test_without_a_lab_one_line_says_what_to_run(
    main: click.Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_DIR", str(tmp_path))
    result = CliRunner().invoke(main)
    assert (result.exit_code, result.output) == (1, "no lab is running here; run `python -m lab up`\n")


def test_echo_replies_of_this_machine_are_printed() -> None:
    done = subprocess.run(
        (sys.executable, "-m", "bench.echo", "127.0.0.1", "lo", "0.01", "0.3"),
        capture_output=True,
        text=True,
        timeout=10,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert len(lines) >= 5
    assert all(re.fullmatch(r"\d+\.\d{4} 00:00:00:00:00:00", line) for line in lines)


def test_a_moment_with_two_holders_is_waited_for_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = iter([["stash1", "stash2"], ["stash1", "stash2"], [], ["stash2"], ["stash2"]])
    can_take_over = iter([False, True])
    monkeypatch.setattr(machines, "holders", lambda lab: next(seen))
    monkeypatch.setattr(machines, "can_take_over", lambda lab: next(can_take_over))
    assert machines.wait_until_ready(LAB) == ("stash2", 2)


def test_two_holders_that_both_stay_are_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machines, "holders", lambda lab: ["stash1", "stash2"])
    monkeypatch.setattr(machines, "READY_LIMIT", 0.05)
    with pytest.raises(SystemExit, match="both nodes ready, and the VIP on one of them"):
        machines.wait_until_ready(LAB)


def test_a_wait_ends_with_its_condition() -> None:
    values = iter([0, 0, 1])
    wait_until(lambda: next(values), 5, "a one")
    assert list(values) == []
    with pytest.raises(SystemExit, match=r"^not within 0\.02 s: a one$"):
        wait_until(lambda: False, 0.02, "a one")


def test_a_failed_failover_is_repaired(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    failure = failover.Failure(
        "cut", lambda lab, name: calls.append(f"cut {name}"), lambda lab, name: calls.append(f"heal {name}")
    )

    def no_replies(lab: Lab, cause: object) -> list[tuple[float, str]]:
        assert callable(cause)
        cause()
        raise SystemExit("no replies")

    monkeypatch.setattr(failover, "wait_until_ready", lambda lab: ("stash2", 0))
    monkeypatch.setattr(failover, "watch_vip", no_replies)
    with pytest.raises(SystemExit):
        failover.measure_once(LAB, failure)
    assert calls == ["cut stash2", "heal stash2"]


def test_the_silences_are_printed_beside_the_recipes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measured = iter([(3.0, 1), (1.0, 0), (2.0, 2), (0.3, 0), (0.1, 0), (0.2, 1)])
    monkeypatch.setattr(failover, "measure_once", lambda lab, failure: failover.Measurement(*next(measured)))
    failures, medians = [failover.FAILURES["link-cut"]], dict[str, float]()
    assert failover.measure(LAB, "recipe", failures, 3, medians) == 3
    assert failover.measure(LAB, "default", failures, 3, medians) == 1
    assert capsys.readouterr().out.splitlines() == [
        "| recipe | link cut | 3 | 1000 | 2000 | 3000 | x 1.0 |",
        "| default | link cut | 3 | 100 | 200 | 300 | x 10.0 |",
    ]


def test_without_the_recipe_no_ratio_is_printed() -> None:
    assert failover.row("fast", "link cut", [0.06], None) == "| fast | link cut | 1 | 60 | 60 | 60 |  |"


def test_the_longest_silence_is_between_two_replies() -> None:
    assert failover.longest_silence([(1.0, "a"), (1.5, "a"), (3.5, "b"), (3.6, "b")]) == 2.0


@pytest.mark.parametrize("missing", [[], ["0A4D000B"], ["0A4D000C"]])
def test_only_a_pool_with_all_nodes_is_whole(missing: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the node that is made to fail next would be the last one, which stays in the pool."""
    table = """\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
UDP  0A4D000A:158A rr  ops
  -> 0A4D000B:158A      Masq    1      0          0
  -> 0A4D000C:158A      Masq    1      0          0
"""
    lines = [
        line for line in table.splitlines(keepends=True) if not any(address in line for address in missing)
    ]
    monkeypatch.setattr(detection, "run_on", lambda lab, name, script: "".join(lines))
    assert detection.whole_pool(LAB, "stash1") == (not missing)


def test_an_input_that_is_never_removed_is_shown_as_such() -> None:
    assert [detection.milliseconds(seconds) for seconds in (0.4751, float("inf"))] == ["475", "over 30000"]


def test_each_datagram_that_is_sent_is_counted(tmp_path: Path) -> None:
    program = tmp_path / "udp"
    udp.compile_udp(program)
    target = ("127.0.0.1", "57000")
    with subprocess.Popen((program, "count", *target, "10"), stdout=subprocess.PIPE, text=True) as counter:
        assert counter.stdout
        assert counter.stdout.readline()
        sender = subprocess.run(
            (program, "send", "127.0.0.1", *target, "200", "1000", "0.3"),
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
        received, _ = counter.communicate(timeout=15)
    sent, seconds = sender.stdout.split()
    assert (int(sent), int(received)) == (300, 300)
    assert 0.25 < float(seconds) < 0.7


def test_a_row_shows_what_was_lost_and_whether_the_rate_was_reached() -> None:
    full = udp.Result("nginx", 200, 1000, sent=2000, seconds=2.0, received=1500, dropped=400)
    assert full.row() == "| nginx | 200 B | 1000 | 2000 | 500 | 400 | 25.000 % |"
    late = udp.Result("nginx", 200, 1000, sent=1500, seconds=2.0, received=1500)
    assert late.row() == "| nginx | 200 B | 1000 (not reached) | 1500 | 0 | 0 | 0.000 % |"


def test_a_run_that_sends_nothing_is_no_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        udp, "start_on", lambda *_: subprocess.Popen(("true",), stdout=subprocess.PIPE, text=True)
    )
    with pytest.raises(
        SystemExit, match=r"nothing was sent to 10\.77\.0\.10 port 5514: nothing was measured"
    ):
        udp.send(LAB, "10.77.0.10", 5514, 200, 1000, 1)


def test_only_the_chosen_balancers_are_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[tuple[str, ...]] = []
    monkeypatch.setattr(udp, "run", lambda *command, cwd=None: commands.append(tuple(map(str, command))))
    udp.programs([udp.BALANCERS["ipvs"]])
    assert [command[0] for command in commands] == ["gcc"]
    udp.programs([udp.BALANCERS["ipvs"], udp.BALANCERS["nginx"]])
    assert commands[-1] == ("apt-get", "download", "-q", "nginx", "libnginx-mod-stream")
