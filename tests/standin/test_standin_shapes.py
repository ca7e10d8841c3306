"""The API's answers have the keys and types recorded from real Logstashes, in all eight states."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.standin.standin_process import ADDRESS, MakeStandin, Standin, refused
from tests.until import until

SAMPLES = Path(__file__).parents[1] / "samples"
PATHS = {"node_stats": "/_node/stats", "pipelines": "/_node/stats/pipelines", "health": "/_health_report"}
RATES = {"current", "lifetime"}
NO_DELAY_BETWEEN_RELOADS = {"config.reload.automatic": True, "config.reload.interval": "200ms"}


def shape(value: Any) -> Any:
    """The keys and types of a body without its values. Plugins are sorted by name."""
    if isinstance(value, dict):
        # A rate is a number or "Infinity", and missing while the denominator and the numerator are 0.
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
    """Compare the three responses with those recorded in a state."""
    for document, path in PATHS.items():
        (sample,) = SAMPLES.glob(f"{standin.version}.{state}.{document}.*.json")
        status, body = standin.get(path)
        assert (status, shape(body)) == (
            int(sample.suffixes[-2][1:]),
            shape(json.loads(sample.read_text())),
        ), document


recorded = pytest.mark.parametrize("version", ["7.17.29", "8.19.18"])


@recorded
def test_the_api_has_the_recorded_shape_from_the_first_response_to_a_crash(
    make_standin: MakeStandin, version: str
) -> None:
    standin = make_standin(version, START_DELAY=15)
    standin.settings |= NO_DELAY_BETWEEN_RELOADS
    standin.write_settings()
    standin.launch()
    until(lambda: standin.get()[0])
    assert_like(standin, "01-first-answer")

    until(lambda: "hash" in standin.get()[1]["pipelines"].get("main", {}))
    standin.send(b"one")
    standin.events(1)
    until(lambda: standin.main_stats()["events"]["out"] == 1)
    assert_like(standin, "02-ok")

    good = standin.pipeline_text()
    standin.configure(standin.pipeline_text(outputs="nosuch { }"))
    until(lambda: standin.main_stats()["reloads"]["failures"] >= 2)
    assert_like(standin, "03-bad-reload-old-pipeline-still-running")

    standin.configure(good)
    standin.send(b"crash")
    until(lambda: "hash" not in standin.main_stats())
    assert_like(standin, "04-crashed-socket-closed")
    assert refused(standin.udp)
    assert standin.get("/")[1]["status"] == {"7.17.29": "green", "8.19.18": "red"}[version]
    assert (
        standin.main_stats()["events"] | {"in": 2, "filtered": 1, "out": 1} == standin.main_stats()["events"]
    )


@recorded
def test_the_api_has_the_recorded_shape_while_udp_cannot_bind_and_after_it_can(
    make_standin: MakeStandin, version: str
) -> None:
    standin = make_standin(version, RETRY=0.2)
    standin.configure(standin.pipeline_text("udp"))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as occupant:
        occupant.bind((ADDRESS, standin.udp))
        standin.start()
        until(lambda: standin.input_stats().get("errors", {}).get("listener", 0) >= 3)
        assert_like(standin, "05-udp-bind-failing")
    until(lambda: not refused(standin.udp))
    assert_like(standin, "06-udp-bind-recovered")


@recorded
def test_the_api_has_the_recorded_shape_while_tcp_cannot_bind_and_never_binds_again(
    make_standin: MakeStandin, version: str
) -> None:
    standin = make_standin(version)
    with socket.create_server((ADDRESS, standin.tcp)):
        standin.start()
        until(lambda: "unrecoverable error" in standin.log())
        assert_like(standin, "07-tcp-bind-failing")
    until(lambda: "event executor terminated" in standin.log())
    assert_like(standin, "08-tcp-port-freed")
    with socket.socket() as client:
        assert client.connect_ex((ADDRESS, standin.tcp)) != 0
