"""The site of the pages in docs/ is built, with all pages, and every link leads somewhere; nothing in it comes from the net."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import pytest

from docs import commands, examples

PROJECT = Path(__file__).parents[2]
DOCS = PROJECT / "docs"
CONFIGURATION = PROJECT / "zensical.toml"


class Page(HTMLParser):
    """What a page has: the ids that a link can lead to, its links, and what a browser fetches for it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.ids.add(values.get("id", ""))
        if tag == "a":
            self.links.append(values.get("href", ""))
        elif tag == "link" and values.get("rel") not in ("canonical", "next", "prev"):
            self.fetched.append(values["href"])
        if "src" in values:
            self.fetched.append(values["src"])


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    """Build the site of a folder with `zensical.toml` and `docs/`, as `make site` does."""
    return subprocess.run(
        (str(Path(sys.executable).with_name("zensical")), "build", "--strict"),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the pages, with their site."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copy(CONFIGURATION, folder)
    shutil.copytree(DOCS, folder / "docs")
    done = build(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(folder: Path) -> dict[Path, Page]:
    """The pages of the site by their paths."""
    return {path: Page(path) for path in (folder / "site").glob("**/*.html") if path.name != "404.html"}


def entries(nav: list[object]) -> Iterator[str]:
    """The pages in a part of the navigation."""
    for entry in nav:
        assert isinstance(entry, dict)
        for value in entry.values():
            yield from entries(value) if isinstance(value, list) else [value]


def test_each_page_is_in_the_navigation_once() -> None:
    nav = list(entries(tomllib.loads(CONFIGURATION.read_text())["project"]["nav"]))
    assert sorted(nav) == sorted(path.name for path in DOCS.glob("*.md")), (
        "`nav` in zensical.toml has not each page of docs/ once"
    )


def test_the_site_has_a_page_for_each_and_no_program(folder: Path, pages: dict[Path, Page]) -> None:
    assert {path.stem for path in pages} == {path.stem for path in DOCS.glob("*.md")}
    assert list((folder / "site").glob("**/*.py")) == []


def test_each_link_of_the_site_leads_to_a_page_and_a_place_in_it(pages: dict[Path, Page]) -> None:
    broken = []
    for path, page in pages.items():
        for link in page.links + page.fetched:
            if urlsplit(link).scheme or link == "#__skip":  # the theme's own
                continue
            name, anchor = urldefrag(link)
            target = (path.parent / unquote(name)).resolve() if name else path
            ids = pages[target].ids if target in pages else {unquote(anchor)}
            if not target.is_file() or (anchor and unquote(anchor) not in ids):
                broken.append(f"{path.name}: {link}")
    assert broken == []


def test_nothing_is_fetched_from_the_net(folder: Path, pages: dict[Path, Page]) -> None:
    assert {link for page in pages.values() for link in page.fetched if urlsplit(link).netloc} == set()
    for sheet in (folder / "site").glob("**/*.css"):
        assert not re.search(r"(url\(|@import) *['\"]?(https?:)?//", sheet.read_text()), sheet.name


def test_a_link_to_nowhere_fails_the_build(tmp_path: Path) -> None:
    shutil.copy(CONFIGURATION, tmp_path)
    shutil.copytree(DOCS, tmp_path / "docs")
    with (tmp_path / "docs/index.md").open("a") as page:
        page.write("\n[a page](nowhere.md), [a place](deploy.md#nowhere), [a place here](#nowhere)\n")
    done = build(tmp_path)
    assert done.returncode != 0
    assert "3 issues found" in done.stdout + done.stderr


@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "lab/standin/README.md",
        "tests/samples/series/README.md",
    ],
)
def test_each_link_of_the_other_documents_leads_somewhere(name: str, pages: dict[Path, Page]) -> None:
    document = PROJECT / name
    ids = {DOCS / f"{path.stem}.md": page.ids for path, page in pages.items()}
    broken = []
    text = re.sub(r"`[^`]*`", "", document.read_text())
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
        path, anchor = urldefrag(link)
        target = (document.parent / path).resolve()
        if not target.exists() or (anchor and anchor not in ids[target]):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize(
    ("page", "renewed"),
    [(commands.PAGE, commands.renewed), (examples.PAGE, examples.renewed)],
    ids=["commands", "examples"],
)
def test_generated_pages_are_of_today(page: Path, renewed: Callable[[str], str]) -> None:
    assert page.read_text() == renewed(page.read_text()), f"run `python -m docs.{page.stem}`"
