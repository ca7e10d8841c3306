"""Starting, reloading, failing and stopping."""

import json
import os
import re
import signal
import socket
import struct
import time
from typing import Any

import pytest

from tests.standin.standin_process import ADDRESS, MAJORS, refused, unread, until

every_major = pytest.mark.parametrize("version", MAJORS)


def test_a_slow_start(standin: Any) -> None:
    began = time.monotonic()
    it = standin(START_DELAY=2).launch()
    until(lambda: it.get("/")[0])
    assert time.monotonic() - began >= 1.6
    _, body = it.get()
    assert (body["status"], body["pipelines"]) == ("unknown", {})
    assert refused(it.udp)
    until(lambda: it.get("/")[1]["status"] == "green")
    assert time.monotonic() - began >= 2


def test_an_asker_that_does_not_wait_is_no_error(standin: Any) -> None:
    """The health service gives up on an answer that is late."""
    it = standin().start()
    for _ in range(50):
        with socket.create_connection((ADDRESS, it.port)) as asker:
            asker.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
            asker.sendall(b"GET /_node/stats HTTP/1.1\r\nHost: standin\r\n\r\n")
    assert it.get()[0] == 200
    it.signal(signal.SIGTERM)
    assert it.wait() == 0
    assert "Traceback" not in it.rest()


def test_sigterm_before_the_start(standin: Any) -> None:
    it = standin(START_DELAY=30).launch()
    until(lambda: "Starting Logstash" in it.log())
    until(lambda: (it.folder / "data/uuid").exists())
    it.signal(signal.SIGTERM)
    assert it.wait() in (143, -signal.SIGTERM)


def test_sigterm_loses_no_accepted_event(standin: Any) -> None:
    it = standin(STOP_DELAY=2).start()
    until(lambda: not refused(it.udp))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for number in range(3000):
            sender.sendto(b"event %d" % number, (ADDRESS, it.udp))
            if number == 2000:
                it.signal(signal.SIGTERM)
    until(lambda: refused(it.udp), 1)
    status, body = it.get()  # the API outlives the socket, and says that all is well
    assert (status, body["status"]) == (200, "green")
    assert body["pipelines"]["main"].keys() >= {"hash"}
    accepted = body["pipelines"]["main"]["events"]["in"]
    assert accepted > 0
    assert it.wait() == 0
    messages = [event["message"] for event in it.events(accepted)]
    assert len(messages) == len(set(messages)) == accepted
    assert "SIGTERM received. Shutting down." in it.log()
    assert it.log().rstrip().endswith("Logstash shut down.")


def test_a_blocked_output_holds_the_stop_and_loses_nothing(standin: Any) -> None:
    it = standin()
    os.mkfifo(it.output)  # its opening blocks until somebody reads
    it.start()
    for start in range(0, 1500, 50):
        it.send(*(b"event %d" % number for number in range(start, start + 50)))
        until(lambda: not unread(it.udp))
    it.signal(signal.SIGTERM)
    until(lambda: refused(it.udp))
    assert not it.ended()
    with it.output.open() as reader:
        messages = {json.loads(line)["message"] for line in reader}
    assert messages == {f"event {number}" for number in range(1500)}
    assert it.wait() == 0


def test_a_blocked_output_is_seen_as_backpressure(standin: Any) -> None:
    """Both workers of the udp input wait for room in the queue, and nothing moves."""
    it = standin()
    os.mkfifo(it.output)
    it.start()

    def full() -> bool:
        it.send(*(b"event %d" % number for number in range(50)))
        try:
            until(lambda: not unread(it.udp), 1)
        except AssertionError:  # what waits in the socket is not taken any more
            return True
        return False

    until(full, 60)

    def pressure() -> tuple[float, int]:
        main = it.get()[1]["pipelines"]["main"]
        return main["flow"]["queue_backpressure"]["current"], main["events"]["out"]

    until(lambda: pressure()[0] > 1.9, 30)
    assert pressure()[1] == 0
    with it.output.open() as reader:
        it.signal(signal.SIGTERM)
        reader.read()


def test_several_thousand_events_a_second(standin: Any) -> None:
    it = standin()
    it.configure(it.pipeline(udp="receive_buffer_bytes => 4194304"))
    it.start()
    until(lambda: not refused(it.udp))
    began = time.monotonic()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for number in range(8000):
            sender.sendto(b"event %d" % number, (ADDRESS, it.udp))
            if number % 40 == 0:
                time.sleep(max(0.0, began + number / 4000 - time.monotonic()))
    assert {event["message"] for event in it.events(8000)} == {f"event {number}" for number in range(8000)}


def test_a_good_reload(standin: Any) -> None:
    it = standin(STOP_DELAY=4).start()
    first = it.main()
    it.configure(it.pipeline(udp='type => "new"'))
    it.signal(signal.SIGHUP)
    until(lambda: it.get("/_health_report")[1]["status"] == "yellow")  # LOADING, and nothing listens
    assert "hash" not in it.main()
    assert refused(it.udp)
    until(lambda: it.main()["reloads"]["successes"] == 1)
    second = it.main()
    assert second["hash"] != first["hash"]
    assert second["ephemeral_id"] != first["ephemeral_id"]
    it.send(b"one")
    assert it.events(1)[0]["type"] == "new"


def test_a_bad_reload(standin: Any) -> None:
    it = standin().start()
    first = it.main()
    it.configure("input { udp { port = 1 } }")
    it.signal(signal.SIGHUP)
    until(lambda: it.main()["reloads"]["failures"] == 1)
    second = it.main()
    assert second["hash"] == first["hash"]
    assert second["reloads"]["last_error"]["message"].startswith("Expected one of ")
    assert it.get("/")[1]["status"] == "green"
    it.send(b"still here")
    it.events(1)


def test_sighup_without_a_change(standin: Any) -> None:
    it = standin().start()
    first = it.main()
    it.signal(signal.SIGHUP)
    until(lambda: "SIGHUP received." in it.log())
    it.configure("input { udp { port = 1 } }")
    it.signal(signal.SIGHUP)
    until(lambda: it.main()["reloads"]["failures"])  # by now the first signal has had its turn
    assert it.main()["reloads"]["successes"] == 0
    assert it.main()["ephemeral_id"] == first["ephemeral_id"]


def test_a_crash_of_the_only_pipeline_ends_the_process(standin: Any) -> None:
    it = standin().start()
    it.send(b"crash")
    assert it.wait() == 0  # as the real one: systemd's Restart=always brings it back
    assert "Pipeline worker error, the pipeline will be stopped" in it.log()


def test_a_file_that_cannot_be_opened_crashes_the_pipeline(standin: Any) -> None:
    it = standin()
    it.output.mkdir()
    it.start()
    it.send(b"one")
    assert it.wait() == 0
    assert "Errno::EISDIR" in it.log()


def test_a_full_disk_crashes_the_pipeline(standin: Any) -> None:
    """Once there is more to write than the buffer holds; what a flush can't write is only logged."""
    it = standin()
    it.configure(it.pipeline(outputs='file { path => "/dev/full" flush_interval => 1 }'))
    it.start()
    it.send(b"one")
    until(lambda: "Exception flushing files" in it.log())
    assert not it.ended()
    it.send(*(b"x" * 1000 for _ in range(100)))
    assert it.wait() == 0
    assert "Errno::ENOSPC" in it.log()
    assert "Exception while flushing and closing files." in it.log()


@every_major
def test_a_taken_api_port(standin: Any, version: str) -> None:
    it = standin(version)
    with socket.create_server((ADDRESS, it.port)):
        done = it.run()
    assert done.returncode == 1
    words = f"Logstash tried to bind to port {it.port}, but the port is already in use."
    assert f"(EADDRINUSE) Address already in use - {words}" in done.stdout


def test_an_api_host_that_is_not_here(standin: Any) -> None:
    it = standin()
    it.settings["api.http.host"] = "192.0.2.1"
    it.write_settings()
    done = it.run()
    assert done.returncode == 1
    assert "(EADDRNOTAVAIL) Cannot assign requested address" in done.stdout


def test_a_range_of_api_ports(standin: Any) -> None:
    it = standin()
    it.settings["api.http.port"] = f"{it.port}-{it.port + 20}"
    it.write_settings()
    with socket.create_server((ADDRESS, it.port)):
        it.start()
        found = re.search(r"Successfully started Logstash API endpoint {:port=>(\d+)", it.log())
        assert found
        it.port = int(found[1])
        assert it.get("/")[1]["http_address"] == f"{ADDRESS}:{it.port}"


def test_two_on_one_data_folder(standin: Any) -> None:
    first, second = standin().start(), standin()
    second.settings["path.data"] = first.settings["path.data"]
    second.write_settings()
    done = second.run()
    assert done.returncode == 1
    assert "already another instance using the configured data directory" in done.stdout
    assert second.run("-t").returncode == 0  # a test is safe beside a live one


def test_the_node_keeps_its_id(standin: Any) -> None:
    it = standin().start()
    first = it.get("/")[1]
    it.signal(signal.SIGTERM)
    it.wait()
    (it.folder / "logs/logstash-plain.log").unlink()
    second = it.start().get("/")[1]
    assert second["id"] == first["id"]
    assert second["ephemeral_id"] != first["ephemeral_id"]


def test_a_taken_tcp_port_from_9_3_5(standin: Any) -> None:
    """The pipeline does not start, its udp input neither; the process ends, or tries again with auto-reload."""
    it = standin("9.3.8")
    with socket.create_server((ADDRESS, it.tcp)):
        assert it.run().returncode == 1
        it.settings |= {"config.reload.automatic": True, "config.reload.interval": "200ms"}
        it.write_settings()
        it.launch()
        until(lambda: it.get("/_health_report")[0])
        until(lambda: it.get("/_health_report")[1]["status"] == "yellow")
        report = it.get("/_health_report")[1]["indicators"]["pipelines"]["indicators"]["main"]
        assert report["details"]["status"] == {"state": "LOADING"}
        assert [plugin["id"] for plugin in it.main()["plugins"]["inputs"]] == ["udp-5514", "tcp-5514"]
        assert "hash" not in it.main()
        assert refused(it.udp)
    until(lambda: not refused(it.udp))
    assert it.get("/")[1]["status"] == "green"


def test_log_lines(standin: Any) -> None:
    it = standin().start()
    until(lambda: "UDP listener started" in it.log())
    stamp = r"\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d,\d{3}\]"
    for name, message in (
        ("logstash.runner          ]", 'Starting Logstash {"logstash.version"=>"8.19.18", '),
        ("logstash.agent           ]", f"Successfully started Logstash API endpoint {{:port=>{it.port}, "),
        ("logstash.javapipeline    ][main]", 'Pipeline started {"pipeline.id"=>"main"}'),
        ("logstash.inputs.udp      ][main][udp-5514]", "Starting UDP listener {:address=>"),
        ("logstash.agent           ]", "Pipelines running {:count=>1, :running_pipelines=>[:main], "),
    ):
        line = re.escape(f"[INFO ][{name} {message}")
        assert re.search(f"^{stamp}{line}", it.log(), re.MULTILINE), message
    assert "the lab's stand-in" in it.log().splitlines()[0]


def test_an_idle_process_costs_nothing(standin: Any) -> None:
    it = standin().start()
    it.send(b"one")
    it.events(1)

    def spent() -> int:
        milliseconds: int = it.get()[1]["process"]["cpu"]["total_in_millis"]
        return milliseconds

    before, began = spent(), time.monotonic()
    with pytest.raises(AssertionError, match="in vain"):
        until(lambda: it.ended(), 1.5)
    assert (spent() - before) / (time.monotonic() - began) < 20  # 2 % of a core, the two requests included
