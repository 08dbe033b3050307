"""Write what coding agents read beside the built documentation: `llms.txt`, and each page as plain Markdown.

A page's Markdown lies beside its HTML, by the name of its source: `how-to/network/` has `how-to/network.md`.
Files that a page shows with the snippet mark (`--8<-- "examples/serve.toml"`) are put in, and what a name of
Python's stands for (`::: overlay.Client`). `llms.txt` follows https://llmstxt.org: the pages of the navigation in
their order, each with the first sentence under its title.

    python -m tools.site site
"""

from __future__ import annotations

import argparse
import inspect
import re
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from textwrap import indent
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
DOCS = PROJECT / "docs"
_SNIPPET = re.compile(r'^( *)--8<-- "(.+)"\n', re.MULTILINE)
_IN_PYTHON = re.compile(r"^( *)--8<--\n *(.+)\n *--8<--\n", re.MULTILINE)
"""The other form of the mark, which formatters of Python leave alone."""
_NAME = re.compile(r"^::: ([\w.]+)\n(?: .*\n)*", re.MULTILINE)
_FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n+", re.DOTALL)
_TITLE = re.compile(r"^# .*\n", re.MULTILINE)
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")


def pages(nav: list[Any], section: str = "") -> Iterator[tuple[str, str, str]]:
    """The section, the title and the path of each page of the navigation."""
    for entry in nav:
        for title, target in entry.items():
            if isinstance(target, str):
                yield section, title, target
            else:
                yield from pages(target, section or title)


def plain(source: str) -> str:
    """A page's Markdown with the files that it shows, and without what only the site reads."""
    text = _FRONT_MATTER.sub("", source)

    def shown(found: re.Match[str]) -> str:
        return indent((PROJECT / found[2]).read_text(encoding="utf-8"), found[1])

    text = _IN_PYTHON.sub(shown, _SNIPPET.sub(shown, text))
    return _NAME.sub(lambda found: "\n".join(described(found[1])), text)


def described(name: str) -> Iterator[str]:
    """A class, function or value of ours: its signature, its docstring, and those of its public members."""
    module, _, last = name.rpartition(".")
    value = getattr(import_module(module), last)
    yield from _entry(f"## {last}", last, value)
    if isinstance(value, type):
        for each, member in vars(value).items():
            if not each.startswith("_") and (callable(member) or isinstance(member, property)):
                yield from _entry(f"### {last}.{each}", each, member)


def _entry(title: str, name: str, value: Any) -> Iterator[str]:
    yield f"{title}\n"
    if callable(value):
        with suppress(TypeError, ValueError):  # some have no signature
            yield f"```python\n{name}{inspect.signature(value)}\n```\n"
    if isinstance(value, type | property) or inspect.isroutine(value):
        yield f"{inspect.getdoc(value) or ''}\n"


def opening(source: str) -> str:
    """The first sentence under the title, as text."""
    text = _TITLE.split(_FRONT_MATTER.sub("", source), maxsplit=1)[-1]
    paragraph = next(
        (each for each in text.strip().split("\n\n") if each[:1].isalpha() or each[:1] in "`["), ""
    )
    sentence = re.split(r"(?<=[.:])\s", " ".join(paragraph.split()), maxsplit=1)[0]
    return _LINK.sub(r"\1", sentence).rstrip(":")


def index(project: dict[str, Any]) -> str:
    """The text of `llms.txt`."""
    lines = [f"# {project['site_name']}", "", f"> {project['site_description']}"]
    last = None
    for section, title, path in pages(project["nav"]):
        if section != last:
            lines += ["", f"## {section or 'Start'}", ""]
            last = section
        lines.append(f"- [{title}]({path}): {opening((DOCS / path).read_text(encoding='utf-8'))}")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("site", type=Path, help="the folder of the built site")
    site: Path = parser.parse_args().site
    project = tomllib.loads((PROJECT / "zensical.toml").read_text(encoding="utf-8"))["project"]
    (site / "llms.txt").write_text(index(project), encoding="utf-8")
    for _, _, path in pages(project["nav"]):
        target = site / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(plain((DOCS / path).read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
