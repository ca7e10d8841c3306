"""The API's answers have the keys and types recorded from real Logstashes, in all eight states."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.standin.standin_process import ADDRESS, Standin, refused, until

SAMPLES = Path(__file__).parents[1] / "samples"
PATHS = {"node_stats": "/_node/stats", "pipelines": "/_node/stats/pipelines", "health": "/_health_report"}
RATES = {"current", "lifetime"}
NO_DELAY_BETWEEN_RELOADS = {"config.reload.automatic": True, "config.reload.interval": "200ms"}


def shape(value: Any) -> Any:
    """Keys and types without values; plugins by name, whatever their order."""
    if isinstance(value, dict):
        # A rate is a number, "Infinity", or missing before there is anything to divide.
        if value.keys() <= RATES and all(
            isinstance(rate, float) or rate == "Infinity" for rate in value.values()
        ):
            return "rates"
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        named = [(item.get("name"), shape(item)) for item in value if isinstance(item, dict)]
        return sorted(named, key=repr) if named else sorted({type(item).__name__ for item in value})
    return type(value).__name__


def assert_like(standin: Standin, state: str) -> None:
    """Compare the three recorded answers of a state."""
    for document, path in PATHS.items():
        (sample,) = SAMPLES.glob(f"{standin.version}.{state}.{document}.*.json")
        status, body = standin.get(path)
        assert (status, shape(body)) == (
            int(sample.suffixes[-2][1:]),
            shape(json.loads(sample.read_text())),
        ), document


recorded = pytest.mark.parametrize("version", ["7.17.29", "8.19.18"])


@recorded
def test_from_the_first_answer_to_a_crash(standin: Any, version: str) -> None:
    it = standin(version, START_DELAY=2.5)
    it.settings |= NO_DELAY_BETWEEN_RELOADS
    it.write_settings()
    it.launch()
    until(lambda: it.get()[0])
    assert_like(it, "01-first-answer")

    until(lambda: it.get()[1]["pipelines"])
    it.send(b"one")
    it.events(1)
    until(lambda: it.main()["events"]["out"] == 1)
    assert_like(it, "02-ok")

    good = it.pipeline()
    it.configure(it.pipeline(outputs="nosuch { }"))
    until(lambda: it.main()["reloads"]["failures"] >= 2)
    assert_like(it, "03-bad-reload-old-pipeline-still-running")

    it.configure(good)
    it.send(b"crash")
    until(lambda: "hash" not in it.main())
    assert_like(it, "04-crashed-socket-closed")
    assert refused(it.udp)
    assert it.get("/")[1]["status"] == {"7.17.29": "green", "8.19.18": "red"}[version]
    assert it.main()["events"] | {"in": 2, "filtered": 1, "out": 1} == it.main()["events"]


@recorded
def test_udp_bind_failing_and_recovered(standin: Any, version: str) -> None:
    it = standin(version, RETRY=0.2)
    it.configure(it.pipeline("udp"))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as occupant:
        occupant.bind((ADDRESS, it.udp))
        it.start()
        until(lambda: it.input().get("errors", {}).get("listener", 0) >= 3)
        assert_like(it, "05-udp-bind-failing")
    until(lambda: not refused(it.udp))
    assert_like(it, "06-udp-bind-recovered")


@recorded
def test_tcp_bind_failing_and_port_freed(standin: Any, version: str) -> None:
    it = standin(version)
    with socket.create_server((ADDRESS, it.tcp)):
        it.start()
        until(lambda: "unrecoverable error" in it.log())
        assert_like(it, "07-tcp-bind-failing")
    until(lambda: "event executor terminated" in it.log())
    assert_like(it, "08-tcp-port-freed")
    with socket.socket() as client:
        assert client.connect_ex((ADDRESS, it.tcp)) != 0
