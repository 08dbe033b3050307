"""The words of a column that is a dictionary: one dictionary for all its batches, which may each bring their own.

A file of Arrow's holds one dictionary for a column, and whoever puts batches together again needs one.
"""

from __future__ import annotations

from typing import Any

from overlay.tables.arrow import Type, pa


class Words:
    """All words so far, in the order in which they came."""

    def __init__(self) -> None:
        self._places: dict[Any, int] = {}
        self._last: Any = None
        self._map: Any = None

    def places_of(self, column: Any) -> Any:
        """For each row the place of its word, as int32; null where it has none."""
        if self._last is None or not self._last.equals(column.dictionary):
            self._last = column.dictionary
            places = [self._place(word) for word in column.dictionary.to_pylist()]
            self._map = pa.array(places, type=pa.int32())
        return self._map.take(column.indices)

    def _place(self, word: Any) -> int | None:
        return None if word is None else self._places.setdefault(word, len(self._places))

    def array(self, kind: Type) -> Any:
        """The words, as the dictionary of a column of this type."""
        return pa.array(list(self._places), type=getattr(kind, "value_type", None))
