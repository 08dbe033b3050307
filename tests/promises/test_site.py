"""The documentation's pages: all are in the navigation, their links lead somewhere, agents get them as Markdown."""

import re
import tomllib
from pathlib import Path

import pytest

from overlay.wire import environment
from tools import commands, site

PROJECT = Path(__file__).parents[2]
DOCS = PROJECT / "docs"
NAV = tomllib.loads((PROJECT / "zensical.toml").read_text())["project"]["nav"]
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))


def prose(text):
    """A page without its blocks of code."""
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)


def test_every_page_is_in_the_navigation_once():
    assert sorted(path for _, _, path in site.pages(NAV)) == PAGES


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    """What Zensical does not check: files that are no pages. It checks the rest, and headings."""
    for target in re.findall(r"\]\(([^)\s]+)\)", prose((DOCS / page).read_text())):
        path = target.partition("#")[0]
        if path and not path.startswith("https://"):
            linked = (DOCS / page).parent / path
            assert linked.is_file(), target
            assert linked.resolve().is_relative_to(DOCS), target


@pytest.mark.parametrize("page", PAGES)
def test_files_that_a_page_shows_are_put_into_its_markdown(page):
    text = site.plain((DOCS / page).read_text())
    assert "8<" not in text.replace(" ", "")
    assert text.startswith("# ")


def test_the_index_for_agents(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["site", str(tmp_path)])
    site.main()
    index = (tmp_path / "llms.txt").read_text()
    assert index.startswith("# openai-batch-overlay\n\n> ")
    entries = re.findall(r"^- \[.+?\]\((.+?)\): (.+)$", index, re.MULTILINE)
    assert sorted(path for path, _ in entries) == PAGES
    for path, sentence in entries:
        assert len(sentence) > 10, path
        assert (tmp_path / path).is_file()


def test_the_page_of_commands_is_up_to_date():
    assert (DOCS / "reference" / "commands.md").read_text() == commands.page(), "run make format"


def test_each_variable_of_the_environment_is_explained():
    page = (DOCS / "reference" / "environment.md").read_text()
    for name in re.findall(r"\b[A-Z]+_[A-Z_]+\b", environment.__doc__):
        assert f"`{name}`" in page, name
