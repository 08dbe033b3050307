"""The columns that answers add to a table, and rows and answers put side by side."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import attrs
import msgspec

from overlay.errors import ConfigurationError, ResultError, StorageError
from overlay.lines import MIB, is_object
from overlay.requests.rows import Template
from overlay.results.result import Result
from overlay.tables.arrow import Batch, Schema, pa
from overlay.tables.keys import keys_of_texts
from overlay.tables.outcomes import answer_of
from overlay.tables.shapes import Plain, Shape, Struct, Vector, shape_of
from overlay.tables.spool import MOST_ROWS, Rows

TEXT = "answer"
EMBEDDING = "embedding"
_MOST_BYTES = 8 * MIB
"""Of result lines whose answers are in memory at once."""
MISFIT = "unexpected_value"
"""The code of an answer that its column cannot hold, such as a number beyond 64 bits."""
_OURS = (
    ("error_code", pa.string()),
    ("error_message", pa.string()),
    ("input_tokens", pa.int64()),
    ("output_tokens", pa.int64()),
)
_NATIVE = (dt.datetime, dt.date, dt.time)
_MISFITS = (pa.ArrowException, OverflowError, TypeError, ValueError, KeyError)


@attrs.frozen
class _Outcome:
    value: dict[str, Any] | None
    code: str | None = None
    message: str | None = None
    tokens: tuple[int | None, int | None] = (None, None)


class AnswerColumns:
    """What the answers of a template add to a table."""

    def __init__(self, template: Template[Any], table: Schema, prefix: str) -> None:
        """Raises ConfigurationError, with their names, for columns that the table has already."""
        self._template = template
        self._shape = _shape(template)
        names = [*self._shape.parts, *(name for name, _ in _OURS)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ConfigurationError(
                f"the answer has a field {', '.join(twice)}, as a column of each answer is called; rename it"
            )
        taken = [prefix + name for name in names if prefix + name in table.names]
        if taken:
            raise ConfigurationError(
                f"the table has columns that the answers would add: {', '.join(taken)}; give those another name "
                f"with prefix=, such as prefix={'new_' if prefix else 'answer_'!r}"
            )
        added = [pa.field(prefix + name, part.type) for name, part in self._shape.parts.items()]
        added += [pa.field(prefix + name, kind) for name, kind in _OURS]
        self.code = prefix + _OURS[0][0]
        """The column that says why a row failed."""
        self.schema = pa.schema([*table, *added], metadata=table.metadata)

    def beside(self, rows: Rows, results: Iterator[Result]) -> Iterator[Batch]:
        """The rows with their answers, in the order of the rows. Raises StorageError if there are not as many."""
        for batch in rows.batches():
            start = 0
            while start < batch.num_rows:
                outcomes = [self._outcome(result) for result in _some(results, batch.num_rows - start)]
                if not outcomes:
                    raise StorageError(f"the job has fewer results than {rows.name} has rows")
                asked = batch.slice(start, len(outcomes))
                columns = [*asked.columns, *self._arrays(outcomes)]
                yield pa.RecordBatch.from_arrays(columns, schema=self.schema)
                start += len(outcomes)

    def keyed(self, results: Iterator[Result]) -> Iterator[Batch]:
        """Keys with their answers, where the table is a column of keys."""
        key: Any = self.schema.field(0)
        while some := list(_some(results, MOST_ROWS)):
            keys = keys_of_texts([result.custom_id or "" for result in some], key.type)
            columns = [keys, *self._arrays([self._outcome(result) for result in some])]
            yield pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def _outcome(self, result: Result) -> _Outcome:
        usage = result.usage
        tokens = (None, None) if usage is None else (usage.input_tokens, usage.output_tokens)
        error = result.error
        if error is not None:
            return _Outcome(None, error.code or "failed", error.message, tokens)
        try:
            return _Outcome(_plain(answer_of(self._template, result), self._shape), tokens=tokens)
        except ResultError as failure:
            return _Outcome(None, failure.code or "failed", str(failure), tokens)

    def _arrays(self, outcomes: list[_Outcome]) -> list[Any]:
        try:
            added = self._shape.array([each.value for each in outcomes])
        except _MISFITS:
            outcomes = [self._fitting(each) for each in outcomes]
            added = self._shape.array([each.value for each in outcomes])
        columns = [added.field(place) for place in range(len(self._shape.parts))]
        ours: Sequence[Sequence[Any]] = (
            [each.code for each in outcomes],
            [each.message for each in outcomes],
            [each.tokens[0] for each in outcomes],
            [each.tokens[1] for each in outcomes],
        )
        return [*columns, *(pa.array(cells, type=kind) for cells, (_, kind) in zip(ours, _OURS, strict=True))]

    def _fitting(self, outcome: _Outcome) -> _Outcome:
        """The outcome, as a failure if its column cannot hold it: one answer never spoils a batch."""
        try:
            self._shape.array([outcome.value])
        except _MISFITS as error:
            return _Outcome(None, MISFIT, f"the answer does not fit its columns: {error}", outcome.tokens)
        return outcome


def _some(results: Iterator[Result], most: int) -> Iterator[Result]:
    """Up to so many results; fewer where they are long, as those with embeddings are."""
    size = 0
    for result in islice(results, most):
        yield result
        size += len(result.raw)
        if size > _MOST_BYTES:
            return


def _shape(template: Template[Any]) -> Struct:
    if template.endpoint.endswith("/embeddings") and template.answer is None:
        return Struct({EMBEDDING: Vector(template.dimensions)})
    if template.schema is not None:
        shape: Shape = shape_of(template.schema)
        return shape if isinstance(shape, Struct) else Struct({TEXT: shape})
    return Struct({TEXT: Plain(pa.string())})


def _plain(answer: Any, shape: Struct) -> dict[str, Any]:
    """An answer by the names of its columns, as JSON would have it, but with dates as dates."""
    if isinstance(answer, str) or not hasattr(answer, "__class__") or EMBEDDING in shape.parts:
        return {next(iter(shape.parts)): answer}
    value = msgspec.to_builtins(answer, builtin_types=_NATIVE, enc_hook=_dumped)
    if not is_object(value):
        return {TEXT: value}
    if isinstance(answer, msgspec.Struct) and answer.__struct_config__.omit_defaults:
        # What was left out is what it is by default.
        for name, field in zip(answer.__struct_encode_fields__, answer.__struct_fields__, strict=True):
            if name not in value:
                value[name] = msgspec.to_builtins(
                    getattr(answer, field), builtin_types=_NATIVE, enc_hook=_dumped
                )
    return value


def _dumped(value: Any) -> Any:
    # A pydantic model, known by its method.
    dump = getattr(value, "model_dump", None)
    return str(value) if dump is None else dump(by_alias=True)
