"""Tables that fit a terminal: ids stay whole, dates are short, names give way.

What is not a terminal gets every column, whole.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta

import attrs

from overlay.errors import one_line

_LEAST = 8
"""Characters that a column keeps that gives way."""
_GAP = 2


@attrs.frozen
class Column:
    """One column of a table for people."""

    name: str
    gives_way: bool = False
    """Whether it is cut where there is no room."""
    wide: bool = False
    """Whether it is left out where there is no room."""


def terminal_width() -> int | None:
    """How many characters fit on a line; None if stdout is no terminal, where nothing is cut."""
    if sys.stdout is None or not sys.stdout.isatty():
        return None
    return shutil.get_terminal_size().columns


def fitted(
    columns: Sequence[Column], rows: Sequence[Sequence[object]], width: int | None
) -> tuple[list[str], list[list[str]]]:
    """The names of the columns that fit into a width, and the texts of their cells."""
    texts = [[one_line(_text(cell, short=width is not None)) for cell in row] for row in rows]
    chosen = list(range(len(columns)))
    widths = [
        max(map(_cells, (column.name, *(row[at] for row in texts)))) for at, column in enumerate(columns)
    ]
    if width is not None:
        if _total(widths, chosen) > width:
            chosen = [at for at in chosen if not columns[at].wide]
        yielding = [at for at in chosen if columns[at].gives_way]
        while _total(widths, chosen) > width and yielding:
            widest = max(yielding, key=lambda at: widths[at])
            if widths[widest] <= _LEAST:
                break
            widths[widest] -= 1
    names = [columns[at].name for at in chosen]
    return names, [[_cut(row[at], widths[at]) for at in chosen] for row in texts]


def _total(widths: Sequence[int], chosen: Sequence[int]) -> int:
    return sum(widths[at] for at in chosen) + _GAP * (len(chosen) - 1)


def _cells(text: str) -> int:
    from rich.cells import cell_len  # noqa: PLC0415 - not loaded where a machine reads

    return cell_len(text)


def _cut(text: str, width: int) -> str:
    from rich.cells import set_cell_size  # noqa: PLC0415

    return text if _cells(text) <= width else set_cell_size(text, width - 1).rstrip() + "…"


def _text(value: object, *, short: bool) -> str:
    if short and isinstance(value, datetime):
        return _short_time(value)
    return shown(value)


def _short_time(moment: datetime) -> str:
    """The time of today, the day of this year, or the date."""
    now, then = datetime.now().astimezone(), moment.astimezone()
    if then.date() == now.date():
        return f"{then:%H:%M}"
    return f"{then:%d %b}" if abs(now - then) < timedelta(days=180) else f"{then:%Y-%m-%d}"


def shown(value: object) -> str:
    """A value for people: times in the local time zone, numbers with commas."""
    if isinstance(value, datetime):
        return value.astimezone().isoformat(sep=" ", timespec="seconds")
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return "" if value is None else str(value)
