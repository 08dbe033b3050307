"""A table whose rows are asked about: its rows on disk, the request for each, and the columns that answers add."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeVar

import attrs

from overlay.errors import ConfigurationError, InvalidInputError, Problem
from overlay.requests.request import Request
from overlay.requests.rows import Template
from overlay.tables.arrow import pa
from overlay.tables.columns import AnswerColumns
from overlay.tables.keys import check_key, key_text
from overlay.tables.spool import Rows

A = TypeVar("A")
A_co = TypeVar("A_co", covariant=True)

_KEPT = 100
"""Problems that are kept, as for a file of requests."""


class Asked(Generic[A_co]):
    """A table of rows, each with its request."""

    def __init__(self, rows: Rows, template: Template[A_co], key: str | None, prefix: str) -> None:
        """`key` is the column that tells rows apart, by default they are numbered from 1.

        Raises ConfigurationError for columns that are missing, or in the way.
        """
        self.rows = rows
        self.template = template
        self._key = key
        names = rows.schema.names
        try:
            template.check(names)
        except ConfigurationError as error:
            raise ConfigurationError(f"{error}{_hint(names)}") from None
        if key is not None:
            _check_named(key, names)
            check_key(rows.schema, key)
        self.columns = AnswerColumns(template, rows.schema, prefix)

    def requests(self) -> Iterator[Request]:
        """The request for each row. At the end, InvalidInputError is raised with every row that has none."""
        problems: list[Problem] = []
        count = 0
        template, wanted = self.template, self._wanted()
        for number, row in self._numbered(wanted):
            try:
                yield template.request(self._name(number, row), row)
            except InvalidInputError as error:
                count += 1
                if len(problems) < _KEPT:
                    # It names the row by its id.
                    reason = re.sub(r"^row \"(?:[^\"\\]|\\.)*\": ", "", error.reason)
                    problems.append(Problem(number, reason, unit="row"))
        if problems:
            raise InvalidInputError(None, problems, count=count, place=self.rows.name)

    def _wanted(self) -> list[str] | None:
        """The columns that requests are made of."""
        if self.template.columns is None:
            return None
        return [*self.template.columns, *([self._key] if self._key is not None else [])] or [
            self.rows.schema.names[0]
        ]

    def keyed(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Each row with its key, in order."""
        for number, row in self._numbered(None):
            yield self._name(number, row), row

    def _numbered(self, columns: list[str] | None) -> Iterator[tuple[int, dict[str, Any]]]:
        number = 0
        for batch in self.rows.batches(columns):
            names = batch.schema.names
            for cells in zip(*map(_cells, batch.columns), strict=True):
                number += 1
                yield number, dict(zip(names, cells, strict=True))

    def _name(self, number: int, row: Mapping[str, Any]) -> str:
        if self._key is None:
            return str(number)
        try:
            return key_text(row[self._key])
        except ValueError as error:
            raise InvalidInputError(None, [Problem(None, f"the key {self._key} {error}")]) from None

    def in_rows(self, error: InvalidInputError) -> InvalidInputError:
        """What is wrong with the requests, as what is wrong with the rows."""
        problems = [self._of_row(each) for each in error.problems]
        warnings = [self._of_row(each) for each in error.warnings]
        return InvalidInputError(
            None,
            problems,
            count=error.count,
            place=self.rows.name,
            warnings=warnings,
            warned=error.warned,
        )

    def _of_row(self, problem: Problem) -> Problem:
        reason = problem.reason
        if problem.same_as is not None and self._key is not None:
            reason = f"the key {self._key} is the same as in row {problem.same_as:,}; keys must differ"
        return attrs.evolve(problem, reason=reason, unit="row")


def _cells(column: Any) -> list[Any]:
    try:
        cells: list[Any] = column.to_pylist()
    except (ValueError, OverflowError, ImportError):
        # Times with nanoseconds are beyond what Python has, unless pandas is there.
        cells = column.cast(_micro(column.type), safe=False).to_pylist()
    return cells


def _micro(kind: Any) -> Any:
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", tz=kind.tz)
    return pa.duration("us") if pa.types.is_duration(kind) else pa.string()


def _hint(names: list[str]) -> str:
    """A table of one column whose name holds several is a CSV that was read with the wrong delimiter."""
    split = next((each for each in ";\t|" if len(names) == 1 and each in names[0]), None)
    if split is None:
        return ""
    shown = "a tab" if split == "\t" else repr(split)
    return f"; if the columns are separated by {shown}, say so with csv={{'delimiter': {split!r}}}, or --csv"


def _check_named(key: str, names: list[str]) -> None:
    if key not in names:
        raise ConfigurationError(f"the key is to be column {key!r}, and the table has {', '.join(names)}")
