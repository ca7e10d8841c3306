"""A stand-in's life: it starts, reloads, fails and stops."""

import json
import os
import re
import signal
import socket
import struct
import time

import pytest

from tests.standin.standin_process import ADDRESS, MakeStandin, every_major, refused, unread
from tests.until import until


def test_in_a_slow_start_the_api_answers_before_the_pipelines_run(make_standin: MakeStandin) -> None:
    began = time.monotonic()
    standin = make_standin(START_DELAY=15).launch()
    until(lambda: standin.get("/")[0])
    assert time.monotonic() - began >= 12
    _, body = standin.get()
    assert (body["status"], body["pipelines"]) == ("unknown", {})
    assert refused(standin.udp)
    until(lambda: standin.get("/")[1]["status"] == "green")
    assert time.monotonic() - began >= 15


def test_a_client_that_disconnects_before_the_response_causes_no_error(make_standin: MakeStandin) -> None:
    """The health service disconnects when a response is late."""
    standin = make_standin().start()
    for _ in range(50):
        with socket.create_connection((ADDRESS, standin.port)) as client:
            # Without lingering, the connection is closed by a reset.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.sendall(b"GET /_node/stats HTTP/1.1\r\nHost: standin\r\n\r\n")
    assert standin.get()[0] == 200
    standin.signal(signal.SIGTERM)
    assert standin.wait() == 0
    assert "Traceback" not in standin.printed()


def test_sigterm_during_the_start_ends_the_process_with_its_signal(make_standin: MakeStandin) -> None:
    standin = make_standin(START_DELAY=30).launch()
    until(lambda: "Starting Logstash" in standin.log())
    until(lambda: (standin.folder / "data/uuid").exists())
    standin.signal(signal.SIGTERM)
    assert standin.wait() in (143, -signal.SIGTERM)


def test_sigterm_loses_no_accepted_event(make_standin: MakeStandin) -> None:
    standin = make_standin(STOP_DELAY=3).start()
    until(lambda: not refused(standin.udp))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for number in range(3000):
            sender.sendto(b"event %d" % number, (ADDRESS, standin.udp))
            if number == 2000:
                standin.signal(signal.SIGTERM)
    until(lambda: refused(standin.udp), 1)
    status, body = standin.get()  # the API outlives the socket, and still reports green
    assert (status, body["status"]) == (200, "green")
    assert body["pipelines"]["main"].keys() >= {"hash"}
    until(lambda: "Pipeline terminated" in standin.log())  # by now the count of events is final
    accepted = standin.main_stats()["events"]["in"]
    assert accepted > 0
    assert standin.wait() == 0
    messages = [event["message"] for event in standin.events(accepted)]
    assert len(messages) == len(set(messages)) == accepted
    assert "SIGTERM received. Shutting down." in standin.log()
    assert standin.log().rstrip().endswith("Logstash shut down.")


def test_a_blocked_output_delays_the_stop_and_loses_nothing(make_standin: MakeStandin) -> None:
    standin = make_standin()
    os.mkfifo(standin.output)  # opening it for writing blocks until there is a reader
    standin.start()
    for start in range(0, 1500, 50):
        standin.send(*(b"event %d" % number for number in range(start, start + 50)))
        until(lambda: not unread(standin.udp))
    standin.signal(signal.SIGTERM)
    until(lambda: refused(standin.udp))
    assert not standin.ended()
    with standin.output.open() as reader:
        messages = {json.loads(line)["message"] for line in reader}
    assert messages == {f"event {number}" for number in range(1500)}
    assert standin.wait() == 0


def test_a_blocked_output_is_reported_as_backpressure(make_standin: MakeStandin) -> None:
    """Both workers of the udp input wait for room in the queue, and no event reaches an output."""
    standin = make_standin()
    os.mkfifo(standin.output)
    standin.start()

    def full() -> bool:
        standin.send(*(b"event %d" % number for number in range(50)))
        try:
            until(lambda: not unread(standin.udp), 1)
        except AssertionError:  # the input no longer reads from its socket
            return True
        return False

    until(full, 60)

    def pressure() -> tuple[float, int]:
        main = standin.get()[1]["pipelines"]["main"]
        return main["flow"]["queue_backpressure"]["current"], main["events"]["out"]

    until(lambda: pressure()[0] > 1.9, 30)
    assert pressure()[1] == 0
    with standin.output.open() as reader:
        standin.signal(signal.SIGTERM)
        reader.read()


def test_several_thousand_events_a_second_are_all_written(make_standin: MakeStandin) -> None:
    standin = make_standin()
    standin.configure(standin.pipeline_text(udp="receive_buffer_bytes => 4194304"))
    standin.start()
    until(lambda: not refused(standin.udp))
    began = time.monotonic()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for number in range(8000):
            sender.sendto(b"event %d" % number, (ADDRESS, standin.udp))
            if number % 40 == 0:
                time.sleep(max(0.0, began + number / 4000 - time.monotonic()))
    assert {event["message"] for event in standin.events(8000)} == {
        f"event {number}" for number in range(8000)
    }


def test_a_good_reload_replaces_the_pipeline(make_standin: MakeStandin) -> None:
    standin = make_standin(STOP_DELAY=4).start()
    first = standin.main_stats()
    standin.configure(standin.pipeline_text(udp='type => "new"'))
    standin.signal(signal.SIGHUP)
    until(lambda: standin.get("/_health_report")[1]["status"] == "yellow")  # it is LOADING
    assert "hash" not in standin.main_stats()
    until(lambda: refused(standin.udp))
    until(lambda: standin.main_stats()["reloads"]["successes"] == 1)
    until(lambda: "hash" in standin.main_stats())
    second = standin.main_stats()
    assert second["hash"] != first["hash"]
    assert second["ephemeral_id"] != first["ephemeral_id"]
    standin.send(b"one")
    assert standin.events(1)[0]["type"] == "new"


def test_a_bad_reload_leaves_the_old_pipeline_running(make_standin: MakeStandin) -> None:
    standin = make_standin().start()
    first = standin.main_stats()
    standin.configure("input { udp { port = 1 } }")
    standin.signal(signal.SIGHUP)
    until(lambda: standin.main_stats()["reloads"]["failures"] == 1)
    second = standin.main_stats()
    assert second["hash"] == first["hash"]
    assert second["reloads"]["last_error"]["message"].startswith("Expected one of ")
    assert standin.get("/")[1]["status"] == "green"
    standin.send(b"still here")
    standin.events(1)


def test_sighup_without_a_change_reloads_nothing(make_standin: MakeStandin) -> None:
    standin = make_standin().start()
    first = standin.main_stats()
    standin.signal(signal.SIGHUP)
    until(lambda: "SIGHUP received." in standin.log())
    standin.configure("input { udp { port = 1 } }")
    standin.signal(signal.SIGHUP)
    until(lambda: standin.main_stats()["reloads"]["failures"])  # by now the first signal has been handled
    assert standin.main_stats()["reloads"]["successes"] == 0
    assert standin.main_stats()["ephemeral_id"] == first["ephemeral_id"]


def test_a_crash_of_the_only_pipeline_ends_the_process(make_standin: MakeStandin) -> None:
    standin = make_standin().start()
    standin.send(b"crash")
    assert standin.wait() == 0  # as the real one, which systemd's Restart=always starts again
    assert "Pipeline worker error, the pipeline will be stopped" in standin.log()


def test_a_file_that_cannot_be_opened_crashes_the_pipeline(make_standin: MakeStandin) -> None:
    standin = make_standin()
    standin.output.mkdir()
    standin.start()
    standin.send(b"one")
    assert standin.wait() == 0
    assert "Errno::EISDIR" in standin.log()


def test_a_full_disk_crashes_the_pipeline(make_standin: MakeStandin) -> None:
    """The pipeline crashes when the buffer is full. A flush that fails before that is only logged."""
    standin = make_standin()
    standin.configure(standin.pipeline_text(outputs='file { path => "/dev/full" flush_interval => 1 }'))
    standin.start()
    standin.send(b"one")
    until(lambda: "Exception flushing files" in standin.log())
    assert not standin.ended()
    standin.send(*(b"x" * 1000 for _ in range(100)))
    assert standin.wait() == 0
    assert "Errno::ENOSPC" in standin.log()
    assert "Exception while flushing and closing files." in standin.log()


@every_major
def test_a_taken_api_port_ends_the_start(make_standin: MakeStandin, version: str) -> None:
    standin = make_standin(version)
    with socket.create_server((ADDRESS, standin.port)):
        done = standin.run()
    assert done.returncode == 1
    message = f"Logstash tried to bind to port {standin.port}, but the port is already in use."
    assert f"(EADDRINUSE) Address already in use - {message}" in done.stdout


def test_an_api_address_that_is_not_local_ends_the_start(make_standin: MakeStandin) -> None:
    standin = make_standin()
    standin.settings["api.http.host"] = "192.0.2.1"
    standin.write_settings()
    done = standin.run()
    assert done.returncode == 1
    assert "(EADDRNOTAVAIL) Cannot assign requested address" in done.stdout


def test_the_api_takes_the_first_free_port_of_its_range(make_standin: MakeStandin) -> None:
    standin = make_standin()
    standin.settings["api.http.port"] = f"{standin.port}-{standin.port + 20}"
    standin.write_settings()
    with socket.create_server((ADDRESS, standin.port)):
        standin.start()
        found = re.search(r"Successfully started Logstash API endpoint {:port=>(\d+)", standin.log())
        assert found
        standin.port = int(found[1])
        assert standin.get("/")[1]["http_address"] == f"{ADDRESS}:{standin.port}"


def test_a_second_process_on_one_data_folder_is_refused(make_standin: MakeStandin) -> None:
    first, second = make_standin().start(), make_standin()
    second.settings["path.data"] = first.settings["path.data"]
    second.write_settings()
    done = second.run()
    assert done.returncode == 1
    assert "already another instance using the configured data directory" in done.stdout
    assert second.run("-t").returncode == 0  # a configuration test needs no lock


def test_the_node_keeps_its_id(make_standin: MakeStandin) -> None:
    standin = make_standin().start()
    first = standin.get("/")[1]
    standin.signal(signal.SIGTERM)
    standin.wait()
    (standin.folder / "logs/logstash-plain.log").unlink()
    second = standin.start().get("/")[1]
    assert second["id"] == first["id"]
    assert second["ephemeral_id"] != first["ephemeral_id"]


def test_from_9_3_5_a_taken_tcp_port_keeps_the_pipeline_from_starting(make_standin: MakeStandin) -> None:
    """Its udp input does not start, either. The process ends; with auto-reload it tries again."""
    standin = make_standin("9.3.8")
    with socket.create_server((ADDRESS, standin.tcp)):
        assert standin.run().returncode == 1
        standin.settings |= {"config.reload.automatic": True, "config.reload.interval": "200ms"}
        standin.write_settings()
        standin.launch()
        until(lambda: standin.get("/_health_report")[0])
        until(lambda: standin.get("/_health_report")[1]["status"] == "yellow")
        report = standin.get("/_health_report")[1]["indicators"]["pipelines"]["indicators"]["main"]
        assert report["details"]["status"] == {"state": "LOADING"}
        assert [plugin["id"] for plugin in standin.main_stats()["plugins"]["inputs"]] == [
            "udp-5514",
            "tcp-5514",
        ]
        assert "hash" not in standin.main_stats()
        assert refused(standin.udp)
    until(lambda: not refused(standin.udp))
    assert standin.get("/")[1]["status"] == "green"


def test_log_lines_have_the_real_format(make_standin: MakeStandin) -> None:
    standin = make_standin().start()
    until(lambda: "UDP listener started" in standin.log())
    stamp = r"\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d,\d{3}\]"
    for name, message in (
        ("logstash.runner          ]", 'Starting Logstash {"logstash.version"=>"8.19.18", '),
        (
            "logstash.agent           ]",
            f"Successfully started Logstash API endpoint {{:port=>{standin.port}, ",
        ),
        ("logstash.javapipeline    ][main]", 'Pipeline started {"pipeline.id"=>"main"}'),
        ("logstash.inputs.udp      ][main][udp-5514]", "Starting UDP listener {:address=>"),
        ("logstash.agent           ]", "Pipelines running {:count=>1, :running_pipelines=>[:main], "),
    ):
        line = re.escape(f"[INFO ][{name} {message}")
        assert re.search(f"^{stamp}{line}", standin.log(), re.MULTILINE), message
    assert "the lab's stand-in" in standin.log().splitlines()[0]


def test_an_idle_process_uses_almost_no_cpu_time(make_standin: MakeStandin) -> None:
    standin = make_standin().start()
    standin.send(b"one")
    standin.events(1)

    def spent() -> int:
        milliseconds: int = standin.get()[1]["process"]["cpu"]["total_in_millis"]
        return milliseconds

    before, began = spent(), time.monotonic()
    with pytest.raises(AssertionError, match="not within"):
        until(lambda: standin.ended(), 1.5)
    millis_per_second = (spent() - before) / (time.monotonic() - began)
    assert millis_per_second < 20  # 2 % of a core, including the two requests


def test_a_cold_one_takes_few_datagrams_a_second_until_it_has_taken_some(make_standin: MakeStandin) -> None:
    """At 50 a second the first 100 take two, and the rest nothing; they would take three."""
    standin = make_standin(COLD_RATE=50, COLD_SECONDS=2)
    standin.start()
    began = time.monotonic()
    standin.send(*[b"cold"] * 100)
    standin.events(90)
    assert time.monotonic() > began + 1
    standin.events(100)
    began = time.monotonic()
    standin.send(*[b"warm"] * 150)
    standin.events(250)
    assert time.monotonic() < began + 2.5
