"""How the health script and the health service ask an API with TLS or a login, and one that has not changed yet."""

from __future__ import annotations

import base64
import json
import ssl
import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from tests.certificates import Authority
from tests.unit.test_check_script import OK_8, OLDEST_AND_NEWEST, body, run_all, serving, verdicts
from tests.unit.test_health import ID, health

sys.path.insert(0, str(Path(__file__).parents[2] / "files"))

import logstash_ha_health as service  # type: ignore[import-not-found]

script: Any = service.script
LOGIN = {"username": "monitor", "password": "s3cr3T-word"}
HEADER = "Basic " + base64.b64encode(b"monitor:s3cr3T-word").decode()


class Api:
    """An API that wants a login, unless `header` is None; it keeps what it was sent."""

    def __init__(self, header: str | None = HEADER) -> None:
        self.header = header
        self.headers: list[str | None] = []

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.headers.append(handler.headers["Authorization"])
        good = self.header in (None, handler.headers["Authorization"])
        body(OK_8 if good else b"", status=200 if good else 401)(handler)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def tls(authority: Authority, *names: str) -> Callable[[str], ssl.SSLContext]:
    """The TLS of a server with a certificate for its address, or for these names instead."""

    def made(address: str) -> ssl.SSLContext:
        files = authority.issue("api", *(names or (address,)))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files["certificate"], files["key"])
        return context

    return made


def access(folder: Path, authority: Authority | None = None, **login: str) -> Path:
    """The file that the deploy writes, put in place in one step as it does."""
    new = folder / "new.json"
    new.write_text(json.dumps({"ca": authority.ca_file.read_text() if authority else None, **login}))
    return new.rename(folder / "access.json")


def test_an_api_with_tls_and_a_login_is_asked_with_both(authority: Authority, tmp_path: Path) -> None:
    """By each Python."""
    api = Api()
    with serving(api.answer, tls(authority)) as address:
        outcomes = run_all(address, ID, access=access(tmp_path, authority, **LOGIN))
    assert set(outcomes.values()) == {(0, f"{ID} at {address} is up, in pipeline main")}
    assert set(api.headers) == {HEADER}


def test_an_api_with_a_login_alone_is_asked_with_it(tmp_path: Path) -> None:
    with serving(Api().answer) as address:
        outcomes = run_all(address, ID, access=access(tmp_path, None, **LOGIN), pythons=OLDEST_AND_NEWEST)
    assert {status for status, _ in outcomes.values()} == {0}


def test_the_answer_itself_can_be_had(authority: Authority, tmp_path: Path) -> None:
    pythons = OLDEST_AND_NEWEST
    with serving(Api().answer, tls(authority)) as address:
        good = run_all("--stats", address, access=access(tmp_path, authority, **LOGIN), pythons=pythons)
        refused = run_all("--stats", address, access=access(tmp_path), pythons=pythons)
    for status, line in good.values():
        assert (status, json.loads(line)) == (0, json.loads(OK_8))
    assert set(refused.values()) == {(1, "it wants TLS, and is asked without")}


REFUSALS = {
    "TLS is wanted, and no answer comes": (
        *(True, False, None),
        *("wants_tls", "it wants TLS, and is asked without"),
    ),
    "there is no TLS": (
        *(False, True, None),
        *("without_tls", "it answers without TLS, and is to be asked with it alone"),
    ),
    "a login is wanted": (
        *(True, True, None),
        *("login", "it wants a login, and is asked without (HTTP status 401)"),
    ),
    "another login is wanted": (
        *(True, True, "x"),
        *("login", "it refuses the login that is sent (HTTP status 401)"),
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_an_api_that_is_asked_in_the_wrong_way_is_down_in_these_words(
    authority: Authority, tmp_path: Path, name: str
) -> None:
    """By each Python."""
    has_tls, with_tls, password, reason, message = REFUSALS[name]
    login = {"username": "monitor", "password": password} if password else {}
    with serving(Api().answer, tls(authority) if has_tls else None) as address:
        found = verdicts(address, ID, access=access(tmp_path, authority if with_tls else None, **login))
    assert {(each["state"], each["reason"], each["message"]) for each in found} == {("down", reason, message)}


def test_no_login_is_sent_to_an_api_without_tls_or_with_a_wrong_certificate(
    authority: Authority, tmp_path: Path
) -> None:
    api = Api()
    with serving(api.answer) as address:
        verdicts(address, ID, access=access(tmp_path, authority, **LOGIN))
    (tmp_path / "other").mkdir()
    with serving(api.answer, tls(Authority(tmp_path / "other"))) as address:
        for found in verdicts(address, ID, access=access(tmp_path, authority, **LOGIN)):
            assert found["reason"] == "certificate"
            assert found["message"].startswith("its certificate is not accepted: ")
    with serving(api.answer, tls(authority, "192.0.2.1", "stash1")) as address:
        for found in verdicts(address, ID, access=access(tmp_path, authority, **LOGIN)):
            assert found["reason"] == "certificate"
            assert "not for this address" in found["message"]
    assert api.headers == []


class Asked:
    """`script.ask`, for a node that answers in some ways: as (CA, login)."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answering: tuple[str | None, str | None]) -> None:
        self.answering = set(answering)
        self.asked: list[tuple[str | None, str | None]] = []
        self.reason = "closed"
        monkeypatch.setattr(script, "ask", self.ask)

    def ask(self, ip: str, timeout: float, way: Any) -> str:
        self.asked.append((way.ca, way.login))
        if (way.ca, way.login) in self.answering:
            return "answer"
        raise script.Down(self.reason, "no")


def node_api(folder: Path, new: dict[str, str], old: dict[str, str] | None = None) -> Any:
    (folder / "access").write_text(json.dumps(new))
    if old is not None:
        (folder / "previous").write_text(json.dumps(old))
    return service.api.NodeApi(service.api.AccessFiles(str(folder / "access"), str(folder / "previous")))


NEW, OLD, PLAIN = ("CA", HEADER), ("OLD CA", None), (None, None)


def test_a_node_that_has_not_changed_is_asked_as_before_until_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = node_api(tmp_path, {"ca": "CA", **LOGIN}, {"ca": "OLD CA"})
    asked = Asked(monkeypatch, OLD)
    assert api.ask("192.0.2.11", 2.0) == "answer"
    assert asked.asked == [NEW, OLD]
    asked.answering, asked.asked = {NEW}, []
    assert api.ask("192.0.2.11", 2.0) == "answer"
    assert asked.asked == [NEW]
    asked.answering, asked.asked = {OLD, PLAIN}, []
    with pytest.raises(script.Down):
        api.ask("192.0.2.11", 2.0)
    assert asked.asked == [NEW]


def test_a_running_service_asks_nodes_that_go_back_in_both_ways(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also once the deploy has removed the file that says how they were asked before."""
    api = node_api(tmp_path, {"ca": "CA", **LOGIN})
    asked = Asked(monkeypatch, NEW)
    api.ask("192.0.2.11", 2.0)
    (tmp_path / "access").rename(tmp_path / "previous")
    (tmp_path / "access").write_text("{}")
    asked.asked = []
    assert api.ask("192.0.2.11", 2.0) == "answer"
    assert asked.asked == [PLAIN, NEW]
    (tmp_path / "previous").unlink()
    assert api.ask("192.0.2.11", 2.0) == "answer"
    asked.answering = {PLAIN}
    assert api.ask("192.0.2.11", 2.0) == "answer"
    asked.answering = {NEW}
    with pytest.raises(script.Down):
        api.ask("192.0.2.11", 2.0)


def test_a_node_that_is_down_for_another_reason_is_asked_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = node_api(tmp_path, {"ca": "CA", **LOGIN}, {"ca": "OLD CA"})
    asked = Asked(monkeypatch)
    asked.reason = "refused"
    with pytest.raises(script.Down):
        api.ask("192.0.2.11", 2.0)
    assert asked.asked == [NEW]


def test_the_login_goes_only_the_way_that_it_belongs_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = node_api(tmp_path, {"ca": "CA", **LOGIN})
    asked = Asked(monkeypatch)
    with pytest.raises(script.Down):
        api.ask("192.0.2.11", 2.0)
    assert asked.asked == [NEW, PLAIN]


@pytest.mark.parametrize("reason", ["certificate", "login", "tls"])
def test_a_login_of_before_without_tls_does_not_go_to_a_node_that_has_tls_now(
    reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that has not changed yet is asked with it, as ever."""
    api = node_api(tmp_path, {"ca": "CA", **LOGIN}, LOGIN)
    asked = Asked(monkeypatch, (None, HEADER))
    assert api.ask("192.0.2.11", 2.0) == "answer"
    assert asked.asked == [NEW, (None, HEADER)]
    asked.answering, asked.asked, asked.reason = set(), [], reason
    with pytest.raises(script.Down):
        api.ask("192.0.2.11", 2.0)
    assert asked.asked == [NEW, PLAIN]


def test_a_cluster_without_a_secured_api_is_asked_in_one_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = service.api.NodeApi(service.api.AccessFiles(str(tmp_path / "missing"), str(tmp_path / "previous")))
    asked = Asked(monkeypatch)
    with pytest.raises(script.Down):
        api.ask("192.0.2.11", 2.0)
    assert asked.asked == [PLAIN]


@pytest.mark.parametrize("python", OLDEST_AND_NEWEST)
def test_the_service_learns_while_it_runs_how_to_ask(authority: Authority, python: str) -> None:
    """One node has changed, the other one has not."""
    changed, unchanged = Api(), Api(header=None)
    with (
        serving(changed.answer, tls(authority)) as first,
        serving(unchanged.answer) as second,
        health(first, second, python=python, before="1\n") as running,
    ):
        running.wait(lambda: running.reasons_for(first) == ["wants_tls"] and running.verdict(second) == "")
        access(running.folder, authority, **LOGIN)
        running.wait(lambda: running.verdict(first) == "")
        assert (running.verdict(second), running.reasons_for(second)) == ("", [])
        assert set(unchanged.headers) == {None}
        assert changed.headers[-1] == HEADER
