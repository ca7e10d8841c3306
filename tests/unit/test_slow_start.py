"""Slow start: how much of its weight a node gets that has just started, by the service's own code and by the service."""

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from unittest.mock import Mock, patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.test_check_script import INTERPRETERS, ROOT, Answer, body, serving
from tests.unit.test_health import ID, UP, Running, Script, health

sys.path.insert(0, str(ROOT / "files"))
import check_logstash_input as script  # type: ignore[import-not-found]
import logstash_ha_slow_start as slow_start  # type: ignore[import-not-found]

MEASURED = slow_start.Cold(1000, 12)
"""What was measured on a real Logstash."""


@pytest.mark.parametrize(
    ("rate", "mebibytes", "lost"),
    [(1000, 16, False), (2000, 16, False), (4000, 16, True), (2000, 4, True), (4000, 4, True)],
)
def test_a_node_is_held_back_at_the_rates_at_which_a_cold_logstash_lost_events(
    rate: int, mebibytes: int, lost: bool
) -> None:
    """By the recipe's size of events, of which 16 MiB hold 26,214."""
    allowed = MEASURED.allowed(rate, rate, (mebibytes << 21) // 1280, 0)
    assert (allowed is not None) == lost


@settings(deadline=None)
@given(
    own=st.floats(1, 100_000),
    others=st.floats(0, 100_000),
    holds=st.integers(1, 10**6),
    rate=st.integers(1, 10**5),
)
def test_what_a_node_is_given_its_buffer_takes_however_cold_it_stays(
    own: float, others: float, holds: int, rate: int
) -> None:
    """Taking no more than the cold rate all the time, and without a share of less than its slow start gives it."""
    cold = slow_start.Cold(rate, 12)
    taken = waiting = 0.0
    for _ in range(12 * 10):  # tenths of a second
        allowed = cold.allowed(own, own + others, holds, taken)
        share = own / (own + others)
        waiting += (own if allowed is None else allowed) / 10
        took = min(waiting, rate * share / 10)
        waiting -= took
        taken += took / share
        assert waiting <= holds + 1


def test_it_gets_more_with_the_events_that_it_takes_until_it_gets_all() -> None:
    allowed = [MEASURED.allowed(4000, 4000, 26214, taken) for taken in (0, 6000, 12000, 18000)]
    assert [round(each) if each else None for each in allowed] == [1592, 2252, 3184, None]
    assert MEASURED.allowed(10**6, 10**6, 26214, 20 * 12000) is None


@pytest.mark.parametrize(
    ("allowed", "rate", "weight", "others", "expected"),
    [
        (1000, 8000, 1, 1, 14),
        (1000, 8000, 2, 1, 7),
        (1000, 8000, 1, 3, 42),
        (1, 8000, 1, 1, 1),
        (4000, 8000, 1, 1, 100),
    ],
)
def test_the_percent_gives_it_that_share_beside_the_others(
    allowed: int, rate: int, weight: int, others: int, expected: int
) -> None:
    assert slow_start.percent(allowed, rate, weight, others) == expected


def up(taken: int, run: str = "a") -> object:
    """What a poll finds."""
    return script.Up("main", 0, taken=taken, run=run)


def test_the_events_of_a_run_are_counted_over_all_inputs_and_reloads() -> None:
    intake = slow_start.Intake()
    for input_id, taken in (("a", 100), ("b", 10), ("a", 150), ("a", 20), ("b", 10)):
        intake.update(input_id, up(taken))
    assert intake.taken == 100 + 10 + 50 + 20
    intake.update("a", script.Down("refused", ""))
    intake.update("a", up(25))
    assert intake.taken == 185
    intake.update("a", up(3, run="b"))
    assert intake.taken == 3


def test_a_logstash_whose_runs_have_no_id_counts_anew_after_a_refusal() -> None:
    intake = slow_start.Intake()
    intake.update("a", up(100, run=""))
    intake.update("a", script.Down("hung", ""))
    assert intake.taken == 100
    intake.update("a", script.Down("refused", ""))
    intake.update("a", up(5, run=""))
    assert intake.taken == 5


def test_a_rate_is_known_after_a_second() -> None:
    intake, clock = slow_start.Intake(), Mock()
    rates = []
    with patch.object(script, "clock", clock):
        for clock.return_value, taken in ((0.0, 1000), (0.5, 1500), (1.0, 2500), (3.0, 4500)):
            intake.update("a", up(taken))
            rates.append(intake.rate("a"))
        intake.update("a", script.Down("hung", ""))
        clock.return_value = 9.0
        intake.update("a", up(4600))
    assert (rates, intake.rate("a"), intake.rate("b")) == ([None, None, 1500.0, 1500.0], 1500.0, None)
    intake.end("a")
    assert intake.rate("a") is None


def test_a_moment_without_events_does_not_count_as_a_low_rate() -> None:
    """A JVM that collects garbage, or a machine that is busy, takes in the next second what it has not taken in this one."""
    intake, clock = slow_start.Intake(), Mock()
    rates, taken = [], 0
    with patch.object(script, "clock", clock):
        for second, come in enumerate((0, 400, 400, 20, 10, *[100] * 5)):
            clock.return_value, taken = float(second), taken + come
            intake.update("a", up(taken))
            rates.append(intake.rate("a"))
    assert rates == [None, *[400.0] * 6, 100.0, 100.0, 100.0]


class Busy:
    """The API of a Logstash that takes so many events a second, from a number on that it has taken."""

    def __init__(self, rate: float, taken: int = 0, run: str = "first") -> None:
        self.rate, self.taken, self.run = rate, taken, run
        self.since = time.monotonic()

    def __call__(self, handler: BaseHTTPRequestHandler) -> None:
        taken = int(self.taken + self.rate * (time.monotonic() - self.since))
        plugin = {"id": ID, "events": {"out": taken}}
        answer = {"ephemeral_id": self.run, "pipelines": {"main": {"plugins": {"inputs": [plugin]}}}}
        body(json.dumps(answer).encode())(handler)


@contextlib.contextmanager
def returning(
    peer: Answer, returned: Busy, python: str, code: str = ""
) -> Iterator[tuple[str, str, Running, Script]]:
    """A node that has been up for long, and one that comes back once the rate of the first is known."""
    answers, polls = Script(body(b"", status=500)), Script(peer)
    patch = f"slow_start = service.slow_start; slow_start.MEASURE = 0.2\n{code}"
    with (
        serving(polls) as warm,
        serving(answers) as cold,
        health(warm, cold, before="", alone=True, python=python, reduction="", patch=patch) as service,
    ):
        service.wait(lambda: service.verdict(cold) == "1\n")
        known = polls.given + 20  # polls, of which there are 20 a second
        service.wait(lambda: polls.given > known)
        answers.now(returned)
        yield warm, cold, service, answers


@pytest.mark.parametrize("python", INTERPRETERS)
def test_a_cold_node_comes_back_with_what_it_can_take_and_gets_more_as_it_takes_events(python: str) -> None:
    busy, cold = Busy(8000, 10**7), Busy(0)
    with returning(busy, cold, python) as (warm, address, service, answers):
        service.wait(lambda: service.verdict(address) == "")
        # 12,000 events in 12 s and 100 in its buffer: half of that rate, of 8,000 events a second, are 6 %.
        assert 75 < int(service.reduction(address)) < 99
        service.wait(lambda: service.reasons_for(address) == ["slow_start"])
        (listed,) = service.reasons()
        assert (listed["address"], listed["state"], listed["reason"]) == (address, "up", "slow_start")
        assert listed["message"].startswith("coming back at ")
        assert service.reduction(warm) == ""
        before = int(service.reduction(address))
        answers.now(Busy(0, 20_000))
        service.wait(lambda: 0 < int(service.reduction(address) or 0) < before)
        answers.now(Busy(0, 60_000))
        service.wait(lambda: service.reduction(address) == "")
        service.wait(lambda: service.reasons() == [])
        service.wait(lambda: service.lines()[-1] == f"{ID} at {address} is warm, and has its full weight")


def test_keepalived_never_hears_that_it_is_up_before_it_hears_of_its_share() -> None:
    code = """
write = service.flags.FlagFile._write
def recording(flag, content):
    write(flag, content)
    with open(folder + "/writes", "a") as file:
        file.write("%s: %s\\n" % (flag.path[len(folder) + 1:], content.decode().strip()))
service.flags.FlagFile._write = recording
"""
    with returning(Busy(8000, 10**7), Busy(0), INTERPRETERS[0], code) as (_, address, service, _answers):
        service.wait(lambda: service.verdict(address) == "")
        writes = (service.folder / "writes").read_text().splitlines()
    first = next(index for index, line in enumerate(writes) if line.startswith(f"reductions/{address}/"))
    assert writes[first + 1] == f"{address}/{ID}: "


@pytest.mark.parametrize(
    ("peer", "returned"),
    [
        (Busy(1500, 10**7), Busy(0)),
        (Busy(8000, 10**7), Busy(0, 10**7)),
        (Busy(0, 10**7), Busy(0)),
    ],
    ids=["at a rate that it can take", "warm", "without events"],
)
def test_a_node_gets_its_full_weight_at_once_where_nothing_would_be_lost(peer: Busy, returned: Busy) -> None:
    with returning(peer, returned, INTERPRETERS[0]) as (_, address, service, answers):
        service.wait(lambda: service.verdict(address) == "")
        polls = answers.given
        service.wait(lambda: answers.given > polls + 10)
        assert (service.reduction(address), service.reasons()) == ("", [])


def test_the_only_one_that_is_up_has_its_full_weight() -> None:
    peer = Script(Busy(8000, 10**7))
    with returning(peer, Busy(0), INTERPRETERS[0]) as (warm, address, service, _):
        service.wait(lambda: service.reasons_for(address) == ["slow_start"])
        peer.now(body(b"", status=500))
        service.wait(lambda: service.verdict(warm) == "1\n")
        service.wait(lambda: service.reduction(address) == "")
        service.wait(lambda: service.reasons_for(address) == [])


def test_a_new_service_goes_on_with_a_slow_start() -> None:
    """Until it knows the rates."""
    with serving(Busy(8000, 10**7)) as warm, serving(Busy(0)) as cold:
        message = "coming back at 10 % of its weight, until its Logstash is warm"
        listed = {"input": ID, "address": cold, "state": "up", "reason": "slow_start", "message": message}
        reasons = json.dumps(listed) + "\n"
        with health(warm, cold, alone=True, reasons=reasons, reduction="90\n") as service:
            service.wait(lambda: service.reduction(warm) == "")
            service.wait(lambda: service.reduction(cold) not in ("", "90\n"))
            service.wait(lambda: service.reasons_for(cold) == ["slow_start"])


@pytest.mark.parametrize("setting", ["reduction", "holds"])
def test_an_input_without_weights_or_over_tcp_is_never_held_back(setting: str) -> None:
    code = f"""
init = service.InputState.__init__
def without(self, ip, input_id, settings, *rest):
    init(self, ip, input_id, dict(settings, {setting}=None), *rest)
service.InputState.__init__ = without
"""
    with returning(Busy(8000, 10**7), Busy(0), INTERPRETERS[0], code) as (_, address, service, answers):
        service.wait(lambda: service.verdict(address) == "")
        polls = answers.given
        service.wait(lambda: answers.given > polls + 10)
        assert (service.reduction(address), service.reasons()) == ("", [])


def test_up_is_a_logstash_without_counts() -> None:
    with serving(UP) as first, serving(UP) as second, health(first, second, reduction="") as service:
        service.wait_for_systemd(b"READY=1")
        assert (service.reduction(first), service.reduction(second)) == ("", "")
