"""The rows of a table, on disk while a job runs.

They are in a file without a name, which is gone with the process, however that ends. Segments follow one another in
it, each a stream of Arrow batches of one schema: rows that come as dicts may bring new columns, or wider types, on
their way. What is read has one schema, into which the segments are cast.
"""

from __future__ import annotations

import io
import os
import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from overlay.errors import InvalidInputError, Problem
from overlay.lines import MIB, storage_errors
from overlay.tables.arrow import Batch, Schema, Type, pa
from overlay.tables.text_types import TextTypes
from overlay.tables.views import cast, stored, without_views
from overlay.tables.words import Words

MOST_ROWS = 8192
"""Rows of a batch, as it is stored and as it is given out."""
_MOST_BYTES = 16 * MIB
_BUFFER = MIB


class RowSpool:
    """Rows that come in."""

    def __init__(self, folder: Path, name: str, key: str | None = None) -> None:
        """`folder` is where there is room; `name` is what errors call the table. A `key` that comes as text stays
        as it is written, but for whole numbers.
        """
        self.name = name
        self.count = 0
        """How many rows came in so far."""
        self._key = key
        with storage_errors(folder):
            self._file = tempfile.TemporaryFile(dir=folder, buffering=_BUFFER)  # noqa: SIM115 - `finish` takes it over
        self._writer: Any = None
        self._segments: list[_Segment] = []
        self._types: dict[str, TextTypes] = {}
        self._words: dict[str, Words] = {}
        self._given: Schema | None = None

    def add(self, batch: Batch, loose: frozenset[str] = frozenset()) -> None:
        """Add rows. `loose` are columns of text whose types are still to be found, as in a CSV."""
        self.note(batch.schema)
        for name in loose:
            self._types.setdefault(name, TextTypes(whole=name == self._key)).add(batch.column(name))
        kept = stored(self._recoded(batch))
        with storage_errors("the table's copy on disk"):
            self._segment(batch.schema, kept.schema, loose)
            step = _step(kept)
            for start in range(0, kept.num_rows, step):
                self._writer.write_batch(kept.slice(start, step))
        self.count += batch.num_rows

    def _recoded(self, batch: Batch) -> Batch:
        """With the places of words in place of dictionaries, which may differ from batch to batch."""
        for place, field in enumerate(batch.schema):
            if pa.types.is_dictionary(field.type):
                words = self._words.setdefault(field.name, Words())
                places = pa.field(field.name, pa.int32())
                batch = batch.set_column(place, places, words.places_of(batch.column(place)))
        return batch

    def note(self, schema: Schema) -> None:
        """Note the schema of a table that may have no rows."""
        if self._given is None:
            self._given = schema
            twice = sorted({name for name in schema.names if schema.names.count(name) > 1})
            if twice:
                told = ", ".join(twice)
                raise _invalid(self.name, f"more than one column is called {told}")

    def _segment(self, schema: Schema, kept: Schema, loose: frozenset[str]) -> None:
        last = self._segments[-1] if self._segments else None
        if last is not None and last.schema.equals(schema, check_metadata=False) and last.loose == loose:
            return
        self._end()
        self._file.flush()
        self._segments.append(_Segment(self._file.tell(), self.count, schema, loose))
        options = pa.ipc.IpcWriteOptions(compression="lz4" if pa.Codec.is_available("lz4") else None)
        self._writer = pa.ipc.new_stream(self._file, kept, options=options)

    def _end(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def finish(self) -> Rows:
        """What came in, to be read from now on. Raises InvalidInputError if there is nothing, or if the types of a
        column do not go together.
        """
        if not self.count:
            raise _invalid(self.name, "there are no rows")
        with storage_errors("the table's copy on disk"):
            self._end()
            self._file.flush()
        found = {name: types.found for name, types in self._types.items()}
        schema = _unified(self.name, self._segments, found)
        handle = os.dup(self._file.fileno())
        self.close()
        words = {name: each.array(schema.field(name).type) for name, each in self._words.items()}
        schema = _wide_enough(schema, words)
        return Rows(schema, self._segments, words=words, count=self.count, handle=handle, name=self.name)

    def close(self) -> None:
        """Drop what came in."""
        self._file.close()


@attrs.frozen
class _Segment:
    start: int
    """Where in the file it begins."""
    first: int
    """How many rows are before it."""
    schema: Schema
    loose: frozenset[str]


class Rows:
    """The rows of a table, to be read as often as they are needed, by any number of readers."""

    def __init__(
        self,
        schema: Schema,
        segments: Sequence[_Segment],
        *,
        words: Mapping[str, Any],
        count: int,
        handle: int,
        name: str,
    ) -> None:
        self.schema = schema
        self.count = count
        self.name = name
        self._segments = tuple(segments)
        self._handle = handle
        self._words = words
        # Closed, and thereby gone, when nobody has these rows any more.
        weakref.finalize(self, os.close, handle)

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[Batch]:
        """The rows in order; of the named columns only, in the order of the table."""
        wanted = [each for each in self.schema if columns is None or each.name in columns]
        schema = pa.schema(wanted, metadata=None if columns is not None else self.schema.metadata)
        for segment in self._segments:
            at = [place for place, each in enumerate(segment.schema.names) if each in schema.names]
            # Where it has none of these columns, it has rows all the same.
            options = pa.ipc.IpcReadOptions(included_fields=at or None)
            with storage_errors("the table's copy on disk"):
                held = io.BufferedReader(_Held(self._handle, segment.start), _BUFFER)
                reader = pa.ipc.open_stream(held, options=options)
            while True:
                with storage_errors("the table's copy on disk"):
                    try:
                        batch = reader.read_next_batch()
                    except StopIteration:
                        break
                yield self._restored(batch, schema)

    def _restored(self, batch: Batch, schema: Schema) -> Batch:
        """As the schema has it: columns that a segment lacks are null."""
        if batch.schema.equals(schema, check_metadata=True):
            return batch
        columns: list[Any] = []
        for field in schema:
            place, kind = batch.schema.get_field_index(field.name), field.type
            if place < 0:
                columns.append(pa.nulls(batch.num_rows, kind))
            elif field.name in self._words and pa.types.is_dictionary(kind):
                places = batch.column(place).cast(kind.index_type)
                words = self._words[field.name]
                columns.append(pa.DictionaryArray.from_arrays(places, words, ordered=kind.ordered))
            else:
                columns.append(cast(batch.column(place), kind))
        return pa.RecordBatch.from_arrays(columns, schema=schema)


class _Held(io.RawIOBase):
    """A file that others read, too, each at a place of its own."""

    def __init__(self, handle: int, start: int) -> None:
        self._handle = handle
        self._place = start

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        count = os.preadv(self._handle, [buffer], self._place)
        self._place += count
        return count


def _invalid(name: str, reason: str) -> InvalidInputError:
    return InvalidInputError(None, [Problem(None, reason)], place=name)


def _step(batch: Batch) -> int:
    """How many rows go into one batch: fewer where they are long."""
    each: int = max(1, batch.nbytes // max(1, batch.num_rows))
    return max(1, min(MOST_ROWS, _MOST_BYTES // each))


def _unified(name: str, segments: Sequence[_Segment], found: dict[str, Type]) -> Schema:
    """One schema for all segments."""

    def typed(segment: _Segment) -> Schema:
        fields = [each.with_type(_final(each, segment, found)) for each in segment.schema]
        return pa.schema(fields, metadata=segment.schema.metadata)

    whole = typed(segments[0])
    for segment in segments[1:]:
        try:
            whole = pa.unify_schemas([whole, typed(segment)], promote_options="permissive")
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            raise _invalid(name, _conflict(whole, typed(segment), segment.first)) from None
    return whole


def _final(field: Any, segment: _Segment, found: dict[str, Type]) -> Type:
    if field.name in segment.loose:
        return found[field.name]
    # Views are given out as plain text: not all writers know them, nor do all readers take those of older pyarrows.
    return without_views(field.type)


def _conflict(before: Schema, after: Schema, rows: int) -> str:
    for field in after:
        place = before.get_field_index(field.name)
        if place < 0:
            continue
        try:
            pa.unify_schemas(
                [pa.schema([before.field(place)]), pa.schema([field])], promote_options="permissive"
            )
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            return (
                f"column {field.name!r} is {before.field(place).type} in the first {rows:,} rows, and "
                f"{field.type} after them; make it one type"
            )
    return "its columns do not have the same types in all rows"


def _wide_enough(schema: Schema, words: Mapping[str, Any]) -> Schema:
    """With places that reach to the last word: each batch alone may have had fewer."""
    for name, array in words.items():
        at = schema.get_field_index(name)
        kind = schema.field(at).type
        if pa.types.is_dictionary(kind) and len(array) > 2 ** (kind.index_type.bit_width - 1):
            wider = pa.dictionary(pa.int32(), kind.value_type, kind.ordered)
            schema = schema.set(at, schema.field(at).with_type(wider))
    return schema
