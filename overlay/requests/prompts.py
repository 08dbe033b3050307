"""Prompts with fields: text in which `{name}` stands for a column of the row.

A field is a column's name and nothing else, so that a column may be called `Q1: why?` or `user.name`, and no text
of a table can reach an attribute, an index, a conversion or a format. `{{` and `}}` are braces.
"""

from __future__ import annotations

import re
from typing import Any

import attrs

from overlay.errors import ConfigurationError
from overlay.lines import is_array, is_object
from overlay.requests.cells import Row, cell_text
from overlay.requests.reasons import quoted

_PIECES = re.compile(r"(?P<text>[^{}]+|\{\{|\}\})|\{(?P<field>[^{}]*)\}")
_BRACES = {"{{": "{", "}}": "}"}
_AROUND = 20
"""How many characters before a stray brace a message shows."""


@attrs.frozen
class Prompt:
    """A text whose fields are known before any row is."""

    source: str
    _pieces: tuple[tuple[str, str | None], ...]
    """Each a text and the column that follows it, if any."""

    @property
    def columns(self) -> frozenset[str]:
        return frozenset(column for _, column in self._pieces if column is not None)

    def fill(self, row: Row) -> str:
        """The text for one row. Raises InvalidInputError for a column that is missing, or is no text."""
        return "".join(
            [text if column is None else text + cell_text(row, column) for text, column in self._pieces]
        )


def read_prompt(source: str) -> Prompt:
    """Find the fields of a prompt. Raises ConfigurationError for a stray brace, and for an empty field."""
    pieces: list[tuple[str, str | None]] = []
    text, position = "", 0
    while position < len(source):
        found = _PIECES.match(source, position)
        if found is None:
            raise _stray(source, position)
        position = found.end()
        field = found["field"]
        if field is None:
            text += _BRACES.get(found["text"], found["text"])
            continue
        if not field.strip():
            raise ConfigurationError(
                "the prompt has an empty field, {}: name a column in it, or write {{}} for braces"
            )
        pieces.append((text, field))
        text = ""
    return Prompt(source, (*pieces, (text, None)))


def read_prompts(value: Any) -> Any:
    """Messages or parts of them, with every text in them read as a prompt. Raises ConfigurationError."""
    if isinstance(value, str):
        return read_prompt(value)
    if is_object(value):
        return {name: read_prompts(inner) for name, inner in value.items()}
    if is_array(value):
        return [read_prompts(inner) for inner in value]
    return value


def fill_prompts(value: Any, row: Row) -> Any:
    """What `read_prompts` has read, for one row. Raises InvalidInputError."""
    if isinstance(value, Prompt):
        return value.fill(row)
    if is_object(value):
        return {name: fill_prompts(inner, row) for name, inner in value.items()}
    if is_array(value):
        return [fill_prompts(inner, row) for inner in value]
    return value


def columns_in(value: Any) -> frozenset[str]:
    """The columns that what `read_prompts` has read needs."""
    if isinstance(value, Prompt):
        return value.columns
    inners = list(value.values()) if is_object(value) else value
    return frozenset[str]().union(*map(columns_in, inners if is_array(inners) else ()))


def _stray(source: str, position: int) -> ConfigurationError:
    before, brace = source[max(0, position - _AROUND) : position], source[position]
    return ConfigurationError(
        f"the prompt has a stray {brace} after {quoted(before)}, at character {position + 1:,}: write {brace * 2} "
        "for a brace, or {column} for a column"
    )
