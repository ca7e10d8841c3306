"""Whether a message between two nodes' health services counts: its key, its way and its time."""

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "files"))

import logstash_ha_channel as channel  # type: ignore[import-not-found]

KEY = b"a key of at least thirty-two bytes"
DOWN = {"udp-5514": ["refused", "connection refused"]}
HEARD = {"udp-5514": ("refused", "connection refused")}


def pair(
    session: bytes = b"12121212", peer: str = "192.0.2.12", cluster: str = "192.0.2.10"
) -> tuple[Any, Any]:
    """Both ends of the link between two nodes, at the start of a run of the second."""
    one = channel.Link(cluster, "192.0.2.11", peer, b"11111111")
    other = channel.Link(cluster, peer, "192.0.2.11", session)
    return one, other


def introduce(one: Any, other: Any) -> None:
    """The messages after which each end knows the other's session."""
    first = other.read(KEY, one.compose(KEY, {}))
    assert other.is_strange(first)
    assert other.accept(first) is None
    answer = one.read(KEY, other.compose(KEY, {}, echo=first.session))
    assert not one.is_strange(answer)
    assert one.accept(answer) == {}


def test_two_services_that_have_just_started_understand_each_other() -> None:
    one, other = pair()
    introduce(one, other)
    assert other.accept(other.read(KEY, one.compose(KEY, DOWN))) == HEARD
    assert one.accept(one.read(KEY, other.compose(KEY, DOWN))) == HEARD
    assert other.accept(other.read(KEY, one.compose(KEY, {}))) == {}


@pytest.mark.parametrize("spoil", [
    lambda datagram: datagram[:-1],
    lambda datagram: datagram + b" ",
    *(lambda datagram, at=at: datagram[:at] + bytes([datagram[at] ^ 1]) + datagram[at + 1 :] for at in (0, 32, 40, 48, 63, 64)),
    lambda datagram: datagram[channel.CODE_SIZE :],
    lambda datagram: datagram[: channel.CODE_SIZE],
    lambda datagram: datagram[:20],
    lambda _: b"",
    lambda _: b"?",
])  # fmt: skip
def test_what_is_not_whole_or_not_sealed_with_the_key_is_no_message(spoil: Any) -> None:
    one, other = pair()
    introduce(one, other)
    datagram = one.compose(KEY, DOWN)
    assert other.read(KEY, spoil(datagram)) is None
    assert other.read(b"another key of thirty-two bytes...", datagram) is None
    assert other.accept(other.read(KEY, datagram)) == HEARD


def test_a_new_key_holds_for_the_next_datagram() -> None:
    one, other = pair()
    introduce(one, other)
    new = b"the new key of thirty-two bytes..."
    assert other.accept(other.read(new, one.compose(new, DOWN))) == HEARD


def test_a_message_to_another_node_or_of_another_cluster_is_none() -> None:
    datagram = pair()[0].compose(KEY, DOWN)
    for _, other in (pair(peer="192.0.2.13"), pair(cluster="192.0.2.20")):
        assert other.read(KEY, datagram) is None
    assert pair()[0].read(KEY, datagram) is None  # its own, sent back
    assert pair()[1].read(KEY, datagram) is not None


def test_a_datagram_that_is_sent_again_says_nothing() -> None:
    one, other = pair()
    introduce(one, other)
    recorded = [other.read(KEY, one.compose(KEY, DOWN)) for _ in range(3)]
    assert other.accept(recorded[0]) == HEARD
    assert other.accept(recorded[0]) is None
    assert other.accept(recorded[2]) == HEARD
    assert other.accept(recorded[1]) is None  # one that another has overtaken
    assert not any(other.is_strange(message) for message in recorded)


def test_a_datagram_of_an_earlier_run_says_nothing() -> None:
    """Neither of the receiver's earlier run, nor of the sender's."""
    one, other = pair()
    introduce(one, other)
    recorded = [other.read(KEY, one.compose(KEY, DOWN)) for _ in range(2)]
    assert other.accept(recorded[0]) == HEARD
    restarted = pair(b"21212121")[1]
    assert restarted.accept(recorded[1]) is None
    one_again = channel.Link("192.0.2.10", "192.0.2.11", "192.0.2.12", b"22222222")
    introduce(one_again, other)
    assert other.accept(other.read(KEY, one_again.compose(KEY, DOWN))) == HEARD
    assert other.accept(recorded[1]) is None
    assert other.accept(other.read(KEY, one_again.compose(KEY, {}))) == {}


def test_of_a_message_to_another_run_nothing_is_kept() -> None:
    """It may be a recorded one."""
    one, other = pair()
    message = other.read(KEY, one.compose(KEY, DOWN))
    assert other.is_strange(message)
    assert other.accept(message) is None
    assert other.echo == channel.UNKNOWN


def test_what_another_version_says_is_left_out() -> None:
    down = {
        **DOWN,
        "a": ["of_another_version", "words"],
        "b": "refused",
        "c": ["refused"],
        "d": ["refused", 1],
        "e": None,
        "f": [["refused"], "words"],
    }
    assert channel.parse_down(channel.format_down(down)) == HEARD
    for text in (b"", b"[]", b"1", b"{", b"\xff", b"[" * 50_000):
        assert channel.parse_down(text) == {}


def test_a_message_about_very_many_inputs_goes_without_its_words() -> None:
    one, other = pair()
    introduce(one, other)
    down = {f"udp-{number}": ["refused", "w" * 290] for number in range(1000)}
    datagram = one.compose(KEY, down)
    assert len(datagram) < 65507
    assert other.accept(other.read(KEY, datagram)) == dict.fromkeys(down, ("refused", ""))


@pytest.mark.parametrize(
    ("content", "key"), [(KEY + b"\n", KEY), (KEY, KEY), (b"", None), (b"short\n", None), (None, None)]
)
def test_a_key_that_is_not_whole_is_none(content: bytes | None, key: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    assert channel.read_key(str(file)) == key
