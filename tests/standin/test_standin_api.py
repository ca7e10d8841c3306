"""The API's routes, and what differs between the versions played."""

import json
import urllib.request
from typing import Any

import pytest

from tests.standin.standin_process import ADDRESS, MAJORS, until

every_major = pytest.mark.parametrize("version", MAJORS)


@every_major
def test_what_each_major_has(standin: Any, version: str) -> None:
    it = standin(version).start()
    _, stats = it.get()
    main = stats["pipelines"]["main"]
    major = int(version[0])
    assert ("status" in stats) == ("codecs" in main["plugins"]) == ("hash" in main) == (major >= 7)
    assert ("flow" in stats) == ("flow" in main) == ("pipeline" in main) == (major >= 8)
    assert ("batch" in main) == (major >= 9)
    assert it.get("/_health_report")[0] == (200 if major >= 8 else 404)

    _, node = it.get("/_node/pipelines/main")
    config = node["pipelines"]["main"]
    assert ("hash" in config) == (major >= 7)
    assert ("config_reload_automatic" in config) == (major < 9)
    assert config["dead_letter_queue_enabled"] is False


@every_major
def test_routes(standin: Any, version: str) -> None:
    it = standin(version).start()
    status, root = it.get("/")
    assert (status, root["version"], root["http_address"]) == (200, version, f"{ADDRESS}:{it.port}")
    assert it.get("/_node")[1].keys() == root.keys() - {"build_date", "build_sha", "build_snapshot"} | {
        "pipelines",
        "os",
        "jvm",
    }
    assert it.get("/_node/stats/pipelines/main")[1]["pipelines"].keys() == {"main"}
    assert it.get("/_node/stats/jvm,reloads")[1].keys() >= {"jvm", "reloads"}
    assert "events" not in it.get("/_node/stats/jvm")[1]
    for path in (
        "/_node/stats/pipelines/nosuch",
        "/_node/pipelines/nosuch",
        "/_node/stats/nosuch",
        "/nosuch",
    ):
        assert it.get(path) == (404, {"path": path, "status": 404, "error": {"message": "Not Found"}})


def test_pretty(standin: Any) -> None:
    it = standin().start()
    with urllib.request.urlopen(f"http://{ADDRESS}:{it.port}/?pretty") as answer:
        assert answer.headers["Content-Type"] == "application/json"
        text = answer.read().decode()
    assert text.startswith('{\n  "host"')
    assert json.loads(text)["version"] == "8.19.18"


def test_before_7_2_the_first_answer_is_an_error(standin: Any) -> None:
    it = standin("6.8.23", START_DELAY=2).launch()
    status, body = until(lambda: [each for each in [it.get()] if each[0]])[0]
    assert (status, body["class"]) == (500, "LogStash::Instrument::MetricStore::MetricNotFound")
    assert until(lambda: it.get()[0] == 200)


def test_counters_of_every_plugin(standin: Any) -> None:
    it = standin()
    it.configure("filter { mutate { add_field => { a => b } } }\n", "filter.conf")
    it.start()
    it.send(b"one", b"two", b"three")
    it.events(3)
    until(lambda: it.main()["events"]["out"] == 3)
    main = it.main()
    plugins = main["plugins"]
    assert (main["events"]["in"], main["events"]["filtered"]) == (3, 3)
    assert it.input()["events"]["out"] == 3
    assert [(step["name"], step["events"]["in"], step["events"]["out"]) for step in plugins["filters"]] == [
        ("mutate", 3, 3)
    ]
    assert {step["name"]: step["events"]["out"] for step in plugins["outputs"]} == {"file": 3, "chaos": 3}
    codecs = plugins["codecs"]
    assert sum(codec["decode"]["out"] for codec in codecs if codec["name"] == "plain") == 3
    assert [codec["encode"]["writes_in"] for codec in codecs if codec["name"] == "json_lines"] == [3]
    assert main["flow"]["input_throughput"]["lifetime"] > 0


def test_a_persisted_queue_and_the_heap(standin: Any) -> None:
    it = standin()
    it.settings |= {"queue.type": "persisted", "queue.max_bytes": "256mb", "pipeline.workers": 3}
    it.write_settings()
    it.environment["LS_JAVA_OPTS"] = "-Xms256m -Xmx512m"
    it.start()
    queue = it.main()["queue"]
    assert (queue["type"], queue["max_queue_size_in_bytes"]) == ("persisted", 2**28)
    assert it.get("/_node/stats/jvm")[1]["jvm"]["mem"]["heap_max_in_bytes"] == 2**29
    assert it.get("/_node/pipelines")[1]["pipelines"]["main"]["workers"] == 3


def test_several_pipelines(standin: Any) -> None:
    it = standin()
    (it.folder / "pipelines.yml").write_text(
        f"- pipeline.id: main\n  path.config: {it.folder}/conf.d/*.conf\n"
        "- pipeline.id: other\n  config.string: 'input { generator { count => 2 } } output { null { } }'\n"
    )
    it.start()
    until(lambda: it.get("/_node/stats/pipelines/other")[1]["pipelines"]["other"]["events"]["out"] == 2)
    report = until(
        lambda: [body for _, body in [it.get("/_health_report")] if body["status"] == "yellow"],
    )[0]
    assert report["indicators"]["pipelines"]["symptom"] == (
        "1 indicator is concerning (`other`) and 1 indicator is healthy (`main`)"
    )
    assert report["indicators"]["pipelines"]["indicators"]["other"]["details"]["status"] == {
        "state": "FINISHED"
    }
