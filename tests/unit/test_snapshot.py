"""A host's facts come in one round trip, until a command may have changed the host."""

from __future__ import annotations

from typing import Any, cast

import pytest
from pyinfra.api import FactBase, Host, State
from pyinfra.api.state import StateStage

from facts.batch import BatchFacts
from remote.snapshot import Change, Request, before_first_change, install, reading, remembered, remembers


class Word(FactBase[str]):
    """A word, read by a command."""

    def command(self, word: str) -> str:
        return f"echo {word}"


class FakeHost:
    """pyinfra's host: it reads facts by commands, and has a run that is in some stage."""

    name = "stash1"
    print_prefix = "[stash1] "

    def __init__(self) -> None:
        self.current_stage = StateStage.Prepare
        self.asked: list[str] = []
        self.commands: list[str | Change] = []
        self.broken = False
        self.is_executing = False

    @property
    def state(self) -> FakeHost:
        return self

    @property
    def inventory(self) -> FakeHost:
        return self

    def get_host(self, _: str) -> FakeHost:
        return self

    def get_fact(self, fact: type[FactBase[Any]], **arguments: Any) -> Any:
        self.run_shell_command("read")
        if fact is BatchFacts:
            self.asked.append("all")
            facts = arguments["facts"]
            return None if self.broken else {name: each[1]["word"] for name, each in facts.items()}
        self.asked.append(arguments["word"])
        return arguments["word"]

    def run_shell_command(self, command: str | Change) -> None:
        self.commands.append(command)

    def put_file(self, path: str) -> bool:
        self.commands.append(path)
        return True


@pytest.fixture
def host() -> FakeHost:
    host = FakeHost()
    install(cast(Host, host), [(Word, {"word": "one"}), (Word, {"word": "two"})])
    return host


def words(host: FakeHost, *asked: str) -> list[str]:
    return [host.get_fact(Word, word=word) for word in asked]


def test_all_facts_come_with_the_first_one(host: FakeHost) -> None:
    assert words(host, "two", "one", "two") == ["two", "one", "two"]
    assert host.asked == ["all"]


def test_a_fact_that_was_not_announced_is_read_by_itself(host: FakeHost) -> None:
    assert words(host, "three", "one", "three") == ["three", "one", "three"]
    assert host.asked == ["three", "all", "three"]


def test_after_a_command_that_may_change_the_host_each_fact_is_read_anew(host: FakeHost) -> None:
    words(host, "one")
    host.run_shell_command("change")
    assert words(host, "one", "one", "two") == ["one", "one", "two"]
    assert host.asked == ["all", "one", "two"]
    host.run_shell_command("change")
    words(host, "one")
    assert host.asked == ["all", "one", "two", "one"]


class Number(Word):
    """Another fact of the same kind of host."""


@pytest.mark.parametrize(
    ("touches", "anew"),
    [
        ([], []),
        ([Number], ["2"]),
        ([Word, Number], ["one", "2"]),
        (None, ["one", "2"]),
    ],
)
def test_after_a_command_that_says_what_it_changes_only_that_is_read_anew(
    touches: list[type[FactBase[Any]]] | None, anew: list[str]
) -> None:
    host = FakeHost()
    requests: list[Request] = [(Word, {"word": "one"}), (Number, {"word": "2"})]
    install(cast(Host, host), requests)
    words(host, "one")
    host.run_shell_command("change" if touches is None else Change("change", touches=touches))
    for fact, arguments in requests:
        host.get_fact(fact, **arguments)
    assert host.asked == ["all", *anew]
    assert not remembers(cast(State, host))


def test_no_change_leaves_what_is_to_be_remembered() -> None:
    host = FakeHost()
    host.is_executing = True
    install(cast(Host, host), [(Word, {"word": "one"})], remembered=[(Number, {"word": "2"})])
    asked = {"first": (Word, {"word": "one"}), "second": (Number, {"word": "2"})}
    words(host, "one")
    assert remembered(cast(Host, host), asked) == {"first": "one", "second": "2"}
    host.run_shell_command(Change("change", touches=[]))
    assert remembered(cast(Host, host), asked) == {"first": "one"}


def test_a_command_that_only_reads_changes_nothing(host: FakeHost) -> None:
    words(host, "one")
    with reading():
        host.run_shell_command("look")
    words(host, "two")
    assert host.asked == ["all"]


def test_what_was_read_while_the_run_was_prepared_is_read_anew_when_it_is_executed(host: FakeHost) -> None:
    words(host, "one")
    host.current_stage = StateStage.Execute
    words(host, "one", "two")
    assert host.asked == ["all", "all"]


def test_where_all_facts_at_once_fail_each_is_read_by_itself(host: FakeHost) -> None:
    host.broken = True
    assert words(host, "one", "two") == ["one", "two"]
    assert host.asked == ["all", "one", "two"]


def test_what_is_to_be_remembered_is_read_with_the_others_once_the_run_is_executed(host: FakeHost) -> None:
    install(cast(Host, host), [(Word, {"word": "one"})], remembered=[(Word, {"word": "three"})])
    asked = {
        "first": (Word, {"word": "one"}),
        "third": (Word, {"word": "three"}),
        "fourth": (Word, {"word": "four"}),
    }
    words(host, "one")
    assert remembered(cast(Host, host), asked) == {"first": "one"}
    host.current_stage, host.is_executing = StateStage.Execute, True
    words(host, "one")
    assert remembered(cast(Host, host), asked) == {"first": "one", "third": "three"}
    assert host.asked == ["all", "all"]


@pytest.mark.parametrize("change", ["run_shell_command", "put_file"])
def test_a_run_that_has_changed_a_host_remembers_nothing(host: FakeHost, change: str) -> None:
    words(host, "one")
    assert remembers(cast(State, host))
    getattr(host, change)("change")
    assert not remembers(cast(State, host))


@pytest.mark.parametrize("refusal", ["", "another run has the lock"])
def test_before_the_first_change_the_run_is_prepared_once_and_may_be_refused(
    host: FakeHost, refusal: str
) -> None:
    """While it executes, and not for facts; a file that is copied is a change, too."""
    prepared: list[str] = []

    def prepare() -> str:
        prepared.append("lock")
        return refusal

    before_first_change(cast(State, host), prepare)
    host.run_shell_command("as it is prepared")
    host.is_executing = True
    words(host, "one")
    assert prepared == []
    before = [*host.commands]
    for _ in range(2):
        assert host.put_file("a file") is not bool(refusal)
        host.run_shell_command("a change")
    assert prepared == ["lock"]
    assert host.commands == before + ([] if refusal else ["a file", "a change"] * 2)
