"""What monitoring systems are told, and how verify.py tells them."""

import re
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from cluster import ClusterError
from verification import command
from verification.activity import Activity
from verification.command import main
from verification.monitor import metrics, metrics_failure, plugin, plugin_failure, worst
from verification.report import (
    Cell,
    Delivery,
    InputDelivery,
    Problem,
    Report,
    Row,
    Status,
    VipReport,
)

VIP = "10.77.0.10"
WRONG = Problem(Status.WRONG, "ipvs", "stash1", "a | b", "fix it")


def report(*problems: Problem, cell: Status = Status.OK) -> Report:
    """Two nodes, of which the first holds the VIP and the second takes the events."""
    vips = {VIP: VipReport(("stash1",), {"udp-5514": ("stash2",)})}
    rows = (
        Row("ipvs", "udp-5514", VIP, {"stash1": Cell(cell, "1 of 2"), "stash2": Cell(Status.OK, "2 of 2")}),
    )
    return Report(("stash1", "stash2"), vips, rows, problems)


def problem(status: Status) -> Problem:
    return Problem(status, "health", None, "what", "do")


DELIVERY = Delivery(
    "run", "sender", (InputDelivery("udp-5514", (VIP,), "events", 10, 0, {}, 3, 1),), (WRONG,)
)


@pytest.mark.parametrize(
    ("statuses", "cell", "number", "word"),
    [
        ([], Status.OK, 0, "OK"),
        ([], Status.WRONG, 2, "CRITICAL"),
        ([Status.WARNING], Status.OK, 1, "WARNING"),
        ([Status.WARNING, Status.UNKNOWN], Status.OK, 3, "UNKNOWN"),
        ([Status.WARNING, Status.UNKNOWN, Status.WRONG], Status.OK, 2, "CRITICAL"),
    ],
)
def test_the_worst_is_the_plug_ins_status(
    statuses: list[Status], cell: Status, number: int, word: str
) -> None:
    status, text = plugin(report(*map(problem, statuses), cell=cell), None)
    assert (status, text.split(" - ")[0]) == (number, f"LOGSTASH-HA {word}")


def test_a_plug_in_answers_with_the_state_the_figures_and_the_problems() -> None:
    """The state and its figures in the first line, then the problems, without a bar of their own."""
    assert plugin(report(WRONG), None)[1].splitlines() == [
        f"LOGSTASH-HA CRITICAL - 1 thing to look at; VIP {VIP} on stash1, 1 of 2 take udp-5514"
        f" | problems=1;;;0 '{VIP} udp-5514'=1;;;0;2",
        "stash1: a / b -> fix it",
    ]
    assert plugin(report(), None)[1].startswith(f"LOGSTASH-HA OK - VIP {VIP} on stash1, ")
    assert plugin_failure("no | node") == (3, "LOGSTASH-HA UNKNOWN - no / node")


def test_what_was_sent_counts_too() -> None:
    status, text = plugin(report(), DELIVERY)
    assert status == 2
    assert text.splitlines()[0].endswith(f" '{VIP} udp-5514 lost'=3;;;0;10")
    assert worst(report(), DELIVERY) is Status.WRONG


def test_metrics_are_as_prometheus_reads_them() -> None:
    """As Prometheus' own parser reads them."""
    text = generate_latest(metrics(report(WRONG, cell=Status.WRONG), DELIVERY)).decode()
    found = {
        (sample.name.removeprefix("logstash_ha_"), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert found == {
        ("looked",): 1,
        ("status",): 2,
        ("problems", "warning"): 0,
        ("problems", "wrong"): 2,
        ("problems", "unknown"): 0,
        ("check", "ipvs", "udp-5514", "stash1", VIP): 2,
        ("check", "ipvs", "udp-5514", "stash2", VIP): 0,
        ("maintenance", "stash1"): 0,
        ("maintenance", "stash2"): 0,
        ("holder", "stash1", VIP): 1,
        ("holder", "stash2", VIP): 0,
        ("pool", "udp-5514", "stash1", VIP): 0,
        ("pool", "udp-5514", "stash2", VIP): 1,
        ("sent", "udp-5514", VIP): 10,
        ("lost", "udp-5514", VIP): 3,
        ("duplicated", "udp-5514", VIP): 1,
    }
    assert re.findall("^logstash.*", generate_latest(metrics_failure()).decode(), re.M) == [
        "logstash_ha_looked 0.0"
    ]


def test_verify_answers_as_a_plug_in(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        command,
        "_verify",
        lambda options: ({"nodes": (report(problem(Status.WARNING)), None)}, {}, Activity({}, ())),
    )
    assert main(["--nagios"]) == 1
    assert capsys.readouterr().out.startswith("LOGSTASH-HA WARNING - 1 thing to look at; ")


def test_verify_writes_metrics(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it found is in the file, not in the exit status, which is for the writing."""
    monkeypatch.setattr(
        command, "_verify", lambda options: ({"nodes": (report(WRONG), None)}, {}, Activity({}, ()))
    )
    file = tmp_path / "logstash_ha.prom"
    assert main(["--prometheus", str(file)]) == 0
    assert "logstash_ha_status 2.0" in file.read_text()
    assert [file.name for file in tmp_path.iterdir()] == [file.name]
    assert main(["--prometheus", str(tmp_path / "none" / "x.prom")]) == 2
    assert "x.prom: No such file or directory; name a file in a folder of yours" in capsys.readouterr().err


def test_nothing_could_be_looked_at(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(options: object) -> None:
        raise ClusterError("no node can be reached")

    monkeypatch.setattr(command, "_verify", fail)
    assert main(["--nagios"]) == 3
    assert capsys.readouterr().out == "LOGSTASH-HA UNKNOWN - no node can be reached\n"
    file = tmp_path / "x.prom"
    assert main(["--prometheus", str(file)]) == 2
    assert "logstash_ha_looked 0.0" in file.read_text()


@pytest.mark.parametrize(
    "arguments", [["--json", "--nagios"], ["--drift", "--nagios"], ["--drift", "--prometheus", "x"]]
)
def test_one_form_at_a_time(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert "usage: verify.py" in capsys.readouterr().err
