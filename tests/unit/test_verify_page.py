"""The report as a page: what it says, and that a browser shows it whole."""

import re
import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.unit.clusters import make_cluster
from tests.unit.observations import all_well, change, pop_real
from verification.judge import judge
from verification.page import page
from verification.report import Report, Status

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
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
    shown = Page(page(well(tmp_path), None, NOW))
    assert shown.links == [], "it needs nothing else"
    assert "All good" in shown.texts
    assert "2026-11-24 03:00:00 UTC" in shown.texts
    assert [text for text in shown.texts if text.startswith(("MASTER", "BACKUP"))][::-1] == [
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
    text = page(report, None, NOW)
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
    classes = re.findall(r'<g class="(\w+)">', page(judge(cluster, {**seen, "stash1": stopped}), None, NOW))
    assert classes == [Status.OK, Status.WRONG, Status.OK]  # the VIP, stash1, stash2


@pytest.mark.parametrize(
    ("count", "settings"),
    [(2, {}), (3, {"vip": ["10.77.0.10", "10.77.0.20"]}), (5, LONG), (5, MANY)],
    ids=["two nodes", "two VIPs", "long names", "many inputs"],
)
def test_a_browser_shows_it_whole(tmp_path: Path, count: int, settings: dict[str, object]) -> None:
    text = page(well(tmp_path, count, **settings), None, NOW)
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
