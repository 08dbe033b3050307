"""The documentation's pages: all are in the navigation, their links lead somewhere, agents get them as Markdown."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import typer

import overlay
from overlay.cli.app import app
from overlay.cli.endings import EXPLAINED, Exit
from overlay.public_names import HOMES
from overlay.server.public_names import HOMES as SERVER_HOMES
from overlay.wire import environment
from tools import commands, live_view, paid_once, site

PROJECT = Path(__file__).parents[2]
DOCS = PROJECT / "docs"
NAV = tomllib.loads((PROJECT / "zensical.toml").read_text())["project"]["nav"]
README = PROJECT / "README.md"
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


def commands_named():
    """Each command of ours that the pages name, with what follows it."""
    for path in (README, *DOCS.rglob("*.md")):
        if path.name != "commands.md":
            text = path.read_text().replace("\\\n", " ")
            for line in re.findall(
                r"(?:^\s*(?:\$ )?(?:[A-Z_]+=\S+ )*|[`|(] ?)overlay (.+)$", text, re.MULTILINE
            ):
                yield path.name, re.split(r"[`|;)#]| > ", line, maxsplit=1)[0]


def test_commands_and_their_options_exist():
    group = typer.main.get_command(app)
    options = {
        name: {*_options(command), *_options(group), "-h", "--help"}
        for name, command in commands.commands(group)
    }
    names = {*options, *(name.split()[0] for name in options)}
    seen = set()
    for page, words in commands_named():
        first = re.match(r"([a-z][a-z-]*)(?: ([a-z][a-z-]*))?", words)
        if first is None:
            continue
        name = words_of(first, names)
        assert name in names or first[1] in {"as", "is", "on"}, (page, words)
        seen.add(name)
        given = re.findall(r"(?<!\S)--?[a-z][a-z-]*", re.sub(r"'[^']*'", "", words))
        assert set(given) <= options.get(name, set(given)), (page, words)
    assert len(seen) > 20


def _options(command):
    return {
        name for each in command.params for name in (*each.opts, *each.secondary_opts) if name.startswith("-")
    }


def words_of(first, names):
    """The command that words begin with: one of a group, or one by itself."""
    both = f"{first[1]} {first[2]}"
    return both if both in names else first[1]


def test_make_targets_exist():
    done = subprocess.run(["make"], check=True, cwd=PROJECT, capture_output=True, text=True, timeout=30)
    targets = set(re.findall(r"^  make (\S+)", done.stdout, re.MULTILINE))
    for path in (README, PROJECT / "CONTRIBUTING.md", *DOCS.rglob("*.md")):
        named = re.findall(r"(?:^\$ |`)make ([a-z-]+)", path.read_text(), re.MULTILINE)
        assert set(named) <= targets, path.name


def test_the_methods_that_are_named_exist():
    named = {
        each
        for path in DOCS.rglob("*.md")
        if path.name != "migrate.md"  # which names others' methods, too
        for each in re.findall(r"`client\.(\w+)\.(\w+)\b", path.read_text())
    }
    assert len(named) > 15
    client = overlay.Client(token="t")
    for noun, verb in named:
        assert callable(getattr(getattr(client, noun), verb)), (noun, verb)


def test_each_error_is_explained():
    page = (DOCS / "reference" / "errors.md").read_text()
    named = set(re.findall(r"`([A-Z]\w+Error)`", page))
    assert named <= set(overlay.__all__)
    assert {name for name in overlay.__all__ if name.endswith("Error")} - named <= {
        "OverlayError",
        "APIError",
        "LineError",  # no exception: what a failed line says
    }


def test_each_exit_status_is_explained():
    page = (DOCS / "reference" / "command.md").read_text()
    for status in Exit:
        assert re.search(rf"^\| {int(status)} ", page, re.MULTILINE)
        assert status == Exit.PIPE_CLOSED or re.search(rf"^  {int(status)} ", EXPLAINED, re.MULTILINE)


def test_the_picture_of_the_live_view():
    svg = live_view.draw(200, seconds=0.4, batches=4)
    assert "of&#160;200&#160;requests" in svg
    assert "Ctrl-C" in svg
    assert "url(" not in svg.replace("url(#", "")


def test_each_public_name_is_in_the_reference():
    text = "".join(path.read_text() for path in (DOCS / "reference" / "api").glob("*.md"))
    shown = set(re.findall(r"^::: overlay\.([\w.]+)$", text, re.MULTILINE))
    assert set(HOMES) <= shown
    assert {f"server.{name}" for name in SERVER_HOMES} <= shown


def test_agents_get_signatures_and_docstrings():
    text = "\n".join(site.described("overlay.client.Batches"))
    assert "```python\ncreate(self" in text
    assert "### Batches.results" in text
    assert overlay.client.Batches.results.__doc__.splitlines()[0] in text


def test_the_picture_of_what_is_paid_once_is_as_drawn():
    assert paid_once.PICTURE.read_text() == paid_once.draw(), "run python -m tools.paid_once"
