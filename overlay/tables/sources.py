"""What a caller may hand in as a table, as an iterator of its rows."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from typing import Any

import attrs

from overlay.errors import ConfigurationError, InvalidInputError, Problem
from overlay.lines import is_array, is_object
from overlay.requests.request import Request
from overlay.tables.arrow import pa
from overlay.tables.formats import Piece, pieces, read
from overlay.tables.places import is_address, places
from overlay.tables.spool import RowSpool

_FEW = 1024


@attrs.frozen
class Source:
    """Rows that have not come in yet."""

    name: str
    """What errors call the table."""
    items: Iterator[Any] | AsyncIterator[Any]
    """`Piece`s, lists of rows, or rows."""
    at_once: int = 1
    """How many items to take at a time."""


def source_of(table: Any, csv: Mapping[str, Any] | None) -> Source:
    """Raises ConfigurationError for what is no table, StorageError for a file that is not there."""
    rows: Any = table
    if isinstance(table, str | os.PathLike):
        return _of_path(str(rows), csv)
    if csv is not None:
        raise ConfigurationError("csv= says how a file is read, and this table is no file")
    if hasattr(table, "__arrow_c_stream__"):
        return Source("the table", _of_stream(table))
    if hasattr(table, "__arrow_c_array__"):
        batch = pa.record_batch(table)
        return Source("the table", iter([Piece(batch.schema, batch)]))
    if hasattr(table, "scanner"):  # a data set of pyarrow's
        return Source("the table", _of_stream(table.scanner(batch_size=_FEW).to_reader()))
    if callable(getattr(table, "collect", None)):
        raise ConfigurationError(
            f"a {type(table).__name__} has no rows yet: hand in what its collect() gives"
        )
    if isinstance(table, AsyncIterable):
        return Source("the table", aiter(rows), _FEW)
    if isinstance(table, Iterable) and not isinstance(table, Mapping | bytes):
        return Source("the table", iter(rows), _FEW)
    raise ConfigurationError(
        "a table is a path, a data frame or whatever else exports Arrow, or an iterable of rows as dicts, not a "
        f"{type(rows).__name__}"
    )


def _of_path(name: str, csv: Any) -> Source:
    if not name.strip():
        raise ConfigurationError("the table's path is empty")
    options: Any = csv or {}
    if not isinstance(csv, Mapping | None):
        raise ConfigurationError("csv= maps names of pyarrow's options to values, as in {'delimiter': ';'}")
    return Source(name, _of_files(name, options))


def _of_files(given: str, csv: Mapping[str, Any]) -> Iterator[Any]:
    given = given if is_address(given) else os.path.expanduser(given)  # noqa: PTH111 - an address is no path
    for place in places(given):
        yield from pieces(place, csv)


def _of_stream(table: Any) -> Iterator[Piece]:
    try:
        reader = pa.RecordBatchReader.from_stream(table)
    except (pa.ArrowException, TypeError, ValueError) as error:
        reason = f"it cannot be read: {str(error).splitlines()[0]}"
        raise InvalidInputError(None, [Problem(None, reason)], place="the table") from None
    with reader:
        yield from read(reader)


def add(spool: RowSpool, items: list[Any]) -> None:
    """Add what was taken of a source. Raises InvalidInputError."""
    rows: list[Any] = []
    for item in items:
        if isinstance(item, Piece):
            spool.note(item.schema)
            if item.batch is not None and item.batch.num_rows:
                spool.add(item.batch, item.loose)
        elif is_array(item):
            _add_rows(spool, item)
        elif hasattr(item, "__arrow_c_array__"):
            spool.add(pa.record_batch(item))
        else:
            rows.append(item)
    _add_rows(spool, rows)


def _add_rows(spool: RowSpool, rows: list[Any]) -> None:
    if not rows:
        return
    for number, row in enumerate(rows, spool.count + 1):
        if not is_object(row):
            hint = "; requests as such go to client.jobs.run" if isinstance(row, Request) else ""
            raise _bad(spool, number, f"a row is a dict, not a {type(row).__name__}{hint}")
    names = dict.fromkeys(name for row in rows for name in row)
    if not all(isinstance(name, str) for name in names):
        raise _bad(spool, None, "the names of columns are text")
    columns = {name: _column(spool, name, [row.get(name) for row in rows]) for name in names}
    if not columns:
        raise _bad(spool, spool.count + 1, "a row has no columns")
    spool.add(pa.RecordBatch.from_pydict(columns))


def _column(spool: RowSpool, name: str, cells: list[Any]) -> Any:
    try:
        return pa.array(cells)
    except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
        why = str(error).splitlines()[0]
    # Which row is it? The first whose cell does not go with those before it.
    low, high = 0, len(cells)
    while high - low > 1:
        middle = (low + high) // 2
        if _fits(cells[:middle]):
            low = middle
        else:
            high = middle
    before = next((each for each in cells[:low] if each is not None), None)
    cell = cells[low]
    if before is None or type(before) is type(cell):
        raise _bad(spool, spool.count + low + 1, f"column {name!r}: {why}")
    raise _bad(
        spool,
        spool.count + low + 1,
        f"column {name!r} holds {_shown(cell)}, and {_shown(before)} before it; make it one type",
    )


def _fits(cells: list[Any]) -> bool:
    try:
        pa.array(cells)
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        return False
    return True


def _shown(cell: object) -> str:
    return f"{cell!r:.40} ({type(cell).__name__})"


def _bad(spool: RowSpool, row: int | None, reason: str) -> InvalidInputError:
    return InvalidInputError(None, [Problem(row, reason, unit="row")], place=spool.name)
