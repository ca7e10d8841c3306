"""Checks of settings and pipelines before anything runs; no process is started."""

from pathlib import Path
from typing import Any

import pytest

from lab.standin.logstash_standin.delays import Delays
from lab.standin.logstash_standin.errors import ConfigurationError, JavaError, SettingsError
from lab.standin.logstash_standin.filters import Mutate
from lab.standin.logstash_standin.grammar import parse
from lab.standin.logstash_standin.log import Log
from lab.standin.logstash_standin.metrics import PipelineMetrics
from lab.standin.logstash_standin.options import read_options
from lab.standin.logstash_standin.pipeline import Pipeline
from lab.standin.logstash_standin.process import heap
from lab.standin.logstash_standin.runner import check_superuser
from lab.standin.logstash_standin.settings import Settings
from lab.standin.logstash_standin.sources import PipelineSource
from lab.standin.logstash_standin.version import Version

EIGHT = Version(8, 19, 18)


def check(text: str, version: Version = EIGHT) -> None:
    """Create a pipeline from its text, as a configuration test does."""
    source = PipelineSource("main", text, (), Settings(version, {}))
    Pipeline(source, PipelineMetrics(), Delays(0, 0, 0), Log()).discard()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("input {\n  udp {\n    port => 1\n", "at line 4, column 1 (byte 31)"),
        (
            "nonsense",
            r'Expected one of [ \t\r\n], "#", "input", "filter", "output" at line 1, column 1 (byte 1)',
        ),
        ("input { udp { } }", "Missing a required setting for the udp input plugin"),
        ("input { tcp { } }", "Missing a required setting for the tcp input plugin"),
        ("output { file { } }", "Missing a required setting for the file output plugin"),
        ("input { udp { port => abc } }", 'Expected number, got "abc" (type abc)'),
        ("input { udp { port => [1, 2] } }", "Expected number, got [1, 2]"),
        (
            "input { tcp { port => 1 dns_reverse_lookup_enabled => 7 } }",
            "Expected boolean 'true' or 'false', got 7",
        ),
        ("filter { mutate { add_field => [1] } }", "This field must contain an even number of items, got 1"),
        ("input { udp { port => 5514 nosuch => 1 } }", "Unknown setting 'nosuch' for udp"),
        ("filter { nosuch { } }", "(PluginLoadingError) Couldn't find any filter plugin named 'nosuch'"),
        ("output { nosuch { } }", "(PluginLoadingError) Couldn't find any output plugin named 'nosuch'"),
        ("filter { drop { nosuch => 1 } }", "Unknown setting 'nosuch' for drop"),
        ("output { kafka { } }", "Missing a required setting for the kafka output plugin"),
        ("output { tcp { host => a } }", "port => # SETTING MISSING"),
        ("input { udp { port => 1 codec => multiline { } } }", "for the multiline codec plugin"),
        (
            'output { elasticsearch { hosts => ["${ES}:9200"] } }',
            "Replacement variable `ES` is not defined in a Logstash secret store or as an Environment entry",
        ),
        (
            'input { udp { id => "a" port => 1 } udp { id => "a" port => 2 } }',
            "Config has duplicate Ids: \nID: a",
        ),
        ("input { udp { port => 1 codec => nosuch } }", "Couldn't find any codec plugin named 'nosuch'"),
        ("input { udp { port => '${NOSUCH}' } }", "Replacement variable `NOSUCH` is not defined"),
        ("output { file { path => '/%{host}/x' } }", "The starting part of the path should not be dynamic."),
    ],
)
def test_a_wrong_pipeline_is_refused_with_the_real_message(
    capsys: pytest.CaptureFixture[str], text: str, reason: str
) -> None:
    with pytest.raises(ConfigurationError) as error:
        check(text)
    assert reason in f"{capsys.readouterr().out}{error.value}"


def test_before_7_0_errors_name_no_class() -> None:
    with pytest.raises(ConfigurationError, match=r"^Couldn't find any filter plugin"):
        check("filter { nosuch { } }", Version(6, 8, 23))


def test_a_good_pipeline_is_accepted_and_creates_no_file(tmp_path: Path) -> None:
    """The recipe's pipeline, with all that the language has: comments, numbers as text, nested hashes."""
    check(
        f"""
        input {{ udp {{ host => "10.0.0.1" port => "5514" id => "udp-5514" }} }} # the recipe's
        output {{ file {{ path => "{tmp_path}/sub/itworked.txt" codec => json_lines }} }}
        filter {{ mutate {{ add_field => {{ "a" => {{ "b" => [1, "two", three] }} 'c' => -1.5 }} }} }}
        output {{ if [a] and !([b] =~ /x/) {{ null {{ }} }} else if [c] not in ["d"] {{ }} else {{ null {{}} }} }}
        """
    )
    assert not list(tmp_path.iterdir())


def test_plugins_that_are_not_implemented_accept_any_options(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ES_PASSWORD", "secret")
    check(
        """
        input {
          udp { port => 1 codec => netflow { versions => [5, 9] } }
          udp { port => 2 codec => cef }
          tcp { port => 3 codec => multiline { pattern => "^ " what => "previous" negate => false } }
          beats { port => 5044 ssl_enabled => true }
        }
        filter {
          grok { match => { "message" => ["%{SYSLOGLINE}", "%{GREEDYDATA:rest}"] } tag_on_failure => ["_no"] }
          date { match => ["timestamp", "MMM  d HH:mm:ss", "ISO8601"] }
          json { source => "message" skip_on_invalid_json => true }
          kv { field_split => "&?" }
          geoip { source => "[source][ip]" target => "source" }
          syslog_pri { }
          if [level] == "debug" { drop { percentage => 90 } }
          mutate { rename => { "a" => "b" } convert => { "c" => "integer" } gsub => ["d", "/", "_"] }
        }
        output {
          elasticsearch {
            hosts => ["https://es1:9200", "https://es2:9200"] user => "w" password => "${ES_PASSWORD}"
            index => "logs-%{+YYYY.MM.dd}" ilm_enabled => false
          }
          kafka { topic_id => "logs" bootstrap_servers => "k1:9092" codec => json }
          tcp { host => "192.0.2.1" port => 6000 codec => json_lines }
          http { url => "https://192.0.2.1/" http_method => "post" headers => { "X-A" => "b" } }
        }
        """
    )
    assert "does not implement this plugin" in (log := capsys.readouterr().out)
    assert "secret" not in log


def test_option_values_have_the_types_of_the_real_grammar() -> None:
    text = """filter { mutate {
        add_field => { "a" => { "b" => [1, "two", three] } 'c' => -1.5 d => true "e" => "10.0.0.1" "f" => { } }
        add_tag => single  remove_field => ["x", "y"]  id => "an id"  enable_metric => false
    } }"""
    ((_, ((name, given),)),) = parse(text)
    values = read_options("filter", name, Mutate.OPTIONS, given, Log().logger("test"))
    assert values["add_field"] == {
        "a": {"b": [1, "two", "three"]},
        "c": -1.5,
        "d": "true",
        "e": "10.0.0.1",
        "f": {},
    }
    assert (values["add_tag"], values["remove_field"]) == (["single"], ["x", "y"])
    assert (values["id"], values["enable_metric"], values["remove_tag"]) == ("an id", False, None)


@pytest.mark.parametrize(
    ("version", "name", "known"),
    [
        (Version(7, 15, 2), "http.host", True),
        (Version(7, 15, 2), "api.http.host", False),
        (Version(7, 16, 0), "api.http.host", True),
        (Version(7, 17, 29), "http.host", True),
        (EIGHT, "http.host", True),
        (Version(9, 0, 0), "http.host", False),
        (Version(9, 0, 0), "api.http.host", True),
        (Version(6, 8, 23), "allow_superuser", False),
        (EIGHT, "allow_superuser", True),
        (EIGHT, "queue.drain", True),
        (EIGHT, "xpack.monitoring.enabled", True),
        (EIGHT, "nosuch", False),
    ],
)
def test_a_setting_is_known_only_to_the_versions_that_have_it(
    version: Version, name: str, known: bool
) -> None:
    settings = Settings(version, {name: "true"})
    if known:
        settings.validate()
    else:
        with pytest.raises(SettingsError, match=f'Setting "{name}" doesn\'t exist'):
            settings.validate()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("api.http.port", "0"),
        ("api.http.port", "9600-70000"),
        ("api.http.host", 1),
        ("pipeline.workers", 0),
        ("pipeline.batch.size", "many"),
        ("config.reload.interval", "soon"),
        ("config.reload.automatic", "maybe"),
        ("log.level", "loud"),
        ("queue.type", "disk"),
        ("queue.max_bytes", "4"),
        ("queue.max_bytes", "4x"),
        ("queue.max_bytes", True),
    ],
)
def test_a_setting_refuses_wrong_values(name: str, value: Any) -> None:
    with pytest.raises(SettingsError):
        Settings(EIGHT, {name: value}).validate()


@pytest.mark.parametrize(
    ("value", "size"), [("4gb", 4 * 2**30), ("4g", 4 * 2**30), ("512mb", 2**29), ("1.5kb", 1536), (7, 7)]
)
def test_a_size_with_a_unit_is_read_as_bytes(value: Any, size: int) -> None:
    assert Settings(EIGHT, {"queue.max_bytes": value})["queue.max_bytes"] == size


@pytest.mark.parametrize(
    ("options", "sizes"),
    [
        ("", (2**30, 2**30)),
        ("-Xms512m -Xmx4g", (2**29, 2**32)),
        ("-Xmx1g -Xms1G -Dx=y -Xmx2048M", (2**30, 2**31)),
        ("-Xms4x", "Invalid initial heap size: -Xms4x"),
        ("-Xmx", "Invalid maximum heap size: -Xmx"),
        ("-Xms2g -Xmx1g", "Initial heap size set to a larger value than the maximum heap size"),
    ],
)
def test_the_heap_follows_ls_java_opts_and_wrong_sizes_are_refused(
    monkeypatch: pytest.MonkeyPatch, options: str, sizes: tuple[int, int] | str
) -> None:
    monkeypatch.setenv("LS_JAVA_OPTS", options)
    if isinstance(sizes, str):
        with pytest.raises(JavaError, match=sizes):
            heap()
    else:
        assert heap() == sizes


def test_root_is_refused_from_9_0_unless_allow_superuser_is_set() -> None:
    for version, given, allowed in (
        (Version(8, 19, 18), {}, True),
        (Version(8, 19, 18), {"allow_superuser": False}, False),
        (Version(9, 0, 0), {}, False),
        (Version(9, 0, 0), {"allow_superuser": True}, True),
    ):
        settings = Settings(version, given)
        check_superuser(settings, uid=1000)
        if allowed:
            check_superuser(settings, uid=0)
        else:
            with pytest.raises(Exception, match="Logstash cannot be run as superuser"):
                check_superuser(settings, uid=0)
