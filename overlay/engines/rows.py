"""The rows of a partition: the request for each, and what is wrong with them, by their keys."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from overlay.errors import ConfigurationError, InvalidInputError, Problem
from overlay.requests.reasons import quoted
from overlay.requests.request import Request
from overlay.requests.rows import Template
from overlay.tables.arrow import ERRORS, Batch, compute
from overlay.tables.keys import key_text, keys_of_texts

PROBLEMS_KEPT = 100
"""Bad rows of a partition of which is said what is wrong."""


class Rows:
    """Rows in Arrow, read once."""

    def __init__(self, template: Template[Any], key: Any, batches: Iterable[Batch]) -> None:
        """`key` is the column that tells rows apart, a pyarrow.Field."""
        self._template = template
        self._key = key
        self._batches = batches
        self._keys: list[Any] = []
        """Of the batches so far, as Arrow: a few bytes a row."""

    def requests(self) -> Iterator[Request]:
        """The request for each row.

        At the end, InvalidInputError is raised with the rows that have none. ConfigurationError is raised for keys
        by which answers would not be found again.
        """
        problems: list[Problem] = []
        count = 0
        for name, row in self._named():
            reason = f"the key {self._key.name} {name}"
            if not isinstance(name, ValueError):
                try:
                    yield self._template.request(name, row)
                    continue
                except InvalidInputError as error:
                    reason = error.reason
            count += 1
            if len(problems) < PROBLEMS_KEPT:
                problems.append(Problem(None, reason, unit="row"))
        if problems:
            raise InvalidInputError(None, problems, count=count)

    def _named(self) -> Iterator[tuple[str | ValueError, dict[str, Any]]]:
        """Each row with its key as text, or with what is wrong with it."""
        needed = self._template.columns
        wanted = None if needed is None else {*needed, self._key.name}
        for batch in self._batches:
            keys = batch.column(self._key.name)
            self._keys.append(keys)
            texts = [_text(key) for key in keys.to_pylist()]
            self._check(keys, texts)
            names = [name for name in batch.schema.names if wanted is None or name in wanted]
            columns = [batch.column(name).to_pylist() for name in names]
            for text, *cells in zip(texts, *columns, strict=True):
                yield text, dict(zip(names, cells, strict=True))

    def _check(self, keys: Any, texts: list[str | ValueError]) -> None:
        """The join finds a row by what its text becomes again."""
        known = [text if isinstance(text, str) else None for text in texts]
        kind = self._key.type
        kind = getattr(kind, "value_type", kind)  # of a dictionary
        again = keys_of_texts(known, kind)
        try:
            same = compute.all(compute.equal(again, keys.cast(kind)), min_count=0).as_py()
        except ERRORS:
            same = False
        if not same:
            raise ConfigurationError(
                f"the keys in {self._key.name}, {keys.type}, do not come back as {kind} from their texts; cast the "
                "column to text"
            )

    def told(self, problem: Problem) -> str:
        """What is wrong with a request, or a row, and with which."""
        if problem.line is None:
            return problem.reason
        row = f"row {quoted(self._name(problem.line))}"
        return (
            f"{row}: another row has this key" if problem.same_as is not None else f"{row}: {problem.reason}"
        )

    def _name(self, number: int) -> str:
        """The key of a row as text, by the number of its request, from 1."""
        place = number - 1
        for keys in self._keys:
            if place < len(keys):
                return key_text(keys[place].as_py())
            place -= len(keys)
        return str(number)


def _text(key: object) -> str | ValueError:
    try:
        return key_text(key)
    except ValueError as error:
        return error
