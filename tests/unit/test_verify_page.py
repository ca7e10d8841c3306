"""The report as a page: what it says, and that a browser shows it whole."""

import re
import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest

from facts.journal import JournalLine
from facts.maintenance import MaintenanceState
from tests.unit.clusters import make_cluster
from tests.unit.observations import all_well, change, pop_real
from verification.activity import SHOWN, Activity, Change, history, rates
from verification.judge import judge
from verification.page import page, picture
from verification.report import Report, Status

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
BUSY = Activity(
    {"stash1": 300.4, "stash2": 99.6},
    (
        Change(
            NOW.timestamp() - 60,
            "udp-5514 at 10.77.0.12 is down: <b>HTTP status 500</b>",
            ("stash1", "stash2"),
        ),
        Change(NOW.timestamp() - 30, "(VI_1) Entering MASTER STATE", ("stash2",)),
    ),
)
LONG = {"nodes": [{"name": f"stash{n}.logs.example.org", "address": f"fd00:77:0:1::1{n}"} for n in range(1, 6)], "network": "fd00:77:0:1::/64", "vip": "fd00:77:0:1::10", "senders": ["fd00:77:0:1::65"]}  # fmt: skip
MANY = {"inputs": [{"id": f"input-number-{n}", "port": 6000 + n} for n in range(20)]}

# Texts that leave their box or the picture, and how far the page is wider than the window.
MEASURE = """
<script>
const boxes = [...document.querySelectorAll("svg rect")].map(box => box.getBBox());
const out = [...document.querySelectorAll("svg text")].filter(text => {
  const is = text.getBBox(), box = boxes.find(box => is.x >= box.x - 1 && is.x < box.x + box.width && is.y >= box.y - 1 && is.y < box.y + box.height);
  return !box || is.x + is.width > box.x + box.width || is.y + is.height > box.y + box.height;
});
document.title = JSON.stringify([out.map(text => text.textContent), Math.max(0, document.documentElement.scrollWidth - innerWidth)]);
</script>
"""


class Page(HTMLParser):
    """A page's tags and texts; each tag is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.links: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts += [data.strip()] if data.strip() else []


def well(tmp_path: Path, count: int = 2, **settings: object) -> Report:
    cluster = make_cluster(tmp_path, count, **settings)
    return judge(cluster, all_well(cluster))


def test_the_page_shows_that_all_is_well(tmp_path: Path) -> None:
    shown = Page(page(well(tmp_path), None, BUSY, NOW))
    assert shown.links == [], "it needs nothing else"
    assert "All good" in shown.texts
    assert "2026-11-24 03:00:00 UTC" in shown.texts
    assert [text for text in shown.texts if text.startswith(("MASTER of", "BACKUP"))][::-1] == [
        "MASTER of 10.77.0.10",
        "BACKUP",
    ]
    assert shown.texts.count("gets udp-5514") == 2


def test_the_page_shows_what_is_wrong_and_escapes_it(tmp_path: Path) -> None:
    """With its remedy, and nothing that comes from a machine is markup."""
    cluster = make_cluster(tmp_path)
    seen = all_well(cluster)
    seen = {
        "stash1": replace(seen["stash1"], unreachable="<script>alert(1)</script>"),
        "stash2": change(seen["stash2"], virtual_servers=pop_real(0)),
    }
    report = judge(cluster, seen)
    text = page(report, None, BUSY, NOW)
    assert "<script>" not in text
    shown = Page(text)
    assert "Wrong" in shown.texts
    assert "not reached" in shown.texts
    assert "does not get udp-5514" in shown.texts
    assert any("can't be looked at: <script>" in text for text in shown.texts)
    assert {problem.do for problem in report.problems} <= set(shown.texts)


def test_a_nodes_colour_is_that_of_its_worst_problem(tmp_path: Path) -> None:
    cluster = make_cluster(tmp_path)
    seen = all_well(cluster)
    stopped = change(seen["stash1"], services=lambda it: it["logstash"].update(active=False))
    classes = re.findall(
        r'<g class="(\w+)">', page(judge(cluster, {**seen, "stash1": stopped}), None, BUSY, NOW)
    )
    # The VIP, the events of stash1 and stash2, stash1, stash2.
    assert classes == [Status.OK, Status.OK, Status.OK, Status.WRONG, Status.OK]


def test_the_picture_shows_the_way_of_events_with_shares_and_rates(tmp_path: Path) -> None:
    shown = Page(page(well(tmp_path), None, BUSY, NOW))
    assert "75% · 300/s" in shown.texts
    assert "25% · 100/s" in shown.texts
    assert "MASTER: stash2" in shown.texts
    assert {arrow.status for arrow in picture(well(tmp_path), BUSY).arrows} == {Status.OK}
    quiet = Page(page(well(tmp_path), None, Activity({"stash1": 0.0, "stash2": 0.0}, ()), NOW))
    assert quiet.texts.count("0/s") == 2
    unknown = Page(page(well(tmp_path), None, Activity({}, ()), NOW))
    assert unknown.texts.count("not known") == 2


def test_a_node_that_gets_nothing_is_drawn_as_out(tmp_path: Path) -> None:
    cluster = make_cluster(tmp_path)
    seen = all_well(cluster)
    report = judge(cluster, {**seen, "stash2": change(seen["stash2"], virtual_servers=pop_real(0))})
    drawn = picture(report, BUSY)
    assert drawn.out == {"stash1"}
    assert [box.title for box in drawn.flows] == ["out · 300/s", "25% · 100/s"]
    # From the VIP to stash1, and on to its box; what is whole comes over them.
    assert [arrow.status for arrow in drawn.arrows] == [*[Status.WRONG] * 2, *[Status.OK] * 3]
    text = page(report, None, BUSY, NOW)
    assert text.count('<rect class="out"') == 1
    assert text.count("marker-end") == 3


def test_a_node_in_maintenance_is_out_and_that_is_only_a_warning(tmp_path: Path) -> None:
    cluster = make_cluster(tmp_path)
    note: MaintenanceState = {"by": "alice@laptop", "since": 1, "until": None, "patch": None}
    notes = {str(cluster.nodes[0].address): note}
    seen = {name: replace(each, maintenance=notes) for name, each in all_well(cluster).items()}
    report = judge(cluster, {**seen, "stash2": change(seen["stash2"], virtual_servers=pop_real(0))})
    drawn = picture(report, BUSY)
    assert drawn.out == {"stash1"}
    assert drawn.flows[0].status == Status.WARNING
    assert [arrow.status for arrow in drawn.arrows] == [*[Status.WARNING] * 2, *[Status.OK] * 3]
    assert [arrow.used for arrow in drawn.arrows] == [*[False] * 2, *[True] * 3]
    assert page(report, None, BUSY, NOW).count("marker-end") == 3


def test_without_a_master_nothing_gets_through(tmp_path: Path) -> None:
    report = well(tmp_path)
    gone = replace(report, vips={vip: replace(each, holders=()) for vip, each in report.vips.items()})
    drawn = picture(gone, BUSY)
    assert drawn.vips[0].lines == (("no MASTER", Status.WRONG),)
    assert {arrow.status for arrow in drawn.arrows} == {Status.WRONG}


def test_the_page_has_the_history_of_the_day(tmp_path: Path) -> None:
    """The newest change first, and with no markup of the journal's."""
    text = page(well(tmp_path), None, BUSY, NOW)
    assert "<b>" not in text
    shown = Page(text).texts
    first = shown.index("11-24 02:59:30")
    assert shown[first + 1 : first + 3] == ["(VI_1) Entering MASTER STATE", "stash2"]
    assert "udp-5514 at 10.77.0.12 is down: <b>HTTP status 500</b>" in shown
    assert "stash1, stash2" in shown
    assert (
        "Nothing, as the nodes' journals have it."
        in Page(page(well(tmp_path), None, Activity({}, ()), NOW)).texts
    )
    many = Activity({}, BUSY.changes, left_out=7)
    assert "The last 2 changes; 7 came before them." in Page(page(well(tmp_path), None, many, NOW)).texts


def test_one_change_that_several_nodes_tell_is_one() -> None:
    def line(time: float, text: str) -> JournalLine:
        return JournalLine(time=time, text=text)

    found = history(
        {
            "stash1": [line(100, "down"), line(105, "up"), line(300, "down")],
            "stash2": [line(101, "down"), line(102, "down")],
        }
    )
    assert found == (
        Change(100, "down", ("stash1", "stash2")),
        Change(102, "down", ("stash2",)),
        Change(105, "up", ("stash1",)),
        Change(300, "down", ("stash1",)),
    )
    assert SHOWN >= 50


def test_what_a_node_says_within_a_second_keeps_its_order() -> None:
    lines = [JournalLine(time=100, text=text) for text in ("it is up", "it is down", "it comes back")]
    assert [change.text for change in history({"stash1": lines})] == [
        "it is up",
        "it is down",
        "it comes back",
    ]


def test_rates_are_those_of_nodes_that_count_on() -> None:
    before = {"a": {"x": 10, "y": 0}, "b": {"x": 90}, "c": {}}
    after = {"a": {"x": 30, "y": 20}, "b": {"x": 5}, "c": {"x": 1}, "d": {}}
    assert rates(before, after, 2.0) == {"a": 20.0}


@pytest.mark.parametrize(
    ("count", "settings"),
    [(2, {}), (3, {"vip": ["10.77.0.10", "10.77.0.20"]}), (5, LONG), (5, MANY)],
    ids=["two nodes", "two VIPs", "long names", "many inputs"],
)
def test_a_browser_shows_it_whole(tmp_path: Path, count: int, settings: dict[str, object]) -> None:
    text = page(well(tmp_path, count, **settings), None, BUSY, NOW)
    file = tmp_path / "report.html"
    file.write_text(text.replace("</body>", f"{MEASURE}</body>"))
    browser = shutil.which("chromium")
    assert browser, "chromium is not installed: `make packages`"
    done = subprocess.run(
        (
            browser,
            *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            *(f"--user-data-dir={tmp_path}/profile", "--window-size=1000,1100", "--dump-dom", file.as_uri()),
        ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    titles = re.findall("<title>(.*?)</title>", done.stdout)
    assert titles == ["[[],0]"], done.stderr[-500:]
