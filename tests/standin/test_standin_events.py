"""Events: their shape in each major, codecs, filters, conditions, files."""

import datetime
import re
import socket
from typing import Any

import pytest

from tests.standin.standin_process import ADDRESS, until


@pytest.mark.parametrize(
    ("version", "rest", "digits"),
    [
        ("6.8.23", {"host": ADDRESS}, 3),
        ("7.17.29", {"host": ADDRESS}, 3),
        ("8.19.18", {"host": {"ip": ADDRESS}, "event": {"original": "hello"}}, 9),
        ("9.3.8", {"host": {"ip": ADDRESS}, "event": {"original": "hello"}}, 9),
    ],
)
def test_the_event_of_a_datagram(standin: Any, version: str, rest: dict[str, Any], digits: int) -> None:
    it = standin(version).start()
    it.send(b"", b"hello", b"")  # a zero-length datagram makes no event
    (event,) = it.events(1)
    stamp = event.pop("@timestamp")
    assert event == {"@version": "1", "message": "hello"} | rest
    assert re.fullmatch(rf"\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{{{digits}}}Z", stamp)
    age = datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(stamp[:23] + "+00:00")
    assert abs(age.total_seconds()) < 10
    assert it.main()["events"]["in"] == 1


def test_the_shape_can_be_set(standin: Any) -> None:
    it = standin("8.19.18")
    it.settings["pipeline.ecs_compatibility"] = "disabled"
    it.write_settings()
    it.start().send(b"hello")
    assert it.events(1)[0].keys() == {"@timestamp", "@version", "message", "host"}


def test_the_events_of_a_connection(standin: Any) -> None:
    it = standin("7.17.29").start()
    with socket.create_connection((ADDRESS, it.tcp)) as client:
        client.sendall(b"one\r\ntw")
        it.events(1)
        client.sendall(b"o\nlast")
        port = client.getsockname()[1]
    events = it.events(3)
    assert [event["message"] for event in events] == ["one", "two", "last"]
    assert events[0].items() >= {"host": ADDRESS, "port": port}.items()


def test_an_input_of_both_families(standin: Any) -> None:
    """Addresses as Java writes them: IPv6 without `::`, and IPv4 as such though it came to `::`."""
    it = standin()
    it.settings[f"{it.api_prefix}http.host"] = "::1"
    it.write_settings()
    it.configure(it.pipeline(udp="receive_buffer_bytes => 8192").replace(f'"{ADDRESS}"', '"::"'))
    it.start()
    for family, target in ((socket.AF_INET, ADDRESS), (socket.AF_INET6, "::1")):
        with socket.socket(family, socket.SOCK_DGRAM) as client:
            client.sendto(b"udp", (target, it.udp))
        with socket.create_connection((target, it.tcp)) as client:
            client.sendall(b"tcp\n")
    events = it.events(4)
    assert sorted(event["host"]["ip"] for event in events if event["message"] == "udp") == [
        "0:0:0:0:0:0:0:1",
        ADDRESS,
    ]
    assert sum(event["message"] == "tcp" for event in events) == 2
    assert "Unable to set receive_buffer_bytes" not in it.log()
    with socket.create_connection(("::1", it.port)):
        pass


def test_a_stream_of_json_is_split_by_lines(standin: Any) -> None:
    it = standin()
    it.configure(it.pipeline().replace("dns_reverse", "codec => json dns_reverse"))
    it.start()
    with socket.create_connection((ADDRESS, it.tcp)) as client:
        client.sendall(b'{"a": 1}\n{"a":')
        it.events(1)
        client.sendall(b" 2}\n")
    assert [event["a"] for event in it.events(2)] == [1, 2]


def test_dropped_events_go_nowhere(standin: Any) -> None:
    it = standin()
    it.configure(
        """filter {
          if [message] == "noise" { drop { } mutate { add_tag => ["never"] } }
          grok { match => { "message" => "%{WORD:first}" } }
          mutate { rename => { "message" => "text" } replace => { "[a][b]" => "%{text}!" } copy => { "text" => "c" }
                   update => { "nosuch" => "x" } }
        }""",
        "filter.conf",
    )
    it.configure(it.pipeline(outputs='elasticsearch { hosts => ["es:9200"] }'))
    it.start().send(b"noise", b"one", b"noise", b"two")
    events = it.events(2)
    until(lambda: it.main()["events"]["out"] == 2)
    assert [(event["text"], event["a"], event["c"]) for event in events] == [
        (text, {"b": f"{text}!"}, text) for text in ("one", "two")
    ]
    assert not {"message", "nosuch"} & events[0].keys()
    main = it.main()
    assert (main["events"]["in"], main["events"]["filtered"]) == (4, 4)
    counts = {step["name"]: step["events"] for step in main["plugins"]["filters"]}
    assert [(counts[name]["in"], counts[name]["out"]) for name in ("drop", "grok")] == [(2, 0), (2, 2)]
    assert {step["name"]: step["events"]["in"] for step in main["plugins"]["outputs"]}["elasticsearch"] == 2


def test_codecs(standin: Any) -> None:
    it = standin()
    plain, json_file = it.folder / "plain.txt", it.folder / "json.txt"
    line = 'codec => line { format => "%{a} %{[b][c]}" }'
    it.configure(
        it.pipeline(
            udp="codec => json",
            outputs=f'file {{ path => "{plain}" flush_interval => 0 {line} }}'
            f' file {{ path => "{json_file}" flush_interval => 0 codec => json }}',
        )
    )
    it.start().send(b'{"a": 1, "b": {"c": "x"}}', b"no json", b'[{"a": 2}, {"a": 3}]')
    events = it.events(4)
    assert [event.get("a") for event in events] == [1, None, 2, 3]
    assert events[1].items() >= {"message": "no json", "tags": ["_jsonparsefailure"]}.items()
    assert plain.read_text().splitlines() == ["1 x", "%{a} %{[b][c]}", "2 %{[b][c]}", "3 %{[b][c]}"]
    assert json_file.read_text().count("}{") == 3  # the json codec ends no line


def test_additions_filters_and_conditions(standin: Any) -> None:
    it = standin()
    other = it.folder / "%{type}.json"
    it.configure(
        f"""
        # comments are ignored
        input {{ udp {{ host => "{ADDRESS}" port => {it.udp} type => "syslog" tags => ["a", 'b'] # here too
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
          if "slow" not in [tags] {{ file {{ path => "{it.output}" flush_interval => 0 }} }}
          if !([type] == "nosuch") {{ file {{ path => "{other}" flush_interval => 0 }} }}
        }}
        """
    )
    it.environment["SITE"] = "there"
    it.start().send(b"slow one", b"fast one")
    by_type = {event["message"]: event for event in it.events(2, it.folder / "syslog.json")}
    assert by_type["slow one"]["tags"] == ["a", "b", "slow"]
    assert "site" not in by_type["slow one"]
    assert by_type["fast one"].items() >= {"site": "there", "deep": {"er": 7}, "copy": "fast one!"}.items()
    assert [event["message"] for event in it.events(1)] == ["fast one"]
    assert not any("never" in event for event in by_type.values())


def test_files_of_conf_d_are_joined_by_name(standin: Any) -> None:
    it = standin()
    it.configure("filter { mutate { add_field => { order => b } } }", "b.conf")
    it.configure("filter { mutate { add_field => { order => a } } } # no newline at the end", "a.conf")
    it.configure("not even close", "ignored.txt")
    it.start().send(b"one")
    assert it.events(1)[0]["order"] == ["a", "b"]


def test_a_rotated_file_is_made_again(standin: Any) -> None:
    it = standin().start()
    it.send(b"before")
    it.events(1)
    it.output.rename(it.folder / "events.json.1")
    it.send(b"after")
    assert [event["message"] for event in it.events(1)] == ["after"]
    assert it.output.stat().st_mode & 0o777 == 0o644


def test_a_file_is_flushed_every_so_often(standin: Any) -> None:
    it = standin()
    it.configure(it.pipeline().replace("flush_interval => 0", "flush_interval => 1"))
    it.start().send(b"one")
    until(lambda: it.main()["events"]["out"] == 1)
    assert it.output.read_text() == ""
    it.events(1)


def test_stdout_and_its_codecs(standin: Any) -> None:
    it = standin("7.17.29")
    inputs = "input { generator { count => 2 message => hi } }"
    done = it.run("-e", f"{inputs} output {{ stdout {{ }} stdout {{ codec => json_lines }} }}")
    assert done.returncode == 0
    assert done.stdout.count('"message":"hi"') == 2
    assert re.search(r'^ +message => "hi"', done.stdout, re.MULTILINE)
