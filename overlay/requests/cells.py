"""What a row has in a column, as the text that a prompt needs."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import json
import math
import uuid
from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from typing import Any, TypeAlias

from overlay.errors import ConfigurationError, InvalidInputError, Problem
from overlay.lines import is_array, is_object
from overlay.requests.reasons import quoted

Row: TypeAlias = Mapping[str, object]
"""A row of a table: its cells by the names of the columns."""

_NEAR = 0.6
"""How alike two columns' names must be for one to be a slip of the other."""
_SHOWN = 10
_MORE_THAN_A_NAME = frozenset(".[!:\"'")
"""What stands in a field that was meant as an attribute, an index, a format or a piece of JSON."""
_TEXTUAL = (
    *(str, bool, int, float, decimal.Decimal, uuid.UUID),
    *(dt.datetime, dt.date, dt.time, dt.timedelta),
)


def check_columns(needed: Iterable[str], columns: Collection[str]) -> None:
    """Raises ConfigurationError that names the first needed column that a table does not have, and the nearest."""
    for column in needed:
        if column not in columns:
            raise ConfigurationError(_missing(column, columns))


def row_error(reason: str) -> InvalidInputError:
    """What is wrong with a row."""
    return InvalidInputError(None, [Problem(None, reason)])


def cell(row: Row, column: str) -> object:
    """What a row has in a column. Raises InvalidInputError if it has no such column."""
    try:
        return row[column]
    except KeyError:
        raise row_error(_missing(column, list(row))) from None


def cell_text(row: Row, column: str) -> str:
    """A cell as text: numbers, dates and the like as Python writes them, lists and structs as JSON, a null as no
    text. Raises InvalidInputError for bytes, NaN and infinities, and whatever else is no text.
    """
    value = cell(row, column)
    if type(value) is str:
        return value
    try:
        return _as_text(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise row_error(f"column {quoted(column)} holds {error}, which is no text") from None


def _as_text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, enum.Enum):
        return _as_text(value.value)
    if is_object(value) or is_array(value):
        return json.dumps(_plain(value), ensure_ascii=False)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(str(value))
    if isinstance(value, _TEXTUAL):
        return str(value)
    raise TypeError(f"a {type(value).__name__}")


def _plain(value: object) -> Any:
    """Lists and structs with nothing in them but what JSON has."""
    if is_object(value):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if is_array(value):
        return [_plain(inner) for inner in value]
    text = _as_text(value)
    return value if value is None or isinstance(value, (bool, int, float)) else text


def _missing(column: str, columns: Collection[str]) -> str:
    near = get_close_matches(column, columns, n=1, cutoff=_NEAR)
    if not near:
        folded = {name.strip().casefold(): name for name in columns}
        near = [folded[name] for name in (column.strip().casefold(),) if name in folded]
    if near:
        return f"there is no column {quoted(column)}: did you mean {quoted(near[0])}?"
    shown = ", ".join([quoted(name) for name in columns][:_SHOWN]) or "none"
    more = ", ..." if len(columns) > _SHOWN else ""
    plain = _MORE_THAN_A_NAME.isdisjoint(column)
    hint = "" if plain else ". A field is a column's name and nothing more; write {{ and }} for braces"
    return f"there is no column {quoted(column)}; the columns are {shown}{more}{hint}"
