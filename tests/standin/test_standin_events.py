"""Events: their shape in each major version, codecs, filters, conditions and files."""

import datetime
import re
import signal
import socket
from typing import Any

import pytest

from tests.standin.standin_process import ADDRESS, MakeStandin, refused
from tests.until import until


@pytest.mark.parametrize(
    ("version", "rest", "digits"),
    [
        ("6.8.23", {"host": ADDRESS}, 3),
        ("7.17.29", {"host": ADDRESS}, 3),
        ("8.19.18", {"host": {"ip": ADDRESS}, "event": {"original": "hello"}}, 9),
        ("9.3.8", {"host": {"ip": ADDRESS}, "event": {"original": "hello"}}, 9),
    ],
)
def test_a_datagram_becomes_an_event_in_the_shape_of_its_major(
    make_standin: MakeStandin, version: str, rest: dict[str, Any], digits: int
) -> None:
    standin = make_standin(version).start()
    standin.send(b"", b"hello", b"")  # the real one makes no event of an empty datagram
    (event,) = standin.events(1)
    stamp = event.pop("@timestamp")
    assert event == {"@version": "1", "message": "hello"} | rest
    assert re.fullmatch(rf"\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{{{digits}}}Z", stamp)
    age = datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(stamp[:23] + "+00:00")
    assert abs(age.total_seconds()) < 10
    assert standin.main_stats()["events"]["in"] == 1


def test_ecs_compatibility_sets_the_shape_of_events(make_standin: MakeStandin) -> None:
    standin = make_standin("8.19.18")
    standin.settings["pipeline.ecs_compatibility"] = "disabled"
    standin.write_settings()
    standin.start().send(b"hello")
    assert standin.events(1)[0].keys() == {"@timestamp", "@version", "message", "host"}


def test_each_line_of_a_connection_becomes_an_event(make_standin: MakeStandin) -> None:
    standin = make_standin("7.17.29").start()
    with socket.create_connection((ADDRESS, standin.tcp)) as client:
        client.sendall(b"one\r\ntw")
        standin.events(1)
        client.sendall(b"o\nlast")
        port = client.getsockname()[1]
    events = standin.events(3)
    assert [event["message"] for event in events] == ["one", "two", "last"]
    assert events[0].items() >= {"host": ADDRESS, "port": port}.items()


def test_an_input_on_ipv6_any_accepts_both_families(make_standin: MakeStandin) -> None:
    """Addresses are in Java's notation: IPv6 without `::`, and an IPv4 sender at `::` as IPv4."""
    standin = make_standin()
    standin.settings[f"{standin.api_prefix}http.host"] = "::1"
    standin.write_settings()
    standin.configure(
        standin.pipeline_text(udp="receive_buffer_bytes => 8192").replace(f'"{ADDRESS}"', '"::"')
    )
    standin.start()
    until(lambda: not refused(standin.udp))  # an input listens some time after its pipeline runs
    for family, target in ((socket.AF_INET, ADDRESS), (socket.AF_INET6, "::1")):
        with socket.socket(family, socket.SOCK_DGRAM) as client:
            client.sendto(b"udp", (target, standin.udp))
        with socket.create_connection((target, standin.tcp)) as client:
            client.sendall(b"tcp\n")
    events = standin.events(4)
    assert sorted(event["host"]["ip"] for event in events if event["message"] == "udp") == [
        "0:0:0:0:0:0:0:1",
        ADDRESS,
    ]
    assert sum(event["message"] == "tcp" for event in events) == 2
    assert "Unable to set receive_buffer_bytes" not in standin.log()
    with socket.create_connection(("::1", standin.port)):
        pass


def test_a_stream_of_json_is_split_by_lines(make_standin: MakeStandin) -> None:
    standin = make_standin()
    standin.configure(standin.pipeline_text().replace("dns_reverse", "codec => json dns_reverse"))
    standin.start()
    with socket.create_connection((ADDRESS, standin.tcp)) as client:
        client.sendall(b'{"a": 1}\n{"a":')
        standin.events(1)
        client.sendall(b" 2}\n")
    assert [event["a"] for event in standin.events(2)] == [1, 2]


def test_dropped_events_reach_no_later_filter_and_no_output(make_standin: MakeStandin) -> None:
    standin = make_standin()
    standin.configure(
        """filter {
          if [message] == "noise" { drop { } mutate { add_tag => ["never"] } }
          grok { match => { "message" => "%{WORD:first}" } }
          mutate { rename => { "message" => "text" } replace => { "[a][b]" => "%{text}!" } copy => { "text" => "c" }
                   update => { "nosuch" => "x" } }
        }""",
        "filter.conf",
    )
    standin.configure(standin.pipeline_text(outputs='elasticsearch { hosts => ["es:9200"] }'))
    standin.start().send(b"noise", b"one", b"noise", b"two")
    events = standin.events(2)
    until(lambda: standin.main_stats()["events"]["out"] == 2)
    assert [(event["text"], event["a"], event["c"]) for event in events] == [
        (text, {"b": f"{text}!"}, text) for text in ("one", "two")
    ]
    assert not {"message", "nosuch"} & events[0].keys()
    main = standin.main_stats()
    assert (main["events"]["in"], main["events"]["filtered"]) == (4, 4)
    counts = {step["name"]: step["events"] for step in main["plugins"]["filters"]}
    assert [(counts[name]["in"], counts[name]["out"]) for name in ("drop", "grok")] == [(2, 0), (2, 2)]
    assert {step["name"]: step["events"]["in"] for step in main["plugins"]["outputs"]}["elasticsearch"] == 2


def test_codecs_decode_and_encode_events(make_standin: MakeStandin) -> None:
    standin = make_standin()
    plain, json_file = standin.folder / "plain.txt", standin.folder / "json.txt"
    line = 'codec => line { format => "%{a} %{[b][c]}" }'
    standin.configure(
        standin.pipeline_text(
            udp="codec => json",
            outputs=f'file {{ path => "{plain}" flush_interval => 0 {line} }}'
            f' file {{ path => "{json_file}" flush_interval => 0 codec => json }}',
        )
    )
    standin.start().send(b'{"a": 1, "b": {"c": "x"}}', b"no json", b'[{"a": 2}, {"a": 3}]')
    events = standin.events(4)
    assert [event.get("a") for event in events] == [1, None, 2, 3]
    assert events[1].items() >= {"message": "no json", "tags": ["_jsonparsefailure"]}.items()
    assert plain.read_text().splitlines() == ["1 x", "%{a} %{[b][c]}", "2 %{[b][c]}", "3 %{[b][c]}"]
    assert json_file.read_text().count("}{") == 3  # the json codec writes no newline


def test_inputs_decorate_events_and_conditions_select_their_filters_and_outputs(
    make_standin: MakeStandin,
) -> None:
    standin = make_standin()
    other = standin.folder / "%{type}.json"
    standin.configure(
        f"""
        # comments are ignored
        input {{ udp {{ host => "{ADDRESS}" port => {standin.udp} type => "syslog" tags => ["a", 'b'] # here too
                 add_field => {{ "site" => "${{SITE:here}}" "[deep][er]" => 7 }} }} }}
        filter {{ }}
        filter {{
          if [message] =~ "^slow" and "a" in [tags] {{
            mutate {{ add_tag => ["slow"] remove_field => ["site"] }}
          }} else if [deep][er] > 5 {{
            mutate {{ add_field => {{ "copy" => "%{{message}}!" }} }}
          }} else {{
            mutate {{ add_field => {{ "never" => "1" }} }}
          }}
        }}
        output {{
          if "slow" not in [tags] {{ file {{ path => "{standin.output}" flush_interval => 0 }} }}
          if !([type] == "nosuch") {{ file {{ path => "{other}" flush_interval => 0 }} }}
        }}
        """
    )
    standin.environment["SITE"] = "there"
    standin.start().send(b"slow one", b"fast one")
    by_type = {event["message"]: event for event in standin.events(2, standin.folder / "syslog.json")}
    assert by_type["slow one"]["tags"] == ["a", "b", "slow"]
    assert "site" not in by_type["slow one"]
    assert by_type["fast one"].items() >= {"site": "there", "deep": {"er": 7}, "copy": "fast one!"}.items()
    assert [event["message"] for event in standin.events(1)] == ["fast one"]
    assert not any("never" in event for event in by_type.values())


def test_files_of_conf_d_are_joined_by_name(make_standin: MakeStandin) -> None:
    standin = make_standin()
    standin.configure("filter { mutate { add_field => { order => b } } }", "b.conf")
    standin.configure("filter { mutate { add_field => { order => a } } } # no newline at the end", "a.conf")
    standin.configure("not even close", "ignored.txt")
    standin.start().send(b"one")
    assert standin.events(1)[0]["order"] == ["a", "b"]


def test_a_rotated_file_is_created_again(make_standin: MakeStandin) -> None:
    standin = make_standin().start()
    standin.send(b"before")
    standin.events(1)
    standin.output.rename(standin.folder / "events.json.1")
    standin.send(b"after")
    assert [event["message"] for event in standin.events(1)] == ["after"]
    assert standin.output.stat().st_mode & 0o777 == 0o644


def test_a_file_is_flushed_at_its_flush_interval(make_standin: MakeStandin) -> None:
    standin = make_standin()
    standin.configure(standin.pipeline_text().replace("flush_interval => 0", "flush_interval => 1"))
    standin.start().send(b"one")
    until(lambda: standin.main_stats()["events"]["out"] == 1)
    assert standin.output.read_text() == ""
    standin.events(1)


def test_a_kill_loses_what_the_file_output_has_not_flushed(make_standin: MakeStandin) -> None:
    """At most the 8 KiB of JRuby's buffer, and of these all until the next flush."""
    standin = make_standin()
    standin.configure(standin.pipeline_text().replace("flush_interval => 0", "flush_interval => 60"))
    standin.start().send(*(b"%039d" % number for number in range(40)))
    until(lambda: standin.main_stats()["events"]["out"] == 40)
    assert standin.output.read_text() == ""
    standin.send(*(b"%039d" % number for number in range(40, 200)))
    until(lambda: standin.main_stats()["events"]["out"] == 200)
    standin.signal(signal.SIGKILL)
    standin.wait()
    kept = standin.output.read_text()
    event = len(kept.splitlines(keepends=True)[0])
    assert 200 * event - 8192 <= len(kept) < 200 * event


def test_stdout_prints_events_in_its_codec(make_standin: MakeStandin) -> None:
    standin = make_standin("7.17.29")
    inputs = "input { generator { count => 2 message => hi } }"
    done = standin.run("-e", f"{inputs} output {{ stdout {{ }} stdout {{ codec => json_lines }} }}")
    assert done.returncode == 0
    assert done.stdout.count('"message":"hi"') == 2
    assert re.search(r'^ +message => "hi"', done.stdout, re.MULTILINE)
