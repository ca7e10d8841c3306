"""The API's routes, and the differences between the simulated versions."""

import json
import urllib.request

from tests.standin.standin_process import ADDRESS, MakeStandin, every_major
from tests.until import until


@every_major
def test_the_api_has_the_keys_of_its_major_version(make_standin: MakeStandin, version: str) -> None:
    standin = make_standin(version).start()
    _, stats = standin.get()
    main = stats["pipelines"]["main"]
    major = int(version[0])
    assert ("status" in stats) == ("codecs" in main["plugins"]) == ("hash" in main) == (major >= 7)
    assert ("flow" in stats) == ("flow" in main) == ("pipeline" in main) == (major >= 8)
    assert ("batch" in main) == (major >= 9)
    assert standin.get("/_health_report")[0] == (200 if major >= 8 else 404)

    _, node = standin.get("/_node/pipelines/main")
    config = node["pipelines"]["main"]
    assert ("hash" in config) == (major >= 7)
    assert ("config_reload_automatic" in config) == (major < 9)
    assert config["dead_letter_queue_enabled"] is False


@every_major
def test_every_route_answers_and_unknown_paths_are_not_found(make_standin: MakeStandin, version: str) -> None:
    standin = make_standin(version).start()
    status, root = standin.get("/")
    assert (status, root["version"], root["http_address"]) == (200, version, f"{ADDRESS}:{standin.port}")
    assert standin.get("/_node")[1].keys() == root.keys() - {"build_date", "build_sha", "build_snapshot"} | {
        "pipelines",
        "os",
        "jvm",
    }
    assert standin.get("/_node/stats/pipelines/main")[1]["pipelines"].keys() == {"main"}
    assert standin.get("/_node/stats/jvm,reloads")[1].keys() >= {"jvm", "reloads"}
    assert "events" not in standin.get("/_node/stats/jvm")[1]
    for path in (
        "/_node/stats/pipelines/nosuch",
        "/_node/pipelines/nosuch",
        "/_node/stats/nosuch",
        "/nosuch",
    ):
        assert standin.get(path) == (404, {"path": path, "status": 404, "error": {"message": "Not Found"}})


def test_the_query_pretty_indents_the_json(make_standin: MakeStandin) -> None:
    standin = make_standin().start()
    with urllib.request.urlopen(f"http://{ADDRESS}:{standin.port}/?pretty") as response:
        assert response.headers["Content-Type"] == "application/json"
        text = response.read().decode()
    assert text.startswith('{\n  "host"')
    assert json.loads(text)["version"] == "8.19.18"


def test_before_7_2_the_first_response_is_an_error(make_standin: MakeStandin) -> None:
    standin = make_standin("6.8.23", START_DELAY=2).launch()
    status, body = until(lambda: [response for response in [standin.get()] if response[0]])[0]
    assert (status, body["class"]) == (500, "LogStash::Instrument::MetricStore::MetricNotFound")
    assert until(lambda: standin.get()[0] == 200)


def test_every_plugin_counts_its_events(make_standin: MakeStandin) -> None:
    standin = make_standin()
    standin.configure("filter { mutate { add_field => { a => b } } }\n", "filter.conf")
    standin.start()
    standin.send(b"one", b"two", b"three")
    standin.events(3)
    until(lambda: standin.main_stats()["events"]["out"] == 3)
    main = standin.main_stats()
    plugins = main["plugins"]
    assert (main["events"]["in"], main["events"]["filtered"]) == (3, 3)
    assert standin.input_stats()["events"]["out"] == 3
    assert [(step["name"], step["events"]["in"], step["events"]["out"]) for step in plugins["filters"]] == [
        ("mutate", 3, 3)
    ]
    assert {step["name"]: step["events"]["out"] for step in plugins["outputs"]} == {"file": 3, "chaos": 3}
    codecs = plugins["codecs"]
    assert sum(codec["decode"]["out"] for codec in codecs if codec["name"] == "plain") == 3
    assert [codec["encode"]["writes_in"] for codec in codecs if codec["name"] == "json_lines"] == [3]
    assert main["flow"]["input_throughput"]["lifetime"] > 0


def test_the_api_reports_the_queue_and_the_heap_as_configured(make_standin: MakeStandin) -> None:
    standin = make_standin()
    standin.settings |= {"queue.type": "persisted", "queue.max_bytes": "256mb", "pipeline.workers": 3}
    standin.write_settings()
    standin.environment["LS_JAVA_OPTS"] = "-Xms256m -Xmx512m"
    standin.start()
    queue = standin.main_stats()["queue"]
    assert (queue["type"], queue["max_queue_size_in_bytes"]) == ("persisted", 2**28)
    assert standin.get("/_node/stats/jvm")[1]["jvm"]["mem"]["heap_max_in_bytes"] == 2**29
    assert standin.get("/_node/pipelines")[1]["pipelines"]["main"]["workers"] == 3


def test_the_health_report_lists_each_of_several_pipelines(make_standin: MakeStandin) -> None:
    standin = make_standin()
    (standin.folder / "pipelines.yml").write_text(
        f"- pipeline.id: main\n  path.config: {standin.folder}/conf.d/*.conf\n"
        "- pipeline.id: other\n  config.string: 'input { generator { count => 2 } } output { null { } }'\n"
    )
    standin.start()
    until(lambda: standin.get("/_node/stats/pipelines/other")[1]["pipelines"]["other"]["events"]["out"] == 2)
    report = until(
        lambda: [body for _, body in [standin.get("/_health_report")] if body["status"] == "yellow"],
    )[0]
    assert report["indicators"]["pipelines"]["symptom"] == (
        "1 indicator is concerning (`other`) and 1 indicator is healthy (`main`)"
    )
    assert report["indicators"]["pipelines"]["indicators"]["other"]["details"]["status"] == {
        "state": "FINISHED"
    }
