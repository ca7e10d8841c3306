"""The API's routes, and the differences between the simulated versions."""

import base64
import json
import socket
import ssl
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.standin.standin_process import ADDRESS, MakeStandin, Standin, every_major
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
    standin = make_standin("6.8.23", START_DELAY=15).launch()
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


KEYSTORE_PASSWORD = "Keyst0re"


def secure(
    standin: Standin, folder: Path, login: bool = True, password: str = KEYSTORE_PASSWORD
) -> Authority:
    """Gives the stand-in's API TLS, and a login."""
    authority = Authority(folder)
    keystore = authority.keystore("api", KEYSTORE_PASSWORD, ADDRESS)
    standin.settings |= {
        "api.ssl.enabled": True,
        "api.ssl.keystore.path": str(keystore),
        "api.ssl.keystore.password": password,
    }
    if login:
        standin.settings |= {
            "api.auth.type": "basic",
            "api.auth.basic.username": "monitor",
            "api.auth.basic.password": "${API_PASSWORD}",
        }
        standin.environment["API_PASSWORD"] = "s3cr3T-word"
    standin.write_settings()
    return authority


def raw(standin: Standin, sent: bytes) -> bytes:
    """What the API answers these bytes, to the end."""
    with socket.create_connection((ADDRESS, standin.port), timeout=5) as connection:
        connection.sendall(sent)
        return connection.recv(1000)


@pytest.mark.parametrize("version", ["7.17.29", "8.19.18", "9.3.8"])
def test_a_secured_api_wants_tls_and_the_login(
    make_standin: MakeStandin, tmp_path: Path, version: str
) -> None:
    """Without TLS the connection is closed without an answer; without the login the answer has no body."""
    standin = make_standin(version)
    authority = secure(standin, tmp_path)
    standin.start()
    assert raw(standin, b"GET / HTTP/1.1\r\n\r\n") == b""
    context = ssl.create_default_context(cafile=str(authority.ca_file))
    url = f"https://{ADDRESS}:{standin.port}/"

    def ask(header: str | None) -> tuple[int, str | None, bytes]:
        request = urllib.request.Request(url, headers={"Authorization": header} if header else {})
        try:
            with urllib.request.urlopen(request, context=context) as response:
                return response.status, None, response.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers["WWW-Authenticate"], error.read()

    def basic(pair: str) -> str:
        return f"Basic {base64.b64encode(pair.encode()).decode()}"

    refusal = (401, 'Basic realm="logstash-api"', b"")
    assert ask(None) == ask(basic("monitor:other")) == ask("Basic !") == refusal
    assert ask("Bearer x") == (400, None, b"")
    status, _, text = ask(basic("monitor:s3cr3T-word"))
    assert (status, json.loads(text)["version"]) == (200, version)


def test_an_api_without_tls_answers_its_beginning_with_an_error(make_standin: MakeStandin) -> None:
    standin = make_standin().start()
    assert raw(standin, b"\x16\x03\x01\0\x05hello") == b"HTTP/1.1 400 Bad Request\r\n\r\n"


@pytest.mark.parametrize(
    ("setting", "value", "says"),
    [
        ("api.ssl.keystore.password", "other", "API Keystore could not be opened (java.io.IOException: keystore password was incorrect)"),
        ("api.ssl.keystore.path", "/nonexistent.p12", 'File "/nonexistent.p12" must exist but was not found.'),
        ("api.ssl.keystore.password", None, "Setting `api.ssl.keystore.password` is required when `api.ssl.enabled` is set to `true`. Please provide it in your `logstash.yml`"),
        ("api.auth.basic.username", None, "Setting `api.auth.basic.username` is required when `api.auth.type` is set to `basic`."),
        ("api.auth.type", "digest", 'Invalid value "api.auth.type: digest"'),
    ],
)  # fmt: skip
def test_what_can_not_secure_the_api_ends_the_start(
    make_standin: MakeStandin, tmp_path: Path, setting: str, value: str | None, says: str
) -> None:
    standin = make_standin()
    secure(standin, tmp_path)
    standin.settings[setting] = value
    standin.write_settings()
    done = standin.run()
    assert done.returncode == 1
    assert says in done.stdout + done.stderr + standin.log()
