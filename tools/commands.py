"""Write the page of every command and option, docs/reference/commands.md, from the command itself.

python -m tools.commands [--check]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from overlay.cli.app import app

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "commands.md"
_COMMON = "For every command"
_HEAD = """\
# Every command and option

Written from the command itself, as `overlay COMMAND --help` shows it. How to use it, and what its
exit statuses mean, is told in [the command](command.md).
"""


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every command under a group, with its full name."""
    for name, command in group.commands.items():
        if command.hidden:
            continue
        full = (*path, name)
        if hasattr(command, "commands"):
            yield from commands(command, full)
        else:
            yield " ".join(full), command


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _values(parameter: Any) -> str:
    """What goes behind an option; nothing for a switch."""
    if parameter.is_flag:
        return ""
    if parameter.metavar:
        return str(parameter.metavar)
    choices = getattr(parameter.type, "choices", None)
    return "|".join(map(str, choices)) if choices else parameter.type.name.upper().removesuffix(" RANGE")


def _default(parameter: Any) -> str:
    default = parameter.default
    shown = (
        parameter.show_default and isinstance(default, str | int | float) and not isinstance(default, bool)
    )
    return (
        f" Default: {default:g}."
        if shown and isinstance(default, float)
        else f" Default: {default}."
        if shown
        else ""
    )


def _option(parameter: Any) -> str:
    """A row of the table."""
    names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    values = _values(parameter)
    code = f"{names} `{values}`" if values else names
    needed = " Required." if parameter.required else ""
    return f"| {_cell(code)} | {_cell(parameter.help or '')}{_default(parameter)}{needed} |"


def _arguments(command: Any) -> list[Any]:
    return [each for each in command.params if each.param_type_name == "argument"]


def _own_options(command: Any) -> list[Any]:
    return [
        each
        for each in command.params
        if each.param_type_name == "option"
        and not each.hidden
        and getattr(each, "rich_help_panel", None) != _COMMON
    ]


def _table(options: list[Any]) -> list[str]:
    return ["| option | |", "|---|---|", *map(_option, options), ""] if options else []


def _section(name: str, command: Any) -> list[str]:
    arguments = _arguments(command)
    words = [each.metavar or each.name.upper() for each in arguments]
    lines = [f"## overlay {name}", "", "```text", " ".join(["overlay", name, *words, "[OPTIONS]"]), "```", ""]
    lines += [(command.help or "").replace("\b\n", "").strip(), ""]
    lines += [
        f"- `{word}`: {_cell(each.help or '')}"
        for word, each in zip(words, arguments, strict=True)
        if each.help
    ]
    return [*lines, "", *_table(_own_options(command))]


def page() -> str:
    """The text of the page."""
    group = typer.main.get_command(app)
    every = list(commands(group))
    common = [each for each in dict(every)["run"].params if getattr(each, "rich_help_panel", None) == _COMMON]
    lines = [_HEAD, "## For every command", "", *_table(common)]
    for name, command in every:
        lines += _section(name, command)
    text = "\n".join(lines).rstrip() + "\n"
    while "\n\n\n" in text:
        text = text.replace("\n\n\n", "\n\n")
    return text


def main(arguments: list[str] | None = None) -> int:
    """Write the page, or with --check report that it is out of date; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the page is out of date")
    if not parser.parse_args(arguments).check:
        PAGE.write_text(page(), encoding="utf-8")
    elif PAGE.read_text(encoding="utf-8") != page():
        sys.stderr.write(f"{PAGE.name} is out of date: run `make format`\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
