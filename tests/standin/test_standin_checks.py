"""What is checked before anything runs: settings and pipelines, without a process."""

from pathlib import Path
from typing import Any

import pytest

from lab.standin.logstash_standin.errors import ConfigurationError, SettingsError
from lab.standin.logstash_standin.filters import Mutate
from lab.standin.logstash_standin.grammar import parse
from lab.standin.logstash_standin.knobs import Knobs
from lab.standin.logstash_standin.log import Log
from lab.standin.logstash_standin.metrics import PipelineMetrics
from lab.standin.logstash_standin.options import read
from lab.standin.logstash_standin.pipeline import Pipeline
from lab.standin.logstash_standin.runner import check_superuser
from lab.standin.logstash_standin.settings import Settings
from lab.standin.logstash_standin.sources import PipelineSource
from lab.standin.logstash_standin.version import Version

EIGHT = Version(8, 19, 18)


def check(text: str, version: Version = EIGHT) -> None:
    """Make a pipeline of a text, as a configuration test does."""
    source = PipelineSource("main", text, (), Settings(version, {}))
    Pipeline(source, PipelineMetrics(), Knobs(0, 0, 0), Log()).discard()


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
        ("filter { grok { } }", "(PluginLoadingError) Couldn't find any filter plugin named 'grok'"),
        ("input { udp { port => 1 codec => nosuch } }", "Couldn't find any codec plugin named 'nosuch'"),
        ("input { udp { port => '${NOSUCH}' } }", "Replacement variable `NOSUCH` is not defined"),
        ("output { file { path => '/%{host}/x' } }", "The starting part of the path should not be dynamic."),
    ],
)
def test_a_bad_pipeline(capsys: pytest.CaptureFixture[str], text: str, reason: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        check(text)
    assert reason in f"{capsys.readouterr().out}{error.value}"


def test_before_7_0_errors_name_no_class() -> None:
    with pytest.raises(ConfigurationError, match=r"^Couldn't find any filter plugin"):
        check("filter { grok { } }", Version(6, 8, 23))


def test_a_good_pipeline_touches_nothing(tmp_path: Path) -> None:
    """The recipe's, and all that its language has: comments, numbers as texts, hashes in hashes, branches."""
    check(
        f"""
        input {{ udp {{ host => "10.0.0.1" port => "5514" id => "udp-5514" }} }} # the recipe's
        output {{ file {{ path => "{tmp_path}/sub/itworked.txt" codec => json_lines }} }}
        filter {{ mutate {{ add_field => {{ "a" => {{ "b" => [1, "two", three] }} 'c' => -1.5 }} }} }}
        output {{ if [a] and !([b] =~ /x/) {{ null {{ }} }} else if [c] not in ["d"] {{ }} else {{ null {{}} }} }}
        """
    )
    assert not list(tmp_path.iterdir())


def test_values_of_options() -> None:
    text = """filter { mutate {
        add_field => { "a" => { "b" => [1, "two", three] } 'c' => -1.5 d => true "e" => "10.0.0.1" "f" => { } }
        add_tag => single  remove_field => ["x", "y"]  id => "an id"  enable_metric => false
    } }"""
    ((_, ((name, given),)),) = parse(text)
    values = read("filter", name, Mutate.OPTIONS, given, Log().logger("test"))
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
        (EIGHT, "queue.type", True),
        (EIGHT, "xpack.monitoring.enabled", True),
        (EIGHT, "nosuch", False),
    ],
)
def test_which_settings_a_version_has(version: Version, name: str, known: bool) -> None:
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
    ],
)
def test_values_that_a_setting_does_not_take(name: str, value: Any) -> None:
    with pytest.raises(SettingsError):
        Settings(EIGHT, {name: value}).validate()


def test_root_is_refused_from_9_0() -> None:
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
