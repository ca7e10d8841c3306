"""The live view: look after look, with rates between them."""

from itertools import islice
from pathlib import Path

import pytest
from rich.console import Console

from cluster import ClusterError
from tests.unit.clusters import make_cluster
from tests.unit.observations import all_well
from verification import command, watch
from verification.judge import judge
from verification.watch import Snapshot, views


def seen(tmp_path: Path, when: float, **counts: int) -> Snapshot:
    cluster = make_cluster(tmp_path)
    found = {name: {"udp-5514": number} for name, number in counts.items()}
    return Snapshot(cluster, judge(cluster, all_well(cluster)), found, when)


def shown(*looks: Snapshot | ClusterError) -> list[str]:
    """What these looks show, one after the other."""
    coming = iter(looks)

    def see() -> Snapshot:
        each = next(coming)
        if isinstance(each, ClusterError):
            raise each
        return each

    texts = []
    for view in islice(views(see, lambda: "03:00:00"), len(looks)):
        console = Console(width=100)
        with console.capture() as capture:
            console.print(view)
        texts.append(capture.get())
    return texts


def rate(text: str) -> list[str]:
    """The row of rates, which is the last one of the input's."""
    return next(line.split()[1:] for line in reversed(text.splitlines()) if "udp-5514" in line)


def test_rates_are_between_two_snapshots(tmp_path: Path) -> None:
    texts = shown(
        seen(tmp_path, 10, stash1=100, stash2=100),
        seen(tmp_path, 12, stash1=300, stash2=150),
        seen(tmp_path, 14, stash1=20, stash2=150),  # stash1's Logstash was started anew
        seen(tmp_path, 16, stash2=160),  # and does not answer
    )
    assert [rate(text) for text in texts] == [["-", "-"], ["100", "25"], ["-", "0"], ["-", "5"]]
    assert all("03:00:00" in text and "ALL GOOD" in text for text in texts)


def test_it_goes_on_when_nothing_is_seen(tmp_path: Path) -> None:
    texts = shown(
        seen(tmp_path, 10, stash1=1, stash2=1),
        ClusterError("no node can be reached by ssh"),
        seen(tmp_path, 14, stash1=9, stash2=9),
    )
    assert "nothing to be seen: no node can be reached by ssh" in texts[1]
    assert rate(texts[2]) == ["-", "-"]


def test_it_ends_with_an_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(file: str, name: str | None) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(watch, "watch", interrupted)
    assert command.main(["--watch"]) == 0


def test_any_other_look_says_that_it_was_interrupted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "_verify", interrupted)
    assert command.main([]) == 2
    assert capsys.readouterr().err == "verify: interrupted\n"


def test_a_bad_inventory_is_told_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--watch", "--inventory", "none.py"]) == 2
    assert "--inventory: none.py is not a file" in capsys.readouterr().err
