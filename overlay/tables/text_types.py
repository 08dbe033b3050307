"""The types of columns that come as text, as those of a CSV do.

A column is a number, a date or a truth value only where every cell of it is one, and where nothing is lost by
reading it so: `007` and `+49 30 1234` stay text, however many plain numbers come before them.
"""

from __future__ import annotations

from typing import Any

import attrs

from overlay.tables.arrow import compute, pa


@attrs.frozen
class _Kind:
    type: Any
    pattern: str


_KINDS = (
    _Kind(pa.int64(), r"^(?:0|-?[1-9][0-9]{0,17})$"),
    _Kind(
        pa.float64(),
        r"^-?(?:(?:0|[1-9][0-9]{0,14})(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?|nan|NaN|inf|Infinity)$",
    ),
    _Kind(pa.bool_(), r"^(?:true|false|True|False|TRUE|FALSE)$"),
    _Kind(pa.date32(), r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"),
    _Kind(
        pa.timestamp("us"),
        r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?$",
    ),
)


class TextTypes:
    """What a column of text can still be."""

    def __init__(self, *, whole: bool = False) -> None:
        """`whole`: of the numbers, dates and so on, only whole numbers."""
        self._left = list(_KINDS[:1] if whole else _KINDS)
        self._empty = True

    def add(self, column: Any) -> None:
        """More of the column, as text; an empty cell is null."""
        if not self._left or column.null_count == len(column):
            return
        self._empty = False
        cells = column.drop_null()
        self._left = [kind for kind in self._left if _holds(kind, cells)]

    @property
    def found(self) -> Any:
        """The narrowest type that holds the whole column."""
        return self._left[0].type if self._left and not self._empty else pa.string()


def _holds(kind: _Kind, cells: Any) -> bool:
    # The first cell alone decides for most columns.
    for part in (cells.slice(0, 1), cells):
        if not compute.all(compute.match_substring_regex(part, kind.pattern)).as_py():
            return False
    try:
        cells.cast(kind.type)
    except pa.ArrowInvalid:  # a thirteenth month
        return False
    return True
