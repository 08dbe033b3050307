"""Tables written to files, whole or not at all."""

from __future__ import annotations

import os
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO

import msgspec

from overlay.errors import ConfigurationError, StorageError
from overlay.jobs.outputs import is_own_output, note_output
from overlay.lines import MIB, remove_stale_parts, replacing, storage_errors
from overlay.tables.arrow import Schema, Type, csv as arrow_csv, fs as arrow_fs, pa, parquet
from overlay.tables.places import file_system, format_of, is_address

_GROUP_ROWS = 65_536
"""Rows of a group of a Parquet file: what is in memory while it is written."""
Batches = Iterable[Any]


def write_file(
    path: str | os.PathLike[str], schema: Schema, batches: Batches, job: Path, *, overwrite: bool
) -> None:
    """Write a table of a job, in the format that the path ends in.

    Raises ConfigurationError for a name of no format and a file that is somebody else's, StorageError.
    """
    given = os.fspath(path)
    kind = format_of(given)
    if is_address(given):
        _write_away(given, kind, schema, batches, overwrite=overwrite)
        return
    target = Path(given).expanduser().resolve()
    with storage_errors(given):
        if target.is_dir():
            raise StorageError(f"{given}: is a directory", path=given)
        if target.exists() and not overwrite and not is_own_output(job, target):
            raise ConfigurationError(
                f"{given} exists, and is not as this job has written it; name another file, or replace it with "
                "overwrite=True"
            )
        remove_stale_parts(target)
    with replacing(target) as file:
        write_table(file, kind, schema, batches, given)
        with storage_errors(given):
            file.flush()
            # Before the file has its name: after a crash in between, it is still known.
            note_output(job, target, os.fstat(file.fileno()))


def _write_away(
    given: str, kind: tuple[str, str | None], schema: Schema, batches: Batches, *, overwrite: bool
) -> None:
    """To another file system: written here first, so that only what is whole is sent."""
    with storage_errors(given):
        system, path = file_system(given)
        if not overwrite and system.get_file_info(path).type != arrow_fs.FileType.NotFound:
            raise ConfigurationError(f"{given} exists; name another file, or replace it with overwrite=True")
    with TemporaryFile() as file:
        write_table(file, kind, schema, batches, given)
        file.seek(0)
        with storage_errors(given), system.open_output_stream(path) as out:
            while piece := file.read(MIB):
                out.write(piece)


def write_counted(
    write: Callable[[bytes], object], name: str, schema: Schema, batches: Batches, code: str
) -> Counter[str]:
    """Write a table to a function that takes bytes; returns how often each text is in the column `code`."""
    found: Counter[str] = Counter()

    def counted() -> Iterator[Any]:
        for batch in batches:
            found.update(each for each in batch.column(code).drop_null().to_pylist())
            yield batch

    write_table(_Function(write), format_of(name), schema, counted(), name)
    return found


class _Function:
    """A function, as a file to write to."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self.write = write


def write_table(file: Any, kind: tuple[str, str | None], schema: Schema, batches: Batches, name: str) -> None:
    """Write a table to what has `write`: its format, and how it is packed. `name` is for errors.

    Raises StorageError, and ConfigurationError for a type of column that the format cannot hold.
    """
    how, compression = kind
    sink = pa.PythonFile(_Kept(file), mode="w")
    out = sink if compression is None else pa.CompressedOutputStream(sink, compression)
    with storage_errors(name):
        try:
            _WRITERS[how](out, schema, batches)
        except (pa.ArrowNotImplementedError, pa.ArrowInvalid, pa.ArrowTypeError) as error:
            reason = str(error).splitlines()[0]
            raise ConfigurationError(f"{name}: this table cannot be written as {how}: {reason}") from None
        if not out.closed:
            out.close()


class _Kept:
    """A file that is not closed by whoever writes to it."""

    closed = False

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, data: Any) -> int:
        self._file.write(bytes(data))
        return len(data)

    def flush(self) -> None:
        with suppress(AttributeError):
            self._file.flush()

    def close(self) -> None:
        self.flush()


def _parquet(out: Any, schema: Schema, batches: Batches) -> None:
    with parquet.ParquetWriter(out, schema) as writer:
        held: list[Any] = []
        for batch in batches:
            held.append(batch)
            if sum(each.num_rows for each in held) >= _GROUP_ROWS:
                writer.write_table(pa.Table.from_batches(held, schema=schema))
                held = []
        if held:
            writer.write_table(pa.Table.from_batches(held, schema=schema))


def _arrow(out: Any, schema: Schema, batches: Batches) -> None:
    options = pa.ipc.IpcWriteOptions(unify_dictionaries=True)
    with pa.ipc.new_file(out, schema, options=options) as writer:
        for batch in batches:
            writer.write_batch(batch)


def _csv_writer(delimiter: str) -> Callable[[Any, Schema, Batches], None]:
    def write(out: Any, schema: Schema, batches: Batches) -> None:
        flat = pa.schema([field.with_type(_flat_type(field.type)) for field in schema])
        options = arrow_csv.WriteOptions(delimiter=delimiter)
        with closing(arrow_csv.CSVWriter(out, flat, write_options=options)) as writer:
            for batch in batches:
                columns = [_flat(column) for column in batch.columns]
                writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=flat))

    return write


def _flat_type(kind: Any) -> Any:
    if pa.types.is_dictionary(kind):
        return _flat_type(kind.value_type)
    if _is_binary(kind):
        return pa.large_string()
    return pa.large_string() if pa.types.is_nested(kind) or pa.types.is_string_view(kind) else kind


def _is_binary(kind: Type) -> bool:
    types = pa.types
    checks = (types.is_binary, types.is_large_binary, types.is_binary_view, types.is_fixed_size_binary)
    return any(check(kind) for check in checks)


def _flat(column: Any) -> Any:
    kind = _flat_type(column.type)
    if column.type == kind:
        return column
    if _is_binary(column.type):
        return pa.array([None if each is None else _text(each) for each in column.to_pylist()], type=kind)
    if pa.types.is_nested(column.type):
        cells = [None if each is None else _encode(each).decode() for each in column.to_pylist()]
        return pa.array(cells, type=kind)
    if pa.types.is_dictionary(column.type):
        return _flat(column.dictionary_decode())
    return column.cast(kind)


def _json_lines(out: Any, _: Schema, batches: Batches) -> None:
    for batch in batches:
        names = batch.schema.names
        rows = zip(*(column.to_pylist() for column in batch.columns), strict=True)
        out.write(b"".join(_encode(dict(zip(names, row, strict=True))) + b"\n" for row in rows))


def _text(value: Any) -> str:
    return b64encode(value).decode() if isinstance(value, bytes) else str(value)


_encode = msgspec.json.Encoder(enc_hook=_text).encode
_WRITERS: dict[str, Callable[[Any, Schema, Batches], None]] = {
    "parquet": _parquet,
    "arrow": _arrow,
    "csv": _csv_writer(","),
    "tsv": _csv_writer("\t"),
    "jsonl": _json_lines,
}
