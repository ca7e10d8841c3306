"""Whether a message between two nodes' health services counts: its key, its way and its time."""

import hashlib
import hmac
import json
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "files"))

import logstash_ha_channel as channel  # type: ignore[import-not-found]

KEY = b"a key of at least thirty-two bytes"
DOWN = {"udp-5514": ["refused", "connection refused"]}
HEARD = {"udp-5514": ("refused", "connection refused")}


def pair(session: str = "") -> tuple[Any, Any]:
    """Both ends of the link between two nodes, at the start of a run of the second."""
    one = channel.Link("192.0.2.10", "192.0.2.11", "192.0.2.12", "session of 11")
    other = channel.Link("192.0.2.10", "192.0.2.12", "192.0.2.11", session or "session of 12")
    return one, other


def introduce(one: Any, other: Any) -> None:
    """The messages after which each end knows the other's session."""
    first = channel.unseal(KEY, one.compose(KEY, {}))
    assert other.accept(first) is None
    answer = channel.unseal(KEY, other.answer_to(KEY, first, {}))
    assert one.accept(answer) == {}
    assert one.answer_to(KEY, answer, {}) is None


def test_two_services_that_have_just_started_understand_each_other() -> None:
    one, other = pair()
    introduce(one, other)
    assert other.accept(channel.unseal(KEY, one.compose(KEY, DOWN))) == HEARD
    assert one.accept(channel.unseal(KEY, other.compose(KEY, DOWN))) == HEARD


@pytest.mark.parametrize("spoil", [
    lambda datagram: datagram[:-1],
    lambda datagram: datagram + b" ",
    lambda datagram: bytes([datagram[0] ^ 1]) + datagram[1:],
    lambda datagram: datagram[:40] + bytes([datagram[40] ^ 1]) + datagram[41:],
    lambda datagram: datagram[channel.DIGEST_SIZE :],
    lambda datagram: datagram[:20],
    lambda _: b"",
    lambda datagram: channel.seal(b"another key of thirty-two bytes...", json.loads(datagram[channel.DIGEST_SIZE :])),
])  # fmt: skip
def test_what_is_not_sealed_with_the_key_is_no_message(spoil: Any) -> None:
    one, other = pair()
    introduce(one, other)
    datagram = one.compose(KEY, DOWN)
    assert channel.unseal(KEY, spoil(datagram)) is None
    assert other.accept(channel.unseal(KEY, datagram)) == HEARD


@pytest.mark.parametrize("content", [b"", b"[]", b"1", b"{", b"\xff", b"[" * 50_000])
def test_what_is_sealed_and_is_no_object_is_no_message(content: bytes) -> None:
    assert channel.unseal(KEY, hmac.new(KEY, content, hashlib.sha256).digest() + content) is None


def test_a_datagram_that_is_sent_again_says_nothing() -> None:
    one, other = pair()
    introduce(one, other)
    recorded = [channel.unseal(KEY, one.compose(KEY, DOWN)) for _ in range(3)]
    assert other.accept(recorded[0]) == HEARD
    assert other.accept(recorded[0]) is None
    assert other.accept(recorded[2]) == HEARD
    assert other.accept(recorded[1]) is None  # one that another has overtaken
    assert [other.answer_to(KEY, message, {}) for message in recorded] == [None] * 3


def test_a_datagram_of_an_earlier_run_says_nothing() -> None:
    """Neither of the receiver's earlier run, nor of the sender's."""
    one, other = pair()
    introduce(one, other)
    recorded = [channel.unseal(KEY, one.compose(KEY, DOWN)) for _ in range(2)]
    assert other.accept(recorded[0]) == HEARD
    restarted = pair("another session of 12")[1]
    assert restarted.accept(recorded[1]) is None
    one_again = channel.Link("192.0.2.10", "192.0.2.11", "192.0.2.12", "another session of 11")
    introduce(one_again, other)
    assert other.accept(channel.unseal(KEY, one_again.compose(KEY, DOWN))) == HEARD
    assert other.accept(recorded[1]) is None
    assert other.accept(channel.unseal(KEY, one_again.compose(KEY, {}))) == {}


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("cluster", "192.0.2.20"),
        ("from", "192.0.2.13"),
        ("to", "192.0.2.13"),
        ("session", ""),
        ("session", 7),
        ("count", None),
        ("count", "9"),
    ],
)
def test_a_message_between_others_or_without_a_part_says_nothing(member: str, value: object) -> None:
    one, other = pair()
    introduce(one, other)
    message = channel.unseal(KEY, one.compose(KEY, DOWN))
    assert other.accept({**message, member: value}) is None
    assert other.accept({key: message[key] for key in message if key != member}) is None
    assert other.accept(message) == HEARD


def test_a_message_to_another_run_is_answered_with_the_session_but_one_of_others_is_not() -> None:
    one, other = pair()
    message = channel.unseal(KEY, one.compose(KEY, DOWN))
    assert other.answer_to(KEY, {**message, "from": "192.0.2.13"}, {}) is None
    assert other.answer_to(KEY, {**message, "cluster": "192.0.2.20"}, {}) is None
    answer = channel.unseal(KEY, other.answer_to(KEY, message, {}))
    assert (answer["echo"], answer["session"]) == ("session of 11", "session of 12")
    assert other.echo == ""  # it may be a recorded one, so nothing of it is kept


def test_what_another_version_says_is_left_out() -> None:
    down = {
        **DOWN,
        "a": ["of_another_version", "words"],
        "b": "refused",
        "c": ["refused"],
        "d": ["refused", 1],
        "e": None,
    }
    assert channel.parse_down(down) == HEARD
    assert channel.parse_down(None) == channel.parse_down([]) == {}


def test_a_message_about_very_many_inputs_goes_without_its_words() -> None:
    one, other = pair()
    introduce(one, other)
    down = {f"udp-{number}": ["refused", "w" * 290] for number in range(1000)}
    datagram = one.compose(KEY, down)
    assert len(datagram) < channel.LARGEST
    assert other.accept(channel.unseal(KEY, datagram)) == dict.fromkeys(down, ("refused", ""))


@pytest.mark.parametrize(
    ("content", "key"), [(KEY + b"\n", KEY), (KEY, KEY), (b"", None), (b"short\n", None), (None, None)]
)
def test_a_key_that_is_not_whole_is_none(content: bytes | None, key: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    assert channel.read_key(str(file)) == key
